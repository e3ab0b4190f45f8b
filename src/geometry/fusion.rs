//! Weighted box fusion: one set of boxes out of what several detectors found in the same image.
//!
//! After Solovyev, Wang and Gabruseva, "Weighted boxes fusion: Ensembling boxes from different object detection models",
//! Image and Vision Computing 107 (2021), with whole probability vectors in the place of one score.

use std::cmp::Ordering;

use super::Box2;

/// What one detector says about an image.
#[derive(Debug, Clone, PartialEq)]
pub struct FusionSource<'a> {
    /// How far the detector is trusted, above 0.
    pub trust: f32,
    /// Per class, whether the detector could have seen it at all. A detector that does not know a class does not lower
    /// that class's scores by its silence.
    pub knows: &'a [bool],
    /// What it found, its own duplicates already suppressed.
    pub boxes: Vec<FusionBox<'a>>,
}

/// One box with its score per class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FusionBox<'a> {
    /// Where, in pixels.
    pub bbox: Box2,
    /// Score per class in `[0, 1]`.
    pub probabilities: &'a [f32],
}

/// A box that one or more detectors agreed on.
#[derive(Debug, Clone, PartialEq)]
pub struct FusedBox {
    /// The mean of the members' boxes, each weighted by trust times score.
    pub bbox: Box2,
    /// Per class `sum of trust * score over the members / sum of trust over all detectors that know the class`, so a
    /// detector that missed the box counts as a score of 0.
    pub probabilities: Vec<f32>,
    /// Share of the trust that saw the box, among the detectors that know its class, in `(0, 1]`.
    pub agreement: f32,
    /// Mean trust of the detectors that saw the box.
    pub trust: f32,
}

impl FusedBox {
    /// The most probable class and its score; `(0, 0.0)` when there are no classes.
    pub fn best(&self) -> (usize, f32) {
        let better = |best: (usize, f32), next: (usize, f32)| if next.1 > best.1 { next } else { best };
        self.probabilities.iter().copied().enumerate().fold((0, 0.0), better)
    }

    /// The most probable class's score.
    pub fn score(&self) -> f32 {
        self.best().1
    }
}

/// A detection on its way into a cluster.
struct Candidate<'a> {
    source: usize,
    class: usize,
    bbox: Box2,
    probabilities: &'a [f32],
    trust: f64,
    /// Trust times the score of its best class.
    confidence: f64,
}

/// Detections that mean the same object, and the running mean of their boxes.
struct Cluster<'a> {
    members: Vec<Candidate<'a>>,
    fused: Box2,
}

impl Cluster<'_> {
    fn update(&mut self) {
        let total: f64 = self.members.iter().map(|member| member.confidence).sum();
        let mean = |edge: fn(&Box2) -> f32| {
            (self.members.iter().map(|member| member.confidence * f64::from(edge(&member.bbox))).sum::<f64>() / total)
                as f32
        };
        self.fused = Box2::new(mean(|b| b.x_min), mean(|b| b.y_min), mean(|b| b.x_max), mean(|b| b.y_max));
    }
}

