use super::*;
use crate::messages::{Header, Quaternion, Time, Transform, Vector3};

const SECOND: i64 = 1_000_000_000;

/// A buffer that keeps 10 s.
fn buffer() -> TransformBuffer {
    TransformBuffer::new(Duration::from_secs(10))
}

/// A shift of `x` metres.
fn stamped<'a>(parent: &'a str, child: &'a str, time: i64, x: f64) -> TransformStamped<'a> {
    let transform = Transform { translation: Vector3 { x, y: 0.0, z: 0.0 }, ..Transform::default() };
    let header = Header { stamp: Time::from_nanoseconds(time), frame_id: parent };
    TransformStamped { header, child_frame_id: child, transform }
}

fn moving(buffer: &mut TransformBuffer, parent: &str, child: &str, time: i64, x: f64) {
    buffer.insert(&stamped(parent, child, time, x), false).unwrap();
}

fn fixed(buffer: &mut TransformBuffer, parent: &str, child: &str, x: f64) {
    buffer.insert(&stamped(parent, child, 0, x), true).unwrap();
}

fn x(found: Result<RigidTransform, TransformError>) -> f64 {
    found.unwrap().translation()[0]
}

fn says(error: &TransformError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

/// A robot in `map` whose odometry came at 100, 101 and 102 s, with a lidar.
fn robot() -> TransformBuffer {
    let mut buffer = buffer();
    fixed(&mut buffer, "map", "odom", 1000.0);
    for second in 100..=102 {
        moving(&mut buffer, "odom", "base_link", second * SECOND, second as f64 * 10.0);
    }
    fixed(&mut buffer, "base_link", "lidar", 0.5);
    buffer
}

#[test]
fn between_samples_is_interpolated_and_beyond_is_nothing() {
    let robot = robot();
    assert_eq!(x(robot.lookup("odom", "base_link", 101 * SECOND)), 1010.0);
    assert_eq!(x(robot.lookup("odom", "base_link", 101 * SECOND + SECOND / 4)), 1012.5);
    assert_eq!(x(robot.lookup("base_link", "odom", 101 * SECOND + SECOND / 4)), -1012.5);
    let late = robot.lookup("map", "lidar", 102 * SECOND + 45_000_000).unwrap_err();
    says(
        &late,
        &[
            "`lidar` into `map` at 102.045 s",
            "`base_link` in `odom` is known only up to 102.000 s",
            "45 ms before",
            "wait",
        ],
    );
    let early = robot.lookup("map", "lidar", 98 * SECOND).unwrap_err();
    says(&early, &["known only from 100.000 s on, 2.0 s after", "10 s are kept"]);
    let other_clock = robot.lookup("map", "lidar", 1_700_000_000 * SECOND).unwrap_err();
    says(&other_clock, &["days before", "use_sim_time"]);
    assert!(
        robot.lookup("odom", "base_link", i64::MAX).is_err() && robot.lookup("odom", "base_link", i64::MIN).is_err()
    );
}

#[test]
fn static_edges_hold_at_all_times() {
    let robot = robot();
    for time in [i64::MIN, 0, i64::MAX] {
        assert_eq!(x(robot.lookup("base_link", "lidar", time)), 0.5);
    }
}

#[test]
fn a_leading_slash_makes_no_difference() {
    let mut buffer = buffer();
    fixed(&mut buffer, "/odom", "/base_link", 3.0);
    assert_eq!(x(buffer.lookup("odom", "/base_link", 0)), 3.0);
    assert_eq!(buffer.frames(), ["base_link", "odom"]);
}

#[test]
fn what_lies_above_the_common_ancestor_does_not_matter() {
    let mut buffer = robot();
    fixed(&mut buffer, "base_link", "camera", 0.75);
    // No odometry at this time, which the way from sensor to sensor does not need.
    assert_eq!(x(buffer.lookup("lidar", "camera", 500 * SECOND)), 0.25);
}

#[test]
fn the_newest_common_time_is_that_of_the_slowest_edge() {
    let mut buffer = robot();
    for (time, x) in [(100, 1.0), (101, 2.0)] {
        moving(&mut buffer, "map2", "map", time * SECOND, x);
    }
    let (transform, time) = buffer.lookup_latest("map2", "lidar").unwrap();
    assert_eq!((transform.translation()[0], time), (2.0 + 1000.0 + 1010.0 + 0.5, 101 * SECOND));
    assert_eq!(buffer.lookup_latest("lidar", "base_link").unwrap().1, 0);
    moving(&mut buffer, "lidar", "late", 200 * SECOND, 0.0);
    let none = buffer.lookup_latest("odom", "late").unwrap_err();
    says(&none, &["`late` in `lidar`", "known only from 200.000 s"]);
}

#[test]
fn through_a_fixed_frame_times_may_differ() {
    let robot = robot();
    // What the lidar saw at 100 s, for the robot that has driven 20 m on at 102 s.
    let seen = robot.lookup_through("base_link", 102 * SECOND, "lidar", 100 * SECOND, "odom").unwrap();
    assert_eq!(seen.translation()[0], 0.5 - 20.0);
    let same = robot.lookup_through("odom", 0, "odom", SECOND, "odom").unwrap();
    assert_eq!(same, RigidTransform::identity());
}

#[test]
fn a_frame_in_itself_is_known_before_any_message() {
    assert_eq!(buffer().lookup("laser", "/laser", 5), Ok(RigidTransform::identity()));
}

#[test]
fn unknown_frames_are_told_with_what_was_meant() {
    let empty = buffer().lookup("odom", "base_link", 0).unwrap_err();
    says(&empty, &["frame `base_link` is not known", "no transform has come at all"]);
    let mut buffer = robot();
    let slip = buffer.lookup("odom", "base_lnik", 0).unwrap_err();
    says(&slip, &["did you mean `base_link`?", "known are `base_link`, `lidar`, `map`, `odom`"]);
    // The same sensor of two robots.
    fixed(&mut buffer, "base_link", "robot1/camera", 0.0);
    fixed(&mut buffer, "base_link", "robot2/camera", 0.0);
    let prefix = buffer.lookup("odom", "camera", 0).unwrap_err();
    says(&prefix, &["did you mean `robot1/camera`, `robot2/camera`?"]);
    for number in 0..20 {
        fixed(&mut buffer, "map", &format!("shelf_{number:02}"), 0.0);
    }
    says(&buffer.lookup("elsewhere", "odom", 0).unwrap_err(), &["frame `elsewhere`", "and 14 more"]);
}

#[test]
fn frames_of_two_trees_are_told_with_both() {
    let mut buffer = robot();
    fixed(&mut buffer, "camera_link", "camera_optical", 0.0);
    let error = buffer.lookup("base_link", "camera_optical", 0).unwrap_err();
    says(
        &error,
        &["one of `base_link`, `lidar`, `map`, `odom`", "other of `camera_link`, `camera_optical`", "mounted"],
    );
}

#[test]
fn samples_may_come_late_and_twice() {
    let mut buffer = buffer();
    for (time, x) in [(105, 5.0), (101, 1.0), (103, 3.0), (103, 3.0), (95, -5.0)] {
        moving(&mut buffer, "odom", "base_link", time * SECOND, x);
    }
    for (time, expected) in [(95, -5.0), (98, -2.0), (102, 2.0), (104, 4.0)] {
        assert_eq!(x(buffer.lookup("odom", "base_link", time * SECOND)), expected);
    }
    assert_eq!((buffer.samples, buffer.jumps()), (4, 0));
}

#[test]
fn samples_go_when_they_are_old() {
    let mut buffer = buffer();
    for second in 0..100 {
        moving(&mut buffer, "odom", "base_link", second * SECOND, 0.0);
    }
    assert_eq!(buffer.samples, 11);
    assert!(buffer.lookup("odom", "base_link", 89 * SECOND).is_ok());
    assert!(matches!(buffer.lookup("odom", "base_link", 88 * SECOND), Err(TransformError::TooOld { .. })));
}

#[test]
fn time_that_jumps_back_forgets_what_moved() {
    let mut buffer = robot();
    moving(&mut buffer, "base_link", "mast", 102 * SECOND, 0.0);
    moving(&mut buffer, "odom", "base_link", SECOND, 7.0);
    assert_eq!((buffer.jumps(), buffer.samples), (1, 1));
    assert_eq!(x(buffer.lookup("odom", "lidar", SECOND)), 7.5);
    assert_eq!(buffer.frames(), ["base_link", "lidar", "map", "odom"]);
    // The one frame's clock is not that of another: what is only late elsewhere is no jump.
    moving(&mut buffer, "base_link", "mast", 500 * SECOND, 0.0);
    moving(&mut buffer, "odom", "base_link", 2 * SECOND, 8.0);
    assert_eq!(buffer.jumps(), 1);
}

#[test]
fn clearing_leaves_static_edges() {
    let mut buffer = robot();
    buffer.clear();
    assert_eq!(buffer.samples, 0);
    assert_eq!(x(buffer.lookup("base_link", "lidar", 0)), 0.5);
    assert!(matches!(buffer.lookup("odom", "base_link", 101 * SECOND), Err(TransformError::NotConnected { .. })));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut buffer = robot();
    let mut refused = |transform: &TransformStamped<'_>, words: &[&str]| {
        for is_static in [true, false] {
            says(&buffer.insert(transform, is_static).unwrap_err(), words);
        }
    };
    refused(&stamped("", "a", 0, 0.0), &["has no name"]);
    refused(&stamped("a", "/", 0, 0.0), &["has no name"]);
    refused(&stamped("/a", "a", 0, 0.0), &["`a` in itself"]);
    refused(&stamped("a", &"long".repeat(40), 0, 0.0), &["160 bytes"]);
    refused(&stamped("a", "b", 0, f64::NAN), &["`b` in `a`", "not finite"]);
    let mut zero = stamped("a", "b", 0, 0.0);
    zero.transform.rotation = Quaternion { x: 0.0, y: 0.0, z: 0.0, w: 0.0 };
    refused(&zero, &["quaternion is zero"]);
    refused(&stamped("lidar", "map", 0, 0.0), &["circle, `lidar` in `base_link` in `odom` in `map` in `lidar`"]);
    refused(&stamped("lidar", "base_link", 200 * SECOND, 0.0), &["circle, `lidar` in `base_link` in `lidar`"]);
    assert_eq!(buffer.frames(), ["base_link", "lidar", "map", "odom"]);
    assert_eq!(x(buffer.lookup("map", "lidar", 101 * SECOND)), 2010.5);
}

