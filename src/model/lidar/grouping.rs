//! Votes to objects.
//!
//! Greedy, best vote first: an unclaimed vote is the seed of an object. It claims the unclaimed votes of its class
//! within the class' radius, and so does the mean of these, to which the seed is only a first guess. Every further seed
//! lies farther than the radius from this one, so that a lookup of votes by place looks at each vote a few times only,
//! however many there are. The maxima of blurred votes that DROW takes (Beyer et al. 2016) find the same, but on a
//! raster, and do not say whose vote was whose.

use super::coding::yaw_of;
use super::{Grouping, LidarObject, LidarSpec};

/// How many of the best scores make an object's.
const SCORE_POINTS: usize = 3;
/// The least weight of a vote in a mean, so that scores of 0 do not divide by 0.
const MIN_WEIGHT: f32 = 1e-6;

/// A point that votes. All its values are finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Voter {
    /// Its cell in the range image.
    pub cell: usize,
    /// Its class.
    pub class: u16,
    /// The score of that class.
    pub score: f32,
    /// The centre that it votes for.
    pub center: [f32; 3],
    /// Logarithms of length, width and height.
    pub log_size: [f32; 3],
    /// Cosine and sine of the doubled yaw in the sensor frame.
    pub doubled_yaw: [f32; 2],
}

/// An object and the voters that make it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    pub object: LidarObject,
    /// Places among the voters.
    pub members: Vec<usize>,
}

/// The objects that are voted for, best score first: those with enough points, and as many as the specification allows.
pub(super) fn group(voters: &[Voter], spec: &LidarSpec) -> Vec<Group> {
    let groupings: Vec<Grouping> = (0..spec.classes.len()).map(|class| spec.grouping_of(class)).collect();
    let grouping = |voter: usize| groupings.get(usize::from(voters[voter].class)).copied().unwrap_or_default();
    let lookup = Lookup::new(voters, |voter| grouping(voter).radius);
    let mut order: Vec<usize> = (0..voters.len()).collect();
    // Stable: equal scores keep the order of the cells, so that the result depends on nothing but the input.
    order.sort_by(|&a, &b| voters[b].score.total_cmp(&voters[a].score));
    let mut is_claimed = vec![false; voters.len()];
    let mut groups = Vec::new();
    for seed in order {
        if is_claimed[seed] {
            continue;
        }
        let Grouping { radius, min_points } = grouping(seed);
        is_claimed[seed] = true;
        let mut members = vec![seed];
        let Voter { class, center: [x, y, _], .. } = voters[seed];
        lookup.claim(class, [x, y], radius, &mut is_claimed, &mut members);
        let [x, y, ..] = mean(voters, &members);
        lookup.claim(class, [x, y], radius, &mut is_claimed, &mut members);
        if members.len() >= min_points {
            groups.push(Group { object: object(voters, &members), members });
        }
    }
    groups.sort_by(|a, b| b.object.score.total_cmp(&a.object.score));
    groups.truncate(spec.max_objects);
    groups
}

fn object(voters: &[Voter], members: &[usize]) -> LidarObject {
    let [x, y, z, length, width, height, cos, sin] = mean(voters, members);
    LidarObject {
        class: members.first().map_or(0, |&member| usize::from(voters[member].class)),
        score: score(voters, members),
        center: [x, y, z],
        size: [length, width, height].map(f32::exp),
        yaw: yaw_of([cos, sin]),
        points: members.len(),
    }
}

/// Centre, logarithms of the size and doubled yaw of some voters, by their scores. Summed in 64 bits: absurd votes stay
/// finite.
fn mean(voters: &[Voter], members: &[usize]) -> [f32; 8] {
    let mut total = 0.0_f64;
    let mut sums = [0.0_f64; 8];
    for &member in members {
        let voter = &voters[member];
        let weight = f64::from(voter.score.max(MIN_WEIGHT));
        total += weight;
        let values = voter.center.iter().chain(&voter.log_size).chain(&voter.doubled_yaw);
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum += weight * f64::from(value);
        }
    }
    sums.map(|sum| (sum / total) as f32)
}

/// The mean of the best scores.
fn score(voters: &[Voter], members: &[usize]) -> f32 {
    let mut best = [0.0_f32; SCORE_POINTS];
    for &member in members {
        let mut score = voters[member].score;
        for place in &mut best {
            if score > *place {
                std::mem::swap(&mut score, place);
            }
        }
    }
    best.iter().sum::<f32>() / members.len().clamp(1, SCORE_POINTS) as f32
}

/// The voters by class and by the square of the x-y plane that they vote for, as wide as the class' radius.
struct Lookup<'v> {
    voters: &'v [Voter],
    /// Sorted, so that squares one above another lie together.
    places: Vec<(Square, usize)>,
}

/// Class, and place by x and by y in widths of the class' squares.
type Square = (u16, i32, i32);

impl<'v> Lookup<'v> {
    fn new(voters: &'v [Voter], radius: impl Fn(usize) -> f32) -> Self {
        let square = |(index, voter): (usize, &Voter)| {
            let [x, y, _] = voter.center;
            (square_of(voter.class, [x, y], radius(index)), index)
        };
        let mut places: Vec<(Square, usize)> = voters.iter().enumerate().map(square).collect();
        places.sort_unstable();
        Self { voters, places }
    }

    /// Claims the unclaimed voters of a class whose votes are within the radius.
    fn claim(&self, class: u16, [x, y]: [f32; 2], radius: f32, is_claimed: &mut [bool], members: &mut Vec<usize>) {
        let (_, column, row) = square_of(class, [x, y], radius);
        for column in column.saturating_sub(1)..=column.saturating_add(1) {
            let (first, last) = ((class, column, row.saturating_sub(1)), (class, column, row.saturating_add(1)));
            let start = self.places.partition_point(|(square, _)| *square < first);
            for &(_, index) in self.places[start..].iter().take_while(|(square, _)| *square <= last) {
                let [vote_x, vote_y, _] = self.voters[index].center;
                if !is_claimed[index] && (vote_x - x).hypot(vote_y - y) <= radius {
                    is_claimed[index] = true;
                    members.push(index);
                }
            }
        }
    }
}