/// Fuses the detections of several detectors.
///
/// Detections are taken by descending trust times score. Each joins the cluster of its own best class whose running fused
/// box it overlaps most, if by an IoU over `iou_threshold`; otherwise it opens a cluster. A detector has at most one box in
/// a cluster: what it holds apart stays apart, and one detector alone passes through unchanged. The published rule scales the
/// mean confidence by `min(T, N) / N` for `T` boxes from `N` models; with one box per model and unequal trust that is the
/// trust-weighted mean over all models with a missed box as 0.
///
/// The order of the sources does not change the result. Boxes without area or with edges or scores that are not finite
/// numbers, detections whose best score is 0 and sources without positive trust are left out; classes beyond the length of
/// `knows` count as unknown. The result is sorted by descending score.
pub fn weighted_box_fusion(sources: &[FusionSource<'_>], iou_threshold: f32) -> Vec<FusedBox> {
    let classes = sources.iter().map(|source| source.knows.len()).max().unwrap_or(0);
    let trust_per_class: Vec<f64> = (0..classes).map(|class| trust_in(sources, class)).collect();

    let mut clusters: Vec<Cluster<'_>> = Vec::new();
    for candidate in sorted_candidates(sources) {
        let best = clusters
            .iter_mut()
            .filter(|cluster| cluster.members[0].class == candidate.class)
            .filter(|cluster| cluster.members.iter().all(|member| member.source != candidate.source))
            .map(|cluster| (cluster.fused.iou(&candidate.bbox), cluster))
            .filter(|(overlap, _)| *overlap > iou_threshold)
            // `reduce` and not `max_by`: of equal overlaps the earlier, more confident cluster wins.
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        match best {
            Some((_, cluster)) => {
                cluster.members.push(candidate);
                cluster.update();
            }
            None => clusters.push(Cluster { fused: candidate.bbox, members: vec![candidate] }),
        }
    }

    let mut fused: Vec<FusedBox> = clusters.iter().map(|cluster| fuse(cluster, &trust_per_class)).collect();
    fused.sort_by(|a, b| b.score().total_cmp(&a.score()).then_with(|| compare_boxes(&a.bbox, &b.bbox)));
    fused
}

/// Whether a detector may take part with this trust.
fn is_trusted(source: &FusionSource<'_>) -> bool {
    source.trust.is_finite() && source.trust > 0.0
}

/// The trust of all detectors that know the class, summed in an order that does not depend on the sources' order.
fn trust_in(sources: &[FusionSource<'_>], class: usize) -> f64 {
    let mut trusts: Vec<f64> = sources
        .iter()
        .filter(|source| is_trusted(source) && source.knows.get(class) == Some(&true))
        .map(|source| f64::from(source.trust))
        .collect();
    trusts.sort_by(f64::total_cmp);
    trusts.iter().sum()
}

fn sorted_candidates<'a>(sources: &[FusionSource<'a>]) -> Vec<Candidate<'a>> {
    let mut candidates = Vec::with_capacity(sources.iter().map(|source| source.boxes.len()).sum());
    for (index, source) in sources.iter().enumerate().filter(|(_, source)| is_trusted(source)) {
        for found in &source.boxes {
            let probabilities = &found.probabilities[..found.probabilities.len().min(source.knows.len())];
            if !found.bbox.is_valid() || probabilities.iter().any(|score| !score.is_finite()) {
                continue;
            }
            let best = probabilities
                .iter()
                .copied()
                .enumerate()
                .filter(|&(class, score)| source.knows[class] && score > 0.0)
                .reduce(|best, next| if next.1 > best.1 { next } else { best });
            if let Some((class, score)) = best {
                let trust = f64::from(source.trust);
                candidates.push(Candidate {
                    source: index,
                    class,
                    bbox: found.bbox,
                    probabilities,
                    trust,
                    confidence: trust * f64::from(score),
                });
            }
        }
    }
    candidates.sort_by(|a, b| {
        b.confidence
            .total_cmp(&a.confidence)
            .then_with(|| b.trust.total_cmp(&a.trust))
            .then_with(|| compare_boxes(&a.bbox, &b.bbox))
            .then_with(|| compare_slices(a.probabilities, b.probabilities))
    });
    candidates
}

fn fuse(cluster: &Cluster<'_>, trust_per_class: &[f64]) -> FusedBox {
    let seen: f64 = cluster.members.iter().map(|member| member.trust).sum();
    let probabilities = trust_per_class
        .iter()
        .enumerate()
        .map(|(class, &total)| {
            let votes: f64 = cluster
                .members
                .iter()
                .map(|member| member.trust * f64::from(member.probabilities.get(class).copied().unwrap_or(0.0)))
                .sum();
            if total > 0.0 { (votes / total).clamp(0.0, 1.0) as f32 } else { 0.0 }
        })
        .collect();
    FusedBox {
        bbox: cluster.fused,
        probabilities,
        agreement: (seen / trust_per_class[cluster.members[0].class]).min(1.0) as f32,
        trust: (seen / cluster.members.len() as f64) as f32,
    }
}

fn compare_boxes(a: &Box2, b: &Box2) -> Ordering {
    let edges = |b: &Box2| [b.x_min, b.y_min, b.x_max, b.y_max];
    compare_slices(&edges(a), &edges(b))
}

