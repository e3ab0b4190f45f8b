//! Average precision as COCO defines it (Lin et al. 2014), step for step as its reference implementation `pycocotools`
//! computes it: greedy matching by score at IoU 0.50:0.05:0.95, interpolated precision at 101 recalls, at most 100
//! detections an image and class, crowds neither found nor missed.

use serde::{Deserialize, Serialize};

use super::{
    Calibration, ClassCurve, Demand, ScoredBox, TruthBox, mean,
    pairing::Pairing,
    precision::{RECALL_POINTS, precision_at_recalls},
};

const IOU_THRESHOLDS: usize = 10;

/// Average precision of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassAp {
    /// Name of the class.
    pub class: String,
    /// Objects that were to be found.
    pub truths: usize,
    /// Mean over IoU 0.50:0.95; `None` when the data holds no object of the class.
    pub ap: Option<f64>,
    /// At IoU 0.50.
    pub ap50: Option<f64>,
    /// At IoU 0.75.
    pub ap75: Option<f64>,
}

/// Average precision over the classes that occur in the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApSummary {
    /// Mean over classes and IoU 0.50:0.95; `None` without any truth.
    pub ap: Option<f64>,
    /// At IoU 0.50.
    pub ap50: Option<f64>,
    /// At IoU 0.75.
    pub ap75: Option<f64>,
    /// Each class by itself.
    pub per_class: Vec<ClassAp>,
    /// Images seen.
    pub images: usize,
}

impl ApSummary {
    /// The means over classes; those without any truth do not count.
    pub fn of(per_class: Vec<ClassAp>, images: usize) -> Self {
        Self {
            ap: mean(per_class.iter().filter_map(|class| class.ap)),
            ap50: mean(per_class.iter().filter_map(|class| class.ap50)),
            ap75: mean(per_class.iter().filter_map(|class| class.ap75)),
            per_class,
            images,
        }
    }
}

/// How one detection fared at each IoU threshold.
#[derive(Clone, Copy)]
struct Judged {
    score: f32,
    /// Bit t: matched a truth at threshold t.
    matched: u16,
    /// Bit t: neither for nor against at threshold t.
    ignored: u16,
}

/// Collects images one by one, then gives the summary. Memory grows by 8 bytes a detection.
pub struct ApAccumulator {
    classes: Vec<String>,
    judged: Vec<Vec<Judged>>,
    truths: Vec<usize>,
    images: usize,
    iou_thresholds: [f64; IOU_THRESHOLDS],
}

impl ApAccumulator {
    /// An empty accumulator for classes of these names.
    pub fn new(classes: &[String]) -> Self {
        let step = (0.95 - 0.5) / 9.0;
        let mut iou_thresholds = [0.95; IOU_THRESHOLDS];
        for (index, threshold) in iou_thresholds.iter_mut().enumerate().take(IOU_THRESHOLDS - 1) {
            *threshold = index as f64 * step + 0.5;
        }
        Self {
            classes: classes.to_vec(),
            judged: vec![Vec::new(); classes.len()],
            truths: vec![0; classes.len()],
            images: 0,
            iou_thresholds,
        }
    }

    /// Judges one image's detections against its truth. Classes outside the known ones are passed over, and so are
    /// detections whose score or box is not a finite number.
    pub fn add_image(&mut self, truths: &[TruthBox], detections: &[ScoredBox]) {
        self.images += 1;
        for class in 0..self.classes.len() {
            let pairing = Pairing::new(class, truths, detections);
            self.truths[class] += pairing.objects.iter().filter(|(_, truth)| truth.demand == Demand::Required).count();
            let start = self.judged[class].len();
            let unmatched = |score| Judged { score, matched: 0, ignored: 0 };
            self.judged[class].extend(pairing.claims.iter().map(|(_, claim)| unmatched(claim.score)));
            for (index, threshold) in self.iou_thresholds.iter().enumerate() {
                let bit = 1u16 << index;
                for (claim, found) in pairing.at(*threshold).into_iter().enumerate() {
                    let Some(found) = found else { continue };
                    let judged = &mut self.judged[class][start + claim];
                    judged.matched |= bit;
                    if pairing.objects[found].1.demand != Demand::Required {
                        judged.ignored |= bit;
                    }
                }
            }
        }
    }

