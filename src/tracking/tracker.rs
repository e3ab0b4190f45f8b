//! All tracks, and what an update does to them.

use super::{
    Measurement, Track, TrackerOptions,
    assignment::assign,
    mahalanobis::gate,
    seconds_between,
    tracked_object::{Observation, TrackedObject},
};

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpdateReport {
    /// The clock was set back: all tracks were dropped before this update.
    pub was_reset: bool,
    /// The update was older than the newest one before.
    pub is_late: bool,
    /// Measurements that continued a track.
    pub matched: usize,
    /// Tracks that began.
    pub born: usize,
    /// Tracks that ended.
    pub died: usize,
    /// Measurements that were not looked at: numbers that make no sense, too old, or more than `max_tracks`.
    pub refused: usize,
    /// Measurements that would have begun a track, but there were `max_tracks` already.
    pub crowded_out: usize,
}

/// Follows objects in the plane of a frame that does not move with the robot (such as `odom` or `map`).
///
/// - **Association.** A measurement may belong to a track when its squared Mahalanobis distance lies in the gate and its class is
///   the track's, or one that is taken for it now and then and then in a narrower gate. Among all allowed pairs the assignment with
///   the least sum of `d² + ln |S| - 2 ln(confusion)` is taken, the last term for another class only: twice the negative log likelihood
///   of a Gaussian innovation, so that a track that could be anywhere does not take what belongs to a sure one. Confirmed tracks
///   choose first: what a gate loses once starts a tentative track, and that must not take the next one as well.
/// - **Birth.** What belongs to no track begins a tentative one when its score reaches `birth_score` and it is not the double of
///   a track just seen. `confirm_hits` hits within `confirm_window` confirm it, for good.
///   One that only cameras saw, while a lidar looked there and saw nothing, needs `doubted_hits`.
/// - **Death.** After `max_missed_seconds` unseen, `tentative_missed_seconds` when tentative; sooner when it was in view and
///   missed again and again (`visible_misses`, `visible_missed_seconds`).
/// - **Class.** That of most faded evidence: a track may change its class.
/// - **Time.** Each track keeps the state at its newest measurement. A later measurement predicts to its own time, whatever else
///   came in meanwhile. One up to `late_seconds` older than the newest update (a slow detector beside a fast one) is put in its
///   place among the track's measurements, and those after it are filtered again: no approximation, and the same result as in
///   order. It may begin tracks, and is no evidence of misses, because the newer update has judged those. What is older still is
///   refused, so that tracks need not keep their past. What is older by more than `reset_seconds` means a clock set back: all
///   tracks go, and their identities are not used again.
#[derive(Debug, Clone)]
pub struct Tracker {
    options: TrackerOptions,
    classes: usize,
    objects: Vec<TrackedObject>,
    newest: Option<i64>,
    next_id: u64,
}

impl Tracker {
    /// A tracker without tracks for measurements whose class is below `classes`. Options that [`TrackerOptions::validate`] finds
    /// fault with are replaced by the defaults: ask it first, and tell the user.
    pub fn new(options: TrackerOptions, classes: usize) -> Self {
        let options = if options.validate().is_ok() { options } else { TrackerOptions::default() };
        Self { options, classes, objects: Vec::new(), newest: None, next_id: 1 }
    }

    /// The options in force.
    pub fn options(&self) -> &TrackerOptions {
        &self.options
    }

    /// Takes in all that was seen at `time` (nanoseconds). `in_view` says of a place in metres whether an object there should have
    /// been among the measurements; answer `false` where in doubt.
    pub fn update(
        &mut self,
        time: i64,
        measurements: &[Measurement],
        in_view: &dyn Fn([f64; 3]) -> bool,
    ) -> UpdateReport {
        self.take_in(time, measurements, in_view, false)
    }

    /// [`Self::update`] with all that a lidar saw, which also puts tracks in doubt that only cameras saw and that it should have seen:
    /// they need `doubted_hits` to be confirmed. A lidar that is slower than the cameras, whose updates are all late, does so as well.
    pub fn update_by_lidar(
        &mut self,
        time: i64,
        measurements: &[Measurement],
        in_view: &dyn Fn([f64; 3]) -> bool,
    ) -> UpdateReport {
        self.take_in(time, measurements, in_view, true)
    }

    fn take_in(
        &mut self,
        time: i64,
        measurements: &[Measurement],
        in_view: &dyn Fn([f64; 3]) -> bool,
        is_lidar: bool,
    ) -> UpdateReport {
        let mut report = UpdateReport::default();
        if let Some(newest) = self.newest {
            let behind = seconds_between(time, newest);
            if behind > self.options.reset_seconds {
                self.reset();
                report.was_reset = true;
            } else if behind > self.options.late_seconds {
                report.is_late = true;
                report.refused = measurements.len();
                return report;
            } else {
                report.is_late = time < newest;
            }
        }
        let newest = self.newest.map_or(time, |newest| newest.max(time));
        self.newest = Some(newest);

        // Those long dead take nothing; an update after a pause would else bring them back from anywhere.
        let before = self.objects.len();
        self.drop_dead(newest);
        let observations = self.observations(measurements);
        report.refused = measurements.len() - observations.len();
        let found = self.associate(time, &observations);

        let mut seen = vec![false; self.objects.len()];
        for (observation, object) in observations.iter().zip(&found) {
            if let Some(object) = *object {
                self.objects[object].hit(observation, time, &self.options);
                seen[object] = true;
                report.matched += 1;
            }
        }
        for (object, _) in self.objects.iter_mut().zip(&seen).filter(|(_, seen)| !**seen) {
            let is_in_view = in_view(object.position(time));
            if !report.is_late {
                object.miss(is_in_view);
            }
            if is_lidar && is_in_view {
                object.doubt(time);
            }
        }
        for (observation, _) in observations.iter().zip(&found).filter(|(_, object)| object.is_none()) {
            if observation.measurement.score < self.options.birth_score || self.is_double(observation, time, &seen) {
                continue;
            }
            if self.objects.len() >= self.options.max_tracks {
                report.crowded_out += 1;
                continue;
            }
            let object = TrackedObject::born(self.next_id, time, observation, self.classes, &self.options);
            self.objects.push(object);
            self.next_id += 1;
            seen.push(true);
            report.born += 1;
        }
        self.drop_dead(newest);
        report.died = before + report.born - self.objects.len();
        report
    }

