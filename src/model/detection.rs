//! What a detector finds.

use crate::geometry::Box2;

/// One detected object with the whole class-probability vector that distillation needs.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftDetection {
    /// Where, in pixels of the original image.
    pub bbox: Box2,
    /// Score per class in `[0, 1]`, in the order of the model's classes, objectness or quality already multiplied in.
    /// Not normalised: heads of independent sigmoids need not sum to 1.
    pub probabilities: Vec<f32>,
}

impl SoftDetection {
    /// The most probable class and its score; `(0, 0.0)` when there are no classes.
    pub fn best(&self) -> (usize, f32) {
        let mut best = (0, 0.0);
        for (class, &score) in self.probabilities.iter().enumerate() {
            if score > best.1 {
                best = (class, score);
            }
        }
        best
    }

    /// The most probable class's score.
    pub fn score(&self) -> f32 {
        self.best().1
    }
}
