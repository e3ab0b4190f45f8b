//! The terms of the loss by their names, as tensors and as numbers.

use burn::tensor::Tensor;

/// A term of the loss.
#[derive(Debug, Clone)]
pub struct NamedTerm {
    /// What it is called in logs and reports.
    pub name: String,
    /// What it is multiplied by in the sum.
    pub weight: f32,
    /// Its value, `[1]`.
    pub value: Tensor<1>,
}

impl NamedTerm {
    /// The weighted sum of terms, to be differentiated; nothing without terms.
    pub fn sum(terms: &[Self]) -> Option<Tensor<1>> {
        terms.iter().map(|term| term.value.clone() * term.weight).reduce(|sum, term| sum + term)
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
        let read = |term: &NamedTerm| TermValue {
            name: term.name.clone(),
            value: term.value.clone().into_scalar::<f32>(),
            weight: term.weight,
        };
        let terms: Vec<TermValue> = terms.iter().map(read).collect();
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
