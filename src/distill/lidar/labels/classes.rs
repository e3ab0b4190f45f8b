//! What the class numbers and names of a recording's truth mean for the student.

use std::collections::BTreeMap;

use crate::sensing::point_cloud::NO_NUMBER;

/// What a number or name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Background, or a class that is not the experiment's.
    Background,
    /// A class of the experiment.
    Class(u16),
    /// Nobody says.
    Unknown,
}

impl Meaning {
    fn of_place(place: Option<usize>) -> Self {
        place.and_then(|place| u16::try_from(place).ok()).map_or(Self::Background, Self::Class)
    }
}

/// The class numbers of a recording's truth.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassNumbers {
    classes: Vec<String>,
    /// What LabelInfo says; `None`: the experiment's classes are 1, 2 ..
    names: Option<BTreeMap<u16, String>>,
}

impl ClassNumbers {
    /// The numbers with the names of a LabelInfo, or without one.
    pub fn new(classes: &[String], names: Option<BTreeMap<u16, String>>) -> Self {
        Self { classes: classes.to_vec(), names }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.classes.iter().position(|class| class == name)
    }

    /// What a class number means. 0 is background unless LabelInfo names it; what is no number means nothing.
    pub fn of_number(&self, number: u32) -> Meaning {
        if number == NO_NUMBER {
            return Meaning::Unknown;
        }
        let Some(names) = &self.names else {
            let place = (number as usize).checked_sub(1).filter(|place| *place < self.classes.len());
            return Meaning::of_place(place);
        };
        match u16::try_from(number).ok().and_then(|number| names.get(&number)) {
            Some(name) => Meaning::of_place(self.place(name)),
            None if number == 0 => Meaning::Background,
            None => Meaning::Unknown,
        }
    }

    /// What the `class_id` of a detection means: a name or, as text, a number.
    pub fn of_name(&self, name: &str) -> Meaning {
        match (self.place(name), name.trim().parse::<u32>()) {
            (None, Ok(number)) => self.of_number(number),
            (place, _) => Meaning::of_place(place),
        }
    }

    /// Per class of the experiment, whether the truth tells it apart.
    pub fn knows(&self) -> Vec<bool> {
        match &self.names {
            None => vec![true; self.classes.len()],
            Some(names) => self.classes.iter().map(|class| names.values().any(|name| name == class)).collect(),
        }
    }

    /// The names that LabelInfo gives, for messages.
    pub fn names(&self) -> Vec<String> {
        self.names.iter().flat_map(BTreeMap::values).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<String> {
        vec!["forklift".into(), "person".into()]
    }

    #[test]
    fn label_info_names_numbers() {
        let names = [(1, "person"), (2, "forklift"), (3, "pallet")].map(|(number, name)| (number, name.to_owned()));
        let numbers = ClassNumbers::new(&classes(), Some(names.into()));
        let found: Vec<Meaning> = (0..5).map(|number| numbers.of_number(number)).collect();
        let expected =
            [Meaning::Background, Meaning::Class(1), Meaning::Class(0), Meaning::Background, Meaning::Unknown];
        assert_eq!(found, expected);
        assert_eq!(numbers.of_name("person"), Meaning::Class(1));
        assert_eq!(numbers.of_name("2"), Meaning::Class(0));
        assert_eq!(numbers.of_name("pallet"), Meaning::Background);
        assert_eq!(numbers.knows(), [true, true]);
        assert_eq!(numbers.of_number(u32::MAX), Meaning::Unknown);
        let zero = ClassNumbers::new(&classes(), Some([(0, "person".to_owned())].into()));
        assert_eq!((zero.of_number(0), zero.knows()), (Meaning::Class(1), vec![false, true]));
    }

    #[test]
    fn without_it_numbers_count_the_classes() {
        let numbers = ClassNumbers::new(&classes(), None);
        let found: Vec<Meaning> = (0..4).map(|number| numbers.of_number(number)).collect();
        assert_eq!(found, [Meaning::Background, Meaning::Class(0), Meaning::Class(1), Meaning::Background]);
        assert_eq!(numbers.of_number(NO_NUMBER), Meaning::Unknown, "-1 and NaN stand for points that nobody looked at");
        assert_eq!(numbers.of_name("dog"), Meaning::Background);
        assert_eq!(numbers.names(), Vec::<String>::new());
    }
}
