//! The tracker against simulated people: honest covariances, steady identities, births, deaths and numbers that make no sense.

use nalgebra::{Matrix4, Vector4};
use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000_000;
const TENTH: i64 = SECOND / 10;
/// Acceleration density of the simulated people, the tracker's own default.
const DENSITY: f64 = 0.5;

/// Random numbers that are the same on every machine (splitmix64).
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, deviation 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let (first, second) = (self.uniform(), self.uniform());
        (-2.0 * (1.0 - first).ln()).sqrt() * (std::f64::consts::TAU * second).cos()
    }
}

/// Somebody who walks as the filter's model has it: white noise acceleration.
struct Walker {
    position: [f64; 2],
    velocity: [f64; 2],
}

impl Walker {
    fn step(&mut self, seconds: f64, noise: &mut Noise) {
        for axis in 0..2 {
            let push = (DENSITY * seconds).sqrt() * noise.normal();
            let rest = (DENSITY * seconds.powi(3) / 12.0).sqrt() * noise.normal();
            self.position[axis] += self.velocity[axis] * seconds + push * seconds / 2.0 + rest;
            self.velocity[axis] += push;
        }
    }

    /// Seen with 5 cm along x and 8 cm along y.
    fn seen(&self, noise: &mut Noise) -> Measurement {
        Measurement {
            covariance: [[0.0025, 0.0], [0.0, 0.0064]],
            ..person(self.position[0] + 0.05 * noise.normal(), self.position[1] + 0.08 * noise.normal())
        }
    }

    /// The squared error by the track's own covariance (normalised estimation error squared; Bar-Shalom et al. 2001, section 5.4).
    fn error_squared(&self, track: &Track) -> f64 {
        let error = Vector4::new(
            track.position[0] - self.position[0],
            track.position[1] - self.position[1],
            track.velocity[0] - self.velocity[0],
            track.velocity[1] - self.velocity[1],
        );
        error.dot(&matrix(track).cholesky().unwrap().solve(&error))
    }
}

fn matrix(track: &Track) -> Matrix4<f64> {
    Matrix4::from_fn(|row, column| track.covariance[row][column])
}

fn person(x: f64, y: f64) -> Measurement {
    Measurement {
        class: 0,
        score: 0.8,
        position: [x, y, 0.85],
        covariance: [[0.0064, 0.0], [0.0, 0.0064]],
        size: [0.5, 0.5, 1.7],
        yaw: 0.0,
        source: Source::Lidar,
    }
}

fn tracker() -> Tracker {
    Tracker::new(TrackerOptions::default(), 3)
}

fn nowhere(_: [f64; 3]) -> bool {
    false
}

fn everywhere(_: [f64; 3]) -> bool {
    true
}

fn confirmed(tracker: &Tracker, time: i64) -> Vec<Track> {
    tracker.predicted(time).into_iter().filter(|track| track.is_confirmed).collect()
}

/// People far from each other, so that nobody is taken for somebody else. Their velocities are as uncertain as a new track's.
fn crowd(people: usize, noise: &mut Noise) -> Vec<Walker> {
    (0..people)
        .map(|number| Walker { position: [200.0 * number as f64, 0.0], velocity: [noise.normal(), noise.normal()] })
        .collect()
}

/// Mean normalised squared error of all people that have a confirmed track, and how many those are.
fn mean_error_squared(walkers: &[Walker], tracker: &Tracker, time: i64) -> (f64, usize) {
    let tracks = confirmed(tracker, time);
    let errors: Vec<f64> = walkers
        .iter()
        .filter_map(|walker| {
            let near = |track: &&Track| (track.position[0] - walker.position[0]).abs() < 50.0;
            tracks.iter().find(near).map(|track| walker.error_squared(track))
        })
        .collect();
    (errors.iter().sum::<f64>() / errors.len().max(1) as f64, errors.len())
}

