//! Which cell learns which box: task-aligned assignment of TOOD ("Task-aligned One-stage Object Detection", Feng et al. 2021,
//! section 3.2), with the teacher's soft probabilities for the label.
//!
//! A cell is a candidate for a box when its centre lies inside; a box too small to hold a centre takes the nearest cell. Each
//! box takes the candidates of greatest alignment `score^a * iou^b` between what the student predicts there and the box. A
//! cell wanted by several boxes goes to the one it is most aligned with, where a box that the teachers doubt bids less.

use super::{
    LossConfig, TargetBox,
    cells::{Cells, distance},
};

/// What the student predicts for one image at present.
#[derive(Clone, Copy)]
pub struct Predictions<'a> {
    /// Class probabilities `[cells, classes]`.
    pub probabilities: &'a [f32],
    /// A cell's four distances in strides. Asked for where it matters only, because most cells lie in no box.
    pub distances: &'a dyn Fn(usize) -> [f32; 4],
}

/// One cell that learns a box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assigned {
    /// Index into [`Cells`].
    pub cell: usize,
    /// Index into the image's boxes.
    pub target: usize,
    /// How well the cell is aligned with the box, relative to the box's best cell, in `[0, 1]`; with
    /// [`LossConfig::localization_quality`] times the best IoU. The target score is the teacher's probability times this.
    pub quality: f32,
}

/// Smallest alignment: cells without any overlap are then ranked by their distance from the box's centre.
const FLOOR: f32 = 1e-9;

