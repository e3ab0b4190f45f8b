//! Who gets whom, so that the sum of all costs is the least: the linear assignment problem with the choice to have nobody.
//!
//! Solved by the Hungarian algorithm of Kuhn and Munkres as the crate `pathfinding` has it.

use pathfinding::prelude::{Matrix, kuhn_munkres_min};

/// Costs are counted in millionths: the algorithm needs numbers with a total order.
const SCALE: f64 = 1e6;
/// Costs beyond this are as good as it.
const HIGHEST_COST: f64 = 1e6;
/// What a forbidden pair costs: more than any choice of nobody, so none is ever taken.
const FORBIDDEN: i64 = 1_000_000_000_000_000;

/// For each row the column that it gets, or `None`, so that the sum of all costs is the least.
///
/// `costs[row][column]` is `None` for a pair that must not be. A row that gets no column costs `unassigned[row]`; a column without a
/// row costs nothing. Costs that are not finite numbers count as forbidden.
pub(crate) fn assign(columns: usize, costs: &[Vec<Option<f64>>], unassigned: &[f64]) -> Vec<Option<usize>> {
    let mut result = vec![None; costs.len()];
    let allowed = |row: usize, column: usize| {
        costs[row].get(column).copied().flatten().filter(|cost| cost.is_finite()).map(fixed_point)
    };
    // Most rows and columns have no partner at all, and the work grows with the third power of the rest.
    let rows: Vec<usize> =
        (0..costs.len()).filter(|&row| (0..columns).any(|column| allowed(row, column).is_some())).collect();
    let taken: Vec<usize> =
        (0..columns).filter(|&column| rows.iter().any(|&row| allowed(row, column).is_some())).collect();
    if rows.is_empty() {
        return result;
    }
    // A column more for each row stands for nobody.
    let weights = Matrix::from_fn(rows.len(), taken.len() + rows.len(), |(row, column)| match taken.get(column) {
        Some(&column) => allowed(rows[row], column).unwrap_or(FORBIDDEN),
        None => unassigned.get(rows[row]).copied().map_or(fixed_point(HIGHEST_COST), fixed_point),
    });
    let (_, chosen) = kuhn_munkres_min(&weights);
    for (row, column) in rows.iter().zip(chosen) {
        result[*row] = taken.get(column).copied().filter(|&column| allowed(*row, column).is_some());
    }
    result
}

/// A cost in whole millionths; what is not a number counts as the highest.
fn fixed_point(cost: f64) -> i64 {
    let cost = if cost.is_nan() { HIGHEST_COST } else { cost.clamp(-HIGHEST_COST, HIGHEST_COST) };
    (cost * SCALE).round() as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sum_counts_and_not_the_nearest() {
        // Greedily the first row would take column 0 and leave the second with 9.
        let costs = [vec![Some(1.0), Some(2.0)], vec![Some(1.5), Some(9.0)]];
        assert_eq!(assign(2, &costs, &[20.0; 2]), [Some(1), Some(0)]);
    }

    #[test]
    fn nobody_is_better_than_a_costly_or_forbidden_column() {
        let costs = [vec![Some(5.0), None], vec![Some(1.0), None], vec![None, None]];
        assert_eq!(assign(2, &costs, &[4.0; 3]), [None, Some(0), None]);
        assert_eq!(assign(1, &[vec![Some(f64::NAN)]], &[4.0]), [None]);
        assert_eq!(assign(0, &[vec![]], &[4.0]), [None]);
        assert!(assign(3, &[], &[]).is_empty());
    }

    /// The least sum over all ways, tried one by one.
    fn least(columns: usize, costs: &[Vec<Option<f64>>], unassigned: f64, taken: &mut [bool], row: usize) -> f64 {
        if row == costs.len() {
            return 0.0;
        }
        let mut best = unassigned + least(columns, costs, unassigned, taken, row + 1);
        for column in 0..columns {
            if let (false, Some(cost)) = (taken[column], costs[row][column]) {
                taken[column] = true;
                best = best.min(cost + least(columns, costs, unassigned, taken, row + 1));
                taken[column] = false;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn no_other_assignment_is_cheaper(
            costs in (1..5usize).prop_flat_map(|columns| {
                prop::collection::vec(prop::collection::vec(prop::option::of(0.0..10.0f64), columns), 0..5)
            }),
            unassigned in 0.0..12.0f64,
        ) {
            let columns = costs.first().map_or(0, Vec::len);
            let found = assign(columns, &costs, &vec![unassigned; costs.len()]);
            let mut taken: Vec<usize> = found.iter().flatten().copied().collect();
            taken.sort_unstable();
            prop_assert!(taken.windows(2).all(|pair| pair[0] != pair[1]));
            let sum: f64 = found
                .iter()
                .enumerate()
                .map(|(row, column)| column.map_or(unassigned, |column| costs[row][column].unwrap_or(f64::INFINITY)))
                .sum();
            prop_assert!((sum - least(columns, &costs, unassigned, &mut vec![false; columns], 0)).abs() < 1e-4);
        }
    }
}
