//! What must be known of a lidar detector to run it. It is kept in the bundle's metadata.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::bundle::{BundleSpec, Task};
use crate::model::spec::default_score_threshold;
use crate::model::threshold;
use crate::sensing::range_image::RangeGrid;

/// Everything that is needed to turn a sweep into labelled points and objects with an ONNX file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LidarSpec {
    /// The range image that sweeps are projected to.
    pub grid: RangeGrid,
    /// The channels of the input tensor `[1, channels, rows, columns]`, in their order.
    pub channels: Vec<RangeChannel>,
    /// The range in metres that the channels of ranges are measured by.
    pub max_range: f32,
    /// Class names in the order of the class logits.
    pub classes: Vec<String>,
    /// Points with a best score under this are none of the classes.
    #[serde(default = "default_score_threshold")]
    pub score_threshold: f32,
    /// By class name: points of that class under this score are none; other classes have `score_threshold`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub class_thresholds: BTreeMap<String, f32>,
    /// By class name: how votes become objects; other classes have [`Grouping::default`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grouping: BTreeMap<String, Grouping>,
    /// At most this many objects a sweep are kept, the best ones.
    #[serde(default = "default_max_objects")]
    pub max_objects: usize,
}

impl LidarSpec {
    /// A specification with the usual thresholds: score 0.3, [`Grouping::default`], 100 objects a sweep.
    pub fn new(grid: RangeGrid, channels: Vec<RangeChannel>, max_range: f32, classes: Vec<String>) -> Self {
        Self {
            grid,
            channels,
            max_range,
            classes,
            score_threshold: default_score_threshold(),
            class_thresholds: BTreeMap::new(),
            grouping: BTreeMap::new(),
            max_objects: default_max_objects(),
        }
    }

    /// The score that a point of a class must reach.
    pub fn threshold(&self, class: usize) -> f32 {
        threshold::of_class(&self.classes, class, self.score_threshold, &self.class_thresholds)
    }

    /// How the votes of a class become objects.
    pub fn grouping_of(&self, class: usize) -> Grouping {
        self.classes.get(class).and_then(|name| self.grouping.get(name)).copied().unwrap_or_default()
    }

    /// Values of the input tensor.
    pub fn input_len(&self) -> usize {
        self.channels.len() * self.grid.cells()
    }

    /// Says what cannot be run: a broken grid, no channels or classes, ranges and radii of 0, thresholds outside of
    /// `[0, 1]` or of no class.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        self.grid.validate().map_err(|reason| format!("grid: {reason}"))?;
        if self.channels.is_empty() || self.channels.len() > MAX_CHANNELS {
            let count = self.channels.len();
            return Err(format!("channels must name 1 to {MAX_CHANNELS} channels, there are {count}"));
        }
        if !is_length(self.max_range) {
            return Err(format!("max_range must be a number of metres above 0, it is {}", self.max_range));
        }
        if self.classes.is_empty() || self.classes.len() > MAX_CLASSES {
            return Err(format!("classes must name 1 to {MAX_CLASSES} classes, there are {}", self.classes.len()));
        }
        threshold::check("score_threshold", self.score_threshold)?;
        threshold::check_classes(&self.classes, &self.class_thresholds)?;
        for (class, grouping) in &self.grouping {
            if !self.classes.contains(class) {
                return Err(format!("grouping names {class}, which is none of the classes"));
            }
            grouping.validate().map_err(|reason| format!("grouping.{class}.{reason}"))?;
        }
        Ok(())
    }
}

impl BundleSpec for LidarSpec {
    const TASK: Task = Task::LidarDetection;

    fn validate(&self) -> Result<(), String> {
        LidarSpec::validate(self)
    }
}

/// Greatest number of channels: what is beyond is a slip of the pen.
const MAX_CHANNELS: usize = 256;
/// Greatest number of classes: points keep theirs in 16 bits.
const MAX_CLASSES: usize = u16::MAX as usize;

fn default_max_objects() -> usize {
    100
}

fn is_length(value: f32) -> bool {
    value.is_finite() && value > 0.0
}

/// How the votes of one class become objects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grouping {
    /// Votes nearer than this to each other in the x-y plane, in metres, belong to one object.
    pub radius: f32,
    /// What fewer points than this voted for is no object.
    pub min_points: usize,
}

impl Default for Grouping {
    /// 0.4 m and 2 points: persons side by side stay two, and one in 10 m distance, of whose legs a scan sees few
    /// points, is kept.
    fn default() -> Self {
        Self { radius: 0.4, min_points: 2 }
    }
}

impl Grouping {
    /// Says what cannot be run.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        if !is_length(self.radius) {
            return Err(format!("radius must be a number of metres above 0, it is {}", self.radius));
        }
        if self.min_points == 0 {
            return Err("min_points must be 1 or more, it is 0".into());
        }
        Ok(())
    }
}

/// One channel of the input tensor. Cells without a point hold 0 in every channel.
///
/// Differences of ranges to neighbouring cells tell where things end: they are held within half a metre and divided by
/// it, and 1 (as if the neighbour were far behind) where the neighbour has no point or there is none. Left and right
/// are as the sensor sees them: left is anticlockwise, the next columns; on a full circle the last column is beside the
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeChannel {
    /// 1.
    Valid,
    /// The range by `max_range`, at most 1.
    Range,
    /// One metre by the range, at most 1.
    InverseRange,
    /// The height z over the sensor by 2 m, within -5 and 5.
    Height,
    /// The distance in the x-y plane by `max_range`, at most 1.
    Planar,
    /// Range difference to the cell 1 column to the left.
    Left1,
    /// Range difference to the cell 2 columns to the left.
    Left2,
    /// Range difference to the cell 4 columns to the left.
    Left4,
    /// Range difference to the cell 1 column to the right.
    Right1,
    /// Range difference to the cell 2 columns to the right.
    Right2,
    /// Range difference to the cell 4 columns to the right.
    Right4,
    /// Range difference to the cell 1 row above.
    Above1,
    /// Range difference to the cell 1 row below.
    Below1,
}

