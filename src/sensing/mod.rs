//! From sensor messages to network input.
//!
//! | file | holds |
//! |---|---|
//! | [`image`] | every image encoding, raw or compressed, to RGB |
//! | `image_file` | JPEG and PNG files to RGB, within limits |
//! | `yuv`, `bayer` | the two families of encodings that take arithmetic |
//! | `input_spec` | what a network's input is: [`InputSpec`] |
//! | [`letterbox`] | RGB images of any size to a network's input tensor, and boxes back |
//! | [`point_cloud`] | point clouds of any layout to points |
//! | [`range_image`] | laser scans and points to images of distances |
//! | [`transforms`] | where the robot's frames are in each other, at any time: the buffer behind `/tf` |

mod bayer;
pub mod image;
mod image_file;
mod input_spec;
pub mod letterbox;
pub mod point_cloud;
pub mod range_image;
pub mod transforms;
mod yuv;

pub use input_spec::{ColorOrder, Fit, InputSpec};
