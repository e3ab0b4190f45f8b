//! A ladder for tests: five students, one of them refused, and a teacher.

use super::{
    Constraints, Front, LadderPoint, PointFigures, PointPrecision, PointState, Reference, Speedup, TestFigures,
    Yardstick,
};
use crate::{
    bench::Machine,
    distill::ablate::Settings,
    metrics::{ClassAp, Quartiles},
};

/// Figures of a model of so many milliseconds and kilobytes and of this AP50, the mean of two classes. The teacher takes 8 ms.
fn figures(latency_ms: f64, kilobytes: u64, ap50: f64) -> PointFigures {
    let class = |name: &str, ap50: f64| ClassAp {
        class: name.into(),
        truths: 9,
        ap: Some(0.75 * ap50),
        ap50: Some(ap50),
        ap75: Some(0.5 * ap50),
    };
    let median = latency_ms / 8.0;
    PointFigures {
        ap: Some(0.75 * ap50),
        ap50: Some(ap50),
        retention: Some(ap50),
        per_class: vec![class("person", ap50 + 0.05), class("pallet", ap50 - 0.05)],
        parameters: 1000 * kilobytes / 4,
        macs: Some(93_000_000),
        bytes: 1000 * kilobytes,
        latency_ms: Some(latency_ms),
        ratio: Some(Quartiles { lower: 0.9 * median, median, upper: 1.1 * median }),
    }
}

/// What a ladder found: `micro_int8` is chosen, for `micro` is too large.
pub(in crate::distill) fn example() -> Front {
    let constraints = Constraints {
        size_kb: Some(500.0),
        retention: Some(0.8),
        speedup_over: Some(Speedup { model: "yolox.onnx".into(), times: 2.0 }),
        latency_ms: None,
    };
    let point = |name: &str, from: Option<&str>, change: &str, precision, figures: Option<PointFigures>| LadderPoint {
        name: name.into(),
        from: from.map(str::to_owned),
        change: change.into(),
        bundle: format!("runs/{name}.onnx"),
        precision,
        offered: true,
        state: if figures.is_some() { PointState::Made } else { PointState::Refused },
        reason: figures.is_none().then(|| "loses <3> points".to_owned()),
        misses: figures.iter().flat_map(|figures| constraints.misses(figures)).collect(),
        figures,
        on_front: false,
    };
    let (fp32, int8, aware) = (PointPrecision::Fp32, PointPrecision::Int8, PointPrecision::Int8Aware);
    let pruned = "pruned to 50 % of the time, distilled";
    let points = vec![
        point("micro", None, "trained at 320x192", fp32, Some(figures(2.0, 1200, 0.9))),
        point("micro_int8", Some("micro"), "int8 after training", int8, Some(figures(1.8, 400, 0.875))),
        point("micro_time_50", Some("micro"), pruned, fp32, Some(figures(1.9, 600, 0.86))),
        point("micro_time_50_int8", Some("micro_time_50"), "int8 after training", int8, Some(figures(1.0, 200, 0.85))),
        point("micro_time_50_int8_aware", Some("micro_time_50"), "int8 in 4 epochs of training", aware, None),
    ];
    let test = |name: &str, ap50: f64| TestFigures {
        name: name.into(),
        ap: Some(0.75 * ap50),
        ap50: Some(ap50),
        per_class: figures(1.0, 1, ap50).per_class,
    };
    let mut front = Front {
        name: "small".into(),
        command: vec!["distill".into(), "compress".into(), "small <1>.yaml".into()],
        version: "0.1.0".into(),
        experiment: "warehouse.yaml".into(),
        seed: 1,
        set: Settings::new(),
        command_line_set: Vec::new(),
        machine: Machine::here(),
        latency_rounds: 60,
        compared_with: Some("yolox".into()),
        yardstick: Some(Yardstick { name: "fused teachers".into(), ap50: 1.0 }),
        truth: "boxes of yolox of score >= 0.4".into(),
        frames: 70,
        constraints: constraints.clone(),
        references: vec![Reference {
            name: "yolox".into(),
            path: "yolox.onnx".into(),
            figures: figures(8.0, 3600, 0.95),
        }],
        points,
        chosen: None,
        nearest: None,
        test: vec![
            test("micro", 0.88),
            test("micro_int8", 0.84),
            test("micro_time_50", 0.83),
            test("micro_time_50_int8", 0.82),
            test("yolox", 0.93),
        ],
        test_truth: "labels".into(),
        test_frames: 174,
    };
    front.choose();
    front
}
