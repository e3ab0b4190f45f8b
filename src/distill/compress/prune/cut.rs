//! Which channels go: those whose loss costs least for what they save.

use super::{
    PruneError,
    cost::{CostTable, Measure, STEP},
    importance::Importance,
};
use crate::distill::student::{ByGroup, Channels, Group};

/// Fewest channels of a group.
pub const LEAST: usize = 4;
/// Steps that are looked ahead: a processor that computes 16 channels at a time shows no gain before the fourth.
const AHEAD: usize = 4;

/// Cuts channels one step after the other until no more than a share of the cost of all channels is left.
#[derive(Debug)]
pub struct Cutter<'a> {
    table: &'a CostTable,
    /// For each group the importance of its channels, least first.
    ranked: ByGroup<Vec<f64>>,
    channels: Channels,
    whole: f64,
}

impl<'a> Cutter<'a> {
    /// All channels, as many as there are importances.
    pub fn new(importance: &Importance, table: &'a CostTable) -> Self {
        let ranked = ByGroup::from_fn(|group| {
            let mut values = importance.get(group).clone();
            values.sort_by(f64::total_cmp);
            values
        });
        let channels = ByGroup::from_fn(|group| ranked.get(group).len());
        Self { table, ranked, channels, whole: table.cost(&channels) }
    }

    /// The channels that are left.
    pub fn channels(&self) -> Channels {
        self.channels
    }

    /// The share of the cost that is left.
    pub fn share(&self) -> f64 {
        if self.whole > 0.0 { self.table.cost(&self.channels) / self.whole } else { 1.0 }
    }

    /// Cuts on until no more than this share is left: each time the least important channels of the group where they matter least for
    /// the cost that they save.
    ///
    /// # Errors
    /// When that cannot be had with the fewest channels; `measure` names the cost.
    pub fn cut_to(&mut self, share: f64, measure: Measure) -> Result<(), PruneError> {
        while self.share() > share {
            let Some((group, count)) = self.best_step() else {
                let (least, measure) = (LEAST, measure.words());
                return Err(PruneError::TooLittle { keep: share, least, share: self.share(), measure });
            };
            *self.channels.get_mut(group) = count;
        }
        Ok(())
    }

    /// The group to cut next, and what it is left with.
    fn best_step(&self) -> Option<(Group, usize)> {
        let before = self.table.cost(&self.channels);
        let mut best: Option<(f64, f64, Group, usize)> = None;
        for group in Group::ALL {
            for count in fewer(*self.channels.get(group)) {
                let mut channels = self.channels;
                *channels.get_mut(group) = count;
                let gain = before - self.table.cost(&channels);
                if gain <= 0.0 {
                    continue;
                }
                let price = self.loss(group, count) / gain;
                // Of what costs nothing the larger gain is taken first.
                let is_better =
                    |(least, most, ..): (f64, f64, Group, usize)| price < least || (price == least && gain > most);
                if best.is_none_or(is_better) {
                    best = Some((price, gain, group, count));
                }
            }
        }
        best.map(|(_, _, group, count)| (group, count))
    }

    /// How much the channels mattered that a group loses from what it has now.
    fn loss(&self, group: Group, count: usize) -> f64 {
        let ranked = self.ranked.get(group);
        let (gone, going) = (ranked.len() - *self.channels.get(group), ranked.len() - count);
        ranked[gone..going].iter().sum()
    }
}

/// The next numbers of channels below one.
fn fewer(count: usize) -> impl Iterator<Item = usize> {
    let next = count.saturating_sub(1) / STEP;
    (0..AHEAD).filter_map(move |step| next.checked_sub(step).map(|steps| steps * STEP)).filter(|&count| count >= LEAST)
}

