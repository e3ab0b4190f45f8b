//! `distill inspect`: what a recording holds and what can be distilled from it.

use std::{
    fmt::Write as _,
    io::{ErrorKind, IsTerminal, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::Outcome;
use crate::{
    distill::bag::{Bag, BagSurvey, FolderSurvey, ImageFolder, Loss, Recording, TopicSurvey},
    messages::{CameraInfo, CompressedImage, Detection2DArray, Image, LaserScan, PointCloud2, TFMessage},
    recording::{node_of_detections, reasons_topic},
    sensing::image::SUPPORTED_ENCODINGS,
};

/// Bags from this size on get a progress bar.
const BIG_BAG: u64 = 100 << 20;

/// Say what a recording holds and what can be distilled from it.
///
///   distill inspect my_bag                # a rosbag2 folder, with or without metadata.yaml
///   distill inspect my_bag_0.mcap         # a single file, cut off or not
///   distill inspect field/camera_detector # what a robot recorded of its own doubts: a folder of parts, read as one
///   distill inspect photos/               # a folder of images, with or without a COCO instances file
///   distill inspect my_bag --json | jq '.topics[] | select(.image) | .name'
///
/// Exit code 3 says that part of the recording could not be read; how much stands in the output.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct InspectArgs {
    /// A rosbag2 folder, a folder of parts, an .mcap or .db3 file, or a folder of images.
    #[arg(value_name = "BAG")]
    path: PathBuf,
    /// Print JSON for programs instead of tables for people.
    #[arg(long)]
    json: bool,
}

/// Inspects the recording and prints the findings to stdout.
pub fn run(args: InspectArgs) -> anyhow::Result<Outcome> {
    let (text, loss) = match Recording::open(&args.path)? {
        Recording::Bag(bag) => {
            let progress = progress_bar(&bag);
            let survey = BagSurvey::of(&bag, |messages| progress.set_position(messages))?;
            progress.finish_and_clear();
            let text = if args.json { pretty(&bag_json(&bag, &survey)?)? } else { bag_text(&bag, &survey) };
            (text, survey.loss)
        }
        Recording::Folder(folder) => {
            let survey = FolderSurvey::of(&folder)?;
            let text = if args.json { pretty(&folder_json(&folder, &survey)?)? } else { folder_text(&folder, &survey) };
            (text, survey.loss)
        }
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error).context("writing to stdout"),
        _ => {}
    }
    Ok(if loss.is_empty() { Outcome::Done } else { Outcome::DataLost })
}

/// A bar for big bags on a terminal, else one that is never seen.
fn progress_bar(bag: &Bag) -> ProgressBar {
    if !std::io::stderr().is_terminal() || bag.size() < BIG_BAG {
        return ProgressBar::hidden();
    }
    let bar = bag.message_count().map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    if let Ok(style) = ProgressStyle::with_template("reading {wide_bar} {pos}/{len} messages, {eta} left") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn pretty(value: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn loss_json(loss: &Loss) -> Value {
    json!({
        "lost_bytes": loss.bytes,
        "lost_messages": loss.messages,
        "broken_messages": loss.broken,
        "reasons": loss.reasons,
        "complete": loss.is_empty(),
    })
}

fn bag_json(bag: &Bag, survey: &BagSurvey) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(survey)?;
    value["kind"] = "bag".into();
    value["path"] = bag.path().display().to_string().into();
    value["storage"] = bag.storage().identifier().into();
    value["compression"] = bag.compression().into();
    value["files"] = bag.files().map(|file| file.display().to_string()).collect::<Vec<_>>().into();
    value["bytes"] = bag.size().into();
    let names = |type_name| topics_of(survey, type_name).map(|topic| topic.name.as_str()).collect::<Vec<_>>();
    value["distillable"] = json!({
        "cameras": cameras(survey).map(|topic| topic.name.as_str()).collect::<Vec<_>>(),
        "truth": truth(survey).map(|topic| topic.name.as_str()).collect::<Vec<_>>(),
        "camera_info": names(CameraInfo::TYPE_NAME),
        "laser_scans": names(LaserScan::TYPE_NAME),
        "point_clouds": names(PointCloud2::TYPE_NAME),
        "transforms": names(TFMessage::TYPE_NAME),
    });
    value["loss"] = loss_json(&survey.loss);
    Ok(value)
}

fn folder_json(folder: &ImageFolder, survey: &FolderSurvey) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(survey)?;
    value["kind"] = "folder".into();
    value["path"] = folder.path().display().to_string().into();
    value["loss"] = loss_json(&survey.loss);
    Ok(value)
}

