//! Slow near people.

use std::time::{Duration, Instant};

use super::classes::Classes;
use crate::{
    messages::{Header, SpeedLimit},
    node::parameters::ObstacleFusionParameters,
    tracking::Track,
};

/// A limit is told again this often, for those who come later; Nav2 keeps the last one that it heard.
const REPEAT: Duration = Duration::from_secs(1);
/// What ends all limits in Nav2.
const NO_LIMIT: f64 = 0.0;
/// The way out is this much longer than the way in, so that somebody at the border does not make the robot jerk.
const HYSTERESIS: f64 = 1.15;

/// Decides on limits.
#[derive(Debug, Default)]
pub(super) struct SpeedGovernor {
    limit: Option<f64>,
    told: Option<Instant>,
}

impl SpeedGovernor {
    /// The limit in percent to publish now, if any: when it changes, and every second while there is one. `robot` is where the robot
    /// is in the target frame; while that is not known the last limit stays.
    pub(super) fn decide(
        &mut self,
        tracks: &[Track],
        classes: &Classes,
        robot: Option<[f64; 3]>,
        parameters: &ObstacleFusionParameters,
        now: Instant,
    ) -> Option<f64> {
        let robot = robot?;
        let reach = parameters.slow_distance * if self.is_limited() { HYSTERESIS } else { 1.0 };
        let is_near = tracks.iter().any(|track| {
            let is_slow = parameters.slow_classes.0.iter().any(|slow| slow == classes.name(track.class));
            let half = track.size[0].min(track.size[1]) / 2.0;
            is_slow && (track.position[0] - robot[0]).hypot(track.position[1] - robot[1]) - half <= reach
        });
        let limit = if is_near { parameters.slow_percentage } else { NO_LIMIT };
        let is_due = self.is_limited() && self.told.is_none_or(|told| now.duration_since(told) >= REPEAT);
        // Nav2 begins without a limit, and one of somebody else is not ours to end.
        let is_new = self.limit.unwrap_or(NO_LIMIT) != limit;
        if !is_new && !is_due {
            return None;
        }
        self.limit = Some(limit);
        self.told = Some(now);
        Some(limit)
    }

    /// Whether the robot is slow because of us.
    pub(super) fn is_limited(&self) -> bool {
        self.limit.is_some_and(|limit| limit > NO_LIMIT)
    }
}

/// A limit in percent as a message.
pub(super) fn speed_limit(header: Header<'_>, percent: f64) -> Vec<u8> {
    SpeedLimit { header, percentage: true, speed_limit: percent }.encode()
}

/// The message that ends the limit.
pub(super) fn no_limit(header: Header<'_>) -> Vec<u8> {
    speed_limit(header, NO_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(x: f64) -> Track {
        Track { size: [0.4, 0.6, 1.8], ..Track::person_at(x, 0.0) }
    }

    #[test]
    fn limits_begin_repeat_and_end() {
        let parameters = ObstacleFusionParameters { slow_distance: 2.0, ..Default::default() };
        let classes = Classes::new(&["person".into(), "pallet".into()]);
        let mut governor = SpeedGovernor::default();
        let start = Instant::now();
        let mut at = |tracks: &[Track], robot: Option<[f64; 3]>, milliseconds: u64| {
            let now = start + Duration::from_millis(milliseconds);
            governor.decide(tracks, &classes, robot, &parameters, now)
        };
        let here = Some([0.0; 3]);
        assert_eq!(at(&[person(5.0)], here, 0), None);
        assert_eq!(at(&[Track { class: 1, ..person(1.0) }], here, 50), None, "pallets are no people");
        assert_eq!(at(&[person(2.1)], here, 100), Some(50.0), "the near side of a person counts");
        assert_eq!(at(&[person(2.1)], here, 200), None);
        assert_eq!(at(&[person(2.1)], here, 1200), Some(50.0));
        assert_eq!(at(&[person(2.3)], here, 1300), None);
        assert_eq!(at(&[], None, 1400), None, "a robot that does not know where it is stays slow");
        assert_eq!(at(&[], here, 1500), Some(0.0));
        assert_eq!(at(&[], here, 9000), None);
    }
}
