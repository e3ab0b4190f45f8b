//! A lidar detector: sweep in, labelled points and objects out.

use std::path::Path;
use std::time::{Duration, Instant};

use super::head::{LidarDetections, LidarOutput, decode, label_hidden_points};
use super::{LidarSpec, fill_input};
use crate::model::bundle::{BundleError, BundleMetadata, METADATA_KEY};
use crate::model::{ModelError, Session, SessionOptions, StageTiming};
use crate::sensing::range_image::{RangeImage, Sweep};

/// A network with its specification and the memory that it needs from sweep to sweep.
#[derive(Debug)]
pub struct LidarDetector {
    session: Session,
    bundle: BundleMetadata<LidarSpec>,
    /// The bundle's, but for the thresholds that [`Self::set_score_threshold`] may put aside.
    spec: LidarSpec,
    input: Vec<f32>,
    /// Set once outputs that are not finite were reported, so that a broken network does not fill the log.
    reported: bool,
}

impl LidarDetector {
    /// Loads a lidar bundle: an ONNX file with a [`LidarSpec`] in its metadata.
    ///
    /// # Errors
    /// The file cannot be read, is no bundle of a lidar detector, or cannot be run.
    pub fn load(path: impl AsRef<Path>, options: &SessionOptions) -> Result<Self, ModelError> {
        Self::from_session(Session::load(path, options)?)
    }

    /// Loads a lidar bundle's bytes; `name` stands for the file in messages.
    ///
    /// # Errors
    /// The bytes are no bundle of a lidar detector, or cannot be run.
    pub fn from_bytes(bytes: &[u8], name: &str, options: &SessionOptions) -> Result<Self, ModelError> {
        Self::from_session(Session::from_bytes(bytes, name, options)?)
    }

    fn from_session(session: Session) -> Result<Self, ModelError> {
        let metadata = session.metadata(METADATA_KEY).ok_or(BundleError::Missing);
        let bundle = metadata
            .and_then(|json| BundleMetadata::<LidarSpec>::from_json(&json))
            .map_err(|source| ModelError::Bundle { model: session.model().to_owned(), source })?;
        let spec = bundle.spec.clone();
        let (rows, columns) = (spec.grid.rows, spec.grid.columns);
        let (network_rows, network_columns) = session.map_size(spec.channels.len())?;
        let (network_rows, network_columns) = (network_rows.unwrap_or(rows), network_columns.unwrap_or(columns));
        if (network_rows, network_columns) != (rows, columns) {
            let model = session.model().to_owned();
            return Err(ModelError::GridSize { model, network_rows, network_columns, rows, columns });
        }
        tracing::debug!(model = session.model(), rows, columns, "lidar detector loaded");
        let input = vec![0.0; spec.input_len()];
        Ok(Self { session, bundle, spec, input, reported: false })
    }

    /// The specification in use. Thresholds may be changed through [`Self::set_score_threshold`].
    pub fn spec(&self) -> &LidarSpec {
        &self.spec
    }

    /// The bundle's metadata, as it is in the file.
    pub fn bundle(&self) -> &BundleMetadata<LidarSpec> {
        &self.bundle
    }

    /// The network in ONNX Runtime.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Sets the score that a point must reach, whatever its class; with `None` the bundle's own thresholds come back.
    pub fn set_score_threshold(&mut self, score: Option<f32>) {
        match score {
            Some(score) => {
                self.spec.score_threshold = score;
                self.spec.class_thresholds.clear();
            }
            None => {
                self.spec.score_threshold = self.bundle.spec.score_threshold;
                self.spec.class_thresholds.clone_from(&self.bundle.spec.class_thresholds);
            }
        }
    }

    /// Labels the points of a sweep and finds its objects.
    ///
    /// # Errors
    /// ONNX Runtime fails, or the outputs do not fit the specification.
    pub fn detect(&mut self, sweep: &Sweep) -> Result<LidarDetections, ModelError> {
        let start = Instant::now();
        let span = tracing::trace_span!("preprocess").entered();
        let image = RangeImage::project(sweep, &self.spec.grid);
        drop(span);
        let project = start.elapsed();
        let mut found = self.detect_image(&image)?;
        let start = Instant::now();
        label_hidden_points(&mut found.points, &image, sweep);
        found.timing.preprocess += project;
        found.timing.decode += start.elapsed();
        Ok(found)
    }