#[test]
fn covariances_are_honest() {
    let mut noise = Noise(1);
    let mut walkers = crowd(50, &mut noise);
    let mut tracker = tracker();
    let (mut inside, mut steps, mut sum) = (0, 0, 0.0);
    for step in 0..100i64 {
        let mut seen = Vec::new();
        for walker in &mut walkers {
            walker.step(0.1, &mut noise);
            let measurement = walker.seen(&mut noise);
            // One in ten is missed.
            if noise.uniform() > 0.1 {
                seen.push(measurement);
            }
        }
        tracker.update(step * TENTH, &seen, &nowhere);
        if step < 10 {
            continue;
        }
        let (error, people) = mean_error_squared(&walkers, &tracker, step * TENTH);
        assert_eq!(people, 50, "step {step}");
        // The 95 % band of the mean of 50 chi-square numbers with 4 degrees of freedom: those of 200, by 50.
        inside += usize::from((3.255..=4.821).contains(&error));
        steps += 1;
        sum += error;
    }
    assert!(inside * 100 >= steps * 85, "only {inside} of {steps} steps in the band");
    assert!((3.6..=4.4).contains(&(sum / f64::from(steps as u32))), "mean {}", sum / f64::from(steps as u32));
}

#[test]
fn covariances_are_honest_with_a_sensor_that_comes_late() {
    let mut noise = Noise(2);
    let mut walkers = crowd(50, &mut noise);
    let mut tracker = tracker();
    let (mut inside, mut steps, mut sum, mut late) = (0, 0, 0.0, 0);
    let mut waiting: Vec<(i64, Vec<Measurement>)> = Vec::new();
    // A fast sensor at every even step; a slow one at every fourth uneven step, whose results come three steps later.
    for step in 0..200i64 {
        let time = step * TENTH / 2;
        for walker in &mut walkers {
            walker.step(0.05, &mut noise);
        }
        let seen: Vec<Measurement> = walkers.iter().map(|walker| walker.seen(&mut noise)).collect();
        if step % 2 == 0 {
            tracker.update(time, &seen, &everywhere);
        } else if step % 4 == 1 {
            waiting.push((step + 3, seen));
        }
        while waiting.first().is_some_and(|(due, _)| *due <= step) {
            let (due, seen) = waiting.remove(0);
            let report = tracker.update((due - 3) * TENTH / 2, &seen, &everywhere);
            assert!(report.is_late && report.refused == 0);
            late += report.matched;
        }
        if step < 20 || step % 2 == 1 {
            continue;
        }
        let (error, people) = mean_error_squared(&walkers, &tracker, time);
        assert_eq!(people, 50, "step {step}");
        inside += usize::from((3.255..=4.821).contains(&error));
        steps += 1;
        sum += error;
    }
    assert!(late > 40 * 45, "only {late} late measurements were used");
    assert!(inside * 100 >= steps * 85, "only {inside} of {steps} steps in the band");
    assert!((3.6..=4.4).contains(&(sum / f64::from(steps as u32))), "mean {}", sum / f64::from(steps as u32));
}

/// The identities that follow two people over 8 seconds; the second is hidden while `is_hidden` says so of the step.
fn identities(
    seed: u64,
    velocities: [[f64; 2]; 2],
    starts: [[f64; 2]; 2],
    is_hidden: fn(i64) -> bool,
) -> [Vec<u64>; 2] {
    let mut noise = Noise(seed);
    let mut tracker = tracker();
    let mut found = [Vec::new(), Vec::new()];
    for step in 0..80i64 {
        let time = step * TENTH;
        let place = |who: usize| {
            let at = |axis: usize| starts[who][axis] + velocities[who][axis] * step as f64 * 0.1;
            [at(0), at(1)]
        };
        let mut seen = Vec::new();
        for who in 0..2 {
            let [x, y] = place(who);
            let measurement = person(x + 0.08 * noise.normal(), y + 0.08 * noise.normal());
            // The order of the measurements goes by score.
            let measurement = Measurement { score: 0.5 + 0.4 * noise.uniform() as f32, ..measurement };
            if who == 0 || !is_hidden(step) {
                seen.push(measurement);
            }
        }
        tracker.update(time, &seen, &nowhere);
        let tracks = confirmed(&tracker, time);
        for (who, ids) in found.iter_mut().enumerate() {
            let [x, y] = place(who);
            let distance = |track: &Track| (track.position[0] - x).hypot(track.position[1] - y);
            let nearest = tracks.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
            if let Some(nearest) = nearest.filter(|track| step >= 5 && distance(track) < 0.4)
                && ids.last() != Some(&nearest.id)
            {
                ids.push(nearest.id);
            }
        }
    }
    found
}