    /// Takes in everything that was added to another accumulator of the same classes, as if its images had been added here.
    pub fn append(&mut self, other: Self) {
        self.images += other.images;
        for (own, more) in self.judged.iter_mut().zip(other.judged) {
            own.extend(more);
        }
        for (own, more) in self.truths.iter_mut().zip(other.truths) {
            *own += more;
        }
    }

    /// The figures over everything added so far.
    pub fn finish(&self) -> ApSummary {
        let per_class: Vec<ClassAp> = (0..self.classes.len())
            .map(|class| {
                let at_thresholds = self.precision_at_thresholds(class);
                ClassAp {
                    class: self.classes[class].clone(),
                    truths: self.truths[class],
                    ap: at_thresholds.map(|values| values.iter().sum::<f64>() / IOU_THRESHOLDS as f64),
                    ap50: at_thresholds.map(|values| values[0]),
                    ap75: at_thresholds.map(|values| values[5]),
                }
            })
            .collect();
        ApSummary::of(per_class, self.images)
    }

    /// Precision over recall at IoU 0.50 and the calibration of each class that occurs in the data.
    pub fn curves(&self) -> Vec<ClassCurve> {
        let occurring = (0..self.classes.len()).filter(|&class| self.truths[class] > 0);
        let curve = |class: usize| ClassCurve {
            class: self.classes[class].clone(),
            precision: precision_at_recalls(verdicts(&self.by_score(class), 1), self.truths[class]).to_vec(),
            calibration: Calibration::of(self.claims_at_half(class)),
        };
        occurring.map(curve).collect()
    }

    /// The calibration over the detections of all classes; `None` before the first image.
    pub fn calibration(&self) -> Option<Calibration> {
        let all = || (0..self.classes.len()).flat_map(|class| self.claims_at_half(class));
        (self.images > 0).then(|| Calibration::of(all()))
    }

    /// The scores of a class's detections that count, and 1 for each that is right at IoU 0.50, else 0.
    fn claims_at_half(&self, class: usize) -> impl Iterator<Item = (f32, f64)> + '_ {
        let counting = self.judged[class].iter().filter(|claim| claim.ignored & 1 == 0);
        counting.map(|claim| (claim.score, f64::from(claim.matched & 1)))
    }

    fn by_score(&self, class: usize) -> Vec<Judged> {
        let mut judged = self.judged[class].clone();
        judged.sort_by(|a, b| b.score.total_cmp(&a.score));
        judged
    }

    fn precision_at_thresholds(&self, class: usize) -> Option<[f64; IOU_THRESHOLDS]> {
        let truths = self.truths[class];
        if truths == 0 {
            return None;
        }
        let judged = self.by_score(class);
        let mut values = [0.0; IOU_THRESHOLDS];
        for (index, value) in values.iter_mut().enumerate() {
            let precisions = precision_at_recalls(verdicts(&judged, 1 << index), truths);
            *value = precisions.iter().sum::<f64>() / RECALL_POINTS as f64;
        }
        Some(values)
    }
}

