//! Real legs in real scans: the student that is kept in the repository beside a classical detector, on a recording that neither has seen.
#![cfg(feature = "distill")]

mod support;

use distilled_perception::{
    distill::{
        lidar::{
            evaluate::{JudgeBy, JudgeOptions, center_truths, judge},
            labels::{LabelContext, LabelledSweep, LidarData, label_recording},
        },
        teacher::EnsembleOptions,
    },
    metrics::{CenterApAccumulator, ScoredCenter},
    model::{SessionOptions, lidar::LidarDetector},
    sensing::range_image::Sweep,
};
use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

/// The sweeps of a recording with the legs that people marked in them.
fn labelled(recording: &Path) -> Vec<LabelledSweep> {
    let yaml = format!(
        "path: {}\ntruth: {{poses: /leg_cluster_positions, class: leg, pairing: index, radius: 0.15}}",
        recording.display()
    );
    let data: LidarData = serde_yaml::from_str(&yaml).unwrap();
    let context = LabelContext { classes: &["leg".to_owned()], teachers: &[], fusion: EnsembleOptions::default() };
    label_recording(&data, &context, &mut |_, _| ControlFlow::Continue(())).unwrap().sweeps
}

/// The classical detector: beams are cut into clusters where the next one ends more than a jump away, and a cluster as wide as a leg is
/// one (Arras et al. 2007 call these the two features that tell most). All its numbers were chosen on the very recording that it is
/// judged on, in its favour.
fn classical_legs(sweep: &Sweep) -> Vec<ScoredCenter> {
    const JUMP: f32 = 0.08;
    const WIDTH: f32 = 0.1;
    const SPREAD: f32 = 0.05;
    const WIDTHS: std::ops::Range<f32> = 0.02..0.35;
    const BEHIND: f32 = 0.04;
    let distance = |a: [f32; 3], b: [f32; 3]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let points: Vec<[f32; 3]> = sweep.points.iter().copied().filter(|point| !point[0].is_nan()).collect();
    points
        .chunk_by(|a, b| distance(*a, *b) <= JUMP)
        .filter_map(|cluster| {
            let width = distance(cluster[0], cluster[cluster.len() - 1]);
            if cluster.len() < 3 || !WIDTHS.contains(&width) {
                return None;
            }
            let count = cluster.len() as f32;
            let (x, y) = cluster.iter().fold((0.0, 0.0), |(x, y), point| (x + point[0] / count, y + point[1] / count));
            // The middle of a leg lies behind the side that is seen.
            let farther = 1.0 + BEHIND / x.hypot(y);
            let score = (-((width - WIDTH) / SPREAD).powi(2)).exp() * (1.0 - 1.0 / count);
            Some(ScoredCenter { class: 0, score, center: [x * farther, y * farther, 0.0] })
        })
        .collect()
}

/// Average precision of the classical detector within 0.5 m and 0.25 m.
fn classical_precision(sweeps: &[LabelledSweep]) -> [f64; 2] {
    let classes = ["leg".to_owned()];
    [0.5, 0.25].map(|distance| {
        let mut accumulator = CenterApAccumulator::new(&classes, distance);
        for sweep in sweeps {
            let truths = center_truths(sweep.truth.as_ref().unwrap(), &JudgeOptions::default());
            accumulator.add_sweep(&truths, &classical_legs(&sweep.sweep));
        }
        accumulator.finish().ap.unwrap()
    })
}

/// What scripts/results/legs keeps beside the students: `LEGS_CLASSICAL` names the JSON file to write.
#[test]
fn clusters_find_some_legs_in_every_recording() {
    let Some(data) = support::test_data("bags/legs_labelled_4/metadata.yaml") else { return };
    let figures: BTreeMap<String, [f64; 2]> = (1..=4)
        .map(|number| {
            let recording = data.join(format!("bags/legs_labelled_{number}"));
            (number.to_string(), classical_precision(&labelled(&recording)))
        })
        .collect();
    println!("AP of legs by clusters, within 0.5 m and 0.25 m: {figures:.3?}");
    if let Some(file) = std::env::var_os("LEGS_CLASSICAL") {
        std::fs::write(file, serde_json::to_vec_pretty(&figures).unwrap()).unwrap();
    }
    // A check of the yardstick: a classical detector that finds nothing would prove nothing.
    assert!(figures.values().all(|[near, _]| *near > 0.1), "{figures:?}");
}

#[test]
fn the_shipped_student_finds_legs_15_points_better_than_clusters_do() {
    let Some(data) = support::test_data("bags/legs_labelled_4/metadata.yaml") else { return };
    let sweeps = labelled(&data.join("bags/legs_labelled_4"));
    assert_eq!(sweeps.len(), 295);
    let options = JudgeOptions { by: JudgeBy::Truth, ..JudgeOptions::default() };

    let classical = classical_precision(&sweeps);
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/legs.onnx");
    let mut student = LidarDetector::load(&model, &SessionOptions::default()).unwrap();
    let sweeps: Vec<&LabelledSweep> = sweeps.iter().collect();
    let report = judge(&mut student, &sweeps, &options, &mut |_| ControlFlow::Continue(())).unwrap().unwrap();
    let student: Vec<f64> = report.centers.iter().map(|centers| centers.ap.unwrap()).collect();
    println!("AP of legs within 0.5 m and 0.25 m: student {student:.3?}, classical {classical:.3?}");
    assert!(student[0] >= classical[0] + 0.15, "student {student:?}, classical {classical:?}");
    assert!(student[1] >= classical[1] + 0.15, "student {student:?}, classical {classical:?}");
}
