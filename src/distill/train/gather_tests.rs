//! What of recordings and targets comes to be learnt and judged by, kept on folders of painted images.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::distill::{targets::PictureStatistics, train::dataset::tests::painted_image};

const CLASSES: [&str; 2] = ["crate", "cone"];

/// Writes so many images, 120 x 90, into a folder.
fn write_images(folder: &Path, count: usize) {
    std::fs::create_dir(folder).unwrap();
    for index in 0..count {
        painted_image(index).0.save(folder.join(format!("{index}.png"))).unwrap();
    }
}

/// Writes a COCO file in which each image has the crate that is painted there, a crowd of cones, and something that is no class.
fn write_truth(path: &Path, count: usize) {
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for image in 0..count {
        images.push(json!({"id": image, "file_name": format!("{image}.png")}));
        let bbox = painted_image(image).1;
        let painted = [bbox.x_min, bbox.y_min, bbox.width(), bbox.height()];
        for (category, bbox, crowd) in [(1, painted, 0), (2, [0.0, 0.0, 50.0, 20.0], 1), (3, [5.0, 5.0, 9.0, 9.0], 0)] {
            let id = annotations.len();
            annotations
                .push(json!({"id": id, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": crowd}));
        }
    }
    let categories = json!([{"id": 1, "name": "crate"}, {"id": 2, "name": "cone"}, {"id": 3, "name": "cat"}]);
    let coco = json!({"images": images, "annotations": annotations, "categories": categories});
    std::fs::write(path, coco.to_string()).unwrap();
}

/// What [`write_truth`] says of an image, as targets.
fn truth_of(image: usize) -> Vec<TargetBox> {
    let painted = TargetBox { bbox: painted_image(image).1, probabilities: vec![1.0, 0.0], weight: 1.0 };
    let crowd = TargetBox { bbox: Box2::new(0.0, 0.0, 50.0, 20.0), probabilities: vec![0.0, 1.0], weight: 0.0 };
    vec![painted, crowd]
}

/// What the teachers say of every image: a crate that they are rather sure of, and a cone that they doubt.
fn said() -> [SoftBox; 2] {
    let said = |x: f32, probabilities: [f32; 2]| SoftBox {
        bbox: Box2::new(x, 10.0, x + 20.0, 30.0),
        probabilities: probabilities.to_vec(),
        weight: 0.75,
    };
    [said(7.0, [0.5, 0.25]), said(70.0, [0.125, 0.25])]
}

/// The targets of so many recordings of two images each.
fn targets(recordings: u32) -> TargetSet {
    let frame = |source: u32, index: u64| FrameTargets {
        source,
        index,
        name: format!("{index}.png"),
        stamp: index as i64 * 100_000_000,
        width: 120,
        height: 90,
        picture: PictureStatistics::default(),
        boxes: said().to_vec(),
        per_teacher: Vec::new(),
    };
    TargetSet {
        classes: CLASSES.map(String::from).to_vec(),
        teachers: Vec::new(),
        sources: Vec::new(),
        config_hash: String::new(),
        frames: (0..recordings).flat_map(|source| [frame(source, 0), frame(source, 1)]).collect(),
    }
}

/// An experiment on recordings, in YAML, of a folder.
fn experiment(folder: &Path, data: &str, losses: &str) -> Experiment {
    let text = format!(
        "{{name: tiny, classes: [crate, cone], output: out, data: [{data}], teachers: [{{model: t.onnx}}], \
         losses: {{{losses}}}, student: {{width: 96, height: 64}}}}"
    );
    let mut experiment: Experiment = serde_yaml::from_str(&text).unwrap();
    for data in &mut experiment.data {
        data.path = folder.join(&data.path);
        if let Some(TruthConfig { coco: Some(path), .. }) = &mut data.truth {
            *path = folder.join(&*path);
        }
    }
    experiment
}

/// What is known of the training frames, in their order.
fn known(gathered: &Gathered) -> Vec<FrameBoxes> {
    (0..gathered.train.len()).map(|index| gathered.train.frame(index, &[]).boxes.clone()).collect()
}

#[test]
fn truth_comes_along_where_there_is_some_and_is_unknown_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("judged"), 2);
    write_images(&folder.path().join("unjudged"), 2);
    write_images(&folder.path().join("unseen"), 3);
    write_truth(&folder.path().join("truth.json"), 2);
    let data = "{path: judged, truth: {coco: truth.json}, block: train}, {path: unjudged, block: train}, \
                {path: unseen, unlabelled: true}";
    let gather = |losses: &str| {
        let gathered = gather(&experiment(folder.path(), data, losses), Some(&targets(2)), None).unwrap();
        assert!(gathered.validation.is_empty() && !gathered.lost_data());
        let counts: Vec<usize> = gathered.recordings.iter().map(|counts| counts.train).collect();
        assert_eq!(counts, [2, 2, 3]);
        known(&gathered)
    };
    let unknown = vec![TargetBox::unknown((120.0, 90.0), 2)];
    let soft: Vec<TargetBox> = said().map(TargetBox::from).to_vec();
    let boxes = |boxes: &[TargetBox], truth: &[TargetBox], labelled: bool| FrameBoxes {
        boxes: boxes.to_vec(),
        truth: truth.to_vec(),
        labelled,
    };

    let mixed = gather("truth: 0.5");
    assert_eq!(mixed[..2], [boxes(&soft, &truth_of(0), true), boxes(&soft, &truth_of(1), true)]);
    assert_eq!(mixed[2..4], [boxes(&soft, &unknown, true), boxes(&soft, &unknown, true)]);
    assert!(mixed[4..].iter().all(|frame| *frame == boxes(&[], &unknown, false)), "{:?}", &mixed[4..]);

    // Hard labels: the crate alone is sure enough, and the truth is as it was.
    let hard = [TargetBox { probabilities: vec![1.0, 0.0], weight: 1.0, ..soft[0].clone() }];
    let mixed = gather("truth: 0.5, labels: hard, hard_threshold: 0.5");
    assert_eq!(mixed[1..3], [boxes(&hard, &truth_of(1), true), boxes(&hard, &unknown, true)]);

    let unmixed = gather("truth: 0");
    assert!(unmixed.iter().all(|frame| frame.truth.is_empty()), "nobody asks for it");
    assert_eq!(unmixed[0], boxes(&soft, &[], true));
}

#[test]
fn students_are_judged_by_truth_where_there_is_some_and_else_by_soft_targets() {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("judged"), 2);
    write_images(&folder.path().join("unjudged"), 2);
    write_truth(&folder.path().join("truth.json"), 2);
    let data = "{path: judged, truth: {coco: truth.json}, block: validation}, {path: unjudged, block: validation}";
    // However hard the labels are that are learnt.
    let experiment = experiment(folder.path(), data, "labels: hard, hard_threshold: 0.5");
    let gathered = gather(&experiment, Some(&targets(2)), None).unwrap();
    assert!(gathered.train.is_empty());
    let judges: Vec<Vec<TargetBox>> =
        (0..gathered.validation.len()).map(|index| gathered.validation.truth(index).to_vec()).collect();
    let soft: Vec<TargetBox> = said().map(TargetBox::from).to_vec();
    assert_eq!(judges, [truth_of(0), truth_of(1), soft.clone(), soft]);
}