    /// [`Self::detect`] for a sweep that was projected to the specification's grid. Points that are hidden in their
    /// cells stay without a label, since the image does not tell how far behind they are.
    ///
    /// # Errors
    /// The image has another size than the network's input, ONNX Runtime fails, or the outputs do not fit the
    /// specification.
    pub fn detect_image(&mut self, image: &RangeImage) -> Result<LidarDetections, ModelError> {
        let found = self.run(image)?;
        if found.skipped > 0 && !self.reported {
            self.reported = true;
            let (model, skipped) = (self.session.model(), found.skipped);
            tracing::warn!(model, skipped, "the network gives outputs that are not finite; these points are left out");
        }
        Ok(found)
    }

    fn run(&mut self, image: &RangeImage) -> Result<LidarDetections, ModelError> {
        let spec = &self.spec;
        let model = self.session.model().to_owned();
        let (network_rows, network_columns) = (spec.grid.rows, spec.grid.columns);
        let (rows, columns) = (image.grid.rows, image.grid.columns);
        if (network_rows, network_columns) != (rows, columns) {
            return Err(ModelError::GridSize { model, network_rows, network_columns, rows, columns });
        }
        let start = Instant::now();
        let span = tracing::trace_span!("preprocess").entered();
        fill_input(image, spec, &mut self.input);
        drop(span);
        let preprocess = start.elapsed();
        let start = Instant::now();
        let span = tracing::trace_span!("infer").entered();
        let outputs = self.session.run(&[1, spec.channels.len(), rows, columns], &self.input)?;
        drop(span);
        let infer = start.elapsed();
        let start = Instant::now();
        let _span = tracing::trace_span!("postprocess").entered();
        let tensors = outputs.tensors()?;
        let output = LidarOutput::find(&tensors, spec).map_err(|source| ModelError::Head { model, source })?;
        let mut found = decode(&output, image, spec);
        found.timing = StageTiming { preprocess, infer, decode: start.elapsed() };
        Ok(found)
    }