/// The topics of a type that have messages.
fn topics_of<'a>(survey: &'a BagSurvey, type_name: &'a str) -> impl Iterator<Item = &'a TopicSurvey> {
    survey.topics.iter().filter(move |topic| topic.type_name == type_name && topic.messages > 0)
}

/// Whether a topic is what the robot's own student saw in the frames that it recorded.
fn is_of_the_student(survey: &BagSurvey, topic: &TopicSurvey) -> bool {
    node_of_detections(&topic.name).is_some_and(|node| {
        let reasons = reasons_topic(node);
        survey.topics.iter().any(|other| other.name == reasons)
    })
}

/// The topics of boxes in images that may be true.
fn truth(survey: &BagSurvey) -> impl Iterator<Item = &TopicSurvey> {
    topics_of(survey, Detection2DArray::TYPE_NAME).filter(|topic| !is_of_the_student(survey, topic))
}

/// The topics of images that have messages, with the reason why one cannot be distilled from.
fn image_topics(survey: &BagSurvey) -> impl Iterator<Item = (&TopicSurvey, Option<String>)> {
    topics_of(survey, Image::TYPE_NAME)
        .chain(topics_of(survey, CompressedImage::TYPE_NAME))
        .map(|topic| (topic, why_no_camera(topic)))
}

/// The topics of images that can be distilled from.
fn cameras(survey: &BagSurvey) -> impl Iterator<Item = &TopicSurvey> {
    image_topics(survey).filter_map(|(topic, why_not)| why_not.is_none().then_some(topic))
}

/// Why frames of a topic of images cannot be decoded, judged by the first one; `None` when they can.
fn why_no_camera(topic: &TopicSurvey) -> Option<String> {
    if topic.problem.is_some() {
        return topic.problem.clone();
    }
    let encoding = &topic.image.as_ref()?.encoding;
    let raw = topic.type_name == Image::TYPE_NAME;
    (raw && !SUPPORTED_ENCODINGS.contains(&encoding.as_str()))
        .then(|| format!("image encoding `{encoding}` is not supported"))
}

fn bag_text(bag: &Bag, survey: &BagSurvey) -> String {
    let files = bag.files().count();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {} ({files} {}), compression: {}, {}, {:.3} s, {} messages",
        bag.path().display(),
        bag.storage().identifier(),
        if files == 1 { "file" } else { "files" },
        bag.compression(),
        bytes_in_words(bag.size()),
        survey.duration_seconds,
        survey.messages
    );
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled).set_header([
        "topic",
        "type",
        "messages",
        "Hz",
        "jitter ms",
        "longest gap ms",
        "image",
        "frame",
    ]);
    for column in [2, 3, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
    for topic in &survey.topics {
        let image = topic.image.as_ref().map(|image| format!("{}x{} {}", image.width, image.height, image.encoding));
        table.add_row([
            topic.name.clone(),
            topic.type_name.clone(),
            topic.messages.to_string(),
            number(topic.rate_hertz),
            number(topic.jitter_milliseconds),
            number(topic.longest_gap_milliseconds),
            image.or_else(|| topic.problem.clone()).unwrap_or_default(),
            topic.frame_id.clone().unwrap_or_default(),
        ]);
    }
    let _ = writeln!(text, "{table}\n");
    text.push_str(&distillable_text(survey));
    loss_text(&mut text, &survey.loss);
    text
}

