//! What was reached, in plain words.

use super::{
    super::{
        Section,
        summary::{show_tiles, tell_losses},
    },
    warn,
};
use crate::distill::{
    lidar::{
        evaluate::{JudgeBy, LidarReport},
        result::LidarResult,
    },
    report::{
        figures::{millions, milliseconds, share},
        lidar_folder::LidarFolder,
        markup::Markup,
    },
};

/// The headline, its figures, and what is wrong.
pub(super) fn section(folder: &LidarFolder) -> Section {
    let result = &folder.result;
    let body = Markup::of(|html| {
        html.leaf("p", &[("class", "lead")], &headline(result));
        show_tiles(html, &tiles(&result.student));
        html.leaf("p", &[("class", "note")], &judged_by(&result.student));
        let suspects: Vec<&str> = folder.suspects().into_iter().map(|(name, _)| name).collect();
        if !suspects.is_empty() {
            let text = format!(
                "The calibration of camera and lidar is suspect in {}: the camera’s labels lie beside the objects there. See Calibration \
                 before you trust any figure.",
                suspects.join(", ")
            );
            warn(html, &text);
        }
        tell_losses(html, &result.losses);
    });
    Section { id: "summary", title: "Summary", how_to_read: String::new(), body }
}

fn headline(result: &LidarResult) -> String {
    let student = &result.student;
    let found = student.widest().and_then(|widest| Some((widest.ap?, widest.distance)));
    let mut text = match found {
        Some((ap, distance)) => format!(
            "On {} sweeps that were kept from its training, the student finds {} with an average precision of {ap:.3}, where a centre \
             within {distance} m is right.",
            student.sweeps,
            result.classes.join(", ")
        ),
        None => format!("The student was run on {} sweeps; there was no object to judge it by.", student.sweeps),
    };
    let size = millions(student.parameters);
    match student.whole_ms {
        Some(time) => {
            text.push_str(&format!(
                " It has {size} M parameters and takes {:.2} ms for a sweep on one thread.",
                time.p50
            ));
        }
        None => text.push_str(&format!(" It has {size} M parameters.")),
    }
    text
}

/// Figures with what they mean.
fn tiles(student: &LidarReport) -> Vec<(String, String)> {
    let mut tiles: Vec<(String, String)> = student
        .centers
        .iter()
        .map(|centers| (share(centers.ap), format!("AP of centres within {} m (1 is perfect)", centers.distance)))
        .collect();
    tiles.push((share(student.points.mean), "IoU of points, mean of the classes".to_owned()));
    let kilobytes = student.bytes as f64 / 1e3;
    tiles.push((format!("{} M", millions(student.parameters)), format!("parameters ({kilobytes:.0} kB)")));
    if let Some(time) = student.whole_ms {
        tiles.push((format!("{} ms", milliseconds(Some(time.p50))), "a sweep, one thread (median)".to_owned()));
    }
    tiles
}

/// What counted as true, and what that means for the figures.
fn judged_by(student: &LidarReport) -> String {
    let objects: usize = student.widest().map_or(0, |widest| widest.per_class.iter().map(|class| class.truths).sum());
    let meaning = match student.options.by {
        JudgeBy::Truth => "",
        JudgeBy::Labels => {
            " So the figures tell how well the student does what its labels say, not how well it sees what is really there; where the \
             labels are wrong, it is right to be wrong."
        }
    };
    let unjudged = match student.unjudged {
        0 => String::new(),
        count => format!(" Of {count} sweeps more nothing is known."),
    };
    format!("Truth: {}; {objects} objects were to be found.{meaning}{unjudged}", student.options.by.words())
}