#[test]
fn people_who_cross_keep_their_identities() {
    for seed in 0..20 {
        // Past each other half a metre apart, and one behind whom the other is hidden for half a second.
        let passing = ([[1.2, 0.0], [-1.2, 0.0]], [[0.0, 0.0], [9.0, 0.5]]);
        let open = identities(seed, passing.0, passing.1, |_| false);
        assert!(open[0].len() == 1 && open[1].len() == 1 && open[0] != open[1], "seed {seed}: {open:?}");
        let hidden = identities(seed, passing.0, passing.1, |step| (35..40).contains(&step));
        assert!(hidden[0].len() == 1 && hidden[1].len() == 1 && hidden[0] != hidden[1], "seed {seed}: {hidden:?}");
        // At a right angle through the same point, half a second apart.
        let angle = identities(seed, [[1.2, 0.0], [0.0, 1.2]], [[-4.8, 0.0], [0.0, -5.4]], |_| false);
        assert!(angle[0].len() == 1 && angle[1].len() == 1 && angle[0] != angle[1], "seed {seed}: {angle:?}");
    }
}

#[test]
fn three_hits_within_a_second_confirm() {
    let mut tracker = tracker();
    for step in 0..3 {
        assert!(confirmed(&tracker, step * TENTH).is_empty());
        tracker.update(step * TENTH, &[person(1.0, 2.0)], &everywhere);
    }
    let tracks = confirmed(&tracker, 2 * TENTH);
    assert_eq!((tracks.len(), tracks[0].hits, tracks[0].class, tracks[0].last_seen), (1, 3, 0, 2 * TENTH));

    // Too rarely seen: 0.45 s apart, so three hits take 0.9 s; with a window of 0.8 s that is not enough.
    let mut strict = Tracker::new(TrackerOptions { confirm_window: 0.8, ..TrackerOptions::default() }, 1);
    for step in 0..6 {
        strict.update(step * 450_000_000, &[person(1.0, 2.0)], &nowhere);
    }
    assert_eq!(strict.predicted(5 * 450_000_000).len(), 1);
    assert!(confirmed(&strict, 5 * 450_000_000).is_empty());
}

/// How many hits of a camera confirm what stands at x = 1 m, when a lidar sees these measurements before each of them. The lidar's
/// updates are `delay` older than the camera's newest.
fn camera_hits_until_confirmed(seen_by_lidar: &[Measurement], in_view: fn([f64; 3]) -> bool, delay: i64) -> u32 {
    let mut tracker = tracker();
    let camera = Measurement { source: Source::Camera, ..person(1.0, 0.0) };
    for step in 0..20i64 {
        tracker.update(step * TENTH, &[camera], &nowhere);
        let is_ours = |track: &Track| track.position[0] < 2.0 && track.source != Source::Lidar;
        if confirmed(&tracker, step * TENTH).iter().any(is_ours) {
            return step as u32 + 1;
        }
        tracker.update_by_lidar(step * TENTH + TENTH / 2 - delay, seen_by_lidar, &in_view);
    }
    u32::MAX
}

