//! A lidar detector that labels sweeps.

use super::{LidarLabelError, LidarTeacher, SweepLabels, predicted::labels_of};
use crate::{
    distill::teacher::ClassMap,
    model::{SessionOptions, lidar::LidarDetector},
    sensing::range_image::Sweep,
};

/// A loaded lidar teacher.
pub struct LidarLabeller {
    config: LidarTeacher,
    detector: LidarDetector,
    /// The experiment's class for each of the detector's.
    meanings: Vec<Option<u16>>,
    knows: Vec<bool>,
}

impl LidarLabeller {
    /// Loads the teacher for a student with these classes; one thread computes.
    ///
    /// # Errors
    /// The bundle cannot be loaded or is no lidar detector, or its classes do not meet the experiment's.
    pub fn load(config: &LidarTeacher, classes: &[String]) -> Result<Self, LidarLabelError> {
        let mut detector = LidarDetector::load(&config.model, &SessionOptions::default())?;
        let own = detector.spec().classes.clone();
        let map = ClassMap::new(&config.display_name(), &own, classes, &config.class_map)?;
        let meaning = |class: &String| {
            let meant = map.names().get(class)?;
            let place = classes.iter().position(|class| class == meant)?;
            u16::try_from(place).ok()
        };
        let meanings = own.iter().map(meaning).collect();
        // Objects of which it is less sure than it would publish leave their points open, and are no background.
        detector.set_score_threshold(Some(config.uncertain_score));
        Ok(Self { config: config.clone(), detector, meanings, knows: map.knows().to_vec() })
    }

    /// What it is called in reports.
    pub fn name(&self) -> String {
        format!("teacher {}", self.config.display_name())
    }

    /// Per class of the experiment, whether it knows the class.
    pub fn knows(&self) -> &[bool] {
        &self.knows
    }

    /// Labels a sweep: points on objects of at least `min_score` are learnt, points under `uncertain_score` are background and those
    /// between are ignored.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn label(&mut self, sweep: &Sweep) -> Result<SweepLabels, LidarLabelError> {
        let found = self.detector.detect(sweep)?;
        let is_sure =
            |place: usize| found.objects.get(place).is_some_and(|object| object.score >= self.config.min_score);
        Ok(labels_of(sweep, &found, &self.meanings, self.config.uncertain_score, is_sure))
    }
}
