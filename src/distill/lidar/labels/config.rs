//! The entries of an experiment that say what a lidar student learns from.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{camera::CameraLabels, carry_over::CarryOver, follow::Follow, scores::check_scores};
use crate::distill::split::Block;

/// More sources of labels than anybody has for one recording.
pub(super) const MOST_SOURCES: usize = 16;

/// One recording of a lidar experiment.
///
/// ```yaml
/// data:
///   - path: bags/monday
///     topic: /scan                      # may be left out when there is only one LaserScan or PointCloud2
///     labels:                           # asked in this order: the first that knows a point decides
///       - camera: {topic: /camera/image_raw}
///       - teacher: {model: models/lidar_teacher.onnx}
///     truth: {points: /truth/scan_labels, boxes: /truth/detections_3d}
///   - path: bags/legs
///     block: test
///     labels:
///       - truth: {poses: /leg_cluster_positions, class: leg, pairing: index}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LidarData {
    /// A rosbag2 folder, a folder of parts that a robot recorded, or a single `.mcap` or `.db3` file. With `*`, `?` or `[..]` it
    /// stands for each recording that fits, each as an entry of its own.
    pub path: PathBuf,
    /// The topic of the sweeps, a LaserScan or PointCloud2; may be left out when the recording has one only (those under `/truth/`
    /// do not count).
    #[serde(default)]
    pub topic: Option<String>,
    /// Who labels the sweeps, asked in order: the first that knows a point decides, and what none knows is ignored. None at all:
    /// the recording is only judged by, or labelled by the student itself.
    #[serde(default)]
    pub labels: Vec<LabelSource>,
    /// Carries labels of what stands still over to sweeps in which nobody labelled it: a camera looks ahead, a lidar all around. Off by
    /// default; `carry_over: {}` turns it on. Needs transforms.
    #[serde(default)]
    pub carry_over: Option<CarryOver>,
    /// Follows what moves to sweeps in which nobody labelled it, after what stands still was carried over. Off by default; `follow: {}`
    /// turns it on. Needs transforms.
    #[serde(default)]
    pub follow: Option<Follow>,
    /// Where the recording's own truth is, to judge the student by.
    #[serde(default)]
    pub truth: Option<TruthLabels>,
    /// Gives the whole recording to one block instead of cutting it in time.
    #[serde(default)]
    pub block: Option<Block>,
}

/// Who labels sweeps: a map with one key, `truth: {..}`, `camera: {..}` or `teacher: {..}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SourceEntry", into = "SourceEntry")]
pub enum LabelSource {
    /// The recording's own truth.
    Truth(TruthLabels),
    /// Camera teachers, whose boxes are carried over to the points within them.
    Camera(CameraLabels),
    /// A lidar detector.
    Teacher(LidarTeacher),
}

/// A source as it stands in a file. Not serde's own form of enums: YAML writes that as a tag (`!truth`), which nobody knows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    truth: Option<TruthLabels>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    camera: Option<CameraLabels>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    teacher: Option<LidarTeacher>,
}

impl TryFrom<SourceEntry> for LabelSource {
    type Error = &'static str;

    fn try_from(entry: SourceEntry) -> Result<Self, Self::Error> {
        match (entry.truth, entry.camera, entry.teacher) {
            (Some(truth), None, None) => Ok(Self::Truth(truth)),
            (None, Some(camera), None) => Ok(Self::Camera(camera)),
            (None, None, Some(teacher)) => Ok(Self::Teacher(teacher)),
            _ => Err("an entry of `labels` is one of `truth: {..}`, `camera: {..}` and `teacher: {..}`"),
        }
    }
}

impl From<LabelSource> for SourceEntry {
    fn from(source: LabelSource) -> Self {
        match source {
            LabelSource::Truth(truth) => Self { truth: Some(truth), ..Self::default() },
            LabelSource::Camera(camera) => Self { camera: Some(camera), ..Self::default() },
            LabelSource::Teacher(teacher) => Self { teacher: Some(teacher), ..Self::default() },
        }
    }
}

/// Where in the recording its truth is: `points`, with or without `boxes`, or `boxes` alone, or `poses`. Classes of the truth that
/// are not the experiment's are background.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TruthLabels {
    /// A PointCloud2 topic with the fields `class` (0: background) and, where it is known, `object` (0: none), point for point as
    /// the sweep.
    pub points: Option<String>,
    /// A vision_msgs/Detection3DArray topic. With `points`, its `id` is the object's number there, and it tells middle, size and yaw;
    /// alone, points within a box are of its class.
    pub boxes: Option<String>,
    /// A geometry_msgs/PoseArray topic with the middles of objects of one class, such as people or legs in a scan.
    pub poses: Option<String>,
    /// The class of `poses`; may be left out when the experiment has one class only.
    pub class: Option<String>,
    /// Points nearer than this to one of `poses` may be the object's, in metres. Default 0.25.
    pub radius: Option<f32>,
    /// The vision_msgs/LabelInfo topic that names the class numbers. Default: the recording's only one; where there is none, the
    /// numbers 1, 2 .. are the experiment's classes in their order.
    pub label_info: Option<String>,
    /// How messages find their sweep.
    pub pairing: Pairing,
}

