//! Poses and transforms (geometry_msgs, tf2_msgs): metres and unit quaternions, right-handed frames (REP-103).

use serde::{Serialize, Serializer};

use crate::messages::DecodeError;
use crate::messages::cdr::{Cdr, Reader, Writer, cdr_struct};
use crate::messages::header::Header;

cdr_struct! {
    /// `geometry_msgs/msg/Vector3`.
    #[derive(Copy)]
    pub struct Vector3 {
        /// Along x.
        pub x: f64,
        /// Along y.
        pub y: f64,
        /// Along z.
        pub z: f64,
    }
}

cdr_struct! {
    /// `geometry_msgs/msg/Point` in metres.
    #[derive(Copy)]
    pub struct Point {
        /// Along x.
        pub x: f64,
        /// Along y.
        pub y: f64,
        /// Along z.
        pub z: f64,
    }
}

/// `geometry_msgs/msg/Quaternion`: a rotation as a unit quaternion; by default none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quaternion {
    /// First imaginary part.
    pub x: f64,
    /// Second imaginary part.
    pub y: f64,
    /// Third imaginary part.
    pub z: f64,
    /// Real part.
    pub w: f64,
}

impl Default for Quaternion {
    fn default() -> Self {
        Self { x: 0.0, y: 0.0, z: 0.0, w: 1.0 }
    }
}

impl Quaternion {
    /// A turn about z by so many radians, anticlockwise seen from above.
    pub fn from_yaw(yaw: f64) -> Self {
        let half = yaw / 2.0;
        Self { x: 0.0, y: 0.0, z: half.sin(), w: half.cos() }
    }

    /// The turn about z in radians.
    pub fn yaw(&self) -> f64 {
        let Self { x, y, z, w } = *self;
        (2.0 * (w * z + x * y)).atan2(1.0 - 2.0 * (y * y + z * z))
    }
}

cdr_struct!(@implement ['a] [Quaternion] { x: f64, y: f64, z: f64, w: f64, });

cdr_struct! {
    /// `geometry_msgs/msg/Pose`.
    #[derive(Copy)]
    pub struct Pose {
        /// Where, in metres.
        pub position: Point,
        /// How it is turned.
        pub orientation: Quaternion,
    }
}

/// A 6 x 6 covariance matrix, row by row: x, y, z in metres, then the turns about x, y, z in radians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Covariance(pub [f64; 36]);

impl Default for Covariance {
    fn default() -> Self {
        Self([0.0; 36])
    }
}

impl Serialize for Covariance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0)
    }
}

impl<'a> Cdr<'a> for Covariance {
    const MIN_BYTES: usize = <[f64; 36]>::MIN_BYTES;
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        <[f64; 36]>::read(reader).map(Self)
    }
    fn write(&self, writer: &mut Writer<'_>) {
        self.0.write(writer);
    }
}

cdr_struct! {
    /// `geometry_msgs/msg/PoseWithCovariance`.
    #[derive(Copy)]
    pub struct PoseWithCovariance {
        /// The pose.
        pub pose: Pose,
        /// How sure it is.
        pub covariance: Covariance,
    }
}

cdr_struct! {
    /// `geometry_msgs/msg/PoseArray`: poses in one frame.
    pub struct PoseArray<'a> = "geometry_msgs/msg/PoseArray" {
        /// Stamp and frame.
        pub header: Header<'a>,
        /// The poses.
        pub poses: Vec<Pose>,
    }
}

cdr_struct! {
    /// `geometry_msgs/msg/Transform`.
    #[derive(Copy)]
    pub struct Transform {
        /// Shift in metres.
        pub translation: Vector3,
        /// Turn.
        pub rotation: Quaternion,
    }
}

cdr_struct! {
    /// `geometry_msgs/msg/TransformStamped`: where `child_frame_id` is in `header.frame_id`.
    #[derive(Copy)]
    pub struct TransformStamped<'a> {
        /// Stamp and parent frame.
        pub header: Header<'a>,
        /// The child frame.
        pub child_frame_id: &'a str,
        /// From child coordinates to parent coordinates.
        pub transform: Transform,
    }
}

cdr_struct! {
    /// `tf2_msgs/msg/TFMessage`: what is on `/tf` and `/tf_static`.
    pub struct TFMessage<'a> = "tf2_msgs/msg/TFMessage" {
        /// The transforms.
        pub transforms: Vec<TransformStamped<'a>>,
    }
}
