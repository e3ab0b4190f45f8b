//! Export of students: the bundle says what burn says, holds what the nodes need, and keeps within its budget.
#![cfg(feature = "distill")]

mod support;

use burn::{
    module::Module,
    tensor::{Device, Distribution, Tensor},
};
use distilled_perception::{
    distill::{
        export::{count_macs, export, read_onnx, student_graph, write_onnx},
        loss::{LossConfig, NamedTerm, TargetBox, detection_loss},
        student::{AnchorPoint, CameraStudent, Convolution, Size, StudentConfig, WeightsError},
        teacher::{TeacherConfig, list_tensors, tapped_bytes},
    },
    geometry::Box2,
    model::{
        ModelSpec, Session, SessionOptions,
        bundle::{BundleMetadata, read_metadata},
        onnx_facts,
    },
};

fn config(size: Size) -> StudentConfig {
    StudentConfig::new(size, vec!["person".into(), "forklift".into()], 320, 192)
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().unwrap()
}

/// A student whose running statistics and weights are no longer the initial ones, so that folding has something to fold.
fn trained(config: &StudentConfig, device: &Device) -> CameraStudent {
    let mut student = CameraStudent::new(config, 5, device).unwrap();
    let mut optimizer = burn::optim::AdamConfig::new().init();
    let shape = [2, 3, config.height, config.width];
    let targets = vec![
        vec![TargetBox { bbox: Box2::new(10.0, 10.0, 50.0, 60.0), probabilities: vec![0.8, 0.1], weight: 1.0 }],
        vec![],
    ];
    for _ in 0..2 {
        let images = Tensor::<4>::random(shape, Distribution::Normal(0.5, 1.5), device);
        let terms = detection_loss(&student.forward(images), &targets, &LossConfig::default());
        let loss = NamedTerm::sum(&terms).expect("there are terms");
        let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &student);
        student = optimizer.step(1e-2, student, gradients);
    }
    student
}

#[test]
fn the_bundle_says_what_burn_says() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    for (size, convolution) in [
        (Size::Micro, Convolution::Plain),
        (Size::Small, Convolution::Plain),
        (Size::Base, Convolution::Plain),
        (Size::Micro, Convolution::Depthwise),
    ] {
        let config = StudentConfig { width: 96, height: 64, convolution, ..config(size) };
        let student = trained(&config, &device.clone().autodiff());
        let path = folder.path().join("student.onnx");
        let written = export(&student, &BundleMetadata::new(config.model_spec()), &path).unwrap();
        assert_eq!(read_metadata::<ModelSpec>(&path).unwrap().unwrap(), written);
        assert_eq!(written.parameters, onnx_facts(&path).unwrap().parameters);
        assert!(written.macs > 0);

        let images = Tensor::<4>::random([1, 3, 64, 96], Distribution::Normal(0.0, 1.0), &device);
        let plain = student.valid();
        let ours = plain.forward(images.clone());
        let folded = plain.clone().fold().forward(images.clone());
        let of = |output: &distilled_perception::distill::student::StudentOutput| {
            output.class_logits.iter().chain(&output.box_distributions).cloned().map(floats).collect::<Vec<_>>()
        };
        let (ours, folded) = (of(&ours), of(&folded));
        for (ours, folded) in ours.iter().flatten().zip(folded.iter().flatten()) {
            assert!((ours - folded).abs() <= 1e-4, "{size:?}: {ours} became {folded} by folding");
        }

        if !support::onnx_runtime() {
            continue;
        }
        let mut session = Session::load(&path, &SessionOptions::default()).unwrap();
        let names: Vec<&str> = session.outputs().iter().map(|output| output.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "class_logits_8",
                "class_logits_16",
                "class_logits_32",
                "box_distribution_8",
                "box_distribution_16",
                "box_distribution_32",
            ]
        );
        assert_eq!(session.inputs()[0].name, "images");
        let input = floats(images);
        let outputs = session.run(&[1, 3, 64, 96], &input).unwrap();
        for (theirs, ours) in outputs.tensors().unwrap().iter().zip(&ours) {
            assert_eq!(theirs.values.len(), ours.len(), "{}", theirs.name);
            for (theirs, ours) in theirs.values.iter().zip(ours) {
                assert!((theirs - ours).abs() <= 1e-4, "{size:?}: ONNX Runtime says {theirs}, burn {ours}");
            }
        }
    }
}

