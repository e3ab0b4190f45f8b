//! What a teacher's worth depends on: the picture's brightness and blur, the object's size and place.

use serde::{Deserialize, Serialize};

use super::{
    AuditOptions,
    evidence::{Evidence, mean, recall},
};
use crate::{
    distill::targets::{FrameTargets, TargetSet},
    geometry::Box2,
};

/// Bins that hold about as many values each.
const QUANTILES: usize = 5;
/// The picture in three columns and three rows.
const GRID: usize = 3;
const CELLS: [&str; GRID * GRID] = [
    "top left",
    "top centre",
    "top right",
    "middle left",
    "middle centre",
    "middle right",
    "bottom left",
    "bottom centre",
    "bottom right",
];

/// What something may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// Mean luma of the picture, 0 to 255.
    Brightness,
    /// Variance of the picture's Laplacian; low where it is blurred.
    Blur,
    /// Square root of the box's area over the picture's diagonal.
    Size,
    /// Where in the picture the box's centre lies, in a grid of 3 x 3.
    Position,
}

impl Factor {
    const ALL: [Self; 4] = [Self::Brightness, Self::Blur, Self::Size, Self::Position];

    /// Its word in text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brightness => "brightness",
            Self::Blur => "blur",
            Self::Size => "size",
            Self::Position => "position",
        }
    }

    /// Its value for a box in a frame; of the position the number of the grid's cell, row after row.
    fn value(self, frame: &FrameTargets, bbox: &Box2) -> f64 {
        let (width, height) = (f64::from(frame.width.max(1)), f64::from(frame.height.max(1)));
        match self {
            Self::Brightness => f64::from(frame.picture.brightness),
            Self::Blur => f64::from(frame.picture.blur),
            Self::Size => f64::from(bbox.area()).sqrt() / width.hypot(height),
            Self::Position => {
                let (x, y) = bbox.center();
                let cell = |place: f64| (place * GRID as f64).floor().clamp(0.0, (GRID - 1) as f64);
                cell(f64::from(y) / height) * GRID as f64 + cell(f64::from(x) / width)
            }
        }
    }
}

/// A teacher's figures by one factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependence {
    /// The factor.
    pub factor: Factor,
    /// From low to high; of the position row after row from the top left.
    pub bins: Vec<DependenceBin>,
}

/// The boxes and objects of one range of a factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DependenceBin {
    /// The range in words: `12 to 40`, `top left`.
    pub range: String,
    /// Lowest value; of the position the cell's number.
    pub from: f64,
    /// Highest value; of the position the cell's number.
    pub to: f64,
    /// Boxes that the teacher stands by.
    pub boxes: usize,
    /// Their mean score.
    pub mean_score: Option<f64>,
    /// Mean share of the other teachers who confirm them.
    pub agreement: Option<f64>,
    /// Share of them that is true, where there is truth.
    pub precision: Option<f64>,
    /// Objects of the truth.
    pub truths: usize,
    /// Share of them that the teacher stands by.
    pub recall: Option<f64>,
}

/// The borders between the bins of a factor, the same for all teachers.
struct Binning {
    inner: Vec<f64>,
    lowest: f64,
    highest: f64,
}

impl Binning {
    /// Borders at the quintiles of the values; equal ones are taken once, so that there may be fewer bins.
    fn quantiles(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (lowest, highest) =
            (values.first().copied().unwrap_or_default(), values.last().copied().unwrap_or_default());
        let mut inner: Vec<f64> = Vec::new();
        for index in 1..QUANTILES {
            let Some(&border) = values.get(index * values.len() / QUANTILES) else { continue };
            if border > inner.last().copied().unwrap_or(lowest) {
                inner.push(border);
            }
        }
        Self { inner, lowest, highest }
    }

    fn cells() -> Self {
        let last = CELLS.len() - 1;
        Self { inner: (1..=last).map(|cell| cell as f64).collect(), lowest: 0.0, highest: last as f64 }
    }

    fn bin(&self, value: f64) -> usize {
        self.inner.partition_point(|border| *border <= value)
    }

    fn count(&self) -> usize {
        self.inner.len() + 1
    }

    fn range(&self, bin: usize) -> (f64, f64) {
        let from = if bin == 0 { self.lowest } else { self.inner[bin - 1] };
        (from, self.inner.get(bin).copied().unwrap_or(self.highest))
    }
}