#[test]
fn a_frame_moves_to_another_parent_with_newer_transforms_only() {
    let mut buffer = robot();
    fixed(&mut buffer, "map", "shelf", 5.0);
    let old = buffer.insert(&stamped("shelf", "base_link", 101 * SECOND, 1.0), false).unwrap_err();
    says(&old, &["`base_link` in `shelf`", "hangs in `odom`", "two nodes"]);
    moving(&mut buffer, "shelf", "base_link", 103 * SECOND, 1.0);
    assert_eq!(x(buffer.lookup("map", "lidar", 103 * SECOND)), 6.5);
    assert_eq!(buffer.samples, 1);
}

#[test]
fn static_and_moving_take_each_others_place() {
    let mut buffer = robot();
    fixed(&mut buffer, "odom", "base_link", 2.0);
    assert_eq!((x(buffer.lookup("odom", "base_link", 0)), buffer.samples), (2.0, 0));
    moving(&mut buffer, "odom", "base_link", 5 * SECOND, 3.0);
    assert_eq!((x(buffer.lookup("odom", "base_link", 5 * SECOND)), buffer.samples), (3.0, 1));
    assert!(buffer.lookup("odom", "base_link", 0).is_err());
}

#[test]
fn a_flood_of_samples_takes_only_its_own() {
    let mut buffer = robot();
    buffer.max_samples = 100;
    for step in 0..1000 {
        moving(&mut buffer, "map", "flood", 100 * SECOND + step, 0.0);
    }
    assert_eq!(buffer.samples, 100);
    assert_eq!(x(buffer.lookup("odom", "base_link", 100 * SECOND)), 1000.0);
    assert!(buffer.lookup("map", "flood", 100 * SECOND + 999).is_ok());
}

