//! The tensors inside a teacher's network: which there are, and a copy of its file that gives them as outputs.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use onnx_ir::{Message, ModelProto, ValueInfoProto};
use serde::Serialize;

use super::{Teacher, TeacherConfig, TeacherError, class_map::likeness, feature_map::stride};
use crate::{
    distill::{
        export::{ExportFailed, read_onnx},
        student::AnchorPoint,
    },
    model::{ModelError, Session, SessionOptions},
};

/// How many names an error about an unknown tensor offers.
const NEAREST: usize = 3;

/// Why tensors inside an ONNX file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// The file cannot be read as ONNX.
    #[error(transparent)]
    File(#[from] ExportFailed),
    /// No tensor has the name.
    #[error(
        "{}: no tensor `{tensor}`; the nearest are `{}`. `distill teacher {} --tensors --all` lists those to learn from",
        model.display(), nearest.join("`, `"), model.display()
    )]
    Unknown {
        /// The file.
        model: PathBuf,
        /// The name that was asked for.
        tensor: String,
        /// Names that are like it, the nearest first.
        nearest: Vec<String>,
    },
    /// Weights lie outside of the file, where its copy cannot find them.
    #[error(
        "{}: weights (`{tensor}`) lie in a file beside it, so its inner tensors are out of reach; \
         make one file of both, in Python: onnx.save(onnx.load('{}'), 'whole.onnx')",
        model.display(), model.display()
    )]
    WeightsOutside {
        /// The file.
        model: PathBuf,
        /// The first tensor whose values are not in it.
        tensor: String,
    },
    /// The copy cannot be written.
    #[error("{}: the copy with more outputs cannot be made: {reason}", model.display())]
    Encode {
        /// The file.
        model: PathBuf,
        /// What the encoder said.
        reason: String,
    },
}

/// A feature map inside a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeatureTensor {
    /// Its name in the graph.
    pub name: String,
    /// The ONNX operator that makes it.
    pub op: String,
    /// Number of channels.
    pub channels: usize,
    /// Rows of cells.
    pub height: usize,
    /// Columns of cells.
    pub width: usize,
    /// Input pixels per cell along either axis, rounded.
    pub stride: usize,
    /// Whether it is the last at its stride before the network goes on at another: the end of a stage, which hints are usually
    /// taken from (Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015). In a student's bundle whose tensors are named by
    /// its anchor points, whether it is one of these.
    pub suggested: bool,
}

/// An ONNX file's bytes with tensors out of the middle of its graph as further outputs, after its own, in the order of `tensors`.
/// What is an output already is not added again.
///
/// # Errors
/// [`TensorError`]: the file cannot be read, has no such tensor, or keeps its weights elsewhere.
pub fn tapped_bytes(model: &Path, tensors: &[String]) -> Result<Vec<u8>, TensorError> {
    let network = read_onnx(model)?;
    let known: Vec<String> = results(&network).into_iter().map(|(name, _)| name).collect();
    if let Some(tensor) = tensors.iter().find(|tensor| !known.contains(tensor)) {
        let nearest = nearest(tensor, &known);
        return Err(TensorError::Unknown { model: model.into(), tensor: tensor.clone(), nearest });
    }
    with_outputs(model, network, tensors)
}

/// The feature maps inside a teacher, in the order in which the network makes them: float tensors `[1, channels, height, width]` of
/// more than one row and column that have one stride along both axes. The network runs once on an empty image with all of its
/// tensors as outputs, so their shapes are known whatever the file says of them.
///
/// # Errors
/// [`TeacherError`]: the file cannot be read or run, or neither it nor its specification tells the input's size.
pub fn list_tensors(config: &TeacherConfig) -> Result<Vec<FeatureTensor>, TeacherError> {
    let hidden = |source: TensorError| TeacherError::Tensors { teacher: config.display_name(), source };
    let fail = |source: ModelError| TeacherError::Model { teacher: config.display_name(), source: Box::new(source) };
    let network = read_onnx(&config.model).map_err(|source| hidden(source.into()))?;
    let results = results(&network);
    let names: Vec<String> = results.iter().map(|(name, _)| name.clone()).collect();
    let bytes = with_outputs(&config.model, network, &names).map_err(hidden)?;
    let model = config.model.display().to_string();
    let mut session = Session::from_bytes(&bytes, &model, &SessionOptions::default()).map_err(fail)?;
    drop(bytes);
    let (width, height) = match session.image_size().map_err(fail)? {
        (Some(height), Some(width)) => (width, height),
        // What the file leaves open its specification tells.
        _ => {
            let detector = Teacher::load_detector(config)?;
            (detector.spec().input.width, detector.spec().input.height)
        }
    };
    let floats = session.outputs().iter().filter(|output| output.is_float).map(|output| output.name.clone());
    let floats: HashSet<String> = floats.collect();
    let outputs = session.run_on_empty(width, height).map_err(fail)?;
    let mut found = Vec::new();
    for (name, op) in results.into_iter().filter(|(name, _)| floats.contains(name)) {
        let shape = outputs.tensor(&name).map_err(fail)?.shape;
        if let [1, channels, rows, columns] = shape[..]
            && let Some(stride) = common_stride((width, height), (columns, rows))
        {
            found.push(FeatureTensor { name, op, channels, height: rows, width: columns, stride, suggested: false });
        }
    }
    suggest(&mut found, names_anchors(&names));
    Ok(found)
}

