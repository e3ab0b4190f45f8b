//! Rigid transforms and their buffer against independent implementations: matrices in numpy (fixture by
//! scripts/reference/transforms.py) and the crate `transforms`; and what must hold of any.

#[cfg(feature = "distill")]
mod support;

use std::{collections::BTreeSet, time::Duration};

use distilled_perception::{
    geometry::RigidTransform,
    messages::{Header, Time, TransformStamped},
    sensing::transforms::TransformBuffer,
};
use proptest::{collection::vec, prelude::*};
use serde::Deserialize;
use transforms::{
    Registry, Transform,
    geometry::{Quaternion, Vector3},
    time::{Stamp, Timestamp},
};

const SECOND: i64 = 1_000_000_000;

#[derive(Deserialize)]
struct Fixture {
    pairs: Vec<Pair>,
    samples: Vec<Sample>,
    lookups: Vec<Lookup>,
    through: Vec<Through>,
}

#[derive(Deserialize)]
struct Parts {
    translation: [f64; 3],
    quaternion: [f64; 4],
}

impl Parts {
    fn transform(&self) -> RigidTransform {
        RigidTransform::from_parts(self.translation, self.quaternion).unwrap()
    }
}

#[derive(Deserialize)]
struct Pair {
    a: Parts,
    b: Parts,
    share: f64,
    point: [f64; 3],
    applied: [f64; 3],
    rotated: [f64; 3],
    inverse: [[f64; 4]; 4],
    composed: [[f64; 4]; 4],
    between: [[f64; 4]; 4],
    yaw: f64,
}

#[derive(Deserialize)]
struct Sample {
    child: String,
    parent: String,
    #[serde(rename = "static")]
    is_static: bool,
    stamp: i64,
    translation: [f64; 3],
    quaternion: [f64; 4],
}

#[derive(Deserialize)]
struct Lookup {
    target: String,
    source: String,
    time: i64,
    expected: [[f64; 4]; 4],
}

#[derive(Deserialize)]
struct Through {
    target: String,
    target_time: i64,
    source: String,
    source_time: i64,
    fixed: String,
    expected: [[f64; 4]; 4],
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/geometry/transforms.json")).unwrap()
}

/// How far two transforms are apart: the sum of the differences of their matrices' elements (a sum, as NaN must not get lost).
fn difference(a: &RigidTransform, b: &[[f64; 4]; 4]) -> f64 {
    let (rotation, translation) = (a.rotation(), a.translation());
    let rows = (0..3).flat_map(|row| {
        let shift = (translation[row] - b[row][3]).abs();
        (0..3).map(move |column| (rotation[row][column] - b[row][column]).abs()).chain([shift])
    });
    rows.sum()
}

fn matrix(transform: &RigidTransform) -> [[f64; 4]; 4] {
    let (rotation, shift) = (transform.rotation(), transform.translation());
    let row = |row: usize| [rotation[row][0], rotation[row][1], rotation[row][2], shift[row]];
    [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]
}

fn apart(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
}

fn stamped<'a>(parent: &'a str, child: &'a str, stamp: i64, pose: &RigidTransform) -> TransformStamped<'a> {
    let header = Header { stamp: Time::from_nanoseconds(stamp), frame_id: parent };
    TransformStamped { header, child_frame_id: child, transform: pose.to_message() }
}

#[test]
fn transforms_agree_with_matrices() {
    for (number, pair) in fixture().pairs.iter().enumerate() {
        let (a, b) = (pair.a.transform(), pair.b.transform());
        for (what, found, expected) in [
            ("inverse", a.inverse(), &pair.inverse),
            ("composed", a.compose(&b), &pair.composed),
            ("between", a.interpolate(&b, pair.share), &pair.between),
        ] {
            let difference = difference(&found, expected);
            assert!(difference < 1e-9, "pair {number} {what}: off by {difference}");
        }
        assert!(apart(a.apply(pair.point), pair.applied) < 1e-9, "pair {number}");
        assert!(apart(a.rotate(pair.point), pair.rotated) < 1e-9, "pair {number}");
        assert!((a.yaw() - pair.yaw).abs() < 1e-9, "pair {number}: {} is not {}", a.yaw(), pair.yaw);
    }
}

