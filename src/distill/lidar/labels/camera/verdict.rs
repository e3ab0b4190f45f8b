//! What an estimate of the calibration comes to, in a word.

use super::calibration::{CalibrationEstimate, LEAST_AGREEMENT, LEAST_SAMPLES};

/// Whether camera and lidar fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalibrationVerdict {
    /// No turn of the camera fits clearly better.
    Fits,
    /// The calibration is off by more than a degree, see [`CalibrationEstimate::is_suspect`].
    Suspect,
    /// Too few boxes were seen, or they agree with the points nowhere, so nothing can be said.
    Unknown,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_boxes_and_no_agreement_say_nothing() {
        let fits = CalibrationEstimate {
            yaw_degrees: 0.2,
            pitch_degrees: 0.0,
            samples: 300,
            agreement_now: 0.4,
            agreement_best: 0.41,
            is_suspect: false,
        };
        assert_eq!(fits.verdict(), CalibrationVerdict::Fits);
        assert_eq!(CalibrationEstimate { is_suspect: true, ..fits }.verdict(), CalibrationVerdict::Suspect);
        assert_eq!(CalibrationEstimate { samples: 3, ..fits }.verdict(), CalibrationVerdict::Unknown);
        let nowhere = CalibrationEstimate { agreement_now: 0.01, agreement_best: 0.02, ..fits };
        assert_eq!(nowhere.verdict(), CalibrationVerdict::Unknown);
    }
}