/// Assigns cells to the boxes of one image. Boxes without area or with coordinates that are not finite, and boxes of no
/// probability or weight, take no cell.
pub fn assign(
    cells: &Cells,
    predictions: Predictions<'_>,
    targets: &[TargetBox],
    config: &LossConfig,
) -> Vec<Assigned> {
    // Per cell the best bid so far: alignment, then the assignment.
    let mut bids: Vec<Option<(f32, Assigned)>> = vec![None; cells.len()];
    for (target, object) in targets.iter().enumerate() {
        let credit = object.credit();
        let Some((class, _)) = object.best() else { continue };
        if credit == 0.0 || !object.bbox.is_valid() {
            continue;
        }
        let mut aligned: Vec<(f32, f32, usize)> = cells
            .of_box(&object.bbox)
            .into_iter()
            .map(|cell| {
                let classes = object.probabilities.len();
                let score = predictions.probabilities[cell * classes + class].max(0.0);
                let iou = cells.decode(cell, &(predictions.distances)(cell)).iou(&object.bbox);
                let alignment = score.powf(config.alignment_score) * iou.powf(config.alignment_iou);
                let near = FLOOR / (1.0 + distance(cells.centers[cell], object.bbox.center()) / cells.strides[cell]);
                let alignment = if alignment.is_finite() { alignment + near } else { near };
                (alignment, if iou.is_finite() { iou } else { 0.0 }, cell)
            })
            .collect();
        aligned.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
        aligned.truncate(config.cells_per_box);
        let best_alignment = aligned.first().map_or(FLOOR, |best| best.0);
        let best_iou = aligned.iter().map(|bid| bid.1).fold(0.0, f32::max);
        let scale = if config.localization_quality { best_iou } else { 1.0 };
        for (alignment, _, cell) in aligned {
            let bid = alignment * credit;
            if bids[cell].is_none_or(|(other, _)| other < bid) {
                let quality = alignment / best_alignment * scale;
                bids[cell] = Some((bid, Assigned { cell, target, quality }));
            }
        }
    }
    bids.into_iter().flatten().map(|(_, assigned)| assigned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{distill::loss::cells::tests::cells, geometry::Box2};

    fn target(bbox: Box2) -> TargetBox {
        TargetBox { bbox, probabilities: vec![0.9], weight: 1.0 }
    }

    fn assign_all(targets: &[TargetBox], distances: &[f32]) -> Vec<Assigned> {
        let probabilities = vec![0.01; cells().len()];
        let of_cell = |cell: usize| std::array::from_fn(|side| distances[cell * 4 + side]);
        let predictions = Predictions { probabilities: &probabilities, distances: &of_cell };
        assign(&cells(), predictions, targets, &LossConfig::default())
    }

    #[test]
    fn the_best_predicting_cells_get_the_box() {
        let cells = cells();
        let object = Box2::new(8.0, 8.0, 56.0, 56.0);
        let mut distances = vec![0.5; cells.len() * 4];
        // One cell inside the box, of stride 16, predicts it exactly.
        let exact = (96..120).find(|&cell| cells.centers[cell] == (40.0, 24.0)).unwrap();
        distances[exact * 4..exact * 4 + 4].copy_from_slice(&[2.0, 1.0, 1.0, 2.0]);
        let assigned = assign_all(&[target(object)], &distances);
        assert_eq!(assigned.len(), 10);
        let best = assigned.iter().max_by(|a, b| a.quality.total_cmp(&b.quality)).unwrap();
        assert_eq!(best.cell, exact);
        assert!((best.quality - 1.0).abs() < 1e-6);
    }

    #[test]
    fn small_and_outlying_boxes_take_the_nearest_cell() {
        let cells = cells();
        let distances = vec![1.0; cells.len() * 4];
        let tiny = Box2::new(13.0, 13.0, 14.5, 14.5);
        let assigned = assign_all(&[target(tiny)], &distances);
        assert_eq!(assigned.len(), 1);
        assert_eq!(cells.centers[assigned[0].cell], (12.0, 12.0));
        let beyond = Box2::new(-40.0, -20.0, -10.0, -5.0);
        assert_eq!(cells.centers[assign_all(&[target(beyond)], &distances)[0].cell], (4.0, 4.0));
    }

    #[test]
    fn a_cell_has_one_box_and_every_box_a_cell() {
        let distances = vec![1.0; cells().len() * 4];
        let objects = [
            target(Box2::new(0.0, 0.0, 40.0, 40.0)),
            target(Box2::new(8.0, 8.0, 48.0, 48.0)),
            target(Box2::new(60.0, 30.0, 90.0, 60.0)),
        ];
        let assigned = assign_all(&objects, &distances);
        let mut taken: Vec<usize> = assigned.iter().map(|a| a.cell).collect();
        taken.dedup();
        assert_eq!(taken.len(), assigned.len());
        for index in 0..objects.len() {
            assert!(assigned.iter().any(|a| a.target == index), "box {index} has no cell");
        }
        assert!(assigned.iter().all(|a| (0.0..=1.0).contains(&a.quality)));
    }

    #[test]
    fn a_doubted_duplicate_takes_no_cell_from_a_sure_box() {
        let distances = vec![1.0; cells().len() * 4];
        let sure = target(Box2::new(8.0, 8.0, 48.0, 48.0));
        let doubted = TargetBox { probabilities: vec![0.06], ..sure.clone() };
        for objects in [[sure.clone(), doubted.clone()], [doubted, sure]] {
            let own = objects.iter().position(|object| object.probabilities[0] > 0.5).unwrap();
            let assigned = assign_all(&objects, &distances);
            assert!(assigned.iter().all(|a| a.target == own));
        }
    }

    #[test]
    fn nothing_is_learnt_from_broken_boxes_or_predictions() {
        let mut distances = vec![1.0; cells().len() * 4];
        let mut worthless = target(Box2::new(0.0, 0.0, 20.0, 20.0));
        worthless.weight = 0.0;
        let mut unknown = worthless.clone();
        (unknown.weight, unknown.probabilities) = (1.0, vec![f32::NAN]);
        let broken = target(Box2::new(0.0, f32::NAN, 20.0, 20.0));
        let empty = target(Box2::new(5.0, 5.0, 5.0, 9.0));
        assert!(assign_all(&[worthless, unknown, broken, empty], &distances).is_empty());
        distances.fill(f32::NAN);
        let assigned = assign_all(&[target(Box2::new(0.0, 0.0, 20.0, 20.0))], &distances);
        assert!(!assigned.is_empty() && assigned.iter().all(|a| a.quality.is_finite()));
    }
}