/// What the topics are good for.
fn distillable_text(survey: &BagSurvey) -> String {
    let mut text = String::from("What can be distilled from it:\n");
    let names = |type_name| {
        let names: Vec<_> = topics_of(survey, type_name).map(|topic| topic.name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let mut camera_count = 0;
    for (topic, why_not) in image_topics(survey) {
        if let Some(why_not) = why_not {
            let _ = writeln!(text, "  no student from  {}: {why_not}", topic.name);
            continue;
        }
        camera_count += 1;
        let rate = topic.rate_hertz.map_or_else(String::new, |rate| format!(" at {rate:.1} Hz"));
        let _ = writeln!(text, "  camera student   {}: {} frames{rate}", topic.name, topic.messages);
    }
    if camera_count == 0 {
        text.push_str("  no usable camera topic (sensor_msgs/msg/Image or CompressedImage), so no camera student\n");
    }
    if camera_count > 1 {
        text.push_str("                   several cameras: name one of them as the topic\n");
    }
    let boxes: Vec<_> = truth(survey).map(|topic| topic.name.as_str()).collect();
    if !boxes.is_empty() {
        let boxes = boxes.join(", ");
        let _ = writeln!(text, "  truth boxes      {boxes}: students and teachers can be evaluated against them");
    }
    for topic in survey.topics.iter().filter(|topic| is_of_the_student(survey, topic)) {
        let _ = writeln!(text, "  no truth         {}: what the robot's student saw when it recorded", topic.name);
    }
    match names(CameraInfo::TYPE_NAME) {
        Some(names) => {
            let _ = writeln!(text, "  calibration      {names}");
        }
        None if camera_count > 0 => {
            text.push_str("  calibration      none: enough for boxes in the image, not for positions in space\n");
        }
        None => {}
    }
    for (label, type_name) in [
        ("laser scans     ", LaserScan::TYPE_NAME),
        ("point clouds    ", PointCloud2::TYPE_NAME),
        ("transforms      ", TFMessage::TYPE_NAME),
    ] {
        if let Some(names) = names(type_name) {
            let _ = writeln!(text, "  {label} {names}");
        }
    }
    text
}

fn folder_text(folder: &ImageFolder, survey: &FolderSurvey) -> String {
    let mut text = String::new();
    let sizes: Vec<_> =
        survey.sizes.iter().map(|size| format!("{}x{} ({})", size.width, size.height, size.images)).collect();
    let _ = writeln!(text, "{}: {} images: {}", folder.path().display(), survey.images, sizes.join(", "));
    match &survey.labels {
        Some(labels) => {
            let _ = writeln!(text, "truth: {labels} knows {} of them", survey.labelled_images);
            for (class, boxes) in &survey.classes {
                let _ = writeln!(text, "  {class}: {boxes} boxes");
            }
            if !survey.missing_images.is_empty() {
                let _ = writeln!(
                    text,
                    "  {} images that it knows are not in the folder, the first: {}",
                    survey.missing_images.len(),
                    survey.missing_images[0]
                );
            }
        }
        None => text.push_str("truth: no COCO instances file (or more than one) lies in the folder\n"),
    }
    text.push_str("\nWhat can be distilled from it:\n");
    let _ = writeln!(text, "  camera student   {} frames", survey.images);
    loss_text(&mut text, &survey.loss);
    text
}

fn loss_text(text: &mut String, loss: &Loss) {
    if loss.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nNOT ALL COULD BE READ: {} bytes and {} messages are lost:", loss.bytes, loss.messages);
    for reason in &loss.reasons {
        let _ = writeln!(text, "  {reason}");
    }
    if loss.more_reasons > 0 {
        let _ = writeln!(text, "  and {} more", loss.more_reasons);
    }
}

/// Bytes as people say them.
fn bytes_in_words(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 * 1e-3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 * 1e-6),
        _ => format!("{:.2} GB", bytes as f64 * 1e-9),
    }
}
