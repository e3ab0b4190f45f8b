//! A small experiment in a folder of its own: painted images with COCO labels and `scene.yaml`.

use std::path::Path;

use super::recording;

/// The stamp of the first image.
const START: i64 = 1_700_000_000_000_000_000;

/// Writes 40 images, 100 x 60, of one bright rectangle each, with their COCO file, and the experiment `scene.yaml` on them, which ends with
/// `rest`: its sections `train` and `evaluate`.
pub fn write(folder: &Path, rest: &str) {
    let shots = recording::crates(40, START);
    recording::write_folder(&folder.join("images"), &folder.join("labels.json"), &shots);
    let experiment = "name: scene\noutput: out\nclasses: [crate]\ntargets: truth\n\
                      data:\n  - {path: images, truth: {coco: labels.json}}\n\
                      split: {validation: 0.2, test: 0.2, gap_seconds: 0.15}\n\
                      student: {size: micro, width: 96, height: 64}\n";
    std::fs::write(folder.join("scene.yaml"), format!("{experiment}{rest}\n")).unwrap();
}