#[test]
fn the_tensors_named_by_anchor_points_hold_the_features_there() {
    if !support::onnx_runtime() {
        return;
    }
    let (device, options) = (Device::flex(), SessionOptions::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.onnx");
    let anchors: Vec<AnchorPoint> = AnchorPoint::all().collect();
    let names: Vec<String> = anchors.iter().map(ToString::to_string).collect();
    // Only the second smooths its finest level.
    for (size, convolution) in [(Size::Micro, Convolution::Plain), (Size::Base, Convolution::Depthwise)] {
        let config = StudentConfig { width: 96, height: 64, convolution, ..config(size) };
        let student = trained(&config, &device.clone().autodiff());
        export(&student, &BundleMetadata::new(config.model_spec()), &path).unwrap();

        let listed = list_tensors(&TeacherConfig::new(&path)).unwrap();
        let suggested = listed.iter().filter(|tensor| tensor.suggested);
        let mut suggested: Vec<AnchorPoint> = suggested.map(|tensor| tensor.name.parse().unwrap()).collect();
        suggested.sort_unstable();
        assert_eq!(suggested, anchors);
        assert!(listed.len() > anchors.len());

        let images = Tensor::<4>::random([1, 3, 64, 96], Distribution::Normal(0.0, 1.0), &device);
        let (_, features) = student.valid().forward_with_features(images.clone(), &anchors);
        let input = floats(images);
        let bytes = tapped_bytes(&path, &names).unwrap();
        let mut tapped = Session::from_bytes(&bytes, "tapped", &options).unwrap();
        let tapped = tapped.run(&[1, 3, 64, 96], &input).unwrap();
        for anchor in &anchors {
            let name = anchor.to_string();
            let map = listed.iter().find(|tensor| tensor.name == name).unwrap();
            let (rows, columns) = anchor.grid(&config);
            assert_eq!([map.channels, map.height, map.width], [anchor.channels(&config), rows, columns], "{name}");
            assert_eq!(map.stride, anchor.stride(), "{name}");
            let ours = floats(features[anchor].clone());
            let theirs = tapped.tensor(&name).unwrap();
            assert_eq!(theirs.values.len(), ours.len(), "{name}");
            let most = ours.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            assert!(most > 0.0, "{size:?}: {name} is empty");
            for (theirs, ours) in theirs.values.iter().zip(&ours) {
                let allowed = 1e-4 * most.max(1.0);
                assert!((theirs - ours).abs() <= allowed, "{size:?}, {name}: ONNX Runtime says {theirs}, burn {ours}");
            }
        }
        // The outputs are the same whether something looks inside or not.
        let mut plain = Session::load(&path, &options).unwrap();
        let plain = plain.run(&[1, 3, 64, 96], &input).unwrap();
        let outputs = plain.tensors().unwrap();
        assert_eq!(outputs.len(), 6);
        for output in &outputs {
            let tapped = tapped.tensor(&output.name).unwrap();
            for (tapped, plain) in tapped.values.iter().zip(output.values.iter()) {
                assert!((tapped - plain).abs() <= 1e-4, "{size:?}, {}: {tapped} became of {plain}", output.name);
            }
        }
    }
}

#[test]
fn the_graph_is_plain_and_within_budget() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    // Parameters, bytes and million multiply-accumulates at most.
    for (size, convolution, parameters, bytes, macs) in [
        (Size::Micro, Convolution::Plain, 400_000, 1_800_000, 105),
        (Size::Small, Convolution::Plain, 800_000, 3_200_000, 260),
        (Size::Base, Convolution::Plain, 1_200_000, 5_000_000, 650),
        (Size::Small, Convolution::Depthwise, 120_000, 500_000, 50),
    ] {
        let config = StudentConfig { convolution, ..config(size) };
        let student = CameraStudent::new(&config, 1, &device).unwrap();
        let model = student_graph(&student, config.width, config.height).unwrap();
        let mut operators: Vec<&str> = model.graph.node.iter().map(|node| node.op_type.as_str()).collect();
        operators.sort_unstable();
        operators.dedup();
        let known = ["Add", "Conv", "Relu", "Resize"];
        assert!(operators.iter().all(|operator| known.contains(operator)), "{size:?} holds {operators:?}");
        let cost = count_macs(&model);
        assert!(cost.parameters <= parameters, "{size:?}: {cost:?}");
        let found = cost.macs.unwrap() / 1_000_000;
        assert!((macs / 2..=macs).contains(&found), "{size:?}: {found} million multiply-accumulates");
        let path = folder.path().join("student.onnx");
        write_onnx(&model, &path).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() <= bytes, "{size:?}");
        assert_eq!(count_macs(&read_onnx(&path).unwrap()), cost);
    }
}

