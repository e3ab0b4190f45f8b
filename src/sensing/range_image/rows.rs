//! Which row of a grid each point of a sweep belongs to.
//!
//! A spinning lidar's lasers each draw a ring of nearly one elevation, and rings are not evenly spaced: a grid's rows are these rings
//! where it has a row for each, because rows of equal height would hold two rings here and none there.

use super::{RangeGrid, Sweep, sweep::is_void};

/// Rings are no rings when points stray from their ring's mean by more than so many times what lies between rings: some sensors
/// number lasers that each scan the whole field of view.
const MAX_SPREAD: f64 = 4.0;

/// How points find their rows.
#[derive(Debug)]
pub(super) enum RowRule<'a> {
    /// The grid has one row.
    Single,
    /// Each ring has a row.
    Ring { rings: Rings<'a>, row_of_ring: Vec<Option<usize>> },
    /// By the direction of the point.
    Elevation,
}

impl<'a> RowRule<'a> {
    pub fn of(sweep: &'a Sweep, grid: &RangeGrid) -> Self {
        if grid.rows == 1 {
            return Self::Single;
        }
        let Some(rings) = Rings::of(sweep, grid) else { return Self::Elevation };
        match rows_of_rings(&ring_statistics(sweep, rings), grid.rows) {
            Some(row_of_ring) => Self::Ring { rings, row_of_ring },
            None => Self::Elevation,
        }
    }

    /// The row of the point with this index and these coordinates, `planar` being its distance in the x-y plane.
    pub fn row(&self, grid: &RangeGrid, index: usize, z: f32, planar: f32) -> Option<usize> {
        match self {
            Self::Single => Some(0),
            Self::Ring { rings, row_of_ring } => row_of_ring.get(rings.ring(index)).copied().flatten(),
            Self::Elevation => grid.row_of(z.atan2(planar)),
        }
    }
}

/// Where the number of a point's ring is found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rings<'a> {
    /// With each point.
    Numbered(&'a [u16]),
    /// The cloud's rows of so many points are the rings.
    Organised { width: usize },
}

impl<'a> Rings<'a> {
    fn of(sweep: &'a Sweep, grid: &RangeGrid) -> Option<Self> {
        if sweep.is_empty() {
            None
        } else if sweep.rings.len() == sweep.len() {
            Some(Self::Numbered(&sweep.rings))
        } else if sweep.rows == grid.rows && sweep.len().is_multiple_of(sweep.rows) {
            Some(Self::Organised { width: sweep.len() / sweep.rows })
        } else {
            None
        }
    }

    fn ring(&self, index: usize) -> usize {
        match self {
            Self::Numbered(rings) => usize::from(rings[index]),
            Self::Organised { width } => index / width,
        }
    }
}

/// The elevations of one ring's points, by their sines, which rise as they do and cost less.
#[derive(Debug, Clone, Copy, Default)]
struct RingStatistics {
    points: usize,
    sum: f64,
    sum_of_squares: f64,
}

impl RingStatistics {
    fn mean(&self) -> f64 {
        self.sum / self.points as f64
    }

    /// Sum of squared distances from the mean.
    fn scatter(&self) -> f64 {
        (self.sum_of_squares - self.sum * self.mean()).max(0.0)
    }
}

/// Statistics by ring number.
fn ring_statistics(sweep: &Sweep, rings: Rings<'_>) -> Vec<RingStatistics> {
    let mut statistics: Vec<RingStatistics> = Vec::new();
    for (index, point) in sweep.points.iter().enumerate().filter(|(_, point)| !is_void(point)) {
        let [x, y, z] = *point;
        let sine = f64::from(z / (x * x + y * y + z * z).sqrt());
        if !sine.is_finite() {
            continue;
        }
        let ring = rings.ring(index);
        if ring >= statistics.len() {
            statistics.resize(ring + 1, RingStatistics::default());
        }
        let ring = &mut statistics[ring];
        ring.points += 1;
        ring.sum += sine;
        ring.sum_of_squares += sine * sine;
    }
    statistics
}

/// The row of each ring, or `None` where points must find their rows by elevation: because there are more rings than rows or not
/// half as many, because the rings are none, or because some saw nothing and it cannot be told which.
fn rows_of_rings(statistics: &[RingStatistics], rows: usize) -> Option<Vec<Option<usize>>> {
    let mut seen: Vec<(usize, f64)> = statistics
        .iter()
        .enumerate()
        .filter(|(_, ring)| ring.points > 0)
        .map(|(ring, all)| (ring, all.mean()))
        .collect();
    let rings = seen.len();
    if rings < 2 || rings > rows {
        return None;
    }
    let lowest = seen.iter().map(|(_, mean)| *mean).fold(f64::INFINITY, f64::min);
    let highest = seen.iter().map(|(_, mean)| *mean).fold(f64::NEG_INFINITY, f64::max);
    let (steps, points) = (rings - 1, statistics.iter().map(|ring| ring.points).sum::<usize>());
    let scatter = statistics.iter().filter(|ring| ring.points > 0).map(RingStatistics::scatter).sum::<f64>();
    if (scatter / points as f64).sqrt() > MAX_SPREAD * (highest - lowest) / steps as f64 {
        return None;
    }
    // Most drivers number rings by elevation. Then the number is the row, also where some rings see nothing; a few that see only
    // what is near may seem to change places, as no laser sits in the very middle of its sensor.
    if statistics.len() <= rows && 2 * statistics.len() > rows {
        let rising = seen.windows(2).filter(|pair| pair[0].1 < pair[1].1).count();
        if 10 * rising >= 9 * steps {
            return Some((0..statistics.len()).map(Some).collect());
        }
        if 10 * (steps - rising) >= 9 * steps {
            return Some((0..statistics.len()).map(|ring| Some(rows - 1 - ring)).collect());
        }
    }
    if rings < rows {
        return None;
    }
    seen.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut row_of_ring = vec![None; statistics.len()];
    for (row, (ring, _)) in seen.into_iter().enumerate() {
        row_of_ring[ring] = Some(row);
    }
    Some(row_of_ring)
}