fn compare_slices(a: &[f32], b: &[f32]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = Vec<(Box2, Vec<f32>)>;

    fn source<'a>(trust: f32, knows: &'a [bool], boxes: &'a Owned) -> FusionSource<'a> {
        let boxes = boxes.iter().map(|(bbox, probabilities)| FusionBox { bbox: *bbox, probabilities }).collect();
        FusionSource { trust, knows, boxes }
    }

    fn close(a: &FusedBox, b: &FusedBox) -> bool {
        let edges = |b: &Box2| [b.x_min, b.y_min, b.x_max, b.y_max];
        edges(&a.bbox).iter().zip(edges(&b.bbox)).all(|(a, b)| (a - b).abs() < 1e-3)
            && a.probabilities.iter().zip(&b.probabilities).all(|(a, b)| (a - b).abs() < 1e-6)
            && (a.agreement - b.agreement).abs() < 1e-6
            && (a.trust - b.trust).abs() < 1e-6
    }

    #[test]
    fn missed_boxes_count_as_zero_and_unequal_trust_weighs() {
        let first = vec![(Box2::new(0.0, 0.0, 10.0, 10.0), vec![0.9, 0.1])];
        let second = vec![
            (Box2::new(2.0, 0.0, 12.0, 10.0), vec![0.6, 0.2]),
            (Box2::new(50.0, 50.0, 60.0, 60.0), vec![0.1, 0.8]),
        ];
        let fused = weighted_box_fusion(&[source(1.0, &[true; 2], &first), source(0.5, &[true; 2], &second)], 0.55);
        assert_eq!(fused.len(), 2);
        // Confidences 0.9 and 0.3: x_min = 2 * 0.3 / 1.2.
        assert!(close(
            &fused[0],
            &FusedBox {
                bbox: Box2::new(0.5, 0.0, 10.5, 10.0),
                probabilities: vec![1.2 / 1.5, 0.2 / 1.5],
                agreement: 1.0,
                trust: 0.75
            }
        ));
        assert!(close(
            &fused[1],
            &FusedBox {
                bbox: Box2::new(50.0, 50.0, 60.0, 60.0),
                probabilities: vec![0.05 / 1.5, 0.4 / 1.5],
                agreement: 0.5 / 1.5,
                trust: 0.5
            }
        ));
    }

    #[test]
    fn silence_about_an_unknown_class_does_not_lower_it() {
        let first = vec![(Box2::new(0.0, 0.0, 10.0, 10.0), vec![0.0, 0.8])];
        let fused = weighted_box_fusion(
            &[source(1.0, &[true, true], &first), source(1.0, &[true, false], &Owned::new())],
            0.55,
        );
        assert_eq!(fused[0].probabilities, [0.0, 0.8]);
        assert_eq!(fused[0].agreement, 1.0);
    }

    #[test]
    fn boxes_of_different_classes_stay_apart() {
        let bbox = Box2::new(0.0, 0.0, 10.0, 10.0);
        let (first, second) = (vec![(bbox, vec![0.9, 0.1])], vec![(bbox, vec![0.1, 0.9])]);
        let fused = weighted_box_fusion(&[source(1.0, &[true; 2], &first), source(1.0, &[true; 2], &second)], 0.55);
        assert_eq!(fused.len(), 2);
        assert!(fused.iter().all(|fused| fused.agreement == 0.5));
    }

    #[test]
    fn unusable_input_is_left_out() {
        let odd = vec![
            (Box2::new(f32::NAN, 0.0, 1.0, 1.0), vec![0.5]),
            (Box2::new(0.0, 0.0, 0.0, 1.0), vec![0.5]),
            (Box2::new(0.0, 0.0, 1.0, 1.0), vec![f32::NAN]),
            (Box2::new(0.0, 0.0, 1.0, 1.0), vec![0.0]),
            (Box2::new(0.0, 0.0, 1.0, 1.0), vec![]),
        ];
        let fine = vec![(Box2::new(0.0, 0.0, 1.0, 1.0), vec![0.5])];
        assert!(weighted_box_fusion(&[source(1.0, &[true], &odd)], 0.5).is_empty());
        assert!(weighted_box_fusion(&[source(0.0, &[true], &fine), source(f32::NAN, &[true], &fine)], 0.5).is_empty());
        assert!(weighted_box_fusion(&[], 0.5).is_empty());
    }

    #[derive(serde::Deserialize)]
    struct Reference {
        classes: usize,
        iou: f32,
        cases: Vec<ReferenceCase>,
    }

    #[derive(serde::Deserialize)]
    struct ReferenceCase {
        models: Vec<ReferenceModel>,
        fused: Vec<ReferenceBox>,
    }

    #[derive(serde::Deserialize)]
    struct ReferenceModel {
        trust: f32,
        boxes: Vec<[f32; 4]>,
        probabilities: Vec<Vec<f32>>,
    }

    #[derive(serde::Deserialize)]
    struct ReferenceBox {
        #[serde(rename = "box")]
        bbox: [f32; 4],
        score: f32,
        label: usize,
    }

    /// The expected values come from the authors' own package, see `scripts/reference/fusion.py`.
    #[test]
    fn agrees_with_the_published_implementation() {
        let reference: Reference = serde_json::from_str(include_str!("../../tests/fixtures/fusion.json")).unwrap();
        for case in &reference.cases {
            let owned: Vec<(f32, Owned)> = case
                .models
                .iter()
                .map(|model| {
                    let boxes = model.boxes.iter().map(|&[a, b, c, d]| Box2::new(a, b, c, d));
                    (model.trust, boxes.zip(model.probabilities.iter().cloned()).collect())
                })
                .collect();
            let knows = vec![true; reference.classes];
            let sources: Vec<_> = owned.iter().map(|(trust, boxes)| source(*trust, &knows, boxes)).collect();
            let fused = weighted_box_fusion(&sources, reference.iou);
            assert_eq!(fused.len(), case.fused.len());
            for expected in &case.fused {
                let matches = fused.iter().filter(|fused| {
                    let edges = [fused.bbox.x_min, fused.bbox.y_min, fused.bbox.x_max, fused.bbox.y_max];
                    edges.iter().zip(expected.bbox).all(|(a, b)| (a - b).abs() < 1e-2)
                        && (fused.probabilities[expected.label] - expected.score).abs() < 1e-5
                        && fused.score() == fused.probabilities[expected.label]
                });
                assert_eq!(matches.count(), 1, "box {:?} of class {}", expected.bbox, expected.label);
            }
        }
    }

    fn boxes(classes: usize) -> impl Strategy<Value = Owned> {
        let one =
            (0.0..200.0f32, 0.0..200.0f32, 5.0..80.0f32, 5.0..80.0f32, prop::collection::vec(0.01..1.0f32, classes))
                .prop_map(|(x, y, width, height, probabilities)| {
                    (Box2::new(x, y, x + width, y + height), probabilities)
                });
        prop::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn order_of_the_sources_does_not_matter(
            (teachers, shuffled) in prop::collection::vec((0.1..1.0f32, boxes(3)), 1..5)
                .prop_flat_map(|teachers| (Just(teachers.clone()), Just(teachers).prop_shuffle())),
        ) {
            let sources = |teachers: &[(f32, Owned)]| {
                let sources: Vec<_> =
                    teachers.iter().map(|(trust, boxes)| source(*trust, &[true; 3], boxes)).collect();
                weighted_box_fusion(&sources, 0.5)
            };
            prop_assert_eq!(sources(&teachers), sources(&shuffled));
        }

        #[test]
        fn one_source_passes_through(boxes in boxes(2), trust in 0.1..1.0f32, iou_threshold in 0.1..0.9f32) {
            let fused = weighted_box_fusion(&[source(trust, &[true; 2], &boxes)], iou_threshold);
            prop_assert_eq!(fused.len(), boxes.len());
            for (bbox, probabilities) in &boxes {
                let same = fused.iter().any(|fused| {
                    fused.bbox == *bbox
                        && fused.agreement == 1.0
                        && fused.probabilities.iter().zip(probabilities).all(|(a, b)| (a - b).abs() < 1e-6)
                });
                prop_assert!(same);
            }
        }

        #[test]
        fn results_stay_in_bounds(teachers in prop::collection::vec((0.1..1.0f32, boxes(3)), 0..5)) {
            let sources: Vec<_> = teachers.iter().map(|(trust, boxes)| source(*trust, &[true; 3], boxes)).collect();
            let fused = weighted_box_fusion(&sources, 0.5);
            prop_assert!(fused.len() <= teachers.iter().map(|(_, boxes)| boxes.len()).sum());
            prop_assert!(fused.windows(2).all(|pair| pair[0].score() >= pair[1].score()));
            for fused in &fused {
                prop_assert!(fused.bbox.is_valid());
                prop_assert!(fused.probabilities.iter().all(|score| (0.0..=1.0).contains(score)));
                prop_assert!(fused.agreement > 0.0 && fused.agreement <= 1.0);
                prop_assert!(fused.trust > 0.0 && fused.trust <= 1.0);
            }
        }
    }
}
