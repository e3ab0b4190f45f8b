//! The two scores that sort a labeller's finds: what is learnt, and what is doubted.

use crate::distill::config::Complaint;

/// Says whether `min_score` and `uncertain_score` make sense together.
///
/// # Errors
/// The key and what is wrong with it.
pub(super) fn check_scores(min_score: f32, uncertain_score: f32) -> Result<(), Complaint> {
    for (key, score) in [("min_score", min_score), ("uncertain_score", uncertain_score)] {
        if !(0.0..=1.0).contains(&score) {
            return Err((key, format!("must be between 0 and 1, not {score}")));
        }
    }
    if uncertain_score > min_score {
        return Err(("uncertain_score", format!("{uncertain_score} is more than min_score ({min_score})")));
    }
    Ok(())
}
