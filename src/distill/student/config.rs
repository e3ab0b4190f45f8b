//! What can be chosen of a student, and what follows from the choice.

use serde::{Deserialize, Serialize};

use super::{Channels, Group};
use crate::model::{ColorOrder, Fit, HeadFormat, InputSpec, ModelSpec};

/// Strides of the student's output maps in pixels, finest first.
pub const STRIDES: [usize; 3] = [8, 16, 32];

/// Prior probability of any class in any cell, from which training starts (Focal Loss, Lin et al. 2017).
pub(in crate::distill) const CLASS_PRIOR: f64 = 0.01;

/// How wide and deep a student is.
///
/// Figures for one class at 320x192, where the speed is one thread of ONNX Runtime in comparison to YOLOX-nano 416.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// For boards that have little to spare.
    #[default]
    Micro,
    /// In between.
    Small,
    /// For teachers of our own and for robots with a core to spare.
    Base,
}

/// What the 3x3 convolutions after the first are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Convolution {
    /// Convolutions over all channels.
    #[default]
    Plain,
    /// Depthwise-separable ones (MobileNets, Howard et al. 2017): far fewer weights and multiply-accumulates, but more passes
    /// over memory.
    Depthwise,
}

/// Channels and depths of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widths {
    /// Channels after the stem, at stride 2.
    pub stem: usize,
    /// Channels of the stages at strides 4, 8, 16, 32.
    pub stages: [usize; 4],
    /// Residual units of each stage after its strided convolution.
    pub depths: [usize; 4],
    /// Channels of the neck and the heads.
    pub neck: usize,
    /// Whether the finest level is smoothed by a 3x3 convolution after the sum.
    pub smooth_finest: bool,
}

impl Size {
    /// Its channels and depths.
    pub fn widths(self) -> Widths {
        match self {
            Self::Micro => {
                Widths { stem: 16, stages: [24, 40, 64, 96], depths: [0, 1, 1, 1], neck: 32, smooth_finest: false }
            }
            Self::Small => {
                Widths { stem: 16, stages: [32, 64, 96, 128], depths: [0, 1, 1, 1], neck: 48, smooth_finest: true }
            }
            Self::Base => {
                Widths { stem: 24, stages: [48, 80, 128, 144], depths: [1, 2, 1, 1], neck: 64, smooth_finest: true }
            }
        }
    }
}

/// A student before it exists: size, classes and input.
///
/// ```
/// use distilled_perception::distill::student::{Size, StudentConfig};
/// let config = StudentConfig::new(Size::Micro, vec!["person".into()], 320, 192);
/// assert!(config.check().is_ok());
/// assert!(StudentConfig::new(Size::Micro, vec!["person".into()], 300, 192).check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentConfig {
    /// How wide and deep.
    #[serde(default)]
    pub size: Size,
    /// What it is built of.
    #[serde(default)]
    pub convolution: Convolution,
    /// Class names in the order of the score vector.
    pub classes: Vec<String>,
    /// Input width in pixels, a multiple of 32.
    #[serde(default = "default_width")]
    pub width: usize,
    /// Input height in pixels, a multiple of 32.
    #[serde(default = "default_height")]
    pub height: usize,
    /// Bins of each distance's distribution. The longest distance from a cell's centre to an edge is `bins - 1` strides, so
    /// with 8 bins and stride 32 an object may be 448 px long.
    #[serde(default = "default_bins")]
    pub bins: usize,
    /// Channels of every group, instead of those of the size, whose depths stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
}

fn default_width() -> usize {
    320
}

fn default_height() -> usize {
    192
}

fn default_bins() -> usize {
    8
}

/// A student that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A side of the input is not a positive multiple of the coarsest stride.
    #[error("student.{side}: {value} is not a positive multiple of 32; the nearest that is: {nearest}")]
    Side {
        /// `width` or `height`.
        side: &'static str,
        /// What was asked for.
        value: usize,
        /// What would do.
        nearest: usize,
    },
    /// A side of the input is larger than can be meant.
    #[error("student.{side}: {value} px is more than a student's input can have (4096)")]
    TooLarge {
        /// `width` or `height`.
        side: &'static str,
        /// What was asked for.
        value: usize,
    },
    /// There is nothing to detect.
    #[error("student.classes: is empty; name at least one class, like `classes: [person]`")]
    NoClasses,
    /// A class is named twice.
    #[error("student.classes: {0:?} stands there twice")]
    DuplicateClass(String),
    /// The distributions cannot express a distance.
    #[error("student.bins: {0} is outside 2..=64; 8 reaches 7 strides from a cell's centre to an edge")]
    Bins(usize),
    /// A group has no channels, or more than can be meant.
    #[error(
        "student.channels: {group} has {value}, which is outside 1..={MOST_CHANNELS}; {usual} is what the size has"
    )]
    Channels {
        /// The group.
        group: Group,
        /// What was asked for.
        value: usize,
        /// What the size has.
        usual: usize,
    },
}

/// Most channels of a group.
const MOST_CHANNELS: usize = 4096;

impl StudentConfig {
    /// A student with the default distribution bins.
    pub fn new(size: Size, classes: Vec<String>, width: usize, height: usize) -> Self {
        Self { size, convolution: Convolution::default(), classes, width, height, bins: default_bins(), channels: None }
    }