#[test]
fn what_a_lidar_should_have_seen_needs_more_hits_of_a_camera() {
    let elsewhere = person(9.0, 0.0);
    assert_eq!(camera_hits_until_confirmed(&[elsewhere], everywhere, 0), 8);
    assert_eq!(camera_hits_until_confirmed(&[], everywhere, 0), 8);
    // All the lidar's updates are late.
    assert_eq!(camera_hits_until_confirmed(&[], everywhere, TENTH), 8);
    // Where the lidar does not reach, the camera is enough.
    assert_eq!(camera_hits_until_confirmed(&[], nowhere, 0), 3);
    assert_eq!(camera_hits_until_confirmed(&[], |place| place[0] > 2.0, 0), 3);

    // One hit of the lidar ends the doubt: with the four of the camera it is believed at once.
    let mut tracker = tracker();
    let camera = Measurement { source: Source::Camera, ..person(1.0, 0.0) };
    for step in 0..4 {
        tracker.update(step * TENTH, &[camera], &everywhere);
        tracker.update_by_lidar(step * TENTH + TENTH / 2, &[], &everywhere);
    }
    assert!(confirmed(&tracker, 4 * TENTH).is_empty());
    tracker.update_by_lidar(4 * TENTH, &[person(1.0, 0.0)], &everywhere);
    assert_eq!(confirmed(&tracker, 4 * TENTH).len(), 1);

    // What another camera misses is in no doubt.
    let mut tracker = Tracker::new(TrackerOptions::default(), 1);
    for step in 0..3 {
        tracker.update(step * TENTH, &[camera], &everywhere);
        tracker.update(step * TENTH + TENTH / 2, &[], &everywhere);
    }
    assert_eq!(confirmed(&tracker, 3 * TENTH).len(), 1);

    // Nor is anything where 1 hit dispels it, nor what a lidar missed before anybody saw it.
    let mut trusting = Tracker::new(TrackerOptions { doubted_hits: 1, ..TrackerOptions::default() }, 1);
    for step in 0..3 {
        trusting.update(step * TENTH, &[camera], &everywhere);
        trusting.update_by_lidar(step * TENTH + TENTH / 2, &[], &everywhere);
    }
    assert_eq!(confirmed(&trusting, 3 * TENTH).len(), 1);
    let mut before = Tracker::new(TrackerOptions::default(), 1);
    for (time, is_camera) in [(3, false), (3, true), (2, false), (4, true), (5, true)] {
        if is_camera {
            before.update(time * TENTH, &[camera], &everywhere);
        } else {
            before.update_by_lidar(time * TENTH, &[], &everywhere);
        }
    }
    assert_eq!(confirmed(&before, 5 * TENTH).len(), 1);
}

#[test]
fn low_scores_continue_tracks_but_start_none() {
    let weak = Measurement { score: 0.1, ..person(0.0, 0.0) };
    let mut tracker = tracker();
    assert_eq!(tracker.update(0, &[weak], &nowhere).born, 0);
    assert_eq!(tracker.update(TENTH, &[person(0.0, 0.0)], &nowhere).born, 1);
    assert_eq!(tracker.update(2 * TENTH, &[weak], &nowhere).matched, 1);
}

#[test]
fn a_double_starts_no_track() {
    let mut tracker = tracker();
    let report = tracker.update(0, &[person(0.0, 0.0), person(0.2, 0.0), person(0.8, 0.0)], &nowhere);
    assert_eq!((report.born, report.refused), (2, 0));
}

/// A tracker with one confirmed track, seen last at 0.4 s.
fn standing(options: TrackerOptions) -> Tracker {
    let mut tracker = Tracker::new(options, 3);
    for step in 0..5 {
        tracker.update(step * TENTH, &[person(1.0, 0.0)], &everywhere);
    }
    assert_eq!(confirmed(&tracker, 4 * TENTH).len(), 1);
    tracker
}

#[test]
fn the_hidden_live_longer_than_the_vanished() {
    let last_step_alive = |in_view: &dyn Fn([f64; 3]) -> bool| {
        let mut tracker = standing(TrackerOptions::default());
        (5..60i64).take_while(|step| tracker.update(step * TENTH, &[], in_view).died == 0).last().unwrap()
    };
    // Seen last at step 4: 1.5 s when hidden; five misses and 0.5 s in view.
    assert_eq!(last_step_alive(&nowhere), 19);
    assert_eq!(last_step_alive(&everywhere), 8);

    let mut tentative = tracker();
    tentative.update(0, &[person(0.0, 0.0)], &nowhere);
    assert_eq!(tentative.update(5 * TENTH, &[], &nowhere).died, 0);
    assert_eq!(tentative.update(6 * TENTH, &[], &nowhere).died, 1);
}