/// Reference: scripts/reference/macs.py.
#[test]
fn the_cost_of_foreign_networks_is_counted() {
    for (name, parameters, macs) in [
        ("FastestDet_352.onnx", 240_305, 121_491_744),
        ("nanodet_m_416.onnx", 941_826, 578_357_208),
        ("yolox_nano_416.onnx", 904_467, 522_553_408),
    ] {
        let model = format!("models/{name}");
        let Some(data) = support::test_data(&model) else { continue };
        let cost = count_macs(&read_onnx(&data.join(model)).unwrap());
        assert_eq!((cost.parameters, cost.macs), (parameters, Some(macs)), "{name}");
    }
}

#[test]
fn what_is_no_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    assert!(read_onnx(&path).unwrap_err().to_string().contains("model.onnx"));
    for bytes in [&b"not a model at all"[..], b""] {
        std::fs::write(&path, bytes).unwrap();
        let error = read_onnx(&path).unwrap_err().to_string();
        assert!(error.contains("not an ONNX model"), "{error}");
    }
}

#[test]
fn weights_come_back_bit_by_bit_and_only_where_they_fit() {
    let device = Device::flex().autodiff();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.bpk");
    let config = StudentConfig { width: 64, height: 64, ..config(Size::Micro) };
    let student = trained(&config, &device);
    student.save(&path).unwrap();
    let images = Tensor::<4>::random([1, 3, 64, 64], Distribution::Normal(0.0, 1.0), &device.clone().inner());
    let of = |student: &CameraStudent| floats(student.valid().forward(images.clone()).box_distributions[0].clone());
    let other = CameraStudent::new(&config, 99, &device).unwrap();
    assert_ne!(of(&other), of(&student));
    assert_eq!(of(&other.load(&path).unwrap()), of(&student));

    let larger = CameraStudent::new(&StudentConfig { size: Size::Base, ..config.clone() }, 1, &device).unwrap();
    assert!(matches!(larger.load(&path), Err(WeightsError::Foreign { .. })));
    std::fs::write(&path, b"text").unwrap();
    let broken = CameraStudent::new(&config, 1, &device).unwrap();
    assert!(matches!(broken.load(&path), Err(WeightsError::Foreign { .. })));
    let absent = CameraStudent::new(&config, 1, &device).unwrap();
    assert!(matches!(absent.load(&folder.path().join("none")), Err(WeightsError::Io { .. })));
}

#[test]
fn a_seed_gives_one_student() {
    let device = Device::flex();
    let images = Tensor::<4>::random([1, 3, 64, 64], Distribution::Normal(0.0, 1.0), &device);
    let config = StudentConfig { width: 64, height: 64, ..config(Size::Micro) };
    let of = |seed| {
        let student = CameraStudent::new(&config, seed, &device).unwrap();
        floats(student.forward(images.clone()).class_logits[1].clone())
    };
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
}
