//! Several things that are timed in turn.
//!
//! A machine that others work on, or that grows hot, is slower in one minute than in the next. What is timed one after the other then
//! seems to differ; what is timed in short turns is slowed alike, and the ratio within a round stays what it is. Rounds go forwards and
//! backwards by turns, so that a machine that slows down steadily favours nobody.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{
    metrics::{LatencyRecorder, Quartiles},
    model::StageTiming,
};

/// Times that are kept of each contestant, the newest.
const KEPT: usize = 1 << 16;
/// Rounds that are made in any case: fewer have no quartiles to speak of.
const LEAST_ROUNDS: usize = 4;

/// How long one run took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lap {
    /// By stages.
    pub stages: StageTiming,
    /// From input to result, what lies between the stages too.
    pub whole: Duration,
}

/// When it is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// After so many rounds.
    Rounds(usize),
    /// After the first round that ends this late, but not before the fourth.
    Time(Duration),
}

impl Until {
    fn is_over(self, rounds: usize, elapsed: Duration) -> bool {
        match self {
            Self::Rounds(wanted) => rounds >= wanted,
            Self::Time(wanted) => rounds >= LEAST_ROUNDS && elapsed >= wanted,
        }
    }
}

/// How turns are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// All run for at least so long beforehand, which does not count: clocks rise, memory is taken.
    pub warm_up: Duration,
    /// The first runs of each turn that do not count: the caches are still full of another's data.
    pub settling: usize,
    /// The runs of each turn that count.
    pub counted: usize,
    /// When it is enough.
    pub until: Until,
}

/// Middle times of one turn, in seconds.
#[derive(Debug, Clone, Copy)]
struct Turn {
    infer: f64,
    whole: f64,
}

/// What was measured of one contestant.
#[derive(Debug, Clone)]
pub struct Laps {
    /// Input to the network's tensor.
    pub preprocess: LatencyRecorder,
    /// The network.
    pub infer: LatencyRecorder,
    /// The network's outputs to what was found.
    pub decode: LatencyRecorder,
    /// From input to result.
    pub whole: LatencyRecorder,
    turns: Vec<Turn>,
}

/// Times of one contestant as multiples of another's: those of each round against each other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ratios {
    /// From input to result.
    pub whole: Quartiles,
    /// The network alone.
    pub infer: Quartiles,
}

impl Laps {
    fn new() -> Self {
        let recorder = || LatencyRecorder::new(KEPT);
        Self { preprocess: recorder(), infer: recorder(), decode: recorder(), whole: recorder(), turns: Vec::new() }
    }

    fn add(&mut self, laps: &[Lap]) {
        for lap in laps {
            self.preprocess.record(lap.stages.preprocess);
            self.infer.record(lap.stages.infer);
            self.decode.record(lap.stages.decode);
            self.whole.record(lap.whole);
        }
        let middle = |times: Vec<f64>| Quartiles::of(&times).map(|found| found.median);
        let infer = middle(laps.iter().map(|lap| lap.stages.infer.as_secs_f64()).collect());
        let whole = middle(laps.iter().map(|lap| lap.whole.as_secs_f64()).collect());
        if let (Some(infer), Some(whole)) = (infer, whole) {
            self.turns.push(Turn { infer, whole });
        }
    }

    /// How many turns there were.
    pub fn rounds(&self) -> usize {
        self.turns.len()
    }

    /// Its times as multiples of another's of the same rounds; `None` where there were no rounds, or the clock is too coarse.
    pub fn ratios_to(&self, other: &Self) -> Option<Ratios> {
        let of = |pick: fn(&Turn) -> f64| {
            let pairs = self.turns.iter().zip(&other.turns).map(|(own, other)| (pick(own), pick(other)));
            let ratios: Vec<f64> = pairs.filter(|pair| pair.1 > 0.0).map(|(own, other)| own / other).collect();
            Quartiles::of(&ratios)
        };
        Some(Ratios { whole: of(|turn| turn.whole)?, infer: of(|turn| turn.infer)? })
    }
}

/// A clock that begins now.
pub fn clock() -> impl FnMut() -> Duration {
    let start = Instant::now();
    move || start.elapsed()
}

