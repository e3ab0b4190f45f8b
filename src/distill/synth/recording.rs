//! Drives the robot through the warehouse and writes what it senses, and what is true, to a rosbag2 folder.
//!
//! | topic | type | rate |
//! |---|---|---|
//! | `/camera/image_raw` (`rgb8`), `/camera/camera_info` | Image, CameraInfo | [`Settings::rate`] |
//! | `/scan` | LaserScan, 720 beams | 10 Hz |
//! | `/points` | PointCloud2, 16 x 450, organised, NaN where nothing came back | 5 Hz |
//! | `/tf` (`odom` -> `base_link`), `/tf_static` | TFMessage | 50 Hz and at every sensor stamp; once |
//! | `/truth/detections_2d` | Detection2DArray with the picture's header; boxes tight around *visible* pixels | as the camera |
//! | `/truth/detections_3d` | Detection3DArray in `base_link`, within 20 m, hidden objects included | 5 Hz |
//! | `/truth/points`, `/truth/scan_labels` | PointCloud2 x, y, z, class, object: point for point `/points` and `/scan` | as those |
//! | `/truth/label_info` | LabelInfo, latched: names of the class numbers, those of [`Settings::extras`] only with them | once |
//!
//! In a picture an object counts as [`Visibility`] says. All beams of a sweep are measured at one instant. Numbers of objects (`id`) stay the
//! same over the recording.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::distill::bag::{BagError, BagWriter, OfferedQos, TopicId};
use crate::messages::{
    CameraInfo, Detection2DArray, Detection3DArray, Image, LabelInfo, LaserScan, PointCloud2, TFMessage, Time,
};

use super::camera::Camera;
use super::extras::Extras;
use super::lidar::Lidar;
use super::scene::{Class, Scene, Warehouse};
use super::topics;
use super::truth::{self, Visibility};
use super::vector::{Pose, Vec3};

/// When every recording begins: 1 700 000 000 s after the epoch (14 November 2023).
pub const START: i64 = 1_700_000_000 * NANOSECONDS;
const NANOSECONDS: i64 = 1_000_000_000;
const SCAN_PERIOD: i64 = NANOSECONDS / 10;
const CLOUD_PERIOD: i64 = NANOSECONDS / 5;
const TRANSFORM_PERIOD: i64 = NANOSECONDS / 50;
/// How far from the robot objects are listed in `/truth/detections_3d`, in metres.
const REACH: f32 = 20.0;

/// What to record.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How long, in seconds.
    pub seconds: f64,
    /// Which warehouse.
    pub seed: u64,
    /// Pictures per second.
    pub rate: f64,
    /// Columns of a picture.
    pub width: u32,
    /// Rows of a picture.
    pub height: u32,
    /// By how many degrees about the vertical the camera's mount on `/tf_static` differs from how the camera really sits: a wrong
    /// calibration, for tests of what notices it.
    pub camera_error: f64,
    /// Objects that are not in every warehouse.
    pub extras: Extras,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seconds: 60.0,
            seed: 1,
            rate: 10.0,
            width: 320,
            height: 192,
            camera_error: 0.0,
            extras: Extras::default(),
        }
    }
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthError {
    /// A setting out of range.
    #[error("{name} must be {allowed}, not {value}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// Something lies where the recording was to go.
    #[error("{}: {reason}", path.display())]
    Occupied {
        /// Where.
        path: PathBuf,
        /// What lies there and the mend.
        reason: String,
    },
    /// The recording could not be written.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Whoever watched the progress asked to stop.
    #[error("stopped before the end; nothing was written")]
    Stopped,
}

/// What was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Pictures.
    pub frames: usize,
    /// Sweeps of the scanner.
    pub scans: usize,
    /// Sweeps of the 3-D lidar.
    pub clouds: usize,
    /// For each class of the warehouse: boxes in pictures, and pictures with at least one.
    pub classes: BTreeMap<Class, ClassCount>,
    /// Size of the folder in bytes.
    pub bytes: u64,
}

/// How often a class appears in pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassCount {
    /// Boxes.
    pub boxes: usize,
    /// Pictures with at least one.
    pub frames: usize,
}