#[test]
fn a_tree_of_moving_frames_agrees_with_matrices() {
    let fixture = fixture();
    let mut buffer = TransformBuffer::new(Duration::from_secs(10));
    for Sample { child, parent, is_static, stamp, translation, quaternion } in &fixture.samples {
        let pose = RigidTransform::from_parts(*translation, *quaternion).unwrap();
        buffer.insert(&stamped(parent, child, *stamp, &pose), *is_static).unwrap();
    }
    for Lookup { target, source, time, expected } in &fixture.lookups {
        let difference = difference(&buffer.lookup(target, source, *time).unwrap(), expected);
        assert!(difference < 1e-8, "{source} in {target} at {time}: off by {difference}");
    }
    for Through { target, target_time, source, source_time, fixed, expected } in &fixture.through {
        let found = buffer.lookup_through(target, *target_time, source, *source_time, fixed).unwrap();
        let difference = difference(&found, expected);
        assert!(difference < 1e-8, "{source} at {source_time} in {target} at {target_time}: off by {difference}");
    }
}

/// A real robot's frames, whose names start with slashes as in ROS 1.
#[cfg(feature = "distill")]
#[test]
fn a_real_recording_fills_the_buffer() {
    use distilled_perception::{
        distill::bag::{Bag, TopicFilter},
        messages::TFMessage,
    };

    const RECORDING: &str = "bags/sick_lms1xx_mcap";
    let Some(data) = support::test_data(RECORDING) else { return };
    let bag = Bag::open(data.join(RECORDING)).unwrap();
    let mut messages = bag.messages(&TopicFilter::only(["/tf"])).unwrap();
    let mut buffer = TransformBuffer::new(Duration::from_secs(10));
    let mut stamps = Vec::new();
    while let Some(message) = messages.read_next().unwrap() {
        for transform in TFMessage::decode(message.data).unwrap().transforms {
            buffer.insert(&transform, false).unwrap();
            stamps.push(transform.header.stamp.to_nanoseconds());
        }
    }
    assert_eq!(stamps.len(), 17);
    assert_eq!(buffer.frames(), ["cloud", "radar"]);
    let between = stamps[3] + (stamps[4] - stamps[3]) / 2;
    assert!(buffer.lookup("cloud", "/radar", between).is_ok());
    assert_eq!(buffer.lookup_latest("radar", "cloud").unwrap().1, stamps[16]);
    assert_eq!(buffer.jumps(), 0);
}

fn any_transform() -> impl Strategy<Value = RigidTransform> {
    let turn =
        prop::array::uniform4(-1.0..1.0_f64).prop_filter("a turn", |turn| turn.iter().any(|part| part.abs() > 0.01));
    (prop::array::uniform3(-10.0..10.0_f64), turn)
        .prop_filter_map("a transform", |(shift, turn)| RigidTransform::from_parts(shift, turn))
}

/// The angle between two turns, in radians.
fn angle(a: &RigidTransform, b: &RigidTransform) -> f64 {
    let [x, y, z, w] = a.inverse().compose(b).quaternion();
    2.0 * (x * x + y * y + z * z).sqrt().atan2(w.abs())
}

/// Samples of up to eight frames, each of which hangs in one of those before it.
#[derive(Debug, Clone)]
struct Tree {
    /// Of frame `index + 1`.
    parents: Vec<usize>,
    statics: Vec<bool>,
    /// Child, stamp, pose.
    samples: Vec<(usize, i64, RigidTransform)>,
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let parents = vec(any::<prop::sample::Index>(), 1..8);
    parents.prop_flat_map(|parents| {
        let edges = parents.len();
        let parents: Vec<usize> = parents.iter().enumerate().map(|(child, parent)| parent.index(child + 1)).collect();
        let samples = vec((1..=edges, 0..100_i64, any_transform()), 1..40);
        (Just(parents), vec(any::<bool>(), edges), samples).prop_map(|(parents, statics, samples)| Tree {
            parents,
            statics,
            samples,
        })
    })
}

fn name(frame: usize) -> String {
    format!("frame_{frame}")
}

