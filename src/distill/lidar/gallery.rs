//! Sweeps of the test block on which a student and the truth disagree most, drawn from above. They are made when the student is judged
//! and kept in the run's folder, so that a report needs neither recordings nor models.

use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::{
    blocks::TestSweep,
    evaluate::{JudgeBy, JudgeOptions, center_truths, scored_centers},
    labels::{LabelledObject, LabelledSweep, SweepLabels},
    picture::{View, from_above, write_png},
};
use crate::{
    distill::{
        durable,
        worst::{Compared, NANOSECONDS_APART, spread, worst},
    },
    metrics::{CenterTruth, Verdict, judge_centers},
    model::{
        ModelError,
        lidar::{LidarDetections, LidarDetector, LidarObject},
    },
};

/// Sweeps that are looked at, spread evenly over the test block.
const COMPARED: usize = 1000;
/// Pixels to a side of a picture.
const PICTURE_SIZE: u32 = 480;
/// Metres that are shown around the outermost object.
const MARGIN: f32 = 1.0;
/// Metres from the sensor to the edge of a picture, at least: nearer, pictures would lose what is around an object.
const LEAST_REACH: f32 = 4.0;

/// The index of a gallery, `gallery.json` in its folder beside the pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepGallery {
    /// What counts as true.
    pub by: JudgeBy,
    /// A detection within so many metres of an object's centre is right.
    pub distance: f32,
    /// How many sweeps were compared.
    pub compared: usize,
    /// Pixels to a side of each picture.
    pub size: u32,
    /// The worst ones, worst first.
    pub sweeps: Vec<ShownSweep>,
}

/// A sweep of a gallery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownSweep {
    /// Its picture, a PNG file in the gallery's folder.
    pub picture: String,
    /// The recording, by the name of its file or folder.
    pub recording: String,
    /// The header's stamp, in nanoseconds.
    pub stamp: i64,
    /// Metres from the sensor, in the middle, to each edge of the picture.
    pub reach: f32,
    /// Objects that are to be found.
    pub objects: usize,
    /// Those of them that were not found.
    pub missed: usize,
    /// Detections where nothing is.
    pub false_alarms: usize,
}

impl SweepGallery {
    /// Where a run keeps its gallery's index.
    pub fn path(output: &Path) -> PathBuf {
        output.join("gallery").join("gallery.json")
    }

    /// Writes the pictures, in the order of the sweeps, and then the index into a run's folder; those of an earlier gallery go.
    ///
    /// # Errors
    /// The file system refuses, or a picture cannot be encoded.
    pub fn write(&self, pictures: &[RgbImage], output: &Path) -> std::io::Result<()> {
        let index = Self::path(output);
        let earlier: Option<Self> = std::fs::read(&index).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        durable::remove_file(&index)?;
        for sweep in earlier.iter().flat_map(|gallery| &gallery.sweeps) {
            if let Some(picture) = sweep.picture_path(output) {
                durable::remove_file(&picture)?;
            }
        }
        for (sweep, picture) in self.sweeps.iter().zip(pictures) {
            if let Some(path) = sweep.picture_path(output) {
                write_png(picture, &path)?;
            }
        }
        durable::write_bytes(&index, &serde_json::to_vec_pretty(self)?)
    }
}

impl ShownSweep {
    /// Where a run keeps the picture; `None` when the index names none.
    pub fn picture_path(&self, output: &Path) -> Option<PathBuf> {
        // Only a name: an index leads to nothing outside its folder.
        let name = Path::new(&self.picture).file_name()?;
        Some(SweepGallery::path(output).with_file_name(name))
    }
}

/// What became of a sweep.
struct ComparedSweep<'a> {
    test: TestSweep<'a>,
    objects: usize,
    missed: usize,
    false_alarms: usize,
    disagreement: f32,
}