    /// Runs the network once on a sweep without points, so that the first sweep does not pay for the memory that ONNX
    /// Runtime takes at its first run; returns how long that took.
    ///
    /// # Errors
    /// ONNX Runtime fails, or the outputs do not fit the specification: a model that cannot work is found out before
    /// the first sweep.
    pub fn warm_up(&mut self) -> Result<Duration, ModelError> {
        let start = Instant::now();
        self.detect(&Sweep::default())?;
        Ok(start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bundle::write_metadata;
    use crate::model::has_runtime;
    use crate::model::head::HeadError;
    use crate::model::lidar::spec::tests::scan_spec;
    use crate::model::lidar::{BOXES, CLASS_LOGITS, RangeChannel, VOTES};
    use crate::model::wire::{put_bytes, put_varint};
    use crate::model::{Detector, ModelSpec};

    const COLUMNS: usize = 12;

    /// A repeated or single field of a number, as protobuf has it.
    fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
        put_varint(out, number << 3);
        put_varint(out, value);
    }

    /// A `ValueInfoProto` of floats.
    fn value_info(name: &str, shape: &[usize]) -> Vec<u8> {
        let mut sizes = Vec::new();
        for &size in shape {
            let mut dimension = Vec::new();
            put_number(&mut dimension, 1, size as u64);
            put_bytes(&mut sizes, 1, &dimension);
        }
        let mut tensor = Vec::new();
        put_number(&mut tensor, 1, 1);
        put_bytes(&mut tensor, 2, &sizes);
        let mut kind = Vec::new();
        put_bytes(&mut kind, 1, &tensor);
        let mut info = Vec::new();
        put_bytes(&mut info, 1, name.as_bytes());
        put_bytes(&mut info, 2, &kind);
        info
    }

    /// A `TensorProto` of floats.
    fn tensor(name: &str, shape: &[usize], values: &[f32]) -> Vec<u8> {
        let mut tensor = Vec::new();
        for &size in shape {
            put_number(&mut tensor, 1, size as u64);
        }
        put_number(&mut tensor, 2, 1);
        put_bytes(&mut tensor, 8, name.as_bytes());
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        put_bytes(&mut tensor, 9, &raw);
        tensor
    }

    /// The weights of the input's channels and the bias of one output channel.
    type LinearMap = (Vec<f32>, f32);

    /// An ONNX network on `[1, channels, 1, 12]` with one 1x1 convolution for each output: its name and, for each of
    /// its channels, the weights of the input's channels and the bias.
    fn network(channels: usize, outputs: &[(&str, Vec<LinearMap>)]) -> Vec<u8> {
        let mut graph = Vec::new();
        for (name, maps) in outputs {
            let (weight, bias) = (format!("{name}_weight"), format!("{name}_bias"));
            let mut node = Vec::new();
            for input in ["input", &weight, &bias] {
                put_bytes(&mut node, 1, input.as_bytes());
            }
            put_bytes(&mut node, 2, name.as_bytes());
            put_bytes(&mut node, 4, b"Conv");
            put_bytes(&mut graph, 1, &node);
            let weights: Vec<f32> = maps.iter().flat_map(|(weights, _)| weights.clone()).collect();
            let biases: Vec<f32> = maps.iter().map(|&(_, bias)| bias).collect();
            put_bytes(&mut graph, 5, &tensor(&weight, &[maps.len(), channels, 1, 1], &weights));
            put_bytes(&mut graph, 5, &tensor(&bias, &[maps.len()], &biases));
        }
        put_bytes(&mut graph, 2, b"lidar");
        put_bytes(&mut graph, 11, &value_info("input", &[1, channels, 1, COLUMNS]));
        for (name, maps) in outputs {
            put_bytes(&mut graph, 12, &value_info(name, &[1, maps.len(), 1, COLUMNS]));
        }
        let mut operators = Vec::new();
        put_bytes(&mut operators, 1, b"");
        put_number(&mut operators, 2, 13);
        let mut model = Vec::new();
        put_number(&mut model, 1, 8);
        put_bytes(&mut model, 7, &graph);
        put_bytes(&mut model, 8, &operators);
        model
    }

    fn constant(values: &[f32]) -> Vec<(Vec<f32>, f32)> {
        values.iter().map(|&value| (vec![0.0, 0.0], value)).collect()
    }

    /// A network that takes for a forklift what is nearer than 5 m and for a person what is nearer than 2 m; the centre
    /// is always 0.25 m behind the point, the length 2 m along the line of sight.
    fn near_things() -> Vec<u8> {
        // Channels: valid, and the range by 10 m.
        let logits = vec![(vec![0.0, -80.0], 16.0), (vec![0.0, -20.0], 10.0)];
        let outputs = [
            (CLASS_LOGITS, logits),
            (VOTES, constant(&[0.25, 0.0, 0.125])),
            (BOXES, constant(&[2.0_f32.ln(), 0.0, 0.0, 0.0, 1.0])),
        ];
        network(2, &outputs)
    }

    fn spec() -> LidarSpec {
        LidarSpec { channels: vec![RangeChannel::Valid, RangeChannel::Range], ..scan_spec(COLUMNS) }
    }

    fn load(network: &[u8], spec: LidarSpec) -> Result<LidarDetector, ModelError> {
        let bytes = write_metadata(network, &BundleMetadata::new(spec)).unwrap();
        LidarDetector::from_bytes(&bytes, "near.onnx", &SessionOptions::default())
    }

    /// A point in the middle of a column.
    fn point(column: usize, range: f32) -> [f32; 3] {
        let azimuth = scan_spec(COLUMNS).grid.azimuth_of(column);
        [range * azimuth.cos(), range * azimuth.sin(), 0.0]
    }

    fn sweep(points: Vec<[f32; 3]>) -> Sweep {
        Sweep { points, intensities: Vec::new(), rings: Vec::new(), rows: 1 }
    }

    #[test]
    fn points_and_objects_of_a_sweep_are_found() {
        if !has_runtime() {
            return;
        }
        let mut detector = load(&near_things(), spec()).unwrap();
        detector.warm_up().unwrap();
        // A person of two points, a wall, nothing, and a forklift with points behind it, 0.25 m, 2 m and not at all.
        let points = vec![
            point(5, 0.5),
            point(6, 0.5),
            point(2, 9.0),
            [f32::NAN; 3],
            point(0, 3.0),
            point(0, 3.25),
            point(0, 5.0),
            point(0, 3.0),
        ];
        let found = detector.detect(&sweep(points)).unwrap();
        assert_eq!(found.skipped, 0);
        let classes: Vec<_> = found.points.iter().map(|label| label.class).collect();
        assert_eq!(classes, [Some(0), Some(0), None, None, Some(1), Some(1), None, Some(1)]);
        // One point is no object.
        assert_eq!(found.objects.len(), 1, "{:?}", found.objects);
        let objects: Vec<_> = found.points.iter().map(|label| label.object).collect();
        assert_eq!(objects, [Some(0), Some(0), None, None, None, None, None, None]);
        let object = found.objects[0];
        assert_eq!((object.class, object.points), (0, 2));
        // Between the votes, which lie 0.75 m away, 15 degrees to both sides.
        let ahead = 0.75 * 15.0_f32.to_radians().cos();
        let expected = [ahead, 0.0, 0.125, 2.0, 1.0, 1.0, 0.0];
        let [x, y, z] = object.center;
        let [length, width, height] = object.size;
        for (found, expected) in [x, y, z, length, width, height, object.yaw].iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{object:?}");
        }
        assert!(object.score > 0.999 && found.points[2].score < 0.01, "{found:?}");
    }

