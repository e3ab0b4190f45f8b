//! What is asked of everything that parses bytes from outside, as plain functions of bytes: no panic, and what each of them promises
//! besides. cargo-fuzz runs them (fuzz_targets/, on a nightly toolchain), and tests/fuzz.rs does on any, for a bounded time.
//!
//! | body | what it feeds |
//! |---|---|
//! | `messages` | every message's decoder: Image, CompressedImage, CameraInfo, LaserScan, PointCloud2, TFMessage, Detection arrays and the rest |
//! | `images` | raw images of every encoding, JPEG and PNG files |
//! | `sweeps` | laser scans and point clouds of any layout, to range images |
//! | `transforms` | the buffer behind `/tf`, cameras' calibrations |
//! | `fusion` | what cameras and a lidar found, their places and times, to tracks and points of the costmap |
//! | `bundles` | ONNX files: their metadata, and the files that they name |
//! | `specifications` | the YAML beside foreign models, the JSON inside bundles |
//! | `recordings` | MCAP files, SQLite files, `metadata.yaml` (feature `distill`) |
#![allow(dead_code)]

pub mod bundles;
pub mod fusion;
pub mod images;
pub mod messages;
#[cfg(feature = "distill")]
pub mod recordings;
mod source;
pub mod specifications;
pub mod sweeps;
pub mod transforms;