impl RangeChannel {
    /// The usual channels of a planar scan (one row).
    pub fn scan() -> Vec<Self> {
        let values = [Self::Valid, Self::Range, Self::InverseRange];
        let sides = [Self::Left1, Self::Left2, Self::Left4, Self::Right1, Self::Right2, Self::Right4];
        [values.as_slice(), sides.as_slice()].concat()
    }

    /// The usual channels of a lidar with several rows.
    pub fn cloud() -> Vec<Self> {
        let values = [Self::Valid, Self::Range, Self::InverseRange, Self::Height, Self::Planar];
        let sides = [Self::Left1, Self::Left2, Self::Right1, Self::Right2, Self::Above1, Self::Below1];
        [values.as_slice(), sides.as_slice()].concat()
    }

    /// Rows up and columns to the left of the cell that the range is compared with; `None` for channels that compare
    /// nothing.
    pub(super) fn step(self) -> Option<(isize, isize)> {
        match self {
            Self::Valid | Self::Range | Self::InverseRange | Self::Height | Self::Planar => None,
            Self::Left1 => Some((0, 1)),
            Self::Left2 => Some((0, 2)),
            Self::Left4 => Some((0, 4)),
            Self::Right1 => Some((0, -1)),
            Self::Right2 => Some((0, -2)),
            Self::Right4 => Some((0, -4)),
            Self::Above1 => Some((1, 0)),
            Self::Below1 => Some((-1, 0)),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::f32::consts::PI;

    use super::*;
    use crate::model::bundle::{BundleError, BundleMetadata};

    /// A full circle of one row that sees persons and forklifts up to 10 m.
    pub(in crate::model::lidar) fn scan_spec(columns: usize) -> LidarSpec {
        let grid = RangeGrid { rows: 1, columns, azimuth: [-PI, PI], elevation: [0.0; 2] };
        LidarSpec::new(grid, RangeChannel::scan(), 10.0, vec!["person".into(), "forklift".into()])
    }

    #[test]
    fn what_is_left_out_is_as_usual() {
        let spec = scan_spec(72);
        let text = serde_json::to_string(&spec).unwrap();
        assert!(!text.contains("class_thresholds") && !text.contains("grouping"), "{text}");
        assert!(text.contains(r#""channels":["valid","range","inverse_range","left1","#), "{text}");
        let mut value = serde_json::to_value(&spec).unwrap();
        value.as_object_mut().unwrap().remove("score_threshold");
        value.as_object_mut().unwrap().remove("max_objects");
        assert_eq!(serde_json::from_value::<LidarSpec>(value).unwrap(), spec);
        assert_eq!(spec.validate(), Ok(()));
        assert_eq!((spec.threshold(1), spec.grouping_of(1)), (0.3, Grouping::default()));
        assert_eq!(spec.input_len(), 9 * 72);
    }

    #[test]
    fn a_class_may_have_a_threshold_and_a_grouping_of_its_own() {
        let mut spec = scan_spec(72);
        let wide = Grouping { radius: 0.8, min_points: 4 };
        spec.class_thresholds.insert("forklift".into(), 0.5);
        spec.grouping.insert("forklift".into(), wide);
        assert_eq!(spec.validate(), Ok(()));
        assert_eq!((spec.threshold(0), spec.threshold(1), spec.threshold(9)), (0.3, 0.5, 0.3));
        assert_eq!((spec.grouping_of(0), spec.grouping_of(1)), (Grouping::default(), wide));
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<LidarSpec>(&text).unwrap(), spec);
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        type Change = fn(&mut LidarSpec);
        let faults: [(&str, Change); 9] = [
            ("grid", |spec| spec.grid.columns = 0),
            ("grid", |spec| (spec.grid.rows, spec.grid.columns) = (1 << 12, 1 << 12)),
            ("channels", |spec| spec.channels.clear()),
            ("max_range", |spec| spec.max_range = f32::NAN),
            ("classes", |spec| spec.classes.clear()),
            ("score_threshold", |spec| spec.score_threshold = 30.0),
            ("class_thresholds", |spec| spec.class_thresholds = [("persn".to_owned(), 0.5)].into()),
            ("grouping names persn", |spec| spec.grouping = [("persn".to_owned(), Grouping::default())].into()),
            ("grouping.person.radius", |spec| {
                let radius = Grouping { radius: 0.0, ..Grouping::default() };
                spec.grouping = [("person".to_owned(), radius)].into();
            }),
        ];
        for (named, change) in faults {
            let mut spec = scan_spec(72);
            change(&mut spec);
            let error = spec.validate().unwrap_err();
            assert!(error.contains(named), "{named}: {error}");
            let json = BundleMetadata::new(spec).to_json();
            // JSON has no NaN, so that one is refused before it is looked at.
            let error = BundleMetadata::<LidarSpec>::from_json(&json).unwrap_err();
            assert!(matches!(error, BundleError::Spec(_) | BundleError::Json(_)), "{error}");
        }
    }
}