impl Compared for ComparedSweep<'_> {
    fn disagreement(&self) -> f32 {
        self.disagreement
    }

    fn objects(&self) -> usize {
        self.objects
    }

    fn is_apart(&self, other: &Self) -> bool {
        self.test.recording != other.test.recording
            || self.test.sweep.stamp.abs_diff(other.test.sweep.stamp) >= NANOSECONDS_APART
    }
}

/// Runs a student at its own thresholds over sweeps of the test block and draws those on which it is most wrong, at the largest of the
/// distances that it is judged at. `recordings` are the names of the experiment's recordings; `watch` hears how many sweeps are done.
///
/// # Errors
/// ONNX Runtime fails, or the outputs do not fit the head.
pub fn draw_gallery(
    detector: &mut LidarDetector,
    sweeps: &[TestSweep<'_>],
    recordings: &[String],
    options: &JudgeOptions,
    watch: &mut dyn FnMut(usize),
) -> Result<(SweepGallery, Vec<RgbImage>), ModelError> {
    let distance = options.distances.iter().copied().fold(0.0, f32::max);
    let mut compared = Vec::new();
    for (done, test) in spread(sweeps, COMPARED).into_iter().enumerate() {
        if let Some(labels) = options.by.labels(test.sweep) {
            let found = detector.detect(&test.sweep.sweep)?;
            compared.push(compare(test, labels, &found, options, distance));
        }
        watch(done + 1);
    }
    let count = compared.len();
    let (mut shown, mut pictures) = (Vec::new(), Vec::new());
    for sweep in worst(compared) {
        let LabelledSweep { stamp, sweep: points, .. } = sweep.test.sweep;
        let found = detector.detect(points)?;
        let labels = options.by.labels(sweep.test.sweep);
        let objects = labels.map_or(&[][..], |labels| labels.objects.as_slice());
        let view = View { reach: reach(objects, &found.objects, detector.spec().max_range), size: PICTURE_SIZE };
        pictures.push(from_above(points, labels, &found, view));
        shown.push(ShownSweep {
            picture: format!("{:02}.png", shown.len()),
            recording: recordings.get(sweep.test.recording).cloned().unwrap_or_default(),
            stamp: *stamp,
            reach: view.reach,
            objects: sweep.objects,
            missed: sweep.missed,
            false_alarms: sweep.false_alarms,
        });
    }
    let gallery = SweepGallery { by: options.by, distance, compared: count, size: PICTURE_SIZE, sweeps: shown };
    Ok((gallery, pictures))
}

/// Counts misses and false alarms; the sweep is as wrong as the false alarms' scores and the truth's that was missed say together.
fn compare<'a>(
    test: TestSweep<'a>,
    labels: &SweepLabels,
    found: &LidarDetections,
    options: &JudgeOptions,
    distance: f32,
) -> ComparedSweep<'a> {
    let truths = center_truths(labels, options);
    let claims = scored_centers(found, labels, options);
    let verdicts = judge_centers(&truths, &claims, distance);
    let is_found = |place: usize| verdicts.contains(&Verdict::Hit(place));
    let is_missed = |(place, truth): &(usize, &CenterTruth)| !truth.ignored && !is_found(*place);
    let missed: Vec<usize> = truths.iter().enumerate().filter(is_missed).map(|(place, _)| place).collect();
    let alarms = claims.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::FalseAlarm);
    let alarms: Vec<f32> = alarms.map(|(claim, _)| claim.score).collect();
    let misses: f32 = missed.iter().map(|&place| labels.objects[place].score).sum();
    ComparedSweep {
        test,
        objects: truths.iter().filter(|truth| !truth.ignored).count(),
        missed: missed.len(),
        false_alarms: alarms.len(),
        disagreement: misses + alarms.iter().sum::<f32>(),
    }
}

