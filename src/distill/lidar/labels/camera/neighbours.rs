//! Which directions lie side by side.

use std::collections::HashMap;

/// Directions, given as azimuth and elevation in radians, sorted into cells for a quick look around one of them.
#[derive(Debug)]
pub(super) struct Neighbours<'a> {
    directions: &'a [[f64; 2]],
    cell: [f64; 2],
    cells: HashMap<[i32; 2], Vec<usize>>,
}

impl<'a> Neighbours<'a> {
    /// Sorts them into cells of this width and height, which are best about as large as the reach that is asked for later.
    pub fn new(directions: &'a [[f64; 2]], cell: [f64; 2]) -> Self {
        let mut cells: HashMap<[i32; 2], Vec<usize>> = HashMap::new();
        for (index, direction) in directions.iter().enumerate() {
            cells.entry(place(*direction, cell)).or_default().push(index);
        }
        Self { directions, cell, cells }
    }

    /// Visits all directions within `reach` to either side of the one with this index, itself among them.
    pub fn visit(&self, index: usize, reach: [f64; 2], mut visit: impl FnMut(usize)) {
        let [azimuth, elevation] = self.directions[index];
        let low = place([azimuth - reach[0], elevation - reach[1]], self.cell);
        let high = place([azimuth + reach[0], elevation + reach[1]], self.cell);
        for column in low[0]..=high[0] {
            for row in low[1]..=high[1] {
                let Some(members) = self.cells.get(&[column, row]) else { continue };
                for &other in members {
                    let direction = self.directions[other];
                    if (direction[0] - azimuth).abs() <= reach[0] && (direction[1] - elevation).abs() <= reach[1] {
                        visit(other);
                    }
                }
            }
        }
    }
}

fn place(direction: [f64; 2], cell: [f64; 2]) -> [i32; 2] {
    // Angles are within a turn and cells no smaller than a hundred thousandth, so this fits.
    [(direction[0] / cell[0]).floor() as i32, (direction[1] / cell[1]).floor() as i32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_what_is_near() {
        let directions: Vec<[f64; 2]> =
            (0..400).map(|i| [f64::from(i * 37 % 101) * 0.01 - 0.5, f64::from(i * 53 % 97) * 0.01 - 0.5]).collect();
        let neighbours = Neighbours::new(&directions, [0.03, 0.05]);
        for reach in [[0.02, 0.05], [0.1, 0.01]] {
            for index in 0..directions.len() {
                let mut found = Vec::new();
                neighbours.visit(index, reach, |other| found.push(other));
                found.sort_unstable();
                let near =
                    |other: &usize| (0..2).all(|i| (directions[*other][i] - directions[index][i]).abs() <= reach[i]);
                assert_eq!(found, (0..directions.len()).filter(near).collect::<Vec<_>>());
            }
        }
    }
}
