//! A lidar student as ONNX: the same outputs as in burn, plain operators, small enough for one thread of a robot.
#![cfg(feature = "distill")]

mod support;

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use distilled_perception::{
    distill::{
        export::count_macs,
        lidar::export::{export_lidar, lidar_graph},
    },
    model::{
        Session, SessionOptions,
        bundle::{BundleMetadata, read_metadata},
        lidar::{BOXES, CLASS_LOGITS, LidarDetector, LidarSpec, RangeChannel, VOTES},
    },
    sensing::range_image::{RangeGrid, Sweep},
};
use support::lidar_student::student;

/// A scan of 270 degrees.
fn scan() -> LidarSpec {
    let grid = RangeGrid { rows: 1, columns: 768, azimuth: [-2.356, 2.356], elevation: [0.0, 0.0] };
    LidarSpec::new(grid, RangeChannel::scan(), 10.0, vec!["person".into(), "pallet".into()])
}

/// A lidar of 8 rings around itself.
fn cloud() -> LidarSpec {
    let circle = [-std::f32::consts::PI, std::f32::consts::PI];
    let grid = RangeGrid { rows: 8, columns: 96, azimuth: circle, elevation: [-0.3, 0.3] };
    LidarSpec::new(grid, RangeChannel::cloud(), 20.0, vec!["person".into(), "pallet".into()])
}

#[test]
fn onnx_runtime_computes_what_burn_does() {
    if !support::onnx_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.onnx");
    for spec in [scan(), cloud()] {
        let student = student(&spec);
        export_lidar(&student, &BundleMetadata::new(spec.clone()), &path).unwrap();
        let shape = [1, spec.channels.len(), spec.grid.rows, spec.grid.columns];
        let count: usize = shape.iter().product();
        let input: Vec<f32> = (0..count).map(|index| (0.7 * index as f32).sin()).collect();
        let image = Tensor::<4>::from_data(TensorData::new(input.clone(), shape), &Device::flex());
        let output = student.valid().forward(image);
        let mut session = Session::load(&path, &SessionOptions::default()).unwrap();
        let found = session.run(&shape, &input).unwrap();
        for (name, burns) in [(CLASS_LOGITS, output.class_logits), (VOTES, output.votes), (BOXES, output.boxes)] {
            let (dims, ours) = (burns.dims(), burns.try_into_vec_as::<f32>().unwrap());
            let theirs = found.tensor(name).unwrap();
            assert_eq!(theirs.shape[..], dims, "{name}");
            for (theirs, ours) in theirs.values.iter().zip(ours) {
                assert!((theirs - ours).abs() <= 1e-4 * ours.abs().max(1.0), "{name}: {theirs} is not {ours}");
            }
        }
    }
}

#[test]
fn a_bundle_runs_as_a_detector() {
    if !support::onnx_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.onnx");
    let spec = scan();
    export_lidar(&student(&spec), &BundleMetadata::new(spec.clone()), &path).unwrap();
    let written = read_metadata::<LidarSpec>(&path).unwrap().unwrap();
    assert_eq!(written.spec, spec);
    let mut detector = LidarDetector::load(&path, &SessionOptions::default()).unwrap();
    let point = |beam: usize| [3.0 + 0.001 * beam as f32, 0.01 * beam as f32 - 3.0, 0.0];
    let sweep = Sweep { points: (0..768).map(point).collect(), ..Sweep::default() };
    assert_eq!(detector.detect(&sweep).unwrap().points.len(), 768);
}

#[test]
fn the_graph_is_plain_and_within_budget() {
    // Operators besides the usual ones, parameters and million multiply-accumulates at most.
    let cases: [(LidarSpec, &[&str], u64, u64); 2] =
        [(scan(), &[], 100_000, 30), (cloud(), &["Concat", "Slice"], 170_000, 45)];
    for (spec, extra, parameters, macs) in cases {
        let model = lidar_graph(&student(&spec), &spec).unwrap();
        let mut operators: Vec<&str> = model.graph.node.iter().map(|node| node.op_type.as_str()).collect();
        operators.sort_unstable();
        operators.dedup();
        let known = ["Add", "Conv", "Relu", "Resize"];
        let is_known = |operator: &&str| known.contains(operator) || extra.contains(operator);
        assert!(operators.iter().all(is_known), "{operators:?}");
        let cost = count_macs(&model);
        assert!((50_000..=parameters).contains(&cost.parameters), "{cost:?}");
        let found = cost.macs.unwrap() / 1_000_000;
        assert!((macs / 2..=macs).contains(&found), "{found} million multiply-accumulates");
    }
}