/// The stride of a map of `columns` x `rows` cells if it has one, the same along both axes.
fn common_stride((width, height): (usize, usize), (columns, rows): (usize, usize)) -> Option<usize> {
    if columns < 2 || rows < 2 {
        return None;
    }
    let (across, down) = (stride(width, columns).round() as usize, stride(height, rows).round() as usize);
    (across == down && across > 0).then_some(across)
}

/// Whether a network has a tensor for every anchor point of the student, as the bundles of this package do. Their outputs alone are
/// not enough: older bundles name nothing else.
fn names_anchors(tensors: &[String]) -> bool {
    AnchorPoint::all().all(|anchor| tensors.contains(&anchor.to_string()))
}

/// Marks the anchor points where they have names, else the ends of stages: the tensors after which the stride changes.
fn suggest(tensors: &mut [FeatureTensor], anchors_named: bool) {
    let strides: Vec<usize> = tensors.iter().map(|tensor| tensor.stride).collect();
    for (index, tensor) in tensors.iter_mut().enumerate() {
        tensor.suggested = if anchors_named {
            tensor.name.parse::<AnchorPoint>().is_ok()
        } else {
            strides.get(index + 1) != Some(&tensor.stride)
        };
    }
}

/// Name and operator of every tensor that the graph computes, in its order.
fn results(network: &ModelProto) -> Vec<(String, String)> {
    let mut results = Vec::new();
    for node in network.graph.iter().flat_map(|graph| &graph.node) {
        if node.op_type == "Constant" {
            continue;
        }
        // An output that a node leaves out has an empty name.
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            results.push((name.clone(), node.op_type.clone()));
        }
    }
    results
}

