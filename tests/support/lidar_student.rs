//! A lidar student that learnt nothing.

use burn::tensor::{Device, Distribution, Tensor};
use distilled_perception::{
    distill::lidar::{LidarStudent, LidarStudentConfig},
    model::lidar::LidarSpec,
};

/// A student whose running statistics are no longer those of its beginning.
pub fn student(spec: &LidarSpec) -> LidarStudent {
    let device = Device::flex().autodiff();
    let shape = [2, spec.channels.len(), spec.grid.rows, spec.grid.columns];
    let config = LidarStudentConfig {
        channels: spec.channels.len(),
        classes: spec.classes.len(),
        rows: spec.grid.rows,
        columns: spec.grid.columns,
        is_full_circle: spec.grid.is_full_circle(),
        width: 32,
        depth: 2,
    };
    let student = LidarStudent::new(&config, 5, &device).unwrap();
    for _ in 0..3 {
        let _ = student.forward(Tensor::random(shape, Distribution::Normal(0.5, 1.0), &device));
    }
    student
}