/// How a message of truth finds its sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// By the header's stamp, which is the sweep's.
    #[default]
    Stamp,
    /// By count: message k belongs to sweep k. For recordings whose truth has no stamps.
    Index,
}

/// A lidar detector that labels sweeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LidarTeacher {
    /// The ONNX bundle of a lidar detector, such as an earlier run's student.
    pub model: PathBuf,
    /// Objects with at least this score are learnt. Default 0.5.
    #[serde(default = "sure_score")]
    pub min_score: f32,
    /// Points with a lower score are background; those between the two are ignored. Default 0.2.
    #[serde(default = "unsure_score")]
    pub uncertain_score: f32,
    /// Its classes' names at the student's; without entries equal names meet. Its other classes are background.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub class_map: BTreeMap<String, String>,
}

fn sure_score() -> f32 {
    0.5
}

fn unsure_score() -> f32 {
    0.2
}

/// A wrong value: its key below the recording's entry, and what is wrong with it.
type Complaint = (String, String);

/// What is wrong with the name of a class that the student does not have.
pub(super) fn no_class(name: &str, classes: &[String]) -> String {
    format!("the student has no class `{name}`; it has {}", classes.join(", "))
}

impl LidarData {
    /// Every path in it, for readers of a file that paths are relative to.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let models = self.labels.iter_mut().filter_map(|source| match source {
            LabelSource::Teacher(teacher) => Some(&mut teacher.model),
            LabelSource::Truth(_) | LabelSource::Camera(_) => None,
        });
        std::iter::once(&mut self.path).chain(models)
    }

    /// Every file or folder that is read for it, besides the camera teachers' models.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let models = self.labels.iter().filter_map(|source| match source {
            LabelSource::Teacher(teacher) => Some(teacher.model.as_path()),
            LabelSource::Truth(_) | LabelSource::Camera(_) => None,
        });
        std::iter::once(self.path.as_path()).chain(models)
    }

    /// Says whether the entry makes sense for these classes.
    ///
    /// # Errors
    /// The key (`labels.0.truth.radius`, say) and the mend.
    pub fn check(&self, classes: &[String]) -> Result<(), Complaint> {
        if self.labels.len() > MOST_SOURCES {
            let mend = format!("{} sources are more than the {MOST_SOURCES} that can be merged", self.labels.len());
            return Err(("labels".into(), mend));
        }
        for (index, source) in self.labels.iter().enumerate() {
            let (kind, checked) = match source {
                LabelSource::Truth(truth) => ("truth", truth.check(classes)),
                LabelSource::Teacher(teacher) => ("teacher", teacher.check(classes)),
                LabelSource::Camera(camera) => ("camera", camera.check(classes)),
            };
            checked.map_err(|(key, message)| (format!("labels.{index}.{kind}.{key}"), message))?;
        }
        if let Some(carry_over) = &self.carry_over {
            carry_over.check().map_err(|(key, message)| (format!("carry_over.{key}"), message))?;
        }
        if let Some(follow) = &self.follow {
            follow.check(classes).map_err(|(key, message)| (format!("follow.{key}"), message))?;
        }
        match &self.truth {
            Some(truth) => truth.check(classes).map_err(|(key, message)| (format!("truth.{key}"), message)),
            None => Ok(()),
        }
    }
}

impl TruthLabels {
    /// The topics of truth, in the order of their keys.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        [&self.points, &self.boxes, &self.poses].into_iter().filter_map(|topic| topic.as_deref())
    }

    fn check(&self, classes: &[String]) -> Result<(), Complaint> {
        let wrong = |key: &str, message: String| Err((key.to_owned(), message));
        if self.topics().next().is_none() {
            return wrong("points", "name a topic of truth: `points`, `boxes` or `poses`".into());
        }
        if self.poses.is_none() && (self.class.is_some() || self.radius.is_some()) {
            return wrong("poses", "`class` and `radius` are about `poses`, which names no topic; name one".into());
        }
        if self.poses.is_none() {
            return Ok(());
        }
        if self.points.is_some() || self.boxes.is_some() {
            return wrong("poses", "stands alone, without `points` and `boxes`; make it an entry of its own".into());
        }
        match &self.class {
            Some(class) if !classes.contains(class) => {
                return wrong("class", no_class(class, classes));
            }
            None if classes.len() != 1 => {
                return wrong("class", format!("say which class the poses are of: {}", classes.join(", ")));
            }
            _ => {}
        }
        match self.radius {
            Some(radius) if !(radius > 0.0 && radius <= 5.0) => {
                wrong("radius", format!("must be more than 0 and at most 5 metres, not {radius}"))
            }
            _ => Ok(()),
        }
    }
}

