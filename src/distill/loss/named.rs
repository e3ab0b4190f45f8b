//! The terms of the loss by their names, as tensors and as numbers.

use burn::tensor::Tensor;

/// A term of the loss.
#[derive(Debug, Clone)]
pub struct NamedTerm {
    /// What it is called in logs and reports.
    pub name: String,
    /// What it is multiplied by in the sum.
    pub weight: f32,
    /// Its value, `[1]`: a sum divided by the normaliser, or by 1 where that is less.
    pub value: Tensor<1>,
    /// The sum of the weights over what the value is a mean of: images, where all count alike. It tells how much a shard of a batch
    /// counts beside the others.
    pub normalizer: f32,
}

impl NamedTerm {
    /// The weighted sum of terms, to be differentiated; nothing without terms.
    pub fn sum(terms: &[Self]) -> Option<Tensor<1>> {
        terms.iter().map(|term| term.value.clone() * term.weight).reduce(|sum, term| sum + term)
    }

    /// Makes the terms of a batch's shards, which are the same in each, parts of the whole batch's: their values then add up to what the
    /// batch in one piece gives.
    pub fn share(shards: &mut [Vec<Self>]) {
        if shards.len() < 2 {
            return;
        }
        let count = shards.iter().map(Vec::len).max().unwrap_or_default();
        let total =
            |place: usize| shards.iter().filter_map(|terms| terms.get(place)).map(|term| term.normalizer).sum::<f32>();
        let totals: Vec<f32> = (0..count).map(total).collect();
        for terms in shards {
            for (term, total) in terms.iter_mut().zip(&totals) {
                term.value = term.value.clone() * (term.normalizer.max(1.0) / total.max(1.0));
            }
        }
    }
}

/// A term as a number.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TermValue {
    /// What it is called.
    pub name: String,
    /// Its value before it is weighted.
    pub value: f32,
    /// What it is multiplied by in the sum.
    pub weight: f32,
}

/// Terms as numbers, for logs and the NaN guard.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct LossValues {
    /// The weighted sum.
    pub total: f32,
    /// The terms.
    pub terms: Vec<TermValue>,
}

impl LossValues {
    /// Reads the terms.
    pub fn new(terms: &[NamedTerm]) -> Self {
        Self::of_shards(&[terms])
    }

    /// Reads the terms of a batch whose shards each have their part of them ([`NamedTerm::share`]).
    pub fn of_shards<T: AsRef<[NamedTerm]>>(shards: &[T]) -> Self {
        let mut terms: Vec<TermValue> = Vec::new();
        for shard in shards {
            for (place, term) in shard.as_ref().iter().enumerate() {
                let value = term.value.clone().into_scalar::<f32>();
                match terms.get_mut(place) {
                    Some(sum) => sum.value += value,
                    None => terms.push(TermValue { name: term.name.clone(), value, weight: term.weight }),
                }
            }
        }
        Self { total: terms.iter().map(|term| term.weight * term.value).sum(), terms }
    }

    /// True when every term is a finite number.
    pub fn is_finite(&self) -> bool {
        self.total.is_finite() && self.terms.iter().all(|term| term.value.is_finite())
    }

    /// A term's value, when there is one of this name.
    pub fn get(&self, name: &str) -> Option<f32> {
        self.terms.iter().find(|term| term.name == name).map(|term| term.value)
    }

    /// The total and its terms in at most `width` characters where that can be: of terms that do not fit, the three that add most
    /// to the total are told.
    pub fn brief(&self, width: usize) -> String {
        let whole = self.to_string();
        if self.terms.len() <= 3 || whole.chars().count() <= width {
            return whole;
        }
        let mut largest: Vec<usize> = (0..self.terms.len()).collect();
        let share = |place: usize| (self.terms[place].weight * self.terms[place].value).abs();
        largest.sort_by(|&a, &b| share(b).total_cmp(&share(a)));
        largest.truncate(3);
        // In their usual order; by size they would change places from step to step.
        largest.sort_unstable();
        let terms = largest.into_iter().map(|place| self.terms[place].clone()).collect();
        let told = Self { total: self.total, terms }.to_string();
        format!("{}, {} more)", told.trim_end_matches(')'), self.terms.len() - 3)
    }
}

impl std::fmt::Display for LossValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3}", self.total)?;
        for (place, TermValue { name, value, .. }) in self.terms.iter().enumerate() {
            write!(f, "{}{name} {value:.3}", if place == 0 { " (" } else { ", " })?;
        }
        if self.terms.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::loss::reference::tensor;

    #[test]
    fn shards_add_up_to_the_whole_batch() {
        let term = |name: &str, sum: f32, normalizer: f32| NamedTerm {
            name: name.into(),
            weight: 2.0,
            value: tensor(&[sum / normalizer.max(1.0)], [1]),
            normalizer,
        };
        // Sums of 8 over 4.5, and of 0.7 over less than 1.
        let mut shards = [
            vec![term("class", 2.0, 0.5), term("giou", 0.3, 0.25)],
            vec![term("class", 6.0, 4.0), term("giou", 0.4, 0.5)],
        ];
        NamedTerm::share(&mut shards);
        let values = LossValues::of_shards(&shards);
        assert!((values.get("class").unwrap() - 8.0 / 4.5).abs() < 1e-6, "{values}");
        assert!((values.get("giou").unwrap() - 0.7).abs() < 1e-6, "{values}");
        assert!((values.total - 2.0 * (8.0 / 4.5 + 0.7)).abs() < 1e-5, "{values}");

        let mut whole = [vec![term("class", 2.0, 0.5)]];
        NamedTerm::share(&mut whole);
        assert_eq!(LossValues::of_shards(&whole), LossValues::new(&[term("class", 2.0, 0.5)]));
    }

    #[test]
    fn of_many_terms_the_largest_are_told() {
        let term = |(name, weight, value): (&str, f32, f32)| TermValue { name: name.into(), value, weight };
        let terms =
            [("class", 1.0, 0.5), ("giou", 2.0, 0.75), ("far", 0.0, 90.0), ("flow", 10.0, 0.25), ("hint", 0.1, 1.0)];
        let values = LossValues { total: 4.6, terms: Vec::from(terms.map(term)) };
        let whole = "4.600 (class 0.500, giou 0.750, far 90.000, flow 0.250, hint 1.000)";
        assert_eq!(values.to_string(), whole);
        assert_eq!(values.brief(whole.len()), whole);
        assert_eq!(values.brief(whole.len() - 1), "4.600 (class 0.500, giou 0.750, flow 0.250, 2 more)");
        let few = LossValues { terms: values.terms[..3].to_vec(), ..values };
        assert_eq!(few.brief(0), few.to_string());
    }
}