#[test]
fn nothing_lives_on_when_updates_stop() {
    let tracker = standing(TrackerOptions::default());
    assert_eq!(tracker.predicted(SECOND).len(), 1);
    assert!(tracker.predicted(3 * SECOND).is_empty());
    // Prediction widens the covariance.
    let variance = |time: i64| tracker.predicted(time)[0].covariance[0][0];
    assert!(variance(SECOND) > variance(5 * TENTH));
}

#[test]
fn a_clock_set_back_drops_all_and_identities_go_on() {
    let mut tracker = standing(TrackerOptions::default());
    let before = tracker.predicted(4 * TENTH)[0].id;
    let report = tracker.update(-10 * SECOND, &[person(1.0, 0.0)], &nowhere);
    assert!(report.was_reset);
    let after = tracker.predicted(-10 * SECOND);
    assert_eq!(after.len(), 1);
    assert!(after[0].id > before && !after[0].is_confirmed);
    // One wild stamp of the future does not blind the tracker for longer.
    tracker.update(1_000_000 * SECOND, &[person(1.0, 0.0)], &nowhere);
    assert!(tracker.update(-9 * SECOND, &[person(1.0, 0.0)], &nowhere).was_reset);
}

#[test]
fn late_measurements_are_used_or_refused() {
    let mut tracker = standing(TrackerOptions::default());
    let before = tracker.predicted(4 * TENTH)[0];
    let report = tracker.update(2 * TENTH, &[person(1.0, 0.0), person(9.0, 0.0)], &everywhere);
    assert_eq!((report.is_late, report.matched, report.born, report.refused), (true, 1, 1, 0));
    let after = tracker.predicted(4 * TENTH)[0];
    assert_eq!((after.id, after.last_seen, after.hits), (before.id, 4 * TENTH, before.hits + 1));
    assert!(after.covariance[0][0] < before.covariance[0][0]);
    // An update that is late is no evidence of absence.
    let report = tracker.update(3 * TENTH, &[], &everywhere);
    assert_eq!((report.is_late, tracker.predicted(4 * TENTH)[0].missed), (true, 0));
    // 0.5 s are too much, but no clock that was set back.
    let report = tracker.update(-TENTH, &[person(1.0, 0.0)], &everywhere);
    assert_eq!((report.is_late, report.was_reset, report.refused), (true, false, 1));
}

#[test]
fn a_track_changes_its_class_by_evidence_alone() {
    let other = Measurement { class: 1, ..person(1.0, 0.0) };
    let mut tracker = standing(TrackerOptions::default());
    let id = tracker.predicted(4 * TENTH)[0].id;
    tracker.update(5 * TENTH, &[other], &nowhere);
    let track = tracker.predicted(5 * TENTH)[0];
    assert_eq!((track.id, track.class, track.missed), (id, 0, 0));
    for step in 6..25 {
        tracker.update(step * TENTH, &[other], &nowhere);
    }
    let tracks = confirmed(&tracker, 24 * TENTH);
    assert_eq!((tracks.len(), tracks[0].id, tracks[0].class), (1, id, 1));

    let never_confused = vec![[1, 0]];
    let mut strict = standing(TrackerOptions { never_confused, ..TrackerOptions::default() });
    let report = strict.update(5 * TENTH, &[other], &nowhere);
    assert_eq!((report.matched, report.born), (0, 1));
}

#[test]
fn lidar_shapes_outweigh_what_is_typical() {
    let mut tracker = tracker();
    let camera = Measurement { source: Source::Camera, ..person(0.0, 0.0) };
    let truck = Measurement { size: [2.4, 1.0, 2.0], yaw: 1.0, ..person(0.0, 0.0) };
    for (step, measurement) in [camera, truck, camera].into_iter().enumerate() {
        tracker.update(step as i64 * TENTH, &[measurement], &nowhere);
    }
    let track = tracker.predicted(2 * TENTH)[0];
    assert_eq!((track.size, track.yaw, track.source), ([2.4, 1.0, 2.0], 1.0, Source::Camera));
}

