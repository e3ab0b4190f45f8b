//! The camera student: a plain convolutional detector small enough for one CPU thread of a robot, and quick to train on a
//! CPU as well.
//!
//! ```text
//! images [B, 3, H, W] -> backbone (3x3 convolution + BatchNorm + ReLU, strides 8/16/32)
//!                     -> top-down neck (1x1 laterals, nearest upsampling, sums; Feature Pyramid Networks, Lin et al. 2017)
//!                     -> per stride: class logits [B, C, H/s, W/s], box distributions [B, 4 * bins, H/s, W/s]
//! ```
//!
//! Boxes are distances from a cell's centre `((column + 0.5) * s, (row + 0.5) * s)` to the left, top, right and bottom edge
//! in units of the stride, each as a distribution over `bins` whole numbers (Generalized Focal Loss, Li et al. 2020).
//! Decoding is left outside the network: see [`crate::model::HeadFormat::Student`].

mod adapter;
mod anchor;
mod arithmetic;
mod block;
mod config;
mod group;
mod inherit;
mod network;
pub mod operator;
mod rounding;
mod seed;
mod weights;

pub use adapter::Adapters;
pub use anchor::{AnchorPoint, UnknownAnchor};
pub use block::{ConvUnit, Residual, Stage};
pub(in crate::distill) use block::{plain_convolution, upsample};
pub(in crate::distill) use config::{CLASS_PRIOR, check_classes};
pub use config::{ConfigError, Convolution, STRIDES, Size, StudentConfig, Widths};
pub use group::{ByGroup, Channels, Group};
pub use inherit::{InheritError, class_places};
pub use network::{CameraStudent, StudentOutput};
pub use rounding::Rounding;
pub(in crate::distill) use seed::WeightSeed;
pub use weights::WeightsError;
pub(in crate::distill) use weights::{load, save};
