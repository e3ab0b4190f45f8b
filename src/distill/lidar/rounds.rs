//! The second training: points that nobody labelled get the first student's own labels, where it says the same over time
//! (self-training; Yarowsky 1995, for networks "Pseudo-Label", Lee 2013, and Noisy Student, Xie et al. 2020).

use std::ops::ControlFlow;

use burn::{module::Module, tensor::Device};

use super::{
    batch::Example,
    blocks::Blocks,
    labels::{ConsistencyOptions, LabelledSweep, PointTarget, SweepLabels, consistent},
    student::LidarStudent,
    validate::detect,
};
use crate::{distill::train::TrainError, model::lidar::LidarSpec, sensing::range_image::Sweep};

/// Labels for all sweeps to train on, recording after recording.
#[derive(Debug, Clone, Default)]
pub struct OwnLabels {
    sweeps: Vec<SweepLabels>,
    /// Points that were not known before.
    pub points: usize,
    /// Objects found on them.
    pub objects: usize,
}

impl OwnLabels {
    /// Lets a trained student look at all sweeps to train on, labelled ones or not, and adds what it says alike over neighbouring
    /// sweeps to what is known already, which stays. `watch` is asked before each recording and may stop the work: then there are none.
    ///
    /// # Errors
    /// When the student's outputs cannot be read from the device.
    pub fn new(
        student: &LidarStudent,
        blocks: &Blocks<'_>,
        spec: &LidarSpec,
        options: &ConsistencyOptions,
        batch: usize,
        device: &Device,
        watch: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Option<Self>, TrainError> {
        let student = student.valid().fold();
        let mut own = Self::default();
        for recording in &blocks.recordings {
            if watch().is_break() {
                return Ok(None);
            }
            let sweeps: &[&LabelledSweep] = &recording.train;
            let seen: Vec<&Sweep> = sweeps.iter().map(|sweep| &sweep.sweep).collect();
            let found = detect(&student, &seen, spec, options.uncertain_score, batch, device)?;
            for (sweep, said) in sweeps.iter().zip(consistent(sweeps, &found, options)) {
                let (labels, points, objects) = completed(&sweep.labels, &said);
                own.points += points;
                own.objects += objects;
                own.sweeps.push(labels);
            }
        }
        Ok(Some(own))
    }

    /// Sweeps to train on with these labels, where something is known of them. `blocks` must be those that the labels were made of.
    pub fn examples<'a>(&'a self, blocks: &Blocks<'a>) -> Vec<Example<'a>> {
        let sweeps = blocks.recordings.iter().flat_map(|recording| recording.train.iter().copied());
        let example = |(sweep, labels): (&'a LabelledSweep, &'a SweepLabels)| Example { labels, ..Example::of(sweep) };
        sweeps.zip(&self.sweeps).map(example).filter(Example::teaches).collect()
    }
}

/// What is known, and of the other points what is said; with the number of points and of objects that this adds. An object is added
/// where some point of it was not known.
fn completed(known: &SweepLabels, said: &SweepLabels) -> (SweepLabels, usize, usize) {
    let mut labels = known.clone();
    let mut places: Vec<Option<u32>> = vec![None; said.objects.len()];
    let mut points = 0;
    for (own, said_of_point) in labels.points.iter_mut().zip(&said.points) {
        if own.is_known() || !said_of_point.is_known() {
            continue;
        }
        points += 1;
        let object = said_of_point.object.map(|object| object as usize).filter(|&object| object < places.len());
        let place = object.map(|object| {
            *places[object].get_or_insert_with(|| {
                labels.objects.push(said.objects[object].clone());
                (labels.objects.len() - 1) as u32
            })
        });
        *own = PointTarget { object: place, ..*said_of_point };
    }
    let objects = labels.objects.len() - known.objects.len();
    (labels, points, objects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::lidar::{batch::tests::painted_sweep, labels::PointClass};

    #[test]
    fn what_is_known_stays_and_the_rest_is_completed() {
        let said = painted_sweep(2).labels;
        let mut known = said.clone();
        known.objects[0].score = 0.7;
        // The known labels lack the wall's first points and the post's last one.
        let last = said.points.iter().rposition(|point| point.class == PointClass::Class(0)).unwrap();
        for place in [0, 1, last] {
            known.points[place] = PointTarget::IGNORED;
        }
        let (labels, points, objects) = completed(&known, &said);
        assert_eq!((points, objects, labels.objects.len()), (3, 1, 2));
        assert_eq!((labels.points[last].object, labels.points[last - 1].object), (Some(1), Some(0)));
        assert!(labels.points.iter().all(PointTarget::is_known));
        assert_eq!(completed(&said, &said), (said.clone(), 0, 0));
    }
}
