//! What moves keeps its label, too: an object that one sweep knows is followed to the sweeps before and after it.
//!
//! A camera loses a person who walks past the robot just when the lidar sees that person best; a student that never learns from such
//! sweeps takes people beside it for something else. Points that stand above the floor, and are not known to be something that stays,
//! make clusters in a fixed frame. One that mostly has labels of a moving class, and is no larger than the class, is the object, and its
//! other points are the object's. It is looked for in the next sweep where its velocity says, and in the one before likewise; the one
//! cluster that is near enough and of the right size is the same object. Where two could be, or none is, it is lost: what is not sure
//! stays unknown.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{
    LabelledObject, LabelledSweep, PointClass, PointTarget,
    camera::{CameraLabels, estimate},
};
use crate::{
    geometry::RigidTransform,
    sensing::{range_image::is_void, transforms::TransformBuffer},
};

/// What stands less than this above the lowest of a sweep's points is taken for the floor, in metres.
const FLOOR: f32 = 0.12;
/// Share of a sweep's points below which the floor is taken to be: stray points lie lower.
const FLOOR_SHARE: f64 = 0.02;
/// Sweeps whose points are within this height are one plane, in which nothing is the floor, in metres.
const PLANE: f32 = 0.2;
/// How much larger than usual an object of a class may be, in metres.
const SLACK: f32 = 0.3;
/// Another cluster that is at most this much farther from where the object should be could be the object as well, in metres.
const DOUBT: f32 = 0.3;
/// Share of a cluster's known points that must be of one class.
const AGREEMENT: f32 = 0.8;
/// An object that is hidden for longer is lost, in seconds.
const HIDDEN: f32 = 0.45;
/// Nobody in a warehouse is faster, in m/s.
const FASTEST: f32 = 4.0;

/// How objects are followed to sweeps in which nobody labelled them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Follow {
    /// The frame in which the floor and what stands on it do not move. Default `odom`.
    pub fixed_frame: String,
    /// Classes that are followed. Default person and forklift.
    pub classes: Vec<String>,
    /// Seconds that an object is followed for without a label. Default 5.
    pub seconds: f32,
    /// Metres from where it should be within which an object is looked for. Default 0.5.
    pub gate: f32,
    /// Points nearer to each other than this along the floor belong together, in metres. Default 0.25.
    pub link: f32,
    /// Points that an object has at least. Default 4.
    pub min_points: usize,
    /// Weight of a label that was given so, beside 1 of a sure one. Default 0.5.
    pub weight: f32,
    /// By class that carries others, metres above the floor up to which points are taken for the object's: whoever rides on it is higher.
    /// One that stands beside something of a class that is not followed may carry it, and is neither filled nor followed. Default 0.9
    /// for forklifts, and no limit for others.
    pub below: BTreeMap<String, f32>,
    /// By class that carries others, metres above the floor from which points are the object's again: its roof and mast, where nobody who
    /// rides on it reaches. Default 1.9 for forklifts; classes that are not named have nothing above `below`.
    pub above: BTreeMap<String, f32>,
    /// Length, width and height in metres that objects of a class mostly have; common classes of a warehouse have defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub size_priors: BTreeMap<String, [f32; 3]>,
}

