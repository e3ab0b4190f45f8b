//! The sweeps on which the student is most wrong, as its run has drawn them.

use super::super::{
    Section,
    gallery::{left_out, mistakes, shown},
};
use crate::distill::{
    lidar::{
        gallery::{ShownSweep, SweepGallery},
        picture::class_color,
    },
    report::{
        ReportOptions,
        comparison::UNWANTED,
        lidar_folder::LidarFolder,
        markup::{Markup, data_address},
    },
};

/// The sweeps, or why there are none.
pub(super) fn section(folder: &LidarFolder, options: ReportOptions) -> Section {
    match &folder.gallery {
        _ if !options.gallery => left_out(UNWANTED),
        None => left_out("the run has drawn no sweeps; the same `distill run` draws them"),
        Some(Err(reason)) => left_out(reason),
        Some(Ok(gallery)) => shown(how_to_read(gallery), sweeps(folder, gallery)),
    }
}

fn how_to_read(gallery: &SweepGallery) -> String {
    format!(
        "The sweeps of the test block on which the student differs most from {}, the worst first, out of {} that were compared. Seen from \
         above, forwards is up and the sensor the black square in the middle; lines stand 2 m apart. Points have the colour of the class \
         that the student gives them, crosses are the objects it finds, black rings what is true. A ring without a cross within {} m is \
         missed, a cross without a ring a false alarm.",
        gallery.by.words(),
        gallery.compared,
        gallery.distance
    )
}

fn sweeps(folder: &LidarFolder, gallery: &SweepGallery) -> Markup {
    Markup::of(|html| {
        html.element("ul", &[("class", "legend")], |list| {
            for (number, class) in folder.result.classes.iter().enumerate() {
                let [red, green, blue] = class_color(number).0;
                let color = format!("--series: rgb({red} {green} {blue})");
                list.element("li", &[], |item| {
                    item.leaf("span", &[("class", "key sweep"), ("style", &color)], "");
                    item.text(class);
                });
            }
        });
        html.element("div", &[("class", "panels across3")], |panels| {
            for (number, sweep) in gallery.sweeps.iter().enumerate() {
                panels.element("figure", &[], |figure| show(figure, number, sweep, gallery, folder));
            }
        });
        if gallery.sweeps.is_empty() {
            html.leaf("p", &[("class", "note")], "No sweep of the test block could be compared.");
        }
    })
}

fn show(figure: &mut Markup, number: usize, sweep: &ShownSweep, gallery: &SweepGallery, folder: &LidarFolder) {
    figure.element("figcaption", &[], |caption| {
        let wrong = mistakes(sweep.missed, sweep.false_alarms);
        caption.leaf("strong", &[], &format!("{}. {wrong}", number + 1));
        caption.text(&format!(
            " – {} objects, {} m to each side, {} at {:.2} s",
            sweep.objects,
            sweep.reach,
            sweep.recording,
            sweep.stamp as f64 / 1e9
        ));
    });
    let picture = sweep.picture_path(&folder.files.path).map(std::fs::read);
    let Some(Ok(bytes)) = picture else {
        figure.leaf("p", &[("class", "note")], &format!("Its picture {} is not there any more.", sweep.picture));
        return;
    };
    let (address, size) = (data_address("image/png", &bytes), gallery.size.to_string());
    let (view, title) = (format!("0 0 {size} {size}"), format!("Sweep {} of {}", number + 1, sweep.recording));
    let attributes =
        [("viewBox", view.as_str()), ("role", "img"), ("aria-label", title.as_str()), ("class", "picture sweep")];
    figure.element("svg", &attributes, |svg| {
        svg.leaf("title", &[], &title);
        svg.void("image", &[("width", &size), ("height", &size), ("href", &address)]);
    });
}
