//! Anchor points: the named places inside the student at which it can be compared with a teacher.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{STRIDES, StudentConfig};

/// Strides of the backbone's stages.
const STAGE_STRIDES: [usize; 4] = [4, 8, 16, 32];

/// A place inside the student whose features `[B, C, H / stride, W / stride]` can be compared with a tensor of a teacher. Written
/// as its name and stride, as in `neck_16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AnchorPoint {
    /// `stage_4` to `stage_32`: the end of a stage of the backbone.
    Stage(usize),
    /// `neck_8` to `neck_32`: what the heads of a stride see.
    Neck(usize),
    /// `class_logits_8` to `class_logits_32`: the class logits, one channel a class.
    ClassLogits(usize),
    /// `box_distribution_8` to `box_distribution_32`: the logits of the distances' distributions, 4 x bins channels.
    BoxDistribution(usize),
}

/// A name that is no anchor point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no anchor point of the student; it has {}", AnchorPoint::names())]
pub struct UnknownAnchor {
    name: String,
}

impl AnchorPoint {
    /// All of them, from the image to the outputs.
    pub fn all() -> impl Iterator<Item = Self> {
        let of = |make: fn(usize) -> Self, strides: &'static [usize]| strides.iter().map(move |&stride| make(stride));
        of(Self::Stage, &STAGE_STRIDES)
            .chain(of(Self::Neck, &STRIDES))
            .chain(of(Self::ClassLogits, &STRIDES))
            .chain(of(Self::BoxDistribution, &STRIDES))
    }

    /// The ends of the backbone's stages, finest first.
    pub fn stages() -> impl Iterator<Item = Self> {
        STAGE_STRIDES.into_iter().map(Self::Stage)
    }

    /// The backbone's stage with this index, from 0.
    pub(super) fn of_stage(index: usize) -> Self {
        Self::Stage(STAGE_STRIDES[index])
    }

    fn names() -> String {
        Self::all().map(|anchor| anchor.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Whether it is an output of the network and not inside of it.
    pub fn is_output(self) -> bool {
        matches!(self, Self::ClassLogits(_) | Self::BoxDistribution(_))
    }

    /// Pixels of the input per cell.
    pub fn stride(self) -> usize {
        match self {
            Self::Stage(stride) | Self::Neck(stride) | Self::ClassLogits(stride) | Self::BoxDistribution(stride) => {
                stride
            }
        }
    }

    /// Channels of its features.
    pub fn channels(self, config: &StudentConfig) -> usize {
        let channels = config.group_channels();
        match self {
            Self::Stage(stride) => {
                let index = STAGE_STRIDES.iter().position(|&known| known == stride).unwrap_or(0);
                channels.stages[index]
            }
            Self::Neck(_) => channels.neck,
            Self::ClassLogits(_) => config.classes.len(),
            Self::BoxDistribution(_) => 4 * config.bins,
        }
    }

    /// Rows and columns of its features.
    pub fn grid(self, config: &StudentConfig) -> (usize, usize) {
        (config.height / self.stride(), config.width / self.stride())
    }
}

impl fmt::Display for AnchorPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Stage(_) => "stage",
            Self::Neck(_) => "neck",
            Self::ClassLogits(_) => "class_logits",
            Self::BoxDistribution(_) => "box_distribution",
        };
        write!(f, "{name}_{}", self.stride())
    }
}

impl FromStr for AnchorPoint {
    type Err = UnknownAnchor;

    fn from_str(name: &str) -> Result<Self, UnknownAnchor> {
        Self::all().find(|anchor| anchor.to_string() == name).ok_or_else(|| UnknownAnchor { name: name.to_owned() })
    }
}

impl TryFrom<String> for AnchorPoint {
    type Error = UnknownAnchor;

    fn try_from(name: String) -> Result<Self, UnknownAnchor> {
        name.parse()
    }
}

impl From<AnchorPoint> for String {
    fn from(anchor: AnchorPoint) -> Self {
        anchor.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for anchor in AnchorPoint::all() {
            assert_eq!(anchor.to_string().parse(), Ok(anchor));
        }
        let error = "neck_4".parse::<AnchorPoint>().unwrap_err().to_string();
        assert!(error.contains("neck_4") && error.contains("stage_4, stage_8"), "{error}");
    }
}