impl Settings {
    /// # Errors
    /// [`SynthError::Setting`] for the first setting that is out of range.
    pub fn check(&self) -> Result<(), SynthError> {
        let refuse = |name, value: String, allowed| Err(SynthError::Setting { name, value, allowed });
        if !(self.seconds > 0.0 && self.seconds <= 7200.0) {
            return refuse("seconds", self.seconds.to_string(), "more than 0 and at most 7200");
        }
        if !(0.1..=120.0).contains(&self.rate) {
            return refuse("rate", self.rate.to_string(), "between 0.1 and 120 pictures per second");
        }
        if !(16..=4096).contains(&self.width) {
            return refuse("width", self.width.to_string(), "between 16 and 4096 pixels");
        }
        if !(16..=4096).contains(&self.height) {
            return refuse("height", self.height.to_string(), "between 16 and 4096 pixels");
        }
        if !(-45.0..=45.0).contains(&self.camera_error) {
            return refuse("camera_error", self.camera_error.to_string(), "between -45 and 45 degrees");
        }
        Ok(())
    }

    /// Everything that happens, by nanoseconds since the start.
    fn timeline(&self) -> BTreeMap<i64, Happening> {
        let end = (self.seconds * NANOSECONDS as f64).round() as i64;
        let mut timeline: BTreeMap<i64, Happening> = BTreeMap::new();
        for time in (0..end).step_by(TRANSFORM_PERIOD as usize) {
            timeline.entry(time).or_default();
        }
        for (sweep, time) in (0..end).step_by(SCAN_PERIOD as usize).enumerate() {
            timeline.entry(time).or_default().scan = Some(sweep as u32);
        }
        for (sweep, time) in (0..end).step_by(CLOUD_PERIOD as usize).enumerate() {
            timeline.entry(time).or_default().cloud = Some(sweep as u32);
        }
        let frames = (0u32..).map(|frame| (frame, (f64::from(frame) * NANOSECONDS as f64 / self.rate).round() as i64));
        for (frame, time) in frames.take_while(|&(_, time)| time < end) {
            timeline.entry(time).or_default().frame = Some(frame);
        }
        timeline
    }
}

/// What is measured at one instant, by its running number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Happening {
    frame: Option<u32>,
    scan: Option<u32>,
    cloud: Option<u32>,
}

/// Records to the rosbag2 folder `out`, which appears only when it is whole. `replace` allows to put it in the place of an older recording.
/// `watch` is told the share done, in `0..=1`, and may stop the work.
///
/// # Errors
/// See [`SynthError`]; what lay at `out` is then untouched.
pub fn record(
    settings: &Settings,
    out: &Path,
    replace: bool,
    mut watch: impl FnMut(f64) -> ControlFlow<()>,
) -> Result<Summary, SynthError> {
    settings.check()?;
    check_place(out, replace)?;
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| SynthError::Io { path, source }
    };
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let name = out.file_name().ok_or_else(|| SynthError::Occupied {
        path: out.into(),
        reason: "not a name for a new folder; write something like runs/warehouse".into(),
    })?;
    std::fs::create_dir_all(&parent).map_err(io(&parent))?;
    // Recorded under its own name in a temporary folder beside its place.
    let workplace = tempfile::Builder::new().prefix(".partial-").tempdir_in(&parent).map_err(io(&parent))?;
    let draft = workplace.path().join(name);
    let mut recorder = Recorder::new(settings, &draft)?;
    let timeline = settings.timeline();
    let total = timeline.len();
    for (done, (time, happening)) in timeline.into_iter().enumerate() {
        recorder.step(time, happening)?;
        if watch((done + 1) as f64 / total as f64).is_break() {
            return Err(SynthError::Stopped);
        }
    }
    let mut summary = recorder.finish()?;
    summary.bytes = size_of_folder(&draft).map_err(io(&draft))?;
    if out.exists() {
        let replaced = workplace.path().join("replaced");
        std::fs::rename(out, &replaced).map_err(io(out))?;
        if let Err(error) = std::fs::rename(&draft, out) {
            // Back to its place: the workplace is removed.
            let _ = std::fs::rename(&replaced, out);
            return Err(io(out)(error));
        }
    } else {
        std::fs::rename(&draft, out).map_err(io(out))?;
    }
    Ok(summary)
}

