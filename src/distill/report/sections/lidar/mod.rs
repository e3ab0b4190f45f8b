//! The sections of a lidar student's run. What they have in common with a camera student's is written there: tables, tiles, training,
//! what is needed to repeat it.

mod accuracy;
mod calibration;
mod gallery;
mod labels;
mod summary;

use super::{
    Section, boards, repeat,
    table::figure_table,
    training::{self, course},
};
use crate::distill::report::{ReportOptions, boards::Boards, lidar_folder::LidarFolder, markup::Markup};

/// All sections that the run's folder has something for.
pub(super) fn all(folder: &LidarFolder, options: ReportOptions, measured: &Boards) -> Vec<Section> {
    let student = &folder.result.student;
    let sections = [
        Some(summary::section(folder)),
        Some(accuracy::section(student)),
        boards::section(measured),
        accuracy::curves(student),
        Some(classes(folder)),
        Some(labels::section(folder)),
        calibration::section(folder),
        training(folder),
        Some(gallery::section(folder, options)),
        Some(origin(folder)),
    ];
    sections.into_iter().flatten().collect()
}

/// The table of all figures by class.
fn classes(folder: &LidarFolder) -> Section {
    let widest = folder.result.student.widest().map(|widest| widest.distance).unwrap_or_default();
    Section {
        id: "classes",
        title: "Classes",
        how_to_read: format!(
            "AP: average precision of centres within a distance. Best F1 and the score that gives it, the mean distance of what was \
             found from the true centres, and the number of objects are for {widest} m. IoU, precision and recall of points are at the \
             student’s own thresholds. A class with few objects has figures that a handful of sweeps can change."
        ),
        body: figure_table(&folder.result.student.class_table(), None),
    }
}

/// How the training went, and the second one where there was one.
fn training(folder: &LidarFolder) -> Option<Section> {
    let widest = folder.result.student.widest().map(|widest| widest.distance).unwrap_or_default();
    let far = format!("AP within {widest} m");
    let names = [far.as_str(), "AP, mean over the distances"];
    let mut section = training::section(&folder.files.epochs, names)?;
    if !folder.own_epochs.is_empty() {
        let body = &mut section.body;
        body.leaf("h3", &[], "Second training, on its own labels, too");
        let text = "The second student is taken where it is at least as good on the validation block as the first.";
        body.leaf("p", &[("class", "how")], text);
        body.append(&course(&folder.own_epochs, names));
    }
    Some(section)
}

/// Everything that is needed to do it again.
fn origin(folder: &LidarFolder) -> Section {
    let settings = folder.experiment.as_ref().ok();
    let origin = repeat::Origin {
        settings: settings.map(|experiment| (experiment.seed, experiment.train.device.as_str())),
        provenance: folder.bundle.as_ref().map(|bundle| &bundle.provenance),
        without_bundle: folder.result.data.iter().map(|name| ("data".to_owned(), name.clone())).collect(),
        more: Vec::new(),
    };
    repeat::of(&folder.files, origin)
}

/// A paragraph that warns.
fn warn(html: &mut Markup, text: &str) {
    html.leaf("p", &[("class", "note warning")], text);
}
