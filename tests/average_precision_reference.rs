//! Our average precision against pycocotools (fixture by scripts/reference/average_precision.py).

use distilled_perception::{
    geometry::Box2,
    metrics::{ApAccumulator, Demand, ScoredBox, TruthBox},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    classes: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    images: usize,
    truths: Vec<Object>,
    detections: Vec<Object>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Object {
    image: usize,
    class: usize,
    xywh: [f32; 4],
    #[serde(default)]
    crowd: bool,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    score: f32,
}

impl Object {
    fn bbox(&self) -> Box2 {
        let [x, y, width, height] = self.xywh;
        Box2::new(x, y, x + width, y + height)
    }

    fn demand(&self) -> Demand {
        match (self.crowd, self.optional) {
            (true, _) => Demand::Crowd,
            (false, true) => Demand::Optional,
            (false, false) => Demand::Required,
        }
    }
}

#[derive(Deserialize)]
struct Expected {
    ap: Option<f64>,
    ap50: Option<f64>,
    ap75: Option<f64>,
    #[serde(default)]
    per_class: Vec<Expected>,
}

fn assert_close(what: &str, ours: Option<f64>, theirs: Option<f64>) {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => assert!((ours - theirs).abs() < 1e-6, "{what}: {ours} != {theirs}"),
        (ours, theirs) => assert_eq!(ours, theirs, "{what}"),
    }
}

#[test]
fn agrees_with_pycocotools() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/metrics/average_precision.json")).unwrap();
    for (number, case) in fixture.cases.iter().enumerate() {
        let mut accumulator = ApAccumulator::new(&fixture.classes);
        for image in 0..case.images {
            let truths: Vec<TruthBox> = case
                .truths
                .iter()
                .filter(|truth| truth.image == image)
                .map(|truth| TruthBox { bbox: truth.bbox(), class: truth.class, demand: truth.demand() })
                .collect();
            let detections: Vec<ScoredBox> = case
                .detections
                .iter()
                .filter(|claim| claim.image == image)
                .map(|claim| ScoredBox { bbox: claim.bbox(), class: claim.class, score: claim.score })
                .collect();
            accumulator.add_image(&truths, &detections);
        }
        let ours = accumulator.finish();
        assert_close(&format!("case {number} ap"), ours.ap, case.expected.ap);
        assert_close(&format!("case {number} ap50"), ours.ap50, case.expected.ap50);
        assert_close(&format!("case {number} ap75"), ours.ap75, case.expected.ap75);
        assert_eq!(ours.per_class.len(), case.expected.per_class.len());
        for (ours, theirs) in ours.per_class.iter().zip(&case.expected.per_class) {
            assert_close(&format!("case {number} {} ap", ours.class), ours.ap, theirs.ap);
            assert_close(&format!("case {number} {} ap50", ours.class), ours.ap50, theirs.ap50);
            assert_close(&format!("case {number} {} ap75", ours.class), ours.ap75, theirs.ap75);
        }
    }
}
