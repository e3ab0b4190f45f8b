//! A few out of a stream of unknown length.

/// Keeps a few, spread evenly: when there are twice as many as wanted, every other one goes.
#[derive(Debug)]
pub(in crate::distill) struct Few<T> {
    /// What is kept, in its order: all of it, or from as many as wanted to twice that less one.
    pub kept: Vec<T>,
    wanted: usize,
    every: usize,
    seen: usize,
}

impl<T> Few<T> {
    /// Nothing yet; so many are wanted.
    pub fn new(wanted: usize) -> Self {
        Self { kept: Vec::new(), wanted: wanted.max(1), every: 1, seen: 0 }
    }

    /// Keeps the value, or not.
    pub fn offer(&mut self, value: T) {
        if self.seen.is_multiple_of(self.every) {
            self.kept.push(value);
        }
        self.seen += 1;
        if self.kept.len() >= 2 * self.wanted {
            let mut place = 0;
            self.kept.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.every *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_stay_few_and_spread() {
        let mut few = Few::new(16);
        for number in 0..1000 {
            few.offer(number);
        }
        assert!(few.kept.len() >= 16 && few.kept.len() < 32);
        assert_eq!(few.kept[0], 0);
        assert!(*few.kept.last().unwrap() > 800, "{:?}", few.kept);
    }
}
