//! Small, fast perception models for warehouse robots, and the workshop that distils them out of the robots' own recordings.
//!
//! Two flows share one core:
//!
//! ```text
//! ROBOT      topic bytes -> messages -> sensing -> model -> ROS 2 topics
//! WORKSHOP   bag bytes   -> messages -> sensing -> teachers -> targets -> student + losses -> export -> evaluate -> report
//!                                                                                              '-> bundle.onnx -> ROBOT
//! ```
//!
//! | room | holds |
//! |---|---|
//! | [`digest`] | hashes that tell where a result comes from |
//! | [`messages`] | ROS messages read straight out of CDR bytes, and the encoders for those written to bags |
//! | [`geometry`] | boxes, intersection over union, suppression, weighted box fusion; rigid transforms, the camera model |
//! | [`sensing`] | every image encoding to RGB, letterboxing into network input; scans and clouds to sweeps and range images; the buffer of transforms |
//! | [`model`] | what a detector is: its specification, bundle, ONNX session, head decoding |
//! | [`fusion`] | camera boxes and lidar objects to measurements on the floor, footprints for costmaps |
//! | [`tracking`] | measurements over time to objects with velocity, identity and class |
//! | [`metrics`] | average precision, calibration and latency figures, used by reports and nodes alike |
//! | `recording` (feature `ros` or `distill`; of feature `bench` its `durable`) | writing recordings as rosbag2 does, files that are whole or not there |
//! | `command_line`, `figure_table` (feature `bench`) | how commands end and what they print; tables |
//! | `bench` (feature `bench`, which `ros` and `distill` bring) | what models cost on a board: `distill bench` |
//! | `node` (feature `ros`) | the ROS 2 nodes |
//! | `distill` (feature `distill`) | the workshop: bags, teachers, targets, student, training, export, evaluation, report, synthetic data |

// Its macros are for the modules below it.
#[cfg(feature = "bench")]
#[macro_use]
pub mod command_line;

#[cfg(feature = "bench")]
pub mod bench;
pub mod digest;
mod excerpt;
#[cfg(feature = "bench")]
pub mod figure_table;
pub mod fusion;
pub mod geometry;
pub mod messages;
pub mod metrics;
pub mod model;
#[cfg(feature = "bench")]
pub mod recording;
pub mod sensing;
mod spelling;
pub mod tracking;
mod unknown_key;

#[cfg(feature = "distill")]
pub mod distill;
#[cfg(feature = "ros")]
pub mod node;