#[test]
fn numbers_are_bounded() {
    let options = TrackerOptions { max_tracks: 20, ..TrackerOptions::default() };
    let mut tracker = Tracker::new(options, 1);
    let many: Vec<Measurement> = (0..500).map(|number| person(f64::from(number) * 5.0, 0.0)).collect();
    let report = tracker.update(0, &many, &nowhere);
    assert_eq!((report.born, report.refused), (20, 480));
    let elsewhere: Vec<Measurement> = (0..20).map(|number| person(f64::from(number) * 5.0, 100.0)).collect();
    assert_eq!(tracker.update(TENTH, &elsewhere, &nowhere).crowded_out, 20);
    assert_eq!(tracker.predicted(TENTH).len(), 20);
}

#[test]
fn wrong_options_and_classes_do_no_harm() {
    let wrong = TrackerOptions { gate_probability: f64::NAN, ..TrackerOptions::default() };
    let mut tracker = Tracker::new(wrong, 1);
    assert_eq!(tracker.options(), &TrackerOptions::default());
    let unknown = Measurement { class: 1, ..person(0.0, 0.0) };
    assert_eq!(
        tracker.update(0, &[unknown, person(0.0, 0.0)], &nowhere),
        UpdateReport { born: 1, refused: 1, ..UpdateReport::default() }
    );
}

/// Mostly sensible numbers, now and then none.
fn number(range: std::ops::Range<f64>) -> impl Strategy<Value = f64> {
    prop_oneof![20 => range, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => Just(-1e300), 1 => Just(0.0)]
}

fn any_measurement() -> impl Strategy<Value = Measurement> {
    let place = (number(-3.0..3.0), number(-3.0..3.0), number(0.0..2.0));
    let covariance = (number(1e-6..2.0), number(-0.5..0.5), number(1e-6..2.0));
    let shape = (number(0.1..3.0), number(0.1..3.0), number(-7.0..7.0));
    (0..4usize, -0.5..1.5f32, place, covariance, shape, any::<bool>()).prop_map(
        |(class, score, place, covariance, shape, is_lidar)| Measurement {
            class,
            score,
            position: [place.0, place.1, place.2],
            covariance: [[covariance.0, covariance.1], [covariance.1, covariance.2]],
            size: [shape.0, shape.1, 1.0],
            yaw: shape.2,
            source: if is_lidar { Source::Lidar } else { Source::Camera },
        },
    )
}

proptest! {
    #[test]
    fn covariances_stay_positive_definite(
        updates in prop::collection::vec(
            (prop_oneof![8 => 0..300i64, 2 => -400..0i64, 1 => -5000..5000i64], prop::collection::vec(any_measurement(), 0..6)),
            1..40,
        ),
    ) {
        let mut tracker = tracker();
        let mut time = 0;
        for (milliseconds, measurements) in updates {
            time += milliseconds * 1_000_000;
            let report = tracker.update(time, &measurements, &|place: [f64; 3]| place[0] > 0.0);
            prop_assert!(report.matched + report.born + report.refused <= measurements.len());
            for ahead in [-TENTH, 0, SECOND] {
                let tracks = tracker.predicted(time + ahead);
                prop_assert!(tracks.windows(2).all(|pair| pair[0].id < pair[1].id));
                for track in &tracks {
                    let covariance = matrix(track);
                    prop_assert!(covariance == covariance.transpose());
                    prop_assert!(covariance.cholesky().is_some(), "{:?}", track);
                    let numbers = [track.position[0], track.position[1], track.position[2], track.yaw];
                    prop_assert!(numbers.iter().chain(&track.velocity).chain(&track.size).all(|number| number.is_finite()));
                    prop_assert!((0.0..=1.0).contains(&track.score) && track.class < 3);
                    prop_assert!(track.yaw.abs() <= std::f64::consts::PI);
                }
            }
        }
    }
}