    /// Checks what serde cannot.
    ///
    /// # Errors
    /// Names the first field that is wrong and a value that would do.
    pub fn check(&self) -> Result<(), ConfigError> {
        let coarsest = STRIDES[STRIDES.len() - 1];
        for (side, value) in [("width", self.width), ("height", self.height)] {
            if value == 0 || value % coarsest != 0 {
                let nearest = ((value.min(4096) + coarsest / 2) / coarsest).max(1) * coarsest;
                return Err(ConfigError::Side { side, value, nearest });
            }
            if value > 4096 {
                return Err(ConfigError::TooLarge { side, value });
            }
        }
        check_classes(&self.classes)?;
        if !(2..=64).contains(&self.bins) {
            return Err(ConfigError::Bins(self.bins));
        }
        let (channels, usual) = (self.group_channels(), Channels::of(self.size));
        for group in Group::ALL {
            let value = *channels.get(group);
            if !(1..=MOST_CHANNELS).contains(&value) {
                return Err(ConfigError::Channels { group, value, usual: *usual.get(group) });
            }
        }
        Ok(())
    }

    /// Channels of every group: those that are given, or those of the size.
    pub fn group_channels(&self) -> Channels {
        self.channels.unwrap_or_else(|| Channels::of(self.size))
    }

    /// How an image becomes the student's input: RGB, letterboxed with grey 114, normalised by the ImageNet channel means and
    /// deviations in 0-255.
    pub fn input_spec(&self) -> InputSpec {
        InputSpec {
            width: self.width,
            height: self.height,
            color: ColorOrder::Rgb,
            mean: [123.675, 116.28, 103.53],
            std: [58.395, 57.12, 57.375],
            fit: Fit::LetterboxCenter(114),
        }
    }

    /// The layout of the student's outputs.
    pub fn head_format(&self) -> HeadFormat {
        HeadFormat::Student { strides: STRIDES.to_vec(), bins: self.bins }
    }

    /// All that is needed to run the exported student, with the usual thresholds.
    pub fn model_spec(&self) -> ModelSpec {
        ModelSpec::new(self.input_spec(), self.head_format(), self.classes.clone())
    }

    /// Rows and columns of the output map at each of [`STRIDES`].
    pub fn grids(&self) -> [(usize, usize); 3] {
        STRIDES.map(|stride| (self.height / stride, self.width / stride))
    }
}

/// Looks for what no student's classes may be.
///
/// # Errors
/// When there are none, or one is named twice.
pub(in crate::distill) fn check_classes(classes: &[String]) -> Result<(), ConfigError> {
    if classes.is_empty() {
        return Err(ConfigError::NoClasses);
    }
    let twice = classes.iter().enumerate().find(|(index, class)| classes[..*index].contains(class));
    twice.map_or(Ok(()), |(_, class)| Err(ConfigError::DuplicateClass(class.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_sides_are_told_with_the_mend() {
        let error = StudentConfig::new(Size::Micro, vec!["a".into()], 320, 180).check().unwrap_err();
        assert_eq!(error, ConfigError::Side { side: "height", value: 180, nearest: 192 });
        assert!(error.to_string().contains("192"), "{error}");
        let error = StudentConfig::new(Size::Micro, vec!["a".into()], 0, 192).check().unwrap_err();
        assert_eq!(error, ConfigError::Side { side: "width", value: 0, nearest: 32 });
    }

    #[test]
    fn classes_and_bins_are_checked() {
        let mut config = StudentConfig::new(Size::Base, vec![], 320, 192);
        assert_eq!(config.check(), Err(ConfigError::NoClasses));
        config.classes = vec!["a".into(), "b".into(), "a".into()];
        assert_eq!(config.check(), Err(ConfigError::DuplicateClass("a".into())));
        config.classes = vec!["a".into()];
        config.bins = 1;
        assert_eq!(config.check(), Err(ConfigError::Bins(1)));
        config.bins = 8;
        config.channels = Some(Channels { neck: 0, ..Channels::of(Size::Base) });
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains("student.channels: neck has 0") && error.contains("64 is what"), "{error}");
    }

    #[test]
    fn channels_are_those_of_the_size_unless_given_and_then_written() {
        let mut config = StudentConfig::new(Size::Micro, vec!["a".into()], 320, 192);
        assert_eq!(config.group_channels(), Channels::of(Size::Micro));
        assert!(!serde_yaml::to_string(&config).unwrap().contains("channels"));
        let channels = Channels { stem: 12, ..Channels::of(Size::Micro) };
        config.channels = Some(channels);
        assert_eq!(config.group_channels(), channels);
        let read: StudentConfig = serde_yaml::from_str(&serde_yaml::to_string(&config).unwrap()).unwrap();
        assert_eq!(read, config);
    }

    #[test]
    fn yaml_has_defaults_and_refuses_unknown_keys() {
        let config: StudentConfig = serde_yaml::from_str("{size: small, classes: [person]}").unwrap();
        assert_eq!(config, StudentConfig::new(Size::Small, vec!["person".into()], 320, 192));
        assert!(serde_yaml::from_str::<StudentConfig>("{classes: [person], widht: 64}").is_err());
    }
}
