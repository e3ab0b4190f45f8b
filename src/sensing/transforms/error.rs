//! Why a transform is not taken or not known.

use std::time::Duration;

/// Names that a message lists of many.
const LISTED: usize = 12;
/// Stamps that differ by more than this many nanoseconds are not late but of another clock.
const OTHER_CLOCK: u64 = 60_000_000_000;

/// Why a transform cannot be used or is not known: what is known instead, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransformError {
    /// A frame without a name.
    #[error("a transform of `{child}` in `{parent}` is refused, because a frame has no name: mend its publisher")]
    NoName {
        /// Parent frame.
        parent: String,
        /// Child frame.
        child: String,
    },
    /// A frame whose name is too long.
    #[error(
        "a transform is refused, because the name of its frame `{start}..` has {bytes} bytes (at most {most}): mend its publisher"
    )]
    LongName {
        /// How the name starts.
        start: String,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// A frame in itself.
    #[error(
        "a transform of `{frame}` in itself is refused: mend its publisher, whose two frame parameters are the same"
    )]
    OfItself {
        /// The frame.
        frame: String,
    },
    /// Numbers that are no transform.
    #[error(
        "a transform of `{child}` in `{parent}` is refused, because its numbers are not finite or its quaternion is zero: \
         mend its publisher (no turn is 0, 0, 0, 1)"
    )]
    NotFinite {
        /// Parent frame.
        parent: String,
        /// Child frame.
        child: String,
    },
    /// A transform that would close a circle.
    #[error(
        "a transform of `{child}` in `{parent}` is refused, because it would close a circle, `{circle}`: one of these is \
         published the wrong way round, or by two nodes (see `ros2 run tf2_tools view_frames`)"
    )]
    Circle {
        /// Parent frame.
        parent: String,
        /// Child frame.
        child: String,
        /// The frames around.
        circle: String,
    },
    /// A sample of a parent that the frame hung in before.
    #[error(
        "a transform of `{child}` in `{told}` is refused, because `{child}` hangs in `{known}` by newer transforms: when \
         this comes again and again, two nodes publish `{child}`, and one of them must be stopped"
    )]
    OldParent {
        /// Child frame.
        child: String,
        /// The parent of the newer samples.
        known: String,
        /// The parent of this one.
        told: String,
    },
    /// No room.
    #[error(
        "a transform of `{child}` is refused, because there are {most} frames already: look for a node that makes up frames"
    )]
    TooManyFrames {
        /// The frame that has no room.
        child: String,
        /// Frames at most.
        most: usize,
    },
    /// A frame that nobody has told of.
    #[error(
        "no transform from `{source_frame}` into `{target_frame}`: frame `{frame}` is not known{}; {}",
        meant(.similar),
        known_frames(.known)
    )]
    UnknownFrame {
        /// The frame that the transform would lead into.
        target_frame: String,
        /// The frame that it would lead from.
        source_frame: String,
        /// The one of these that is not known.
        frame: String,
        /// Known frames that may have been meant.
        similar: Vec<String>,
        /// All known frames.
        known: Vec<String>,
    },
    /// Two frames that nothing connects.
    #[error(
        "no transform from `{source_frame}` into `{target_frame}`: they are in two trees, one of {}, the other of {}; \
         publish the transform that connects them, such as where a sensor is mounted (tf2_ros static_transform_publisher or the robot's URDF)",
        listed(.target_tree),
        listed(.source_tree)
    )]
    NotConnected {
        /// The frame that the transform would lead into.
        target_frame: String,
        /// The frame that it would lead from.
        source_frame: String,
        /// All frames connected with the target.
        target_tree: Vec<String>,
        /// All frames connected with the source.
        source_tree: Vec<String>,
    },
    /// A time that an edge has not come to yet.
    #[error(
        "no transform from `{source_frame}` into `{target_frame}` at {}: `{child}` in `{parent}` is known only up to {}, \
         {} before that; {}",
        seconds(*.time),
        seconds(*.newest),
        span(.time.abs_diff(*.newest)),
        mend_of_new(.time.abs_diff(*.newest))
    )]
    TooNew {
        /// The frame that the transform would lead into.
        target_frame: String,
        /// The frame that it would lead from.
        source_frame: String,
        /// The child frame of the edge that is late.
        child: String,
        /// Its parent.
        parent: String,
        /// The time that was asked for, in nanoseconds.
        time: i64,
        /// The newest that is known, in nanoseconds.
        newest: i64,
    },
    /// A time that is before an edge's oldest sample.
    #[error(
        "no transform from `{source_frame}` into `{target_frame}` at {}: `{child}` in `{parent}` is known only from {} \
         on, {} after that; {}",
        seconds(*.time),
        seconds(*.oldest),
        span(.time.abs_diff(*.oldest)),
        mend_of_old(.time.abs_diff(*.oldest), *.keep)
    )]
    TooOld {
        /// The frame that the transform would lead into.
        target_frame: String,
        /// The frame that it would lead from.
        source_frame: String,
        /// The child frame of the edge that starts later.
        child: String,
        /// Its parent.
        parent: String,
        /// The time that was asked for, in nanoseconds.
        time: i64,
        /// The oldest that is known, in nanoseconds.
        oldest: i64,
        /// How long transforms are kept.
        keep: Duration,
    },
}

fn meant(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        names => format!(" (did you mean {}?)", listed(names)),
    }
}

fn known_frames(known: &[String]) -> String {
    match known {
        [] => "no transform has come at all: see that /tf and /tf_static are published (odometry, robot_state_publisher), under \
               these names and in this ROS domain, or that the recording holds them"
            .to_owned(),
        names => format!("known are {}; mend the name, or publish where the frame is", listed(names)),
    }
}

/// Names between marks, of many only the first.
fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(LISTED);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

fn mend_of_new(gap: u64) -> &'static str {
    if gap > OTHER_CLOCK {
        "the stamps are of two clocks, or its publisher has stopped: set use_sim_time alike in all nodes, and let the machines \
         share their time"
    } else {
        "wait for it, or see why its publisher is late"
    }
}

fn mend_of_old(gap: u64, keep: Duration) -> String {
    if gap > OTHER_CLOCK && Duration::from_nanos(gap) > keep {
        "the stamps are of two clocks: set use_sim_time alike in all nodes, and let the machines share their time"
            .to_owned()
    } else {
        format!("it starts there, or what is older was let go of ({} s are kept): ask sooner", keep.as_secs_f64())
    }
}

/// A time in seconds of its clock.
fn seconds(nanoseconds: i64) -> String {
    format!("{:.3} s", nanoseconds as f64 * 1e-9)
}

/// A span of time, in the unit in which it is read most easily.
fn span(nanoseconds: u64) -> String {
    match nanoseconds as f64 * 1e-9 {
        seconds if seconds < 1e-3 => format!("{:.3} ms", seconds * 1e3),
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds if seconds < 600.0 => format!("{seconds:.1} s"),
        seconds if seconds < 172_800.0 => format!("{:.1} h", seconds / 3600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}