impl LidarTeacher {
    /// What it is called in reports: the model's file name without its ending.
    pub fn display_name(&self) -> String {
        self.model.file_stem().unwrap_or(self.model.as_os_str()).to_string_lossy().into_owned()
    }

    fn check(&self, classes: &[String]) -> Result<(), Complaint> {
        check_scores(self.min_score, self.uncertain_score).map_err(|(key, message)| (key.to_owned(), message))?;
        match self.class_map.values().find(|meant| !classes.contains(meant)) {
            Some(meant) => Err(("class_map".to_owned(), no_class(meant, classes))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<LidarData, serde_yaml::Error> {
        serde_yaml::from_str(yaml)
    }

    fn complaint(labels: &str, classes: &[&str]) -> String {
        let data = read(&format!("{{path: bag, labels: [{labels}]}}")).unwrap();
        let classes: Vec<String> = classes.iter().map(|class| (*class).into()).collect();
        data.check(&classes).err().map(|(key, message)| format!("{key}: {message}")).unwrap_or_default()
    }

    #[test]
    fn sources_are_maps_with_one_key_and_are_written_so() {
        let yaml = "
path: bag
topic: /scan
labels:
  - truth: {poses: /legs, class: leg, pairing: index}
  - teacher: {model: t.onnx, min_score: 0.6, class_map: {human: person}}
truth: {points: /truth/scan_labels, boxes: /truth/detections_3d}
block: test
";
        let mut data = read(yaml).unwrap();
        let LabelSource::Truth(truth) = &data.labels[0] else { panic!("{:?}", data.labels) };
        assert_eq!((truth.pairing, truth.poses.as_deref()), (Pairing::Index, Some("/legs")));
        let LabelSource::Teacher(teacher) = &data.labels[1] else { panic!("{:?}", data.labels) };
        assert_eq!((teacher.min_score, teacher.uncertain_score), (0.6, 0.2));
        assert_eq!(data.truth.as_ref().unwrap().pairing, Pairing::Stamp);
        let written = serde_yaml::to_string(&data).unwrap();
        assert!(!written.contains('!'), "{written}");
        assert_eq!(read(&written).unwrap(), data);
        let paths: Vec<String> = data.paths_mut().map(|path| path.display().to_string()).collect();
        assert_eq!(paths, ["bag", "t.onnx"]);
        assert_eq!(data.paths().count(), 2);
    }

    #[test]
    fn unknown_keys_and_mixed_sources_are_refused() {
        let error = |yaml: &str| read(yaml).unwrap_err().to_string();
        assert!(error("{path: b, labels: [{truht: {}}]}").contains("truht"));
        assert!(error("{path: b, labels: [{truth: {}, teacher: {model: m}}]}").contains("one of `truth"));
        assert!(error("{path: b, labels: [{}]}").contains("one of `truth"));
        assert!(error("{path: b, truth: {pose: /a}}").contains("unknown field `pose`"));
        assert!(error("{path: b, truth: {pairing: time}}").contains("unknown variant `time`"));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let both = ["person", "leg"];
        assert_eq!(complaint("{truth: {poses: /p, class: leg}}", &both), "");
        assert_eq!(complaint("{truth: {poses: /p}}", &["leg"]), "");
        for (labels, words) in [
            ("{truth: {}}", "labels.0.truth.points: name a topic"),
            ("{truth: {poses: /p}}", "labels.0.truth.class: say which"),
            ("{truth: {poses: /p, class: dog}}", "no class `dog`; it has person, leg"),
            ("{truth: {poses: /p, class: leg, radius: 0}}", "labels.0.truth.radius: must be"),
            ("{truth: {poses: /p, class: leg, boxes: /b}}", "labels.0.truth.poses: stands alone"),
            ("{truth: {boxes: /b, radius: 1}}", "labels.0.truth.poses: `class` and `radius`"),
            ("{truth: {boxes: /b}}, {teacher: {model: m, min_score: 2}}", "labels.1.teacher.min_score"),
            ("{camera: {min_score: 2}}", "labels.0.camera.min_score: must be"),
            ("{camera: {size_priors: {dog: [1, 1, 1]}}}", "labels.0.camera.size_priors: the student has no class"),
            ("{teacher: {model: m, min_score: 0.1}}", "labels.0.teacher.uncertain_score"),
            ("{teacher: {model: m, class_map: {a: dog}}}", "labels.0.teacher.class_map: the student has no class"),
        ] {
            let found = complaint(labels, &both);
            assert!(found.contains(words), "{labels}: {found}");
        }
        let many = vec!["{truth: {boxes: /b}}"; MOST_SOURCES + 1].join(", ");
        assert!(complaint(&many, &both).starts_with("labels: 17 sources"));
    }
}
