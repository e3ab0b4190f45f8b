//! ROS 2 messages read straight out of CDR bytes (XCDR1, little and big endian), borrowing their strings and payloads, and
//! written back.
//!
//! ```
//! use distilled_perception::messages::{Header, Image, Time};
//!
//! let header = Header { stamp: Time { sec: 12, nanosec: 5 }, frame_id: "camera" };
//! let image = Image { header, height: 1, width: 2, encoding: "mono8", is_bigendian: 0, step: 2, data: &[7, 9] };
//! let bytes = image.encode();
//! assert_eq!(Image::decode(&bytes)?, image);
//! # Ok::<(), distilled_perception::messages::DecodeError>(())
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `cdr` | the wire format: reader, writer, and how a structure's fields lie in it |
//! | `floats` | float arrays that stay in the message's bytes |
//! | `definition` | the message definition texts that bags carry as schemas |
//! | `header` | [`Time`], [`Header`], [`Text`], [`Clock`] |
//! | `geometry` | [`Pose`], [`PoseArray`], [`TFMessage`] and their parts |
//! | `camera` | [`Image`], [`CompressedImage`], [`CameraInfo`] |
//! | `range` | [`LaserScan`], [`PointCloud2`] |
//! | `detection` | vision_msgs: [`Detection2DArray`], [`Detection3DArray`], [`LabelInfo`] |
//! | `navigation` | nav2_msgs: [`SpeedLimit`] |
//!
//! Fields carry their ROS names and units (metres, radians, seconds; frames after REP-103 and REP-105). Nothing here panics on
//! bad bytes, and no length field is believed before the bytes behind it are counted.

mod camera;
mod cdr;
mod definition;
mod detection;
mod error;
mod floats;
mod geometry;
mod header;
mod navigation;
mod range;

pub use camera::{CameraInfo, CompressedImage, Image, RegionOfInterest};
pub use cdr::Endianness;
pub use definition::definition;
pub use detection::{
    BoundingBox2D, BoundingBox3D, Detection2D, Detection2DArray, Detection3D, Detection3DArray, LabelInfo,
    ObjectHypothesis, ObjectHypothesisWithPose, Point2D, Pose2D, VisionClass,
};
pub use error::DecodeError;
pub use floats::Floats;
pub use geometry::{
    Covariance, Point, Pose, PoseArray, PoseWithCovariance, Quaternion, TFMessage, Transform, TransformStamped, Vector3,
};
pub use header::{Clock, Header, Text, Time};
pub use navigation::SpeedLimit;
pub use range::{LaserScan, PointCloud2, PointField};

/// What every message type has: for code that writes any of them.
pub trait Message {
    /// The ROS name of the message type, such as `sensor_msgs/msg/Image`.
    const TYPE_NAME: &'static str;

    /// Replaces what is in `bytes` by the message in CDR, encapsulation header included, keeping the buffer.
    fn encode_into(&self, endianness: Endianness, bytes: &mut Vec<u8>);
}