proptest! {
    #[test]
    fn the_way_back_undoes_the_way(a in any_transform(), b in any_transform(), point in prop::array::uniform3(-100.0..100.0_f64)) {
        prop_assert!(apart(a.inverse().apply(a.apply(point)), point) < 1e-10);
        prop_assert!(apart(a.compose(&b).apply(point), a.apply(b.apply(point))) < 1e-10);
        prop_assert!(difference(&a.compose(&b).inverse(), &matrix(&b.inverse().compose(&a.inverse()))) < 1e-10);
    }

    #[test]
    fn interpolation_stays_between(a in any_transform(), b in any_transform(), share in 0.0..=1.0_f64) {
        let between = a.interpolate(&b, share);
        for axis in 0..3 {
            let (start, end) = (a.translation()[axis], b.translation()[axis]);
            let expected = start + share * (end - start);
            prop_assert!((between.translation()[axis] - expected).abs() < 1e-12);
        }
        let whole = angle(&a, &b);
        prop_assert!((angle(&a, &between) - share * whole).abs() < 1e-7);
        prop_assert!((angle(&between, &b) - (1.0 - share) * whole).abs() < 1e-7);
        let back = b.interpolate(&a, 1.0 - share);
        // Half a turn may go either way.
        prop_assume!(whole < std::f64::consts::PI - 1e-6);
        prop_assert!(difference(&between, &matrix(&back)) < 1e-8);
    }

    #[test]
    fn a_chain_is_the_composition_of_its_edges(edges in vec(any_transform(), 1..12), time in any::<i64>()) {
        let mut buffer = TransformBuffer::new(Duration::from_secs(10));
        let mut composed = RigidTransform::identity();
        for (number, edge) in edges.iter().enumerate() {
            buffer.insert(&stamped(&name(number), &name(number + 1), 0, edge), true).unwrap();
            composed = composed.compose(edge);
        }
        let (first, last) = (name(0), name(edges.len()));
        prop_assert!(difference(&buffer.lookup(&first, &last, time).unwrap(), &matrix(&composed)) < 1e-9);
        prop_assert!(difference(&buffer.lookup(&last, &first, time).unwrap(), &matrix(&composed.inverse())) < 1e-9);
    }

    /// The crate `transforms` is another implementation of the same rules.
    #[test]
    fn any_tree_is_as_another_implementation_has_it(
        tree in any_tree(),
        halves in vec(0..210_i64, 10),
        latest in any::<bool>(),
    ) {
        let keep = Duration::from_secs(50);
        let (mut ours, mut theirs): (_, Registry) = (TransformBuffer::new(keep), Registry::with_max_age(keep));
        let newest_of = |frame: usize| {
            let stamps = tree.samples.iter().filter(|(child, ..)| *child == frame).map(|(_, second, _)| *second);
            stamps.max().unwrap_or_default()
        };
        let mut known = BTreeSet::new();
        for &(child, second, pose) in &tree.samples {
            // What is older than all that is kept is another run for us, and for them no sample.
            if second + 50 < newest_of(child) {
                continue;
            }
            let (parent, is_static) = (tree.parents[child - 1], tree.statics[child - 1]);
            ours.insert(&stamped(&name(parent), &name(child), second * SECOND, &pose), is_static).unwrap();
            theirs.add_transform(their_transform(&name(parent), &name(child), second * SECOND, &pose, is_static)).unwrap();
            known.extend([name(parent), name(child)]);
        }
        prop_assert_eq!(ours.frames(), known.into_iter().collect::<Vec<_>>());
        for (number, half) in halves.iter().enumerate() {
            let frames = tree.parents.len() + 1;
            let (target, source) = (name(number % frames), name((number * 5 + 1) % frames));
            let mut time = half * SECOND / 2;
            if latest {
                let expected = theirs.latest_common_time(&target, &source).ok();
                let expected = expected.map(|stamp| stamp.at().map_or(0, |at| at.as_nanos() as i64));
                let found = ours.lookup_latest(&target, &source).ok().map(|(_, time)| time);
                prop_assert_eq!(found, expected, "{} in {}", source, target);
                time = expected.unwrap_or(time);
            }
            let found = ours.lookup(&target, &source, time);
            let expected = theirs.get_transform(&target, &source, Timestamp::from_nanos(time as u64));
            prop_assert_eq!(found.is_ok(), expected.is_ok(), "{:?}, but {:?}", found, expected);
            if let (Ok(found), Ok(expected)) = (found, expected) {
                let difference = difference(&found, &matrix(&our_transform(&expected)));
                prop_assert!(difference < 1e-6, "{source} in {target} at {time}: off by {difference}");
            }
        }
    }
}

fn their_transform(parent: &str, child: &str, time: i64, pose: &RigidTransform, is_static: bool) -> Transform {
    let ([x, y, z, w], [shift_x, shift_y, shift_z]) = (pose.quaternion(), pose.translation());
    let stamp = if is_static { Stamp::Static } else { Stamp::At(Timestamp::from_nanos(time as u64)) };
    let (shift, turn) = (Vector3::new(shift_x, shift_y, shift_z), Quaternion::from_wxyz(w, x, y, z));
    Transform::new(parent, child, shift, turn, stamp).unwrap()
}

fn our_transform(theirs: &Transform) -> RigidTransform {
    let (turn, shift) = (theirs.rotation(), theirs.translation());
    RigidTransform::from_parts([shift.x, shift.y, shift.z], [turn.x, turn.y, turn.z, turn.w]).unwrap()
}