/// The most important channels of each group, as many as are left, in their order.
pub fn kept(importance: &Importance, channels: &Channels) -> ByGroup<Vec<usize>> {
    ByGroup::from_fn(|group| {
        let values = importance.get(group);
        let mut places: Vec<usize> = (0..values.len()).collect();
        // Of equal ones the first stay.
        places.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        places.truncate(*channels.get(group));
        places.sort_unstable();
        places
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::student::{Size, StudentConfig};

    fn config() -> StudentConfig {
        StudentConfig::new(Size::Micro, vec!["a".into()], 320, 192)
    }

    fn even(value: f64) -> Importance {
        let channels = config().group_channels();
        ByGroup::from_fn(|group| vec![value; *channels.get(group)])
    }

    #[test]
    fn the_next_numbers_are_steps_and_never_too_few() {
        assert_eq!(fewer(32).collect::<Vec<_>>(), [28, 24, 20, 16]);
        assert_eq!(fewer(30).collect::<Vec<_>>(), [28, 24, 20, 16]);
        assert_eq!(fewer(9).collect::<Vec<_>>(), [8, 4]);
        assert!(fewer(4).next().is_none() && fewer(3).next().is_none() && fewer(0).next().is_none());
    }

    #[test]
    fn what_matters_little_goes_first() {
        let table = CostTable::macs(&config());
        let mut importance = even(1.0);
        importance.stages[3].iter_mut().skip(40).for_each(|value| *value = 0.0);
        let mut cutter = Cutter::new(&importance, &table);
        assert_eq!((cutter.channels(), cutter.share()), (config().group_channels(), 1.0));
        let free = Channels { stages: [24, 40, 64, 40], ..config().group_channels() };
        let share = table.cost(&free) / table.cost(&config().group_channels());
        cutter.cut_to(share, Measure::Macs).unwrap();
        assert_eq!(cutter.channels(), free, "56 channels of the last stage do nothing");
        let kept = kept(&importance, &free);
        assert_eq!((kept.stages[3].clone(), kept.neck.len()), ((0..40).collect::<Vec<_>>(), 32));
    }

    #[test]
    fn the_share_is_met_and_what_cannot_be_is_refused() {
        let table = CostTable::macs(&config());
        for share in [0.9, 0.5, 0.2] {
            let mut cutter = Cutter::new(&even(1.0), &table);
            cutter.cut_to(share, Measure::Macs).unwrap();
            assert!(cutter.share() <= share && cutter.share() > 0.6 * share, "{share}: {}", cutter.share());
            let channels = cutter.channels();
            assert!(Group::ALL.iter().all(|&group| *channels.get(group) >= LEAST), "{channels}");
        }
        let mut cutter = Cutter::new(&even(1.0), &table);
        let error = cutter.cut_to(0.001, Measure::Macs).unwrap_err().to_string();
        for words in ["--keep 0.001", "4 channels", "of the multiply-accumulates are left"] {
            assert!(error.contains(words), "`{words}` is not in: {error}");
        }
    }

    #[test]
    fn where_times_are_stairs_the_cut_ends_on_one() {
        // As a processor that computes 16 channels at a time: none of the steps between is worth anything.
        let stairs = |layer: &super::super::layers::Layer, points: &[[usize; 2]]| {
            let whole = |count: usize| count.next_multiple_of(16);
            let cost = |&[ins, outs]: &[usize; 2]| layer.macs(whole(ins), whole(outs)) as f64;
            Ok::<Vec<f64>, PruneError>(points.iter().map(cost).collect())
        };
        let table = CostTable::new(&config(), stairs).unwrap();
        let mut cutter = Cutter::new(&even(1.0), &table);
        cutter.cut_to(0.5, Measure::Time).unwrap();
        let (before, after) = (config().group_channels(), cutter.channels());
        for group in Group::ALL {
            let (before, after) = (*before.get(group), *after.get(group));
            assert!(after == before || after % 16 == 0, "{group}: {before} to {after}");
        }
        assert!(after != before);
    }

    #[test]
    fn the_most_important_stay_in_their_order() {
        let mut importance = even(1.0);
        importance.stem = (0..16).map(|channel| f64::from(channel * 7 % 16)).collect();
        let channels = Channels { stem: 4, ..config().group_channels() };
        // 7, 14, 5, 12, 3, 10, 1, 8, 15, 6, 13, 4, 11, 2, 9 follow 0.
        assert_eq!(kept(&importance, &channels).stem, [2, 4, 9, 11]);
    }
}
