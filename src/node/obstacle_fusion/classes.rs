//! Names and numbers of the classes.

use crate::node::limits::MAX_CLASS_NAME;

/// Classes that are told apart where no list of them is given.
const MOST: usize = 64;

/// Detections name their classes; trackers number them.
#[derive(Debug)]
pub(super) struct Classes {
    names: Vec<String>,
    capacity: usize,
}

impl Classes {
    /// The classes of a list, empty names aside; of an empty list every class that comes, up to 64.
    pub(super) fn new(keep: &[String]) -> Self {
        let names: Vec<String> = keep.iter().filter(|name| !name.is_empty()).cloned().collect();
        let capacity = if names.is_empty() { MOST } else { names.len() };
        Self { names, capacity }
    }

    /// Names by number, those that are known by now.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of a number.
    pub(super) fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }

    /// The number of a name, which is learnt where there is room for it; `None` for a class that is not kept.
    pub(super) fn number(&mut self, name: &str) -> Option<usize> {
        let known = self.names.iter().position(|known| known == name);
        let is_name = (1..=MAX_CLASS_NAME).contains(&name.len());
        if known.is_none() && is_name && self.names.len() < self.capacity {
            self.names.push(name.to_owned());
            return Some(self.names.len() - 1);
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_closed_and_no_list_is_open() {
        let mut closed = Classes::new(&["person".into(), "forklift".into()]);
        assert_eq!(closed.names(), ["person", "forklift"]);
        assert_eq!((closed.number("forklift"), closed.number("pallet")), (Some(1), None));
        let mut open = Classes::new(&[String::new()]);
        assert_eq!((open.number(""), open.number(&"x".repeat(MAX_CLASS_NAME + 1))), (None, None));
        assert_eq!((open.number("pallet"), open.number("person"), open.number("pallet")), (Some(0), Some(1), Some(0)));
        assert_eq!((open.name(1), open.name(7)), ("person", ""));
        for number in 0..200 {
            open.number(&number.to_string());
        }
        assert_eq!(open.names().len(), MOST);
    }
}
