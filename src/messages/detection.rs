//! What detectors publish (vision_msgs 4).

use crate::messages::cdr::cdr_struct;
use crate::messages::geometry::{Pose, PoseWithCovariance, Vector3};
use crate::messages::header::Header;

cdr_struct! {
    /// `vision_msgs/msg/ObjectHypothesis`: what an object may be.
    #[derive(Copy)]
    pub struct ObjectHypothesis<'a> {
        /// The class's name or number.
        pub class_id: &'a str,
        /// How sure, in `[0, 1]`.
        pub score: f64,
    }
}

cdr_struct! {
    /// `vision_msgs/msg/ObjectHypothesisWithPose`: what an object may be and where it would be then.
    #[derive(Copy)]
    pub struct ObjectHypothesisWithPose<'a> {
        /// What.
        pub hypothesis: ObjectHypothesis<'a>,
        /// Where, in the frame of the detection's header.
        pub pose: PoseWithCovariance,
    }
}

cdr_struct! {
    /// `vision_msgs/msg/Point2D` in pixels.
    #[derive(Copy)]
    pub struct Point2D {
        /// To the right.
        pub x: f64,
        /// Downwards.
        pub y: f64,
    }
}

cdr_struct! {
    /// `vision_msgs/msg/Pose2D` in pixels and radians.
    #[derive(Copy)]
    pub struct Pose2D {
        /// Where.
        pub position: Point2D,
        /// How it is turned.
        pub theta: f64,
    }
}

cdr_struct! {
    /// `vision_msgs/msg/BoundingBox2D` in pixels.
    #[derive(Copy)]
    pub struct BoundingBox2D {
        /// The middle.
        pub center: Pose2D,
        /// Width.
        pub size_x: f64,
        /// Height.
        pub size_y: f64,
    }
}

cdr_struct! {
    /// `vision_msgs/msg/Detection2D`: one object in an image.
    pub struct Detection2D<'a> {
        /// Stamp and frame of the image.
        pub header: Header<'a>,
        /// What it may be, best first.
        pub results: Vec<ObjectHypothesisWithPose<'a>>,
        /// Where it is in the image.
        pub bbox: BoundingBox2D,
        /// Name of the object where it is tracked.
        pub id: &'a str,
    }
}

cdr_struct! {
    /// `vision_msgs/msg/Detection2DArray`: all objects in an image.
    pub struct Detection2DArray<'a> = "vision_msgs/msg/Detection2DArray" {
        /// Stamp and frame of the image.
        pub header: Header<'a>,
        /// The objects.
        pub detections: Vec<Detection2D<'a>>,
    }
}

cdr_struct! {
    /// `vision_msgs/msg/BoundingBox3D` in metres.
    #[derive(Copy)]
    pub struct BoundingBox3D {
        /// Middle and turn.
        pub center: Pose,
        /// Extent along the box's own axes.
        pub size: Vector3,
    }
}

cdr_struct! {
    /// `vision_msgs/msg/Detection3D`: one object in space.
    pub struct Detection3D<'a> {
        /// Stamp and frame.
        pub header: Header<'a>,
        /// What it may be, best first.
        pub results: Vec<ObjectHypothesisWithPose<'a>>,
        /// Where it is.
        pub bbox: BoundingBox3D,
        /// Name of the object where it is tracked.
        pub id: &'a str,
    }
}

cdr_struct! {
    /// `vision_msgs/msg/Detection3DArray`: all objects of one measurement.
    pub struct Detection3DArray<'a> = "vision_msgs/msg/Detection3DArray" {
        /// Stamp and frame.
        pub header: Header<'a>,
        /// The objects.
        pub detections: Vec<Detection3D<'a>>,
    }
}

cdr_struct! {
    /// `vision_msgs/msg/VisionClass`: the name of a class number.
    #[derive(Copy, Eq)]
    pub struct VisionClass<'a> {
        /// The number.
        pub class_id: u16,
        /// The name.
        pub class_name: &'a str,
    }
}

cdr_struct! {
    /// `vision_msgs/msg/LabelInfo`: the classes of a detector, published latched.
    pub struct LabelInfo<'a> = "vision_msgs/msg/LabelInfo" {
        /// Stamp.
        pub header: Header<'a>,
        /// The classes.
        pub class_map: Vec<VisionClass<'a>>,
        /// Scores under this are not published.
        pub threshold: f32,
    }
}
