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
    use crate::distill::{
        lidar::{
            batch::tests::{painted_sweep, spec},
            labels::{LabelledRecording, PointClass},
            train::tests::{experiment, run},
        },
        split::Block,
        train::watcher::Watcher,
    };

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

    #[test]
    fn a_student_labels_what_nobody_did_where_it_says_the_same_over_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut experiment = experiment(60);
        experiment.data[0].block = Some(Block::Train);
        let student = run(&experiment, folder.path(), false, &mut Watcher::default()).unwrap().student;
        let options = ConsistencyOptions { min_score: 0.3, uncertain_score: 0.2, ..ConsistencyOptions::default() };
        let own_labels = |blocks: &Blocks<'_>, go_on: bool| {
            let mut watch = || if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
            OwnLabels::new(&student, blocks, &spec(), &options, 2, &Device::flex(), &mut watch).unwrap()
        };
        let recording = |sweeps: Vec<LabelledSweep>| {
            [LabelledRecording { sweeps, loss: Default::default(), facts: Default::default() }]
        };

        // A post that stands still in five sweeps, of which nobody labelled the last three.
        let still = |number: i64| LabelledSweep { stamp: number * 100_000_000, ..painted_sweep(3) };
        let mut sweeps: Vec<LabelledSweep> = (0..5).map(still).collect();
        let painted = sweeps[0].labels.clone();
        sweeps[2..].iter_mut().for_each(|sweep| sweep.labels = SweepLabels::ignored(64));
        let recordings = recording(sweeps);
        let blocks = Blocks::new(&experiment, &recordings).unwrap();
        assert_eq!(blocks.examples().unwrap().len(), 2);
        assert!(own_labels(&blocks, false).is_none());
        let own = own_labels(&blocks, true).unwrap();
        assert_eq!(own.examples(&blocks).len(), 5);
        assert!(own.sweeps[..2].iter().all(|labels| *labels == painted), "what is known stays");
        assert!(own.objects > 0 && own.points <= 3 * 64, "{} points, {} objects", own.points, own.objects);
        let said = own.sweeps[2..].iter().flat_map(|labels| labels.points.iter().zip(&painted.points));
        let said: Vec<_> = said.filter(|(said, _)| said.is_known()).collect();
        let right = said.iter().filter(|(said, painted)| said.class == painted.class).count();
        assert_eq!(said.len(), own.points);
        assert!(own.points >= 3 * 48 && right * 10 >= own.points * 9, "{right} of {} points are right", own.points);

        // One that is elsewhere in each sweep is believed in none.
        let unlabelled = |index: usize| LabelledSweep { labels: SweepLabels::ignored(64), ..painted_sweep(index) };
        let recordings = recording((0..5).map(unlabelled).collect());
        let own = own_labels(&Blocks::new(&experiment, &recordings).unwrap(), true).unwrap();
        assert_eq!(own.objects, 0);
        assert!(own.points > 5 * 32, "the wall is background all the same: {} points", own.points);
    }
}
