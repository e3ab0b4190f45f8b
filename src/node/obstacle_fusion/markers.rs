//! Tracks as RViz shows them: a box, what it is, and where it goes.

use std::collections::BTreeSet;

use r2r::{
    builtin_interfaces, geometry_msgs,
    std_msgs::msg::{ColorRGBA, Header},
    visualization_msgs::msg::{Marker, MarkerArray},
};

use super::classes::Classes;
use crate::{
    node::{clock, palette::class_color},
    tracking::Track,
};

// Constants of visualization_msgs/msg/Marker.
const ARROW: i32 = 0;
const CUBE: i32 = 1;
const TEXT_VIEW_FACING: i32 = 9;
const ADD: i32 = 0;
const DELETE: i32 = 2;
const DELETE_ALL: i32 = 3;

/// The markers of a track, one namespace each.
const NAMESPACES: [&str; 3] = ["box", "label", "velocity"];
/// Where somebody walks within this many seconds is where the arrow ends.
const ARROW_SECONDS: f64 = 1.0;
/// Slower things have no arrow, in m/s: a standing person's velocity is noise.
const ARROW_SPEED: f64 = 0.15;
/// Markers that are not published again fade by themselves.
const LIFETIME: builtin_interfaces::msg::Duration = builtin_interfaces::msg::Duration { sec: 2, nanosec: 0 };

/// Remembers what is shown, so that it can be taken away.
#[derive(Debug, Default)]
pub(super) struct MarkerBoard {
    /// Identity of the shown tracks; whether each has an arrow.
    shown: BTreeSet<(i32, bool)>,
    is_begun: bool,
}

impl MarkerBoard {
    /// Whoever looks next may have something old before them.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The markers of tracks at a stamp: first all old ones are deleted, then, each time, what is gone.
    pub(super) fn draw(&mut self, tracks: &[Track], classes: &Classes, frame_id: &str, stamp: i64) -> MarkerArray {
        let header = Header { stamp: clock::ros_time(stamp), frame_id: frame_id.to_owned() };
        let mut markers = Vec::with_capacity(3 * tracks.len() + 1);
        if !self.is_begun {
            self.is_begun = true;
            self.shown.clear();
            markers.push(Marker { header: header.clone(), action: DELETE_ALL, ..Default::default() });
        }
        let mut shown = BTreeSet::new();
        for track in tracks {
            let id = marker_id(track.id);
            let is_moving = track.velocity[0].hypot(track.velocity[1]) >= ARROW_SPEED;
            shown.insert((id, is_moving));
            markers.push(box_marker(track, id, &header));
            markers.push(label_marker(track, id, classes, &header));
            if is_moving {
                markers.push(arrow_marker(track, id, &header));
            }
        }
        for &(id, had_arrow) in &self.shown {
            let stays = |arrow| shown.contains(&(id, arrow));
            let is_gone = !stays(true) && !stays(false);
            for namespace in NAMESPACES {
                let is_over = if namespace == NAMESPACES[2] { had_arrow && !stays(true) } else { is_gone };
                if is_over {
                    let ns = namespace.to_owned();
                    markers.push(Marker { header: header.clone(), ns, id, action: DELETE, ..Default::default() });
                }
            }
        }
        self.shown = shown;
        MarkerArray { markers }
    }
}

/// Markers have 32 bits; identities that far apart are never shown together.
fn marker_id(id: u64) -> i32 {
    (id % (1 << 31)) as i32
}

fn color(class: usize, opacity: f32) -> ColorRGBA {
    let [r, g, b] = class_color(class).map(|value| f32::from(value) / 255.0);
    ColorRGBA { r, g, b, a: opacity }
}

fn point([x, y, z]: [f64; 3]) -> geometry_msgs::msg::Point {
    geometry_msgs::msg::Point { x, y, z }
}

fn vector(x: f64, y: f64, z: f64) -> geometry_msgs::msg::Vector3 {
    geometry_msgs::msg::Vector3 { x, y, z }
}

fn pose(position: [f64; 3], yaw: f64) -> geometry_msgs::msg::Pose {
    let orientation = geometry_msgs::msg::Quaternion { x: 0.0, y: 0.0, z: (yaw / 2.0).sin(), w: (yaw / 2.0).cos() };
    geometry_msgs::msg::Pose { position: point(position), orientation }
}

fn marker(namespace: usize, id: i32, kind: i32, header: &Header) -> Marker {
    Marker {
        header: header.clone(),
        ns: NAMESPACES[namespace].to_owned(),
        id,
        type_: kind,
        action: ADD,
        lifetime: LIFETIME,
        ..Default::default()
    }
}

fn box_marker(track: &Track, id: i32, header: &Header) -> Marker {
    // RViz complains of flat boxes.
    let [length, width, height] = track.size.map(|side| side.max(0.02));
    Marker {
        pose: pose(track.position, track.yaw),
        scale: vector(length, width, height),
        color: color(track.class, 0.5),
        ..marker(0, id, CUBE, header)
    }
}

fn label_marker(track: &Track, id: i32, classes: &Classes, header: &Header) -> Marker {
    let [x, y, z] = track.position;
    let speed = track.velocity[0].hypot(track.velocity[1]);
    Marker {
        pose: pose([x, y, z + track.size[2] / 2.0 + 0.2], 0.0),
        scale: vector(0.0, 0.0, 0.25),
        color: color(track.class, 1.0),
        text: format!("{} {}\n{:.2}, {speed:.1} m/s", classes.name(track.class), track.id, track.score),
        ..marker(1, id, TEXT_VIEW_FACING, header)
    }
}

fn arrow_marker(track: &Track, id: i32, header: &Header) -> Marker {
    let [x, y, z] = track.position;
    let [along_x, along_y] = track.velocity;
    let end = [x + ARROW_SECONDS * along_x, y + ARROW_SECONDS * along_y, z];
    Marker {
        points: vec![point(track.position), point(end)],
        scale: vector(0.06, 0.12, 0.12),
        color: color(track.class, 1.0),
        ..marker(2, id, ARROW, header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(id: u64, speed: f64) -> Track {
        Track { id, velocity: [speed, 0.0], ..Track::person_at(1.0, 2.0) }
    }

    fn drawn(board: &mut MarkerBoard, tracks: &[Track]) -> Vec<(String, i32, i32)> {
        let array = board.draw(tracks, &Classes::new(&["person".into()]), "odom", 0);
        array.markers.into_iter().map(|marker| (marker.ns, marker.id, marker.action)).collect()
    }

    fn line(ns: &str, id: i32, action: i32) -> (String, i32, i32) {
        (ns.to_owned(), id, action)
    }

    #[test]
    fn what_is_gone_is_deleted_once() {
        let mut board = MarkerBoard::default();
        let first = drawn(&mut board, &[track(7, 1.0)]);
        let added = NAMESPACES.map(|ns| line(ns, 7, ADD));
        assert_eq!(first, [&[line("", 0, DELETE_ALL)][..], &added[..]].concat());
        let standing = drawn(&mut board, &[track(7, 0.0)]);
        assert_eq!(standing, [line("box", 7, ADD), line("label", 7, ADD), line("velocity", 7, DELETE)]);
        assert_eq!(drawn(&mut board, &[]), [line("box", 7, DELETE), line("label", 7, DELETE)]);
        assert!(drawn(&mut board, &[]).is_empty());
        board.forget();
        assert_eq!(drawn(&mut board, &[]), [line("", 0, DELETE_ALL)]);
    }
}
