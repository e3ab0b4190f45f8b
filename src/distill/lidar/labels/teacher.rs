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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        distill::{
            lidar::labels::{PointClass, camera::warehouse_tests::sweep},
            synth::{Class, Warehouse, lidar::Lidar},
        },
        model::has_runtime,
    };

    fn teacher(file: &str) -> LidarTeacher {
        LidarTeacher {
            model: Path::new(env!("CARGO_MANIFEST_DIR")).join(file),
            min_score: 0.5,
            uncertain_score: 0.2,
            class_map: Default::default(),
        }
    }

    fn load(config: &LidarTeacher, classes: &[&str]) -> Result<LidarLabeller, LidarLabelError> {
        LidarLabeller::load(config, &classes.iter().map(|class| (*class).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_lidar_detector_labels_the_classes_that_it_is_asked_for() {
        if !has_runtime() {
            return;
        }
        let class_map = [("pallet", "load"), ("person", "human")].map(|(from, to)| (from.to_owned(), to.to_owned()));
        let config = LidarTeacher { class_map: class_map.into(), ..teacher("models/warehouse_lidar.onnx") };
        let mut labeller = load(&config, &["load", "human", "cart"]).unwrap();
        assert_eq!(labeller.name(), "teacher warehouse_lidar");
        assert_eq!(labeller.knows(), [true, true, false]);
        let (lidar, warehouse) = (Lidar::spinning(), Warehouse::new(3));
        let (mut right, mut wrong, mut background, mut forklifts) = (0, 0, 0, 0);
        for number in 0..4_u16 {
            let returns = lidar.measure(&warehouse.at(1.5 * f32::from(number)), number.into());
            let sweep = sweep(&lidar, &returns);
            let labels = labeller.label(&sweep).unwrap();
            assert_eq!(labels.points.len(), sweep.len());
            assert!(labels.objects.iter().all(|object| object.class < 2 && object.score >= 0.5 && object.points > 0));
            for (point, measured) in labels.points.iter().zip(&returns).filter(|(point, _)| point.is_known()) {
                let truth = match measured.class {
                    class if class == Class::Pallet.label() => Some(0),
                    class if class == Class::Person.label() => Some(1),
                    _ => None,
                };
                match (point.class.class(), truth) {
                    (Some(said), Some(truth)) if said == truth => right += 1,
                    (None, None) => background += 1,
                    _ => wrong += 1,
                }
                // It knows forklifts as well, which nobody asked for.
                let is_forklift = measured.class == Class::Forklift.label();
                forklifts += usize::from(is_forklift && point.class == PointClass::Background);
            }
        }
        assert!(right > 500 && background > 5000 && forklifts > 50, "{right} {background} {forklifts}");
        assert!(wrong * 3 < right, "{wrong} wrong beside {right} and {background}");
    }

    #[test]
    fn what_is_no_lidar_bundle_or_knows_no_class_is_refused() {
        if !has_runtime() {
            return;
        }
        let error = |file: &str| load(&teacher(file), &["person"]).err().unwrap().to_string();
        for (file, words) in [
            ("tests/fixtures/teachers/tiny_yolov8.onnx", "tiny_yolov8.onnx"),
            ("models/warehouse_small.onnx", "warehouse_small.onnx"),
            ("models/none.onnx", "none.onnx"),
        ] {
            assert!(error(file).contains(words), "{}", error(file));
        }
        assert!(error("models/warehouse_small.onnx").contains("lidar"), "{}", error("models/warehouse_small.onnx"));
        let unknown = load(&teacher("models/warehouse_lidar.onnx"), &["unicorn"]).err().unwrap().to_string();
        assert!(unknown.contains("warehouse_lidar") && unknown.contains("unicorn"), "{unknown}");
    }
}