/// Metres from the sensor to a picture's edge, so that it holds all objects that can be seen, as far as the student sees.
fn reach(objects: &[LabelledObject], found: &[LidarObject], farthest: f32) -> f32 {
    let seen = objects.iter().filter(|object| object.points > 0).map(|object| object.center);
    let outermost = seen
        .chain(found.iter().map(|object| object.center))
        .map(|center| center[0].abs().max(center[1].abs()))
        .filter(|distance| distance.is_finite())
        .reduce(f32::max);
    match outermost {
        Some(distance) => (distance + MARGIN).ceil().max(LEAST_REACH).min(farthest.max(LEAST_REACH)),
        None => View::default().reach.min(farthest.max(LEAST_REACH)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::lidar::batch::tests::painted_sweep;

    fn object(center: [f32; 3], score: f32) -> LidarObject {
        LidarObject { class: 0, score, center, size: [0.2; 3], yaw: 0.0, points: 5 }
    }

    #[test]
    fn misses_and_false_alarms_count_by_their_scores() {
        let sweep = painted_sweep(3);
        let test = TestSweep { recording: 0, sweep: &sweep };
        let options = JudgeOptions { by: JudgeBy::Labels, ..JudgeOptions::default() };
        let post = sweep.labels.objects[0].center;
        let near = [post[0] + 0.1, post[1], 0.0];
        let judged = |objects: Vec<LidarObject>| {
            let found = LidarDetections { objects, ..LidarDetections::default() };
            let compared = compare(test, &sweep.labels, &found, &options, 0.5);
            (compared.objects, compared.missed, compared.false_alarms, compared.disagreement)
        };
        assert_eq!(judged(vec![object(near, 0.75)]), (1, 0, 0, 0.0));
        assert_eq!(judged(Vec::new()), (1, 1, 0, 1.0));
        assert_eq!(judged(vec![object(near, 0.75), object(near, 0.5)]), (1, 0, 1, 0.5));
        assert_eq!(judged(vec![object([post[0] + 2.0, post[1], 0.0], 0.25)]), (1, 1, 1, 1.25));
    }

    #[test]
    fn neighbouring_sweeps_are_one_moment() {
        let sweeps = [painted_sweep(0), painted_sweep(9), painted_sweep(10)];
        let compared = |place: usize, recording| ComparedSweep {
            test: TestSweep { recording, sweep: &sweeps[place] },
            objects: 1,
            missed: 1,
            false_alarms: 0,
            disagreement: 1.0,
        };
        let first = compared(0, 0);
        assert!(!first.is_apart(&compared(1, 0)) && first.is_apart(&compared(2, 0)) && first.is_apart(&compared(1, 1)));
    }

    #[test]
    fn pictures_hold_what_is_far() {
        let far = object([0.0, -7.4, 0.0], 0.5);
        assert!((reach(&[], std::slice::from_ref(&far), 20.0) - 9.0).abs() < 1e-6);
        assert!((reach(&[], &[far], 6.0) - 6.0).abs() < 1e-6);
        assert!((reach(&painted_sweep(0).labels.objects, &[], 20.0) - LEAST_REACH).abs() < 1e-6);
    }

    #[test]
    fn a_new_gallery_takes_the_place_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let shown = |number: usize| ShownSweep {
            picture: format!("{number:02}.png"),
            recording: "bag".into(),
            stamp: 5,
            reach: 4.0,
            objects: 1,
            missed: 1,
            false_alarms: 0,
        };
        let mut gallery = SweepGallery {
            by: JudgeBy::Truth,
            distance: 0.5,
            compared: 9,
            size: 8,
            sweeps: (0..3).map(shown).collect(),
        };
        let pictures = vec![RgbImage::new(8, 8); 3];
        gallery.write(&pictures, folder.path()).unwrap();
        gallery.sweeps.truncate(1);
        gallery.write(&pictures, folder.path()).unwrap();
        let names = std::fs::read_dir(folder.path().join("gallery")).unwrap();
        let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["00.png", "gallery.json"]);
        let read: SweepGallery =
            serde_json::from_slice(&std::fs::read(SweepGallery::path(folder.path())).unwrap()).unwrap();
        assert_eq!(read, gallery);
        let outside = ShownSweep { picture: "../../secret.png".into(), ..shown(0) };
        assert_eq!(outside.picture_path(folder.path()), Some(folder.path().join("gallery/secret.png")));
    }
}