/// Places beyond 32 bits share the outermost squares.
fn square_of(class: u16, place: [f32; 2], radius: f32) -> Square {
    let [x, y] = place.map(|metres| (f64::from(metres) / f64::from(radius)).floor() as i32);
    (class, x, y)
}

#[cfg(test)]
mod tests {
    use std::f32::consts::FRAC_PI_2;

    use super::*;
    use crate::model::lidar::spec::tests::scan_spec;

    fn voter(class: u16, score: f32, x: f32, y: f32) -> Voter {
        Voter { cell: 0, class, score, center: [x, y, 0.5], log_size: [0.0; 3], doubled_yaw: [1.0, 0.0] }
    }

    fn spec(radius: f32, min_points: usize) -> LidarSpec {
        let mut spec = scan_spec(8);
        spec.grouping.insert("person".into(), Grouping { radius, min_points });
        spec
    }

    #[test]
    fn votes_near_each_other_are_one_object() {
        let voters = [
            voter(0, 0.5, 1.0, 0.0),
            voter(0, 1.0, 1.25, 0.0),
            voter(0, 0.5, 1.0, 0.25),
            voter(0, 0.25, 3.0, 3.0),
            voter(0, 0.75, 3.0, 2.875),
        ];
        let groups = group(&voters, &spec(0.5, 2));
        assert_eq!(groups.len(), 2);
        // Weighted by the scores: (0.5 + 1.25 + 0.5) / 2 and 0.125 / 2.
        assert_eq!(groups[0].object.center, [1.125, 0.0625, 0.5]);
        assert_eq!((groups[0].object.score, groups[0].object.points), (2.0 / 3.0, 3));
        assert_eq!((groups[1].object.score, groups[1].object.points), (0.5, 2));
        let members: Vec<_> = groups.iter().map(|group| group.members.clone()).collect();
        assert_eq!(members, [vec![1, 0, 2], vec![4, 3]]);
    }

    #[test]
    fn classes_do_not_share_votes_and_have_their_own_radius() {
        // The forklift's radius is the usual 0.4 m: its votes are two objects, the persons' one.
        let voters = [
            voter(0, 0.9, 0.0, 0.0),
            voter(0, 0.8, 0.75, 0.0),
            voter(1, 0.7, 0.0, 0.0),
            voter(1, 0.7, 0.0, 0.1),
            voter(1, 0.6, 0.75, 0.0),
            voter(1, 0.6, 0.75, 0.1),
        ];
        let objects: Vec<_> =
            group(&voters, &spec(0.8, 1)).iter().map(|group| (group.object.class, group.members.clone())).collect();
        assert_eq!(objects, [(0, vec![0, 1]), (1, vec![2, 3]), (1, vec![4, 5])]);
    }

    #[test]
    fn the_mean_of_the_first_votes_claims_too() {
        // Out of the seed's reach, but in that of the mean of seed and neighbour, 0.3125.
        let voters = [voter(0, 0.75, 0.0, 0.0), voter(0, 0.75, 0.625, 0.0), voter(0, 0.5, 0.875, 0.0)];
        let groups = group(&voters, &spec(0.625, 1));
        assert_eq!(groups.len(), 1, "{groups:?}");
        assert_eq!(groups[0].members, [0, 1, 2]);
    }

    #[test]
    fn few_points_are_no_object_and_the_best_objects_are_kept() {
        let mut voters = vec![voter(0, 0.95, 9.0, 9.0)];
        for place in 0..6 {
            voters.extend([voter(0, 0.3 + 0.1 * place as f32, place as f32, 0.0); 2]);
        }
        let mut spec = spec(0.5, 2);
        spec.max_objects = 2;
        let kept: Vec<f32> = group(&voters, &spec).iter().map(|group| group.object.center[0]).collect();
        assert_eq!(kept, [5.0, 4.0]);
        spec.max_objects = 0;
        assert!(group(&voters, &spec).is_empty());
    }

    #[test]
    fn sizes_and_yaws_are_means_of_what_the_points_say() {
        let mut voters = [voter(0, 0.5, 0.0, 0.0); 2];
        voters[0].log_size = [0.0, 1.0, -1.0];
        voters[1].log_size = [2.0, 1.0, 0.0];
        // 85 and -85 degrees are 10 apart, not 170: the mean is across, where a plain one would be 0.
        for (voter, yaw) in voters.iter_mut().zip([85.0_f32, -85.0]) {
            let (sin, cos) = (2.0 * yaw.to_radians()).sin_cos();
            voter.doubled_yaw = [cos, sin];
        }
        let object = group(&voters, &spec(0.5, 1))[0].object;
        for (found, expected) in object.size.iter().zip([1.0_f32, 1.0, -0.5]) {
            assert!((found - expected.exp()).abs() < 1e-5, "{object:?}");
        }
        assert!((object.yaw.abs() - FRAC_PI_2).abs() < 1e-5, "{object:?}");
    }

    #[test]
    fn votes_far_beyond_any_room_are_grouped_all_the_same() {
        let far = f32::MAX;
        let voters = [voter(0, 0.0, far, -far), voter(0, 0.0, far, -far), voter(0, 0.0, -far, far)];
        let groups = group(&voters, &spec(0.5, 1));
        assert_eq!(groups.iter().map(|group| group.object.points).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(groups[0].object.center[..2], [far, -far]);
    }
}