    #[test]
    fn the_threshold_can_be_set_and_put_back() {
        if !has_runtime() {
            return;
        }
        let mut own = spec();
        own.class_thresholds.insert("forklift".into(), 0.75);
        let mut detector = load(&near_things(), own.clone()).unwrap();
        // The forklift's score is sigmoid(0) here.
        let beam = sweep(vec![point(3, 5.0)]);
        let mut class = |threshold: Option<f32>| {
            detector.set_score_threshold(threshold);
            (detector.detect(&beam).unwrap().points[0].class, detector.spec().threshold(1))
        };
        assert_eq!(class(None), (None, 0.75));
        assert_eq!(class(Some(0.25)), (Some(1), 0.25));
        assert_eq!(class(None), (None, 0.75));
        assert_eq!((detector.spec(), &detector.bundle().spec), (&own, &own));
    }

    #[test]
    fn what_is_not_finite_is_counted() {
        if !has_runtime() {
            return;
        }
        let outputs =
            [(CLASS_LOGITS, constant(&[4.0, f32::NAN])), (VOTES, constant(&[0.0; 3])), (BOXES, constant(&[0.0; 5]))];
        let mut detector = load(&network(2, &outputs), spec()).unwrap();
        let found = detector.detect(&sweep(vec![point(0, 1.0), point(1, 1.0)])).unwrap();
        assert_eq!((found.skipped, found.objects.len(), found.points[0].class), (2, 0, None));
    }

    #[test]
    fn misfits_are_named() {
        if !has_runtime() {
            return;
        }
        // No bundle, a camera's bundle, and a lidar's bundle for a camera.
        let plain = LidarDetector::from_bytes(&near_things(), "near.onnx", &SessionOptions::default());
        assert!(matches!(plain, Err(ModelError::Bundle { source: BundleError::Missing, .. })), "{plain:?}");
        let input = crate::model::InputSpec { width: COLUMNS, height: 1, ..Default::default() };
        let camera = ModelSpec::new(input, crate::model::HeadFormat::Yolov8, vec!["person".into()]);
        let bytes = write_metadata(&near_things(), &BundleMetadata::new(camera)).unwrap();
        let error = LidarDetector::from_bytes(&bytes, "near.onnx", &SessionOptions::default()).unwrap_err();
        assert!(error.to_string().contains("camera_detector"), "{error}");
        let bytes = write_metadata(&near_things(), &BundleMetadata::new(spec())).unwrap();
        let error = Detector::from_bytes(&bytes, "near.onnx", &SessionOptions::default()).unwrap_err();
        assert!(error.to_string().contains("lidar_detector"), "{error}");

        // Other inputs and outputs than the specification says.
        let wide = LidarSpec { channels: spec().channels, ..scan_spec(24) };
        assert!(matches!(
            load(&near_things(), wide),
            Err(ModelError::GridSize { network_columns: 12, columns: 24, .. })
        ));
        let deep = scan_spec(COLUMNS);
        assert!(matches!(load(&near_things(), deep), Err(ModelError::Input { channels: 9, .. })));
        let mut three = spec();
        three.classes.push("pallet".into());
        let error = load(&near_things(), three).unwrap().warm_up().unwrap_err();
        let source = HeadError::ClassCount { expected: 3, got: 2 };
        assert!(matches!(&error, ModelError::Head { source: found, .. } if *found == source), "{error}");
        let outputs = [(CLASS_LOGITS, constant(&[0.0; 2])), (VOTES, constant(&[0.0; 2]))];
        let error = load(&network(2, &outputs), spec()).unwrap().warm_up().unwrap_err().to_string();
        assert!(error.contains("votes") && error.contains("[1, 3, 1, 12]"), "{error}");
        let outputs = [(CLASS_LOGITS, constant(&[0.0; 2])), (VOTES, constant(&[0.0; 3]))];
        let error = load(&network(2, &outputs), spec()).unwrap().warm_up().unwrap_err().to_string();
        assert!(error.contains("boxes"), "{error}");

        // A range image of another size.
        let mut detector = load(&near_things(), spec()).unwrap();
        let image = RangeImage::project(&sweep(Vec::new()), &scan_spec(24).grid);
        assert!(matches!(detector.detect_image(&image), Err(ModelError::GridSize { columns: 24, .. })));
    }
}