impl Default for Follow {
    fn default() -> Self {
        Self {
            fixed_frame: "odom".into(),
            classes: vec!["person".into(), "forklift".into()],
            seconds: 5.0,
            gate: 0.5,
            link: 0.25,
            min_points: 4,
            weight: 0.5,
            below: [("forklift".to_owned(), 0.9)].into(),
            above: [("forklift".to_owned(), 1.9)].into(),
            size_priors: BTreeMap::new(),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Followed {
    /// Points that objects gained in sweeps in which others of their points were labelled.
    pub filled: u64,
    /// Points of objects in sweeps in which nobody labelled them.
    pub points: u64,
    /// Those objects, each counted in every sweep.
    pub objects: u64,
    /// Sweeps whose place the transforms do not tell.
    pub without_transform: usize,
}

impl Follow {
    /// The key and what is wrong with its value.
    pub(super) fn check(&self, classes: &[String]) -> Result<(), (String, String)> {
        let wrong = |key: &str, message: String| Err((key.to_owned(), message));
        if self.fixed_frame.is_empty() {
            return wrong("fixed_frame", "is empty; name a frame such as odom or map".into());
        }
        if !(self.seconds > 0.0 && self.seconds <= 60.0) {
            return wrong("seconds", format!("{} must be above 0 and at most 60", self.seconds));
        }
        for (key, value) in [("gate", self.gate), ("link", self.link)] {
            if !(0.01..=5.0).contains(&value) {
                return wrong(key, format!("{value} must be metres in 0.01..5"));
            }
        }
        if !(self.weight > 0.0 && self.weight <= 1.0) {
            return wrong("weight", format!("{} must be above 0 and at most 1", self.weight));
        }
        for (key, heights) in [("below", &self.below), ("above", &self.above)] {
            if let Some((class, height)) = heights.iter().find(|(_, height)| !(0.0..=10.0).contains(*height)) {
                return wrong(key, format!("{height} of `{class}` must be metres in 0..10"));
            }
        }
        let limits = |class: &String| Some((self.above.get(class)?, self.below.get(class)?));
        let lower = |class: &&String| limits(class).is_some_and(|(above, below)| above < below);
        if let Some(class) = self.above.keys().find(lower) {
            return wrong("above", format!("is lower than `below` for `{class}`"));
        }
        if let Some(class) = self.classes.iter().find(|class| classes.contains(class) && self.size_of(class).is_none())
        {
            let message = format!("has no length, width and height for `{class}`, which is to be followed; give them");
            return wrong("size_priors", message);
        }
        // The same as a camera's, but for classes that are none of the experiment's: these are not followed.
        let own = self.size_priors.iter().filter(|(class, _)| classes.contains(class));
        let sizes = own.map(|(class, size)| (class.clone(), *size)).collect();
        CameraLabels { size_priors: sizes, ..CameraLabels::default() }.check(classes)
    }

    fn size_of(&self, class: &str) -> Option<[f32; 3]> {
        self.size_priors.get(class).copied().or_else(|| CameraLabels::default().size_prior(class))
    }

    /// Follows objects through the sweeps of one recording, forwards and backwards.
    pub(super) fn apply(
        &self,
        sweeps: &mut [LabelledSweep],
        transforms: &TransformBuffer,
        classes: &[String],
    ) -> Followed {
        let kinds: Vec<Option<Kind>> = classes
            .iter()
            .map(|class| {
                let size = self.size_of(class).filter(|_| self.classes.contains(class))?;
                let limit = |heights: &BTreeMap<String, f32>| heights.get(class).copied().unwrap_or(f32::INFINITY);
                Some(Kind { size, below: limit(&self.below), above: limit(&self.above) })
            })
            .collect();
        let mut followed = Followed::default();
        let mut scenes: Vec<Scene> = sweeps
            .iter()
            .map(|sweep| {
                let pose = transforms.lookup(&self.fixed_frame, &sweep.frame_id, sweep.stamp).ok();
                followed.without_transform += usize::from(pose.is_none());
                Scene::new(sweep, pose, self, &kinds)
            })
            .collect();
        let forwards: Vec<usize> = (0..scenes.len()).collect();
        let backwards: Vec<usize> = forwards.iter().rev().copied().collect();
        for order in [forwards, backwards] {
            self.walk(&mut scenes, &order, &kinds);
        }
        for (sweep, scene) in sweeps.iter_mut().zip(&scenes) {
            for cluster in &scene.clusters {
                self.label(sweep, scene, cluster, &kinds, &mut followed);
            }
            sweep.labels.count_points(|object| object.points > 0);
        }
        followed
    }

    /// Follows through the scenes in this order and notes in their clusters what they are.
    fn walk(&self, scenes: &mut [Scene], order: &[usize], kinds: &[Option<Kind>]) {
        let mut walkers: Vec<Walker> = Vec::new();
        for &place in order {
            let scene = &mut scenes[place];
            let mut is_taken = vec![false; scene.clusters.len()];
            walkers.retain_mut(|walker| {
                let elapsed = seconds(walker.stamp, scene.stamp).abs();
                if elapsed > HIDDEN {
                    return false;
                }
                let expected = [0, 1].map(|axis| walker.at[axis] + walker.velocity[axis] * elapsed);
                let Some(found) = self.find(scene, walker.class, expected, kinds) else { return true };
                let cluster = &mut scene.clusters[found];
                if std::mem::replace(&mut is_taken[found], true) {
                    // Two have become one cluster.
                    cluster.dispute(walker.class);
                    return false;
                }
                if cluster.class.is_some() {
                    walker.known = scene.stamp;
                } else if seconds(walker.known, scene.stamp).abs() > self.seconds {
                    return false;
                } else {
                    cluster.follow(walker.class);
                }
                walker.move_to(cluster.middle, elapsed);
                walker.stamp = scene.stamp;
                true
            });
            for (cluster, _) in scene.clusters.iter().zip(&is_taken).filter(|(_, is_taken)| !**is_taken) {
                if let Some(class) = cluster.class {
                    let stamp = scene.stamp;
                    walkers.push(Walker { class, at: cluster.middle, velocity: [0.0; 2], stamp, known: stamp });
                }
            }
        }
    }

    /// The one cluster that an object of this class must be.
    fn find(&self, scene: &Scene, class: u16, at: [f32; 2], kinds: &[Option<Kind>]) -> Option<usize> {
        let kind = kind_of(kinds, class)?;
        let distance = |cluster: &Cluster| (cluster.middle[0] - at[0]).hypot(cluster.middle[1] - at[1]);
        let mut near: Vec<(f32, usize)> = scene
            .clusters
            .iter()
            .enumerate()
            .map(|(place, cluster)| (distance(cluster), place))
            .filter(|(distance, _)| *distance <= self.gate + DOUBT)
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        let &(nearest, place) = near.first()?;
        let cluster = &scene.clusters[place];
        let is_it = nearest <= self.gate
            && !cluster.is_disputed
            && cluster.class.is_none_or(|known| known == class)
            && cluster.extent <= kind.largest();
        // A label leaves no doubt.
        let is_sure = cluster.class.is_some() || near.get(1).is_none_or(|(next, _)| *next > nearest + DOUBT);
        (is_it && is_sure).then_some(place)
    }

    /// Writes down what a cluster was found to be.
    fn label(
        &self,
        sweep: &mut LabelledSweep,
        scene: &Scene,
        cluster: &Cluster,
        kinds: &[Option<Kind>],
        followed: &mut Followed,
    ) {
        let Some(class) = cluster.class.or(cluster.followed).filter(|_| !cluster.is_disputed) else { return };
        let Some(kind) = kind_of(kinds, class) else { return };
        let labels = &mut sweep.labels;
        // A few of its points may be of something else, which has another middle.
        let is_own = |object: &u32| {
            labels.objects.get(*object as usize).is_some_and(|object| object.class == usize::from(class))
        };
        let mut object = cluster.members.iter().find_map(|&point| labels.points[point].object.filter(is_own));
        if object.is_none() {
            let points: Vec<[f64; 3]> =
                cluster.members.iter().map(|&at| sweep.sweep.points[at].map(f64::from)).collect();
            if let Some(found) = estimate(&points, Some(kind.size), scene.pose.as_ref(), sweep.sweep.rows == 1) {
                object = u32::try_from(labels.objects.len()).ok();
                labels.objects.push(LabelledObject {
                    class: usize::from(class),
                    center: found.center,
                    size: found.size,
                    yaw: None,
                    score: self.weight,
                    points: cluster.members.len(),
                });
            }
        }
        followed.objects += u64::from(cluster.class.is_none());
        let count = if cluster.class.is_some() { &mut followed.filled } else { &mut followed.points };
        for (&point, height) in cluster.members.iter().zip(&cluster.heights) {
            let target = &mut labels.points[point];
            if !target.is_known() && kind.takes(*height) {
                *target = PointTarget { class: PointClass::Class(class), weight: self.weight, object };
                *count += 1;
            }
        }
    }
}

/// What is known of a class that is followed.
#[derive(Clone, Copy)]
struct Kind {
    size: [f32; 3],
    /// Points of it are lower than this above the floor, or higher than that.
    below: f32,
    above: f32,
}

impl Kind {
    /// Whether others ride on it, or are carried by it.
    fn carries(&self) -> bool {
        self.below.is_finite()
    }

    /// Whether a point of its cluster at this height above the floor is its own, and not of who rides on it.
    fn takes(&self, height: f32) -> bool {
        height <= self.below || height >= self.above
    }

    /// The longest distance between two points of an object along the floor.
    fn largest(&self) -> f32 {
        let [length, width, _] = self.size;
        length.hypot(width) + SLACK
    }
}

/// What is known of a class; nothing where it is not followed.
fn kind_of(kinds: &[Option<Kind>], class: u16) -> Option<Kind> {
    kinds.get(usize::from(class)).copied().flatten()
}

/// An object on its way.
struct Walker {
    class: u16,
    at: [f32; 2],
    /// In the direction that sweeps are gone through.
    velocity: [f32; 2],
    /// When it was seen last, and when with a label.
    stamp: i64,
    known: i64,
}

impl Walker {
    fn move_to(&mut self, at: [f32; 2], elapsed: f32) {
        if elapsed > 0.0 {
            let seen = [0, 1].map(|axis| ((at[axis] - self.at[axis]) / elapsed).clamp(-FASTEST, FASTEST));
            self.velocity = [0, 1].map(|axis| (self.velocity[axis] + seen[axis]) / 2.0);
        }
        self.at = at;
    }
}

/// What stands about in one sweep and may move.
struct Scene {
    stamp: i64,
    pose: Option<RigidTransform>,
    clusters: Vec<Cluster>,
}

/// Points that stand together.
struct Cluster {
    members: Vec<usize>,
    /// How high each of them is above the floor, in metres.
    heights: Vec<f32>,
    /// The mean of its points along the floor, in the fixed frame.
    middle: [f32; 2],
    /// The longest distance between two of its points along the floor.
    extent: f32,
    /// What most of its known points are, if it is of the right size.
    class: Option<u16>,
    /// What it was found to be by following.
    followed: Option<u16>,
    /// Whether its points are known as several things, or it was followed as such.
    is_disputed: bool,
}

impl Scene {
    fn new(sweep: &LabelledSweep, pose: Option<RigidTransform>, options: &Follow, kinds: &[Option<Kind>]) -> Self {
        let mut clusters = Vec::new();
        if let Some(pose) = &pose {
            let points: Vec<[f32; 3]> = sweep.sweep.points.iter().map(|point| pose.apply_f32(*point)).collect();
            let floor = floor_of(&points, sweep.sweep.rows == 1);
            let may_move = |target: &PointTarget| {
                !target.is_known() || target.class.class().is_some_and(|class| kind_of(kinds, class).is_some())
            };
            let standing: Vec<usize> = (0..points.len())
                .filter(|&at| {
                    !is_void(&points[at]) && points[at][2] > floor + FLOOR && may_move(&sweep.labels.points[at])
                })
                .collect();
            let is_other = |target: &PointTarget| {
                target.is_known() && target.class.class().is_some_and(|class| kind_of(kinds, class).is_none())
            };
            let others: Vec<usize> =
                (0..points.len()).filter(|&at| !is_void(&points[at]) && is_other(&sweep.labels.points[at])).collect();
            for members in linked(&points, &standing, options.link) {
                if members.len() >= options.min_points.max(1) {
                    let mut cluster = Cluster::new(members, &points, floor, &sweep.labels.points, options, kinds);
                    let carries =
                        cluster.class.and_then(|class| kind_of(kinds, class)).is_some_and(|kind| kind.carries());
                    if carries && cluster.is_near(&others, &points, options.link) {
                        // Nobody knows where it ends and its load begins.
                        (cluster.class, cluster.is_disputed) = (None, true);
                    }
                    clusters.push(cluster);
                }
            }
        }
        Self { stamp: sweep.stamp, pose, clusters }
    }
}

impl Cluster {
    fn new(
        members: Vec<usize>,
        points: &[[f32; 3]],
        floor: f32,
        targets: &[PointTarget],
        options: &Follow,
        kinds: &[Option<Kind>],
    ) -> Self {
        let count = members.len() as f32;
        let middle = [0, 1].map(|axis| members.iter().map(|&member| points[member][axis] / count).sum::<f32>());
        let heights = members.iter().map(|&member| points[member][2] - floor).collect();
        let mut known: BTreeMap<u16, usize> = BTreeMap::new();
        for target in members.iter().map(|&member| &targets[member]) {
            if let Some(class) = target.class.class().filter(|_| target.is_known()) {
                *known.entry(class).or_insert(0) += 1;
            }
        }
        let extent = extent_of(&members, points);
        let total: usize = known.values().sum();
        let class = known.iter().max_by_key(|(_, count)| **count).filter(|(class, count)| {
            let is_fitting = kind_of(kinds, **class).is_some_and(|kind| extent <= kind.largest());
            is_fitting && **count >= options.min_points && **count as f32 >= AGREEMENT * total as f32
        });
        let class = class.map(|(class, _)| *class);
        let is_disputed = class.is_none() && !known.is_empty();
        Self { members, heights, middle, extent, class, followed: None, is_disputed }
    }

    /// Whether one of these points is as near to one of its own as its own are to each other.
    fn is_near(&self, others: &[usize], points: &[[f32; 3]], link: f32) -> bool {
        let reach = self.extent + link;
        let within =
            |at: usize, [x, y]: [f32; 2], distance: f32| (points[at][0] - x).hypot(points[at][1] - y) <= distance;
        let around = others.iter().filter(|&&other| within(other, self.middle, reach));
        around.into_iter().any(|&other| {
            let [x, y, _] = points[other];
            self.members.iter().any(|&member| within(member, [x, y], link))
        })
    }

    fn follow(&mut self, class: u16) {
        self.dispute(class);
        self.followed = Some(class);
    }

    /// Somebody says that it is of this class: if it was followed as another, nobody knows what it is.
    fn dispute(&mut self, class: u16) {
        self.is_disputed |= self.followed.is_some_and(|known| known != class);
    }
}

/// The longest distance between two points along the floor: from the point that is farthest from any to the one farthest from that.
fn extent_of(members: &[usize], points: &[[f32; 3]]) -> f32 {
    let farthest = |from: usize| {
        let distance = |to: usize| (points[to][0] - points[from][0]).hypot(points[to][1] - points[from][1]);
        members.iter().map(|&to| (distance(to), to)).max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let end = members.first().and_then(|&first| farthest(first));
    end.and_then(|(_, end)| farthest(end)).map_or(0.0, |(distance, _)| distance)
}

/// How high the floor is; lower than all points where they lie in one plane, however a robot that nods tilts it.
fn floor_of(points: &[[f32; 3]], is_planar: bool) -> f32 {
    let mut heights: Vec<f32> = points.iter().filter(|point| !is_void(point)).map(|point| point[2]).collect();
    heights.sort_unstable_by(f32::total_cmp);
    match (heights.first(), heights.last()) {
        (Some(lowest), Some(highest)) if !is_planar && highest - lowest > PLANE => {
            heights[(FLOOR_SHARE * (heights.len() - 1) as f64) as usize]
        }
        (Some(lowest), _) => lowest - 2.0 * FLOOR,
        _ => 0.0,
    }
}

/// Groups of points that are linked by steps along the floor shorter than `link`; each in ascending order.
fn linked(points: &[[f32; 3]], places: &[usize], link: f32) -> Vec<Vec<usize>> {
    let square = |place: usize| [0, 1].map(|axis| (points[place][axis] / link).floor() as i32);
    let mut squares: HashMap<[i32; 2], Vec<usize>> = HashMap::new();
    for &place in places {
        squares.entry(square(place)).or_default().push(place);
    }
    let mut groups = Vec::new();
    for &first in places {
        let mut group = Vec::new();
        // A point is linked once: it is taken out of its square.
        let mut waiting = Vec::new();
        if let Some(square) = squares.get_mut(&square(first))
            && let Some(at) = square.iter().position(|&place| place == first)
        {
            waiting.push(square.swap_remove(at));
        }
        while let Some(place) = waiting.pop() {
            group.push(place);
            let [x, y, _] = points[place];
            let [column, row] = square(place);
            for key in (-1..=1).flat_map(|i| (-1..=1).map(move |j| [column.saturating_add(i), row.saturating_add(j)])) {
                let Some(square) = squares.get_mut(&key) else { continue };
                square.retain(|&other| {
                    let is_near = (points[other][0] - x).hypot(points[other][1] - y) < link;
                    if is_near {
                        waiting.push(other);
                    }
                    !is_near
                });
            }
        }
        if !group.is_empty() {
            group.sort_unstable();
            groups.push(group);
        }
    }
    groups
}

/// Seconds from one time in nanoseconds to another.
fn seconds(from: i64, to: i64) -> f32 {
    (to.saturating_sub(from) as f64 / 1e9) as f32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::SweepLabels, *};
    use crate::{
        messages::{Header, Quaternion, Time, Transform, TransformStamped, Vector3},
        sensing::range_image::Sweep,
    };

    const PERIOD: i64 = 200_000_000;

    /// A robot that stands still.
    fn transforms() -> TransformBuffer {
        let mut buffer = TransformBuffer::new(Duration::from_secs(1000));
        let transform = TransformStamped {
            header: Header { stamp: Time::from_nanoseconds(0), frame_id: "odom" },
            child_frame_id: "lidar",
            transform: Transform { translation: Vector3 { x: 0.0, y: 0.0, z: 0.0 }, rotation: Quaternion::default() },
        };
        buffer.insert(&transform, true).unwrap();
        buffer
    }

    /// Twelve points of something half a metre wide, and below them the floor.
    fn column([x, y]: [f32; 2], target: PointTarget) -> Vec<([f32; 3], PointTarget)> {
        let mut points: Vec<([f32; 3], PointTarget)> =
            (0..12).map(|i| ([x, y + (i % 3) as f32 * 0.2 - 0.2, 0.4 + (i / 3) as f32 * 0.3], target)).collect();
        points.extend((0..4).map(|i| ([x - 0.5 + i as f32 * 0.3, y, 0.0], PointTarget::IGNORED)));
        points
    }

    fn sweep(number: i64, seen: &[Vec<([f32; 3], PointTarget)>]) -> LabelledSweep {
        let seen = seen.concat();
        LabelledSweep {
            stamp: number * PERIOD,
            frame_id: "lidar".into(),
            sweep: Sweep {
                points: seen.iter().map(|(point, _)| *point).collect(),
                intensities: Vec::new(),
                rings: Vec::new(),
                rows: 16,
            },
            labels: SweepLabels { points: seen.iter().map(|(_, target)| *target).collect(), objects: Vec::new() },
            truth: None,
        }
    }

    fn followed(sweeps: &mut [LabelledSweep], options: &Follow) -> Followed {
        options.apply(sweeps, &transforms(), &["person".to_owned(), "pallet".to_owned()])
    }

    /// Somebody who walks along y at 1.5 m/s; labelled in the sweeps that `is_seen` says.
    fn walk(count: i64, is_seen: impl Fn(i64) -> bool) -> Vec<LabelledSweep> {
        let of = |number| if is_seen(number) { PointTarget::of_class(0, None) } else { PointTarget::IGNORED };
        (0..count).map(|number| sweep(number, &[column([2.0, number as f32 * 0.3 - 3.0], of(number))])).collect()
    }

    #[test]
    fn somebody_who_leaves_the_picture_is_followed_both_ways_and_not_for_ever() {
        let mut sweeps = walk(20, |number| (8..11).contains(&number));
        let found = followed(&mut sweeps, &Follow { seconds: 1.0, ..Follow::default() });
        let is_person = |number: usize| {
            let labels = &sweeps[number].labels;
            assert!(labels.points[12..].iter().all(|point| !point.is_known()), "the floor is nobody");
            labels.points[..12].iter().all(|point| point.class == PointClass::Class(0) && point.is_known())
        };
        let persons: Vec<usize> = (0..20).filter(|number| is_person(*number)).collect();
        // One second before and after the labels.
        assert_eq!(persons, (3..16).collect::<Vec<_>>());
        assert_eq!((found.objects, found.points, found.filled), (10, 120, 0));
        let object = &sweeps[12].labels.objects[0];
        assert_eq!((object.class, object.points, sweeps[12].labels.points[0].weight), (0, 12, 0.5));
        // Half a person's depth behind what is seen of it.
        assert!((object.center[0] - 2.25).abs() < 0.1 && (object.center[1] - 0.6).abs() < 0.1, "{object:?}");
    }

    #[test]
    fn where_two_could_be_the_one_or_it_is_too_large_nobody_is() {
        let mut doubtful = walk(6, |number| number < 3);
        for (number, with) in doubtful.iter_mut().enumerate().skip(3) {
            let own = column([2.0, number as f32 * 0.3 - 3.0], PointTarget::IGNORED);
            let other = column([2.3, number as f32 * 0.3 - 3.0], PointTarget::IGNORED);
            *with = sweep(number as i64, &[own, other]);
        }
        assert_eq!(followed(&mut doubtful, &Follow::default()).objects, 0);
        let mut by_the_wall = walk(6, |number| number < 3);
        for (number, with) in by_the_wall.iter_mut().enumerate().skip(3) {
            let own = column([2.0, number as f32 * 0.3 - 3.0], PointTarget::IGNORED);
            let wall = (0..30).map(|i| ([2.1, -3.0 + i as f32 * 0.1, 1.0], PointTarget::IGNORED)).collect();
            *with = sweep(number as i64, &[own, wall]);
        }
        assert_eq!(followed(&mut by_the_wall, &Follow::default()).objects, 0);
    }

    #[test]
    fn the_rest_of_an_object_is_filled_and_what_stays_is_left_alone() {
        let mut half = column([2.0, 0.0], PointTarget::IGNORED);
        half.iter_mut().take(6).for_each(|(_, target)| *target = PointTarget::of_class(0, None));
        let pallet = column([4.0, 0.0], PointTarget::of_class(1, None));
        let mut sweeps = vec![sweep(0, &[half, pallet.clone()]), sweep(1, &[pallet])];
        let found = followed(&mut sweeps, &Follow::default());
        assert_eq!((found.filled, found.points, found.without_transform), (6, 0, 0));
        assert!(sweeps[0].labels.points[..12].iter().all(|point| point.class == PointClass::Class(0)));
        assert!(sweeps[1].labels.points[..12].iter().all(|point| point.class == PointClass::Class(1)));
        // Nobody knows where the sensor is.
        sweeps[0].frame_id = "elsewhere".into();
        assert_eq!(followed(&mut sweeps, &Follow::default()).without_transform, 1);
    }

    #[test]
    fn what_is_filled_is_of_the_object_of_its_class() {
        let mut seen = column([2.0, 0.0], PointTarget::IGNORED);
        // The forklift's pillar is in front of all points of the person.
        seen[0].1 = PointTarget::of_class(1, Some(0));
        seen[1..9].iter_mut().for_each(|(_, target)| *target = PointTarget::of_class(0, Some(1)));
        let object =
            |class| LabelledObject { class, center: [0.0; 3], size: None, yaw: None, score: 1.0, points: usize::MAX };
        let mut sweeps = vec![sweep(0, &[seen])];
        sweeps[0].labels.objects = vec![object(1), object(0)];
        let classes = ["person".to_owned(), "forklift".to_owned()];
        assert_eq!(Follow::default().apply(&mut sweeps, &transforms(), &classes).filled, 3);
        let labels = &sweeps[0].labels;
        assert!(labels.points[9..12].iter().all(|point| *point == PointTarget { weight: 0.5, ..labels.points[1] }));
        assert_eq!(labels.objects.iter().map(|object| object.points).collect::<Vec<_>>(), [1, 11]);
    }

    #[test]
    fn whoever_rides_on_a_forklift_is_not_the_forklift() {
        let [seen, unseen] = [PointTarget::of_class(0, None), PointTarget::IGNORED].map(|of| column([3.0, 0.0], of));
        let mut sweeps = vec![sweep(0, &[seen]), sweep(1, &[unseen])];
        let found = Follow::default().apply(&mut sweeps, &transforms(), &["forklift".to_owned()]);
        assert_eq!((found.objects, found.points), (1, 6));
        for ([_, _, z], target) in sweeps[1].sweep.points.iter().zip(&sweeps[1].labels.points) {
            assert_eq!(target.is_known(), (0.1..0.9).contains(z), "{z}");
        }
        // Where nobody's head is, it is the forklift again.
        sweeps[1] = sweep(1, &[column([3.0, 0.0], PointTarget::IGNORED)]);
        let low = Follow { above: [("forklift".to_owned(), 1.25)].into(), ..Follow::default() };
        assert_eq!(low.apply(&mut sweeps, &transforms(), &["forklift".to_owned()]).points, 9);
        let known = |z: &f32| (0.1..0.9).contains(z) || *z > 1.25;
        for ([_, _, z], target) in sweeps[1].sweep.points.iter().zip(&sweeps[1].labels.points) {
            assert_eq!(target.is_known(), known(z), "{z}");
        }
    }

    #[test]
    fn odd_sweeps_do_no_harm() {
        let far = |target| vec![([1e30, -1e30, 0.5], target); 9];
        let mut sweeps = vec![
            sweep(0, &[]),
            sweep(1, &[vec![([f32::NAN, 0.0, 1.0], PointTarget::IGNORED); 9]]),
            sweep(2, &[far(PointTarget::IGNORED), column([f32::MAX, 0.0], PointTarget::IGNORED)]),
            // A class that the experiment has not.
            sweep(3, &[column([2.0, 0.0], PointTarget::of_class(9, None))]),
            sweep(9, &[far(PointTarget::of_class(0, None))]),
        ];
        assert_eq!(followed(&mut sweeps, &Follow::default()), Followed::default());
        assert_eq!(followed(&mut [], &Follow::default()), Followed::default());
    }

    #[test]
    fn what_carries_something_is_left_as_it_is() {
        let classes = ["person".to_owned(), "pallet".to_owned(), "forklift".to_owned()];
        let truck = |y: f32| {
            let mut truck = column([2.0, y], PointTarget::IGNORED);
            truck[6..12].iter_mut().for_each(|(_, target)| *target = PointTarget::of_class(2, None));
            truck
        };
        let load = column([2.2, 0.0], PointTarget::of_class(1, None));
        let apply = |sweeps: &mut [LabelledSweep]| Follow::default().apply(sweeps, &transforms(), &classes);
        let mut laden =
            vec![sweep(0, &[truck(0.0), load.clone()]), sweep(1, &[column([2.0, 0.0], PointTarget::IGNORED)])];
        let found = apply(&mut laden);
        assert_eq!((found.filled, found.points), (0, 0));
        let mut apart = vec![sweep(0, &[truck(2.0), load])];
        // What is lower than a driver's seat.
        assert!(apply(&mut apart).filled > 0);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let check = |options: Follow| options.check(&["person".into(), "cat".into()]);
        assert_eq!(check(Follow::default()), Ok(()));
        for (options, key) in [
            (Follow { fixed_frame: String::new(), ..Follow::default() }, "fixed_frame"),
            (Follow { seconds: 0.0, ..Follow::default() }, "seconds"),
            (Follow { gate: f32::NAN, ..Follow::default() }, "gate"),
            (Follow { link: 0.0, ..Follow::default() }, "link"),
            (Follow { below: [("person".to_owned(), -1.0)].into(), ..Follow::default() }, "below"),
            (Follow { above: [("forklift".to_owned(), 99.0)].into(), ..Follow::default() }, "above"),
            (Follow { above: [("forklift".to_owned(), 0.5)].into(), ..Follow::default() }, "above"),
            (Follow { weight: 2.0, ..Follow::default() }, "weight"),
            (Follow { classes: vec!["cat".into()], ..Follow::default() }, "size_priors"),
            (Follow { size_priors: [("cat".to_owned(), [0.5, 0.0, 0.3])].into(), ..Follow::default() }, "size_priors"),
        ] {
            assert_eq!(check(options).unwrap_err().0, key);
        }
    }
}