/// Refuses what must not be overwritten: anything without `replace`, and with it anything but a recording or an empty folder.
fn check_place(out: &Path, replace: bool) -> Result<(), SynthError> {
    let occupied = |reason: &str| Err(SynthError::Occupied { path: out.into(), reason: reason.into() });
    if !out.exists() {
        return Ok(());
    }
    if !out.is_dir() {
        return occupied("is a file; choose another --out");
    }
    if !replace {
        return occupied("exists already; choose another --out, or replace it with --force");
    }
    let is_recording = out.join("metadata.yaml").is_file();
    let is_empty = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
    if is_recording || is_empty {
        return Ok(());
    }
    occupied("is not a rosbag2 folder, and --force replaces only those; choose another --out")
}

fn size_of_folder(folder: &Path) -> std::io::Result<u64> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

/// The topics of the recording.
#[derive(Debug, Clone, Copy)]
struct Topics {
    image: TopicId,
    camera_info: TopicId,
    scan: TopicId,
    points: TopicId,
    tf: TopicId,
    tf_static: TopicId,
    truth_2d: TopicId,
    truth_3d: TopicId,
    truth_points: TopicId,
    truth_scan: TopicId,
    label_info: TopicId,
}

#[derive(Debug)]
struct Recorder {
    warehouse: Arc<Warehouse>,
    camera: Camera,
    scanner: Lidar,
    spinning: Lidar,
    writer: BagWriter,
    topics: Topics,
    summary: Summary,
}

impl Recorder {
    fn new(settings: &Settings, path: &Path) -> Result<Self, BagError> {
        let mut writer = BagWriter::create(path)?;
        let topics = Topics {
            image: writer.add::<Image>("/camera/image_raw", OfferedQos::SENSOR)?,
            camera_info: writer.add::<CameraInfo>("/camera/camera_info", OfferedQos::SENSOR)?,
            scan: writer.add::<LaserScan>("/scan", OfferedQos::SENSOR)?,
            points: writer.add::<PointCloud2>("/points", OfferedQos::SENSOR)?,
            tf: writer.add::<TFMessage>("/tf", OfferedQos { depth: 100, ..OfferedQos::RELIABLE })?,
            tf_static: writer.add::<TFMessage>("/tf_static", OfferedQos::LATCHED)?,
            truth_2d: writer.add::<Detection2DArray>("/truth/detections_2d", OfferedQos::RELIABLE)?,
            truth_3d: writer.add::<Detection3DArray>("/truth/detections_3d", OfferedQos::RELIABLE)?,
            truth_points: writer.add::<PointCloud2>("/truth/points", OfferedQos::RELIABLE)?,
            truth_scan: writer.add::<PointCloud2>("/truth/scan_labels", OfferedQos::RELIABLE)?,
            label_info: writer.add::<LabelInfo>("/truth/label_info", OfferedQos::LATCHED)?,
        };
        let camera = Camera::new(settings.width, settings.height);
        let (scanner, spinning) = (Lidar::scanner(), Lidar::spinning());
        let stamp = Time::from_nanoseconds(START);
        let error = Pose::yawed(Vec3::default(), (settings.camera_error as f32).to_radians());
        let told = Camera { mount: camera.mount.then(&error), ..camera };
        let mounts = topics::mounts(stamp, &told, &scanner, &spinning);
        writer.write(topics.tf_static, START, &mounts.encode())?;
        let warehouse = Arc::new(Warehouse::with(settings.seed, settings.extras));
        let classes = warehouse.classes();
        writer.write(topics.label_info, START, &topics::label_info(stamp, &classes).encode())?;
        let classes = classes.into_iter().map(|class| (class, ClassCount::default())).collect();
        let summary = Summary { classes, ..Summary::default() };
        Ok(Self { warehouse, camera, scanner, spinning, writer, topics, summary })
    }

    fn step(&mut self, time: i64, happening: Happening) -> Result<(), BagError> {
        let (log_time, seconds) = (START + time, (time as f64 / NANOSECONDS as f64) as f32);
        let stamp = Time::from_nanoseconds(log_time);
        let transform = topics::robot_transform(stamp, &self.warehouse.robot(seconds));
        self.writer.write(self.topics.tf, log_time, &transform.encode())?;
        if happening == Happening::default() {
            return Ok(());
        }
        // A second handle: the scene borrows the warehouse while the writer is used.
        let warehouse = Arc::clone(&self.warehouse);
        self.sense(&warehouse.at(seconds), log_time, stamp, happening)
    }