#[test]
fn a_flood_of_frames_ends() {
    let mut buffer = buffer();
    for number in 0..MAX_EDGES {
        fixed(&mut buffer, "map", &format!("frame_{number}"), 0.0);
    }
    says(&buffer.insert(&stamped("map", "more", 0, 0.0), true).unwrap_err(), &["`more`", "2048"]);
    fixed(&mut buffer, "map", "frame_7", 1.0);
    assert_eq!(buffer.frames().len(), MAX_EDGES + 1);
}

#[test]
fn what_is_known_has_an_answer_and_nothing_else() {
    let mut buffer = buffer();
    for second in [1, 2] {
        moving(&mut buffer, "odom", "base_link", second * SECOND, 1.0);
    }
    fixed(&mut buffer, "base_link", "lidar", 0.5);
    fixed(&mut buffer, "base_link", "camera", 0.5);
    fixed(&mut buffer, "map", "dock", 0.5);
    for target in ["odom", "/odom", "lidar", "camera", "dock", "nowhere"] {
        for source in ["base_link", "lidar", "camera", "map", "odom", "nowhere"] {
            for time in [0, 1_500_000_000, 3_000_000_000] {
                let known = buffer.is_known(target, source, time);
                assert_eq!(known, buffer.lookup(target, source, time).is_ok(), "{target} {source} {time}");
            }
        }
    }
}