fn soft(probabilities: &[f32]) -> SoftBox {
    SoftBox { bbox: Box2::new(1.0, 2.0, 11.0, 22.0), probabilities: probabilities.to_vec(), weight: 0.6 }
}

#[test]
fn hard_pseudo_labels_are_those_of_sure_boxes_alone() {
    let losses = LossConfig { labels: LabelKind::Hard, hard_threshold: 0.5, ..LossConfig::default() };
    assert_eq!(pseudo_label(soft(&[0.1, 0.49]), &losses), None, "below");
    for probabilities in [[0.1, 0.5], [0.45, 0.9]] {
        let label = pseudo_label(soft(&probabilities), &losses).unwrap();
        assert_eq!((label.probabilities, label.weight), (vec![0.0, 1.0], 1.0), "{probabilities:?}");
        assert_eq!(label.bbox, soft(&probabilities).bbox);
    }
    // The threshold is for the best class, not for the sum of all.
    assert_eq!(pseudo_label(soft(&[0.4, 0.4]), &losses), None);
    assert_eq!(pseudo_label(soft(&[]), &losses), None);
}

#[test]
fn soft_labels_stay_as_they_are_whatever_the_threshold() {
    let losses = LossConfig { labels: LabelKind::Soft, hard_threshold: 0.9, ..LossConfig::default() };
    let label = pseudo_label(soft(&[0.1, 0.2]), &losses).unwrap();
    assert_eq!((label.probabilities, label.weight), (vec![0.1, 0.2], 0.6));
}

#[test]
fn crowds_have_no_weight_and_other_classes_are_passed_over() {
    let classes = HashMap::from([("person", 0), ("pallet", 1)]);
    let truth = |class: &str, crowd| TruthBox { bbox: Box2::new(0.0, 0.0, 4.0, 4.0), class: class.into(), crowd };
    let of = |class: &str, crowd| hard_target(&truth(class, crowd), &classes);
    let pallet = of("pallet", false).unwrap();
    assert_eq!((pallet.probabilities, pallet.weight), (vec![0.0, 1.0], 1.0));
    assert_eq!(of("person", true).unwrap().weight, 0.0);
    assert_eq!(of("dog", false), None);
}
