//! What an estimate of the calibration comes to, in a word.

use super::calibration::{CalibrationEstimate, LEAST_AGREEMENT, LEAST_SAMPLES};

/// Whether camera and lidar fit together, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CalibrationVerdict {
    /// No turn of the camera fits clearly better.
    Fits,
    /// Too few boxes were seen, or they agree with the points nowhere, so nothing can be said.
    Unknown,
    /// The calibration is off by more than a degree, see [`CalibrationEstimate::is_suspect`].
    Suspect,
}

impl CalibrationVerdict {
    /// The verdict as people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Suspect => "suspect",
            Self::Unknown => "not known",
        }
    }
}

impl CalibrationEstimate {
    /// Whether camera and lidar fit together by this estimate.
    pub fn verdict(&self) -> CalibrationVerdict {
        if self.is_suspect {
            CalibrationVerdict::Suspect
        } else if self.samples < LEAST_SAMPLES || self.agreement_best < LEAST_AGREEMENT {
            CalibrationVerdict::Unknown
        } else {
            CalibrationVerdict::Fits
        }
    }
}

/// Of several cameras' estimates, each with the camera's name, the one that gives most reason for concern: by the verdict, and of equal
/// ones by the angle.
pub(in super::super) fn worst(
    estimates: impl Iterator<Item = (String, CalibrationEstimate)>,
) -> Option<(String, CalibrationEstimate)> {
    let angle = |estimate: &CalibrationEstimate| estimate.yaw_degrees.hypot(estimate.pitch_degrees);
    estimates.max_by(|(_, one), (_, other)| {
        one.verdict().cmp(&other.verdict()).then_with(|| angle(one).total_cmp(&angle(other)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An estimate of a camera that fits.
    fn fitting() -> CalibrationEstimate {
        CalibrationEstimate {
            yaw_degrees: 0.2,
            pitch_degrees: 0.0,
            samples: 300,
            agreement_now: 0.4,
            agreement_best: 0.41,
            is_suspect: false,
        }
    }

    #[test]
    fn the_camera_that_is_off_is_told_wherever_it_stands() {
        let off = CalibrationEstimate { yaw_degrees: -3.0, is_suspect: true, ..fitting() };
        let worse = CalibrationEstimate { yaw_degrees: 4.0, ..off };
        // A large angle that hardly fits better is no reason, nor is one of too few boxes.
        let vague = CalibrationEstimate { yaw_degrees: 5.5, samples: 3, ..fitting() };
        let found = |estimates: &[CalibrationEstimate]| {
            let named = estimates.iter().enumerate().map(|(place, estimate)| (place.to_string(), *estimate));
            worst(named).map(|(name, _)| name)
        };
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[fitting(), off]).as_deref(), Some("1"));
        assert_eq!(found(&[off, fitting(), vague]).as_deref(), Some("0"));
        assert_eq!(found(&[off, worse, fitting()]).as_deref(), Some("1"));
        assert_eq!(found(&[vague, fitting()]).as_deref(), Some("0"), "what nobody knows is no comfort");
        let turned = CalibrationEstimate { pitch_degrees: -0.6, ..fitting() };
        assert_eq!(found(&[turned, fitting()]).as_deref(), Some("0"));
    }

    #[test]
    fn few_boxes_and_no_agreement_say_nothing() {
        let fits = fitting();
        assert_eq!(fits.verdict(), CalibrationVerdict::Fits);
        assert_eq!(CalibrationEstimate { is_suspect: true, ..fits }.verdict(), CalibrationVerdict::Suspect);
        assert_eq!(CalibrationEstimate { samples: 3, ..fits }.verdict(), CalibrationVerdict::Unknown);
        let nowhere = CalibrationEstimate { agreement_now: 0.01, agreement_best: 0.02, ..fits };
        assert_eq!(nowhere.verdict(), CalibrationVerdict::Unknown);
    }
}
