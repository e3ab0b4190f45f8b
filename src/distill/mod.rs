//! The workshop: everything that turns recordings and teachers into a student bundle. Needs no ROS installation.

pub mod ablate;
pub mod allocator;
pub mod audit;
pub mod bag;
pub mod child;
pub mod command;
pub mod compress;
pub mod config;
pub mod evaluate;
pub mod export;
mod few;
pub mod lidar;
pub mod loss;
pub mod report;
pub mod shell;
pub mod split;
pub mod stage;
pub mod student;
pub mod synth;
pub mod targets;
pub mod teacher;
pub mod train;
mod worst;

pub use crate::digest;
pub use crate::figure_table;
pub use crate::recording::durable;