    fn sense(&mut self, scene: &Scene, log_time: i64, stamp: Time, happening: Happening) -> Result<(), BagError> {
        if let Some(frame) = happening.frame {
            self.picture(scene, log_time, stamp, frame)?;
        }
        if let Some(sweep) = happening.scan {
            let returns = self.scanner.measure(scene, sweep);
            let values = topics::ScanValues::new(&returns);
            let period = SCAN_PERIOD as f32 / NANOSECONDS as f32;
            self.writer.write(self.topics.scan, log_time, &values.message(stamp, &self.scanner, period).encode())?;
            let labels = topics::labelled_bytes(&returns, &self.scanner);
            let cloud = topics::labelled_cloud(stamp, topics::LASER, &self.scanner, &labels);
            self.writer.write(self.topics.truth_scan, log_time, &cloud.encode())?;
            self.summary.scans += 1;
        }
        if let Some(sweep) = happening.cloud {
            let returns = self.spinning.measure(scene, sweep);
            let points = topics::cloud_bytes(&returns, &self.spinning);
            self.writer.write(
                self.topics.points,
                log_time,
                &topics::point_cloud(stamp, &self.spinning, &points).encode(),
            )?;
            let labels = topics::labelled_bytes(&returns, &self.spinning);
            let cloud = topics::labelled_cloud(stamp, topics::LIDAR, &self.spinning, &labels);
            self.writer.write(self.topics.truth_points, log_time, &cloud.encode())?;
            let boxes = truth::boxes_around(scene, REACH);
            let names = topics::names(boxes.iter().map(|object| object.id));
            let detections = topics::detections_3d(stamp, &boxes, &names);
            self.writer.write(self.topics.truth_3d, log_time, &detections.encode())?;
            self.summary.clouds += 1;
        }
        Ok(())
    }

    fn picture(&mut self, scene: &Scene, log_time: i64, stamp: Time, frame: u32) -> Result<(), BagError> {
        let picture = self.camera.picture(scene, frame);
        let sightings = truth::sightings(scene, &self.camera, &picture, &Visibility::default());
        let image = topics::image(stamp, &self.camera, &picture);
        self.writer.write(self.topics.image, log_time, &image.encode())?;
        self.writer.write(self.topics.camera_info, log_time, &topics::camera_info(stamp, &self.camera).encode())?;
        let names = topics::names(sightings.iter().map(|sighting| sighting.id));
        let detections = topics::detections_2d(stamp, &sightings, &names);
        self.writer.write(self.topics.truth_2d, log_time, &detections.encode())?;
        self.summary.frames += 1;
        for (class, count) in &mut self.summary.classes {
            let boxes = sightings.iter().filter(|sighting| sighting.class == *class).count();
            count.boxes += boxes;
            count.frames += usize::from(boxes > 0);
        }
        Ok(())
    }

    fn finish(self) -> Result<Summary, BagError> {
        self.writer.finish()?;
        Ok(self.summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeline_has_every_measurement_and_a_transform_with_each() {
        let settings = Settings { seconds: 2.0, rate: 7.0, ..Settings::default() };
        let timeline = settings.timeline();
        let frames: Vec<u32> = timeline.values().filter_map(|h| h.frame).collect();
        assert_eq!(frames, (0..14).collect::<Vec<_>>());
        assert_eq!(timeline.values().filter(|h| h.scan.is_some()).count(), 20);
        assert_eq!(timeline.values().filter(|h| h.cloud.is_some()).count(), 10);
        assert!(timeline.len() >= 100);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (settings, name) in [
            (Settings { seconds: 0.0, ..Settings::default() }, "seconds"),
            (Settings { seconds: f64::NAN, ..Settings::default() }, "seconds"),
            (Settings { rate: 0.0, ..Settings::default() }, "rate"),
            (Settings { width: 5, ..Settings::default() }, "width"),
            (Settings { height: 5000, ..Settings::default() }, "height"),
            (Settings { camera_error: 90.0, ..Settings::default() }, "camera_error"),
        ] {
            let error = settings.check().unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