/// The names most like `tensor`.
fn nearest(tensor: &str, known: &[String]) -> Vec<String> {
    let mut ranked: Vec<(f64, &String)> = known.iter().map(|name| (likeness(tensor, name), name)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.into_iter().take(NEAREST).map(|(_, name)| name.clone()).collect()
}

/// The network's bytes with these tensors, which are in it, as further outputs; `model` is its file, for messages.
///
/// # Errors
/// [`TensorError`]: weights lie in other files, or the bytes cannot be written.
pub(in crate::distill) fn with_outputs(
    model: &Path,
    mut network: ModelProto,
    tensors: &[String],
) -> Result<Vec<u8>, TensorError> {
    if let Some(graph) = network.graph.as_mut() {
        let constants = graph.node.iter().flat_map(|node| &node.attribute).filter_map(|value| value.t.as_ref());
        if let Some(outside) = graph.initializer.iter().chain(constants).find(|tensor| !tensor.external_data.is_empty())
        {
            return Err(TensorError::WeightsOutside { model: model.into(), tensor: outside.name.clone() });
        }
        for tensor in tensors {
            if graph.output.iter().all(|output| output.name != *tensor) {
                // ONNX Runtime finds out the type that is left open here, and would refuse a wrong one.
                graph.output.push(ValueInfoProto { name: tensor.clone(), ..ValueInfoProto::default() });
            }
        }
    }
    network.write_to_bytes().map_err(|error| TensorError::Encode { model: model.into(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::{
        distill::teacher::{
            Ensemble, EnsembleOptions,
            loaded::tests::{inline, tiny},
        },
        model::{Detector, has_runtime},
    };

    fn pools_file() -> PathBuf {
        tiny("tiny_pools.onnx").model
    }

    /// The network of scripts/reference/teachers.py that also takes means of 2x2 and of 4x4 pixels of the image.
    fn pools() -> TeacherConfig {
        inline("tiny_pools.onnx", &["chair", "person"], 100)
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn load(tensors: &[&str]) -> Result<Teacher, TeacherError> {
        Teacher::load_tapped(&pools(), &owned(&["person"]), EnsembleOptions::default(), &owned(tensors))
    }

    fn image() -> RgbImage {
        RgbImage::from_fn(32, 32, |x, y| Rgb([(x * 7) as u8, (y * 5) as u8, (x * y % 200) as u8]))
    }

    #[test]
    fn tensors_are_added_once_and_what_is_there_stays() {
        let before = read_onnx(&pools_file()).unwrap();
        let names = owned(&["quarter", "output0", "half", "quarter"]);
        let bytes = tapped_bytes(&pools_file(), &names).unwrap();
        let after = ModelProto::parse_from_bytes(&bytes).unwrap();
        let (before, after) = (before.graph.unwrap(), after.graph.unwrap());
        let outputs: Vec<&str> = after.output.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(outputs, ["output0", "quarter", "half"]);
        assert_eq!((before.node, before.initializer), (after.node, after.initializer));
    }

    #[test]
    fn an_unknown_tensor_is_told_with_the_nearest() {
        let error = tapped_bytes(&pools_file(), &owned(&["half", "quater"])).unwrap_err().to_string();
        assert!(error.contains("tiny_pools.onnx") && error.contains("no tensor `quater`"), "{error}");
        assert!(error.contains("the nearest are `quarter`"), "{error}");
        let error = tapped_bytes(&tiny("absent.onnx").model, &owned(&["half"])).unwrap_err().to_string();
        assert!(error.contains("absent.onnx"), "{error}");
    }

    #[test]
    fn weights_outside_of_the_file_are_told() {
        let mut network = read_onnx(&pools_file()).unwrap();
        let graph = network.graph.as_mut().unwrap();
        graph.initializer[0].external_data.push(Default::default());
        let name = graph.initializer[0].name.clone();
        let error = with_outputs(Path::new("split.onnx"), network, &owned(&["half"])).unwrap_err().to_string();
        assert!(error.contains("split.onnx") && error.contains(&name) && error.contains("onnx.save"), "{error}");
    }

    #[test]
    fn maps_are_listed_with_the_ends_of_stages_marked() {
        if !has_runtime() {
            return;
        }
        let found = list_tensors(&pools()).unwrap();
        let summary: Vec<_> = found
            .iter()
            .map(|map| (map.name.as_str(), map.op.as_str(), map.channels, map.height, map.width, map.stride))
            .collect();
        let expected = [
            ("half", "AveragePool", 3, 16, 16, 2),
            ("quarter", "AveragePool", 3, 8, 8, 4),
            ("doubled", "Concat", 6, 8, 8, 4),
        ];
        assert_eq!(summary, expected);
        assert_eq!(found.iter().map(|map| map.suggested).collect::<Vec<_>>(), [true, false, true]);
        // Nothing in there is a map.
        assert!(list_tensors(&tiny("tiny_yolov8.onnx")).unwrap().is_empty());
    }

    #[test]
    fn anchor_points_are_marked_where_all_have_names() {
        let map = |name: &str, stride: usize| FeatureTensor {
            name: name.into(),
            op: "Relu".into(),
            channels: 8,
            height: 4,
            width: 4,
            stride,
            suggested: false,
        };
        let maps = [map("tensor_1", 4), map("stage_4", 4), map("tensor_2", 4), map("neck_8", 8), map("tensor_3", 8)];
        let marked = |anchors_named: bool| {
            let mut maps = maps.clone();
            suggest(&mut maps, anchors_named);
            maps.map(|map| map.suggested)
        };
        assert_eq!(marked(true), [false, true, false, true, false]);
        assert_eq!(marked(false), [false, false, true, false, true]);
        let mut names: Vec<String> = AnchorPoint::all().map(String::from).collect();
        assert!(names_anchors(&names));
        names.retain(|name| !name.starts_with("stage"));
        assert!(!names_anchors(&names));
    }

    #[test]
    fn tapped_maps_hold_what_the_network_computes() {
        if !has_runtime() {
            return;
        }
        let mut teacher = load(&["quarter", "half"]).unwrap();
        let image = image();
        let (found, maps) = teacher.detect_tapped(&image).unwrap();
        let [quarter, half] = &maps[..] else { panic!("{maps:?}") };
        for (map, side) in [(half, 2_u32), (quarter, 4)] {
            let cells = 32 / side as usize;
            assert_eq!((map.channels, map.height, map.width), (3, cells, cells));
            for (index, value) in map.values.iter().enumerate() {
                let (channel, row, column) = (index / (cells * cells), index / cells % cells, index % cells);
                let pixels = (0..side).flat_map(|y| (0..side).map(move |x| (x, y)));
                let sum: u32 = pixels
                    .map(|(x, y)| (column as u32 * side + x, row as u32 * side + y))
                    .map(|(x, y)| u32::from(image.get_pixel(x, y)[channel]))
                    .sum();
                let mean = sum as f32 / (side * side) as f32;
                assert!((value - mean).abs() < 1e-3, "channel {channel}, row {row}, column {column}: {value}, {mean}");
            }
            assert_eq!(map.align(cells, cells), map.values);
        }
        // The boxes are those of the teacher without taps, and the maps alone are the same maps.
        let plain = load(&[]).unwrap().detect(&image).unwrap().0;
        assert_eq!((found.detections, plain.len()), (plain, 1));
        assert_eq!(teacher.features(&image).unwrap(), maps);
    }

    #[test]
    fn outputs_that_were_there_are_handed_out_with_their_own_values() {
        if !has_runtime() {
            return;
        }
        let names = owned(&["half", "output0"]);
        let bytes = tapped_bytes(&pools_file(), &names).unwrap();
        let options = SessionOptions::default();
        let mut plain = Session::load(pools_file(), &options).unwrap();
        let expected = plain.run_on_empty(32, 32).unwrap().tensor("output0").unwrap().to_static();
        let mut detector = Detector::load(pools_file(), &options).unwrap();
        detector.tap(&bytes, &names, &options).unwrap();
        let (tensors, _) = detector.tapped(&RgbImage::new(32, 32)).unwrap();
        assert_eq!(tensors.iter().map(|tensor| tensor.name.as_ref()).collect::<Vec<_>>(), ["half", "output0"]);
        assert_eq!(tensors[1], expected);
        // A name that the bytes do not give leaves the detector as it is.
        assert!(matches!(
            detector.tap(&bytes, &owned(&["quarter"]), &options),
            Err(ModelError::NoOutput { output, .. }) if output == "quarter"
        ));
        assert_eq!(detector.tapped(&RgbImage::new(32, 32)).unwrap().0.len(), 2);
    }

    #[test]
    fn what_is_no_map_shows_at_loading() {
        if !has_runtime() {
            return;
        }
        for (tensor, told) in [("output0", "[1, 6, 21]"), ("half_shape", "[4]"), ("halve", "`half`")] {
            let error = load(&[tensor]).unwrap_err().to_string();
            assert!(error.contains("tiny_pools") && error.contains(tensor) && error.contains(told), "{error}");
        }
    }

    #[test]
    fn an_ensemble_gives_the_maps_of_each_teacher() {
        if !has_runtime() {
            return;
        }
        let (teachers, classes) = ([pools(), pools(), pools()], owned(&["person"]));
        // The last teacher has no list at all.
        let taps = [owned(&["doubled"]), Vec::new()];
        let mut ensemble = Ensemble::load_tapped(&teachers, &classes, EnsembleOptions::default(), &taps).unwrap();
        let output = ensemble.label(&image()).unwrap();
        let channels: Vec<Vec<usize>> =
            output.features.iter().map(|maps| maps.iter().map(|map| map.channels).collect()).collect();
        let expected: [Vec<usize>; 3] = [vec![6], Vec::new(), Vec::new()];
        assert_eq!(channels, expected);
        assert_eq!(ensemble.features(&image()).unwrap(), output.features);
        let mut plain = Ensemble::load(&teachers, &classes, EnsembleOptions::default()).unwrap();
        let untapped = plain.label(&image()).unwrap();
        assert_eq!((&untapped.fused, &untapped.per_teacher), (&output.fused, &output.per_teacher));
        assert!(untapped.features.iter().all(Vec::is_empty));
    }
}
