//! Lidar students.

pub mod labels;
