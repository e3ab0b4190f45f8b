//! What a student finds in a batch, decoded and suppressed as on the robot.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::TrainError;
use crate::{
    distill::student::{CameraStudent, Rounding, STRIDES},
    model::{
        ModelSpec, SoftDetection,
        head::{OutputTensor, decode},
        network::select,
    },
};

/// The boxes that a student for inference finds in each image of a batch `[B, 3, H, W]`, in input pixels, best first; where it is said how
/// numbers are rounded, as int8 hardware finds them.
///
/// # Errors
/// When the student's outputs are not as its specification says.
pub(super) fn detect(
    student: &CameraStudent,
    rounding: Option<&Rounding>,
    images: Tensor<4>,
    spec: &ModelSpec,
) -> Result<Vec<Vec<SoftDetection>>, TrainError> {
    let count = images.dims()[0];
    let (output, _) = student.forward_rounded(images, &[], rounding);
    let maps = STRIDES.iter().zip(output.class_logits.into_iter().zip(output.box_distributions));
    let maps: Vec<Map> = maps
        .flat_map(|(stride, (classes, boxes))| {
            [Map::new(format!("class_logits_{stride}"), classes), Map::new(format!("box_distribution_{stride}"), boxes)]
        })
        .collect();
    let image = |place| {
        let outputs: Vec<OutputTensor<'_>> = maps.iter().map(|map| map.image(place)).collect();
        let found = decode(spec, &outputs)?.detections;
        Ok(select(spec, found, |class| spec.threshold(class)))
    };
    // Each image is decoded on one thread.
    (0..count).into_par_iter().map(image).collect()
}

/// One output map of a batch, on this side of the device.
struct Map {
    name: String,
    shape: [usize; 4],
    values: Vec<f32>,
}

impl Map {
    fn new(name: String, tensor: Tensor<4>) -> Self {
        let shape = tensor.dims();
        let values = tensor.into_data().convert::<f32>().try_into_vec().expect("the data was just converted to f32");
        Self { name, shape, values }
    }

    /// The part of one image, with a batch of 1.
    fn image(&self, place: usize) -> OutputTensor<'_> {
        let [_, channels, height, width] = self.shape;
        let length = channels * height * width;
        OutputTensor::new(&self.name, &[1, channels, height, width], &self.values[place * length..(place + 1) * length])
    }
}