    /// What is known of all objects at `time` (nanoseconds), tentative ones included, in the order of their identities. Those that
    /// would be dead by then are left out, so nothing lives on when no more updates come.
    pub fn predicted(&self, time: i64) -> Vec<Track> {
        self.objects
            .iter()
            .filter(|object| object.is_alive(time, &self.options))
            .map(|object| object.track(time, &self.options))
            .collect()
    }

    /// Drops all tracks and forgets the time; identities go on.
    pub fn reset(&mut self) {
        self.objects.clear();
        self.newest = None;
    }

    fn drop_dead(&mut self, time: i64) {
        let options = &self.options;
        self.objects.retain(|object| object.is_alive(time, options));
    }

    /// The measurements that make sense, best score first.
    fn observations<'m>(&self, measurements: &'m [Measurement]) -> Vec<Observation<'m>> {
        let mut observations: Vec<Observation<'m>> =
            measurements.iter().filter_map(|measurement| Observation::of(measurement, self.classes)).collect();
        observations.sort_by(|a, b| b.measurement.score.total_cmp(&a.measurement.score));
        observations.truncate(self.options.max_tracks);
        observations
    }

    /// For each observation the object that it belongs to: confirmed ones choose first.
    fn associate(&self, time: i64, observations: &[Observation<'_>]) -> Vec<Option<usize>> {
        let mut found = vec![None; observations.len()];
        for are_confirmed in [true, false] {
            let objects: Vec<usize> = (0..self.objects.len())
                .filter(|&object| self.objects[object].is_confirmed() == are_confirmed)
                .collect();
            let left: Vec<usize> = (0..observations.len()).filter(|&place| found[place].is_none()).collect();
            for (place, object) in left.iter().zip(self.assign_among(time, observations, &left, &objects)) {
                found[*place] = object.map(|object| objects[object]);
            }
        }
        found
    }

    /// For each of the observations at the places `left` which of `objects` (its place there) it belongs to.
    fn assign_among(
        &self,
        time: i64,
        observations: &[Observation<'_>],
        left: &[usize],
        objects: &[usize],
    ) -> Vec<Option<usize>> {
        let same_gate = gate(self.options.gate_probability);
        let other_gate = gate(self.options.other_class_gate_probability).min(same_gate);
        let other_class = -2.0 * self.options.confusion.ln();
        let mut costs = Vec::with_capacity(left.len());
        let mut unassigned = Vec::with_capacity(left.len());
        for observation in left.iter().map(|&place| &observations[place]) {
            // Each pair's squared distance, and what is added to it.
            let pairs: Vec<Option<(f64, f64)>> = objects
                .iter()
                .map(|&object| {
                    let object = &self.objects[object];
                    let class = observation.measurement.class;
                    let is_same = object.class() == class;
                    if !is_same && self.are_never_confused(object.class(), class) {
                        return None;
                    }
                    let innovation = object.innovation(observation, time, &self.options)?;
                    let gate = if is_same { same_gate } else { other_gate };
                    let added = innovation.log_determinant + if is_same { 0.0 } else { other_class };
                    (innovation.distance <= gate).then_some((innovation.distance, added))
                })
                .collect();
            // What is added counts from the least of it: to have no track costs more than any allowed pair, but not so much that
            // two bad pairs would take the place of a good one.
            let least = pairs.iter().flatten().map(|pair| pair.1).fold(f64::INFINITY, f64::min);
            let most = pairs.iter().flatten().map(|pair| pair.1).fold(f64::NEG_INFINITY, f64::max);
            unassigned.push(if most >= least { same_gate + (most - least) } else { same_gate });
            costs.push(
                pairs.iter().map(|pair| pair.map(|(distance, added)| distance + added - least)).collect::<Vec<_>>(),
            );
        }
        assign(objects.len(), &costs, &unassigned)
    }

    fn are_never_confused(&self, a: usize, b: usize) -> bool {
        self.options.never_confused.iter().any(|pair| *pair == [a, b] || *pair == [b, a])
    }

    /// Whether an object of the same class that was seen at this very moment is too near to be another one.
    fn is_double(&self, observation: &Observation<'_>, time: i64, seen: &[bool]) -> bool {
        self.objects.iter().zip(seen).filter(|(_, seen)| **seen).any(|(object, _)| {
            let [x, y, _] = object.position(time);
            object.class() == observation.measurement.class
                && (x - observation.position[0]).hypot(y - observation.position[1]) < self.options.birth_separation
        })
    }
}
