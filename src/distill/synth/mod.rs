//! A synthetic warehouse with exact truth: a small deterministic ray caster behind a camera, a 2-D laser scanner and a 16-ring lidar
//! on a robot that drives a loop through two aisles, past pallets, forklifts and people, and, where [`Extras`] says so, carts and
//! traffic cones.
//!
//! | module | holds |
//! |---|---|
//! | `vector`, `shapes`, `bvh` | the geometry of ray casting |
//! | `noise`, `texture`, `lighting` | everything random by hash, what surfaces look like, and the lamps |
//! | `route`, `motion`, `building`, `pallet`, `person`, `forklift`, `traffic` | what stands and moves in the warehouse |
//! | `extras`, `cart`, `cone`, `floor_plan` | objects that are there on request, and where they collide with nothing |
//! | [`scene`] | the warehouse at one instant, ready to be sensed |
//! | [`camera`], [`lidar`], [`truth`] | what the sensors see, and what is really there |
//! | `topics`, [`recording`] | all of it as ROS messages, written to a rosbag2 folder |
//!
//! The same seed and arguments give the same bytes, whatever the number of threads: layout and traffic come from a seeded generator,
//! and every noise value is a hash of seed, frame and pixel or beam. It never replaces checks on real data.

pub mod camera;
pub mod lidar;
pub mod recording;
pub mod scene;
pub mod truth;

mod assembly;
mod building;
mod bvh;
mod cart;
mod cone;
mod extras;
mod floor_plan;
mod forklift;
mod lighting;
mod motion;
pub(in crate::distill) mod noise;
mod pallet;
mod person;
mod route;
mod shapes;
mod texture;
mod topics;
mod traffic;
mod vector;

pub use extras::Extras;
pub use scene::{CLASSES, Class, ObjectBox, Scene, Warehouse};
pub use vector::{Pose, Vec3};