/// Of each claim that counts at a threshold's bit: whether it is right.
fn verdicts(judged: &[Judged], bit: u16) -> impl Iterator<Item = Option<bool>> {
    judged.iter().map(move |claim| (claim.ignored & bit == 0).then_some(claim.matched & bit != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Box2;

    fn truth(x: f32) -> TruthBox {
        TruthBox { bbox: Box2::new(x, 0.0, x + 10.0, 10.0), class: 0, demand: Demand::Required }
    }

    fn claim(x: f32, score: f32) -> ScoredBox {
        ScoredBox { bbox: Box2::new(x, 0.0, x + 10.0, 10.0), class: 0, score }
    }

    fn accumulator() -> ApAccumulator {
        ApAccumulator::new(&["person".to_owned()])
    }

    #[test]
    fn perfect_detections_score_one() {
        let mut ap = accumulator();
        ap.add_image(&[truth(0.0), truth(50.0)], &[claim(0.0, 0.9), claim(50.0, 0.8)]);
        let summary = ap.finish();
        assert!((summary.ap.unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_false_alarm_above_the_hits_costs_and_below_them_does_not() {
        let mut above = accumulator();
        above.add_image(&[truth(0.0)], &[claim(200.0, 0.9), claim(0.0, 0.8)]);
        assert!((above.finish().ap50.unwrap() - 0.5).abs() < 1e-9);
        let mut below = accumulator();
        below.add_image(&[truth(0.0)], &[claim(200.0, 0.7), claim(0.0, 0.8)]);
        assert!((below.finish().ap50.unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_second_claim_on_one_object_is_a_false_alarm() {
        let mut ap = accumulator();
        ap.add_image(&[truth(0.0), truth(100.0)], &[claim(0.0, 0.9), claim(1.0, 0.8), claim(100.0, 0.7)]);
        let value = ap.finish().ap50.unwrap();
        assert!(value < 0.9 && value > 0.7, "{value}");
    }

    #[test]
    fn a_crowd_swallows_any_number_of_claims() {
        let mut ap = accumulator();
        let region = TruthBox { bbox: Box2::new(100.0, 0.0, 200.0, 100.0), class: 0, demand: Demand::Crowd };
        ap.add_image(&[truth(0.0), region], &[claim(120.0, 0.95), claim(150.0, 0.9), claim(0.0, 0.8)]);
        let summary = ap.finish();
        assert!((summary.ap50.unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(summary.per_class[0].truths, 1);
    }

    #[test]
    fn an_optional_object_excuses_one_claim_that_fits_it() {
        let unsure = TruthBox { demand: Demand::Optional, ..truth(100.0) };
        let ap50 = |claims: &[ScoredBox]| {
            let mut ap = accumulator();
            ap.add_image(&[truth(0.0), unsure.clone()], claims);
            ap.finish().ap50.unwrap()
        };
        assert!((ap50(&[claim(101.0, 0.95), claim(0.0, 0.8)]) - 1.0).abs() < 1e-9);
        assert!((ap50(&[claim(101.0, 0.95), claim(100.0, 0.9), claim(0.0, 0.8)]) - 0.5).abs() < 1e-9);
        let inside = ScoredBox { bbox: Box2::new(102.0, 2.0, 105.0, 5.0), ..claim(0.0, 0.95) };
        assert!((ap50(&[inside, claim(0.0, 0.8)]) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_curve_falls_where_the_false_alarm_stands() {
        let mut ap = accumulator();
        // Right, wrong, right, by falling scores, of two objects.
        ap.add_image(&[truth(0.0), truth(50.0)], &[claim(0.0, 0.9), claim(200.0, 0.8), claim(50.0, 0.7)]);
        let curves = ap.curves();
        assert_eq!((curves.len(), curves[0].class.as_str(), curves[0].precision.len()), (1, "person", 101));
        let precision = &curves[0].precision;
        assert!((precision[50] - 1.0).abs() < 1e-9 && (precision[51] - 2.0 / 3.0).abs() < 1e-9, "{precision:?}");
        let mean = precision.iter().sum::<f64>() / 101.0;
        assert_eq!(Some(mean), ap.finish().ap50, "AP50 is the area under it");
    }

    #[test]
    fn calibration_counts_what_counts_alone() {
        let mut ap = accumulator();
        assert_eq!(ap.calibration(), None);
        let unsure = TruthBox { demand: Demand::Optional, ..truth(100.0) };
        ap.add_image(&[truth(0.0), unsure], &[claim(0.0, 0.95), claim(100.0, 0.85), claim(200.0, 0.55)]);
        let calibration = ap.calibration().unwrap();
        let counts: Vec<usize> = calibration.bins.iter().map(|bin| bin.count).collect();
        assert_eq!(counts, [0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(ap.curves()[0].calibration, calibration, "there is one class");
    }

    #[test]
    fn parts_come_to_the_whole() {
        let images = [
            (vec![truth(0.0), truth(50.0)], vec![claim(0.0, 0.9), claim(200.0, 0.8)]),
            (vec![truth(0.0)], vec![claim(1.0, 0.85), claim(300.0, 0.6)]),
        ];
        let (mut whole, mut parts) = (accumulator(), accumulator());
        for (truths, claims) in &images {
            whole.add_image(truths, claims);
            let mut part = accumulator();
            part.add_image(truths, claims);
            parts.append(part);
        }
        assert_eq!((parts.finish(), parts.curves()), (whole.finish(), whole.curves()));
        assert_eq!((parts.finish().images, parts.finish().per_class[0].truths), (2, 3));
        parts.append(accumulator());
        assert_eq!(parts.finish(), whole.finish());
    }

    #[test]
    fn without_truth_there_is_no_figure() {
        let mut ap = accumulator();
        ap.add_image(&[], &[claim(0.0, 0.9)]);
        assert_eq!(ap.finish().ap, None);
        ap.add_image(&[truth(0.0)], &[claim(0.0, f32::NAN)]);
        assert_eq!(ap.finish().ap, Some(0.0));
    }
}