/// Per teacher and factor, of the boxes and objects of one class or of all.
pub(super) fn dependence(
    targets: &TargetSet,
    evidence: &[Evidence],
    class: Option<usize>,
    options: AuditOptions,
) -> Vec<Vec<Dependence>> {
    let mut all: Vec<Vec<Dependence>> = vec![Vec::new(); evidence.len()];
    for factor in Factor::ALL {
        let binning = binning(factor, targets, evidence, class, options);
        for (own, dependence) in evidence.iter().zip(&mut all) {
            dependence.push(Dependence { factor, bins: bins(factor, &binning, targets, own, class, options) });
        }
    }
    all
}

fn binning(
    factor: Factor,
    targets: &TargetSet,
    evidence: &[Evidence],
    class: Option<usize>,
    options: AuditOptions,
) -> Binning {
    match factor {
        Factor::Position => Binning::cells(),
        Factor::Brightness | Factor::Blur => {
            let nowhere = Box2::default();
            Binning::quantiles(targets.frames.iter().map(|frame| factor.value(frame, &nowhere)).collect())
        }
        Factor::Size => {
            let mut sizes = Vec::new();
            for claim in evidence.iter().flat_map(|own| own.stood_by(class, options)) {
                sizes.push(factor.value(&targets.frames[claim.frame], &claim.bbox));
            }
            Binning::quantiles(sizes)
        }
    }
}

fn bins(
    factor: Factor,
    binning: &Binning,
    targets: &TargetSet,
    own: &Evidence,
    class: Option<usize>,
    options: AuditOptions,
) -> Vec<DependenceBin> {
    let bin_of = |frame: usize, bbox: &Box2| binning.bin(factor.value(&targets.frames[frame], bbox));
    let mut claims = vec![Vec::new(); binning.count()];
    for claim in own.stood_by(class, options) {
        claims[bin_of(claim.frame, &claim.bbox)].push(claim);
    }
    let mut truths = vec![Vec::new(); binning.count()];
    for object in own.truths.iter().filter(|object| class.is_none_or(|class| object.class == class)) {
        truths[bin_of(object.frame, &object.bbox)].push(object);
    }
    let mut bins = Vec::with_capacity(binning.count());
    for (index, (claims, truths)) in claims.iter().zip(&truths).enumerate() {
        let (from, to) = binning.range(index);
        let correct = claims.iter().filter_map(|claim| claim.correct);
        bins.push(DependenceBin {
            range: if factor == Factor::Position { CELLS[index].to_owned() } else { words(from, to) },
            from,
            to: if factor == Factor::Position { from } else { to },
            boxes: claims.len(),
            mean_score: mean(claims.iter().map(|claim| f64::from(claim.score))),
            agreement: mean(claims.iter().filter_map(|claim| claim.agreement())),
            precision: mean(correct.map(|correct| if correct { 1.0 } else { 0.0 })),
            truths: truths.len(),
            recall: recall(truths.iter().copied()),
        });
    }
    bins
}

/// A range with as many digits as it takes to tell its ends apart.
fn words(from: f64, to: f64) -> String {
    let digits = if to >= 20.0 {
        0
    } else if to >= 2.0 {
        1
    } else {
        3
    };
    format!("{from:.digits$} to {to:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quintiles_hold_a_fifth_each_and_equal_values_stay_together() {
        let binning = Binning::quantiles((0..100).rev().map(f64::from).collect());
        assert_eq!(binning.count(), 5);
        let mut counts = [0; 5];
        (0..100).for_each(|value| counts[binning.bin(f64::from(value))] += 1);
        assert_eq!(counts, [20; 5]);
        assert_eq!((binning.range(0), binning.range(4)), ((0.0, 20.0), (80.0, 99.0)));
        let same = Binning::quantiles(vec![7.0; 50]);
        assert_eq!((same.count(), same.bin(7.0), same.range(0)), (1, 0, (7.0, 7.0)));
        assert_eq!(Binning::quantiles(vec![]).count(), 1);
    }

    #[test]
    fn boxes_lie_in_the_cell_of_their_centre() {
        let cell = |x: f32, y: f32| {
            let frame = super::super::tests::frame(0, vec![]);
            let value = Factor::Position.value(&frame, &Box2::from_center(x, y, 10.0, 10.0));
            CELLS[Binning::cells().bin(value)]
        };
        assert_eq!((cell(10.0, 10.0), cell(320.0, 180.0)), ("top left", "middle centre"));
        assert_eq!((cell(639.0, 20.0), cell(900.0, 359.0)), ("top right", "bottom right"));
        assert_eq!((words(3.0, 41.6), words(0.0, 0.25)), ("3 to 42".to_owned(), "0.000 to 0.250".to_owned()));
    }
}