/// Lets contestants run in turn. `run` is told whose turn it is and the number of the input, which is the same for all in a round, and
/// says how long it took; `clock` tells the time since any beginning.
///
/// # Errors
/// Those of `run`, which end it.
pub fn take_turns<E>(
    contestants: usize,
    plan: &Plan,
    clock: &mut dyn FnMut() -> Duration,
    run: &mut dyn FnMut(usize, usize) -> Result<Lap, E>,
) -> Result<Vec<Laps>, E> {
    let mut laps: Vec<Laps> = (0..contestants).map(|_| Laps::new()).collect();
    if contestants == 0 {
        return Ok(laps);
    }
    let start = clock();
    let mut number = 0;
    while clock().saturating_sub(start) < plan.warm_up {
        for who in 0..contestants {
            run(who, number)?;
        }
        number += 1;
    }
    let start = clock();
    let mut round = 0;
    while !plan.until.is_over(round, clock().saturating_sub(start)) {
        let first = round * plan.counted;
        for place in 0..contestants {
            let who = if round.is_multiple_of(2) { place } else { contestants - 1 - place };
            for _ in 0..plan.settling {
                run(who, first)?;
            }
            let mut turn = Vec::with_capacity(plan.counted);
            for number in first..first + plan.counted {
                turn.push(run(who, number)?);
            }
            laps[who].add(&turn);
        }
        round += 1;
    }
    Ok(laps)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    const PLAN: Plan = Plan { warm_up: Duration::ZERO, settling: 1, counted: 3, until: Until::Rounds(4) };

    fn lap(milliseconds: u64) -> Lap {
        let stages = StageTiming {
            preprocess: Duration::from_millis(milliseconds / 4),
            infer: Duration::from_millis(milliseconds / 2),
            decode: Duration::ZERO,
        };
        Lap { stages, whole: Duration::from_millis(milliseconds) }
    }

    fn never(_: usize, _: usize) -> Result<Lap, String> {
        Err("nobody shall run".into())
    }

    #[test]
    fn all_take_turns_on_the_same_inputs_forwards_and_backwards() {
        let order = RefCell::new(Vec::new());
        let plan = Plan { until: Until::Rounds(2), ..PLAN };
        let laps = take_turns(2, &plan, &mut || Duration::ZERO, &mut |who, number| {
            order.borrow_mut().push((who, number));
            Ok::<_, ()>(lap(8))
        });
        let expected: Vec<(usize, usize)> = [(0, 0), (1, 0), (1, 3), (0, 3)]
            .into_iter()
            .flat_map(|(who, first)| [first, first, first + 1, first + 2].map(|number| (who, number)))
            .collect();
        assert_eq!(*order.borrow(), expected);
        let laps = laps.unwrap();
        assert_eq!((laps.len(), laps[0].rounds(), laps[0].whole.count(), laps[1].infer.count()), (2, 2, 6, 6));
    }

    #[test]
    fn a_machine_that_slows_down_slows_all_alike() {
        // It has become ten times slower in the end, by steps between rounds, and one run in four waits for somebody else.
        let (time, runs) = (Cell::new(Duration::ZERO), Cell::new(0u64));
        let mut run = |who: usize, number: usize| {
            runs.set(runs.get() + 1);
            let slow = 1 + (number / 3) as u64;
            let waited = if runs.get().is_multiple_of(4) { 400 } else { 0 };
            let lap = lap([40, 20][who] * slow + waited);
            time.set(time.get() + lap.whole);
            Ok::<_, ()>(lap)
        };
        let plan = Plan { settling: 0, until: Until::Rounds(10), ..PLAN };
        let laps = take_turns(2, &plan, &mut || time.get(), &mut run).unwrap();
        let ratios = laps[1].ratios_to(&laps[0]).unwrap();
        assert_eq!((ratios.whole.lower, ratios.whole.median, ratios.whole.upper), (0.5, 0.5, 0.5));
        assert_eq!(laps[0].ratios_to(&laps[0]).unwrap().infer.median, 1.0);
        // The medians over all of the time say so, too, but their times mean little.
        let [slow, quick] = [&laps[0], &laps[1]].map(|laps| laps.whole.summary().unwrap());
        assert!(slow.p99 > 5.0 * 40.0 && quick.p50 > 20.0, "{slow:?} {quick:?}");
    }

    #[test]
    fn seconds_end_it_with_a_whole_round_and_not_before_the_fourth() {
        for (seconds, per_run, rounds) in [(10, 250, 10), (0, 250, 4), (1, 60_000, 4)] {
            let time = Cell::new(Duration::from_secs(77));
            let plan = Plan { until: Until::Time(Duration::from_secs(seconds)), ..PLAN };
            let laps = take_turns(1, &plan, &mut || time.get(), &mut |_, _| {
                time.set(time.get() + Duration::from_millis(per_run));
                Ok::<_, ()>(lap(per_run))
            });
            assert_eq!(laps.unwrap()[0].rounds(), rounds, "{seconds} s");
        }
    }

    #[test]
    fn warming_up_does_not_count() {
        let time = Cell::new(Duration::ZERO);
        let plan = Plan { warm_up: Duration::from_millis(500), ..PLAN };
        let laps = take_turns(2, &plan, &mut || time.get(), &mut |_, _| {
            let cold = time.get() < Duration::from_millis(500);
            let lap = lap(if cold { 100 } else { 8 });
            time.set(time.get() + lap.whole);
            Ok::<_, ()>(lap)
        });
        assert_eq!(laps.unwrap()[1].whole.summary().unwrap().max, 8.0);
    }

    #[test]
    fn faults_end_it_and_nobody_is_nothing() {
        assert_eq!(take_turns(1, &PLAN, &mut || Duration::ZERO, &mut never).err().unwrap(), "nobody shall run");
        assert!(take_turns(0, &PLAN, &mut || Duration::ZERO, &mut never).unwrap().is_empty());
        let none = Plan { until: Until::Rounds(0), ..PLAN };
        let laps = take_turns(2, &none, &mut || Duration::ZERO, &mut never).unwrap();
        assert!(laps[1].whole.summary().is_none() && laps[1].ratios_to(&laps[0]).is_none());
    }
}
