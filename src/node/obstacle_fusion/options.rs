//! The node's parameters as the options of tracking, fusion and footprints.

use super::classes::Classes;
use crate::{
    fusion::{
        FusionOptions,
        footprint::{FootprintOptions, fill_around},
    },
    node::parameters::ObstacleFusionParameters,
    tracking::{ClassProfile, Track, TrackerOptions},
};

/// How tracks begin, live and end.
pub(super) fn tracker_options(parameters: &ObstacleFusionParameters, classes: &[String]) -> TrackerOptions {
    let options = TrackerOptions::for_classes(classes);
    let count = |number: i64, otherwise| u32::try_from(number).unwrap_or(otherwise);
    TrackerOptions {
        late_seconds: parameters.late,
        doubted_hits: count(parameters.doubted_hits, options.doubted_hits),
        confirm_hits: count(parameters.confirm_hits, options.confirm_hits),
        max_missed_seconds: parameters.max_missed,
        visible_misses: count(parameters.visible_misses, options.visible_misses),
        visible_missed_seconds: parameters.visible_missed,
        ..options
    }
}

/// How detections become places.
pub(super) fn fusion_options(parameters: &ObstacleFusionParameters, classes: &[String]) -> FusionOptions {
    FusionOptions { max_range: parameters.camera_range, ..FusionOptions::for_classes(classes) }
}

/// Points that fill what tracks take up; only of those around the robot, where its place in the target frame is known.
pub(super) fn footprint_points(
    tracks: &[Track],
    classes: &Classes,
    robot: Option<[f64; 3]>,
    parameters: &ObstacleFusionParameters,
) -> Vec<[f32; 3]> {
    let profile = |name: &String| {
        let typical = ClassProfile::of(name);
        let wanted = parameters.inflation.of(name);
        if wanted < 0.0 { typical } else { ClassProfile { inflation: wanted, ..typical } }
    };
    let options = FootprintOptions {
        profiles: classes.names().iter().map(profile).collect(),
        resolution: parameters.resolution,
        z_min: parameters.min_height,
        z_max: parameters.max_height,
        range: parameters.obstacle_range,
        horizon: parameters.sweep,
        ..FootprintOptions::default()
    };
    fill_around(tracks, robot.map(|[x, y, _]| [x, y]), &options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::parameters::{PerClass, TextList};

    #[test]
    fn default_parameters_make_valid_options() {
        let parameters = ObstacleFusionParameters::default();
        let classes = ["person".to_owned(), "dinosaur".to_owned()];
        assert_eq!(tracker_options(&parameters, &classes), TrackerOptions::for_classes(&classes));
        assert_eq!(tracker_options(&parameters, &classes).validate(), Ok(()));
        assert_eq!(fusion_options(&parameters, &classes).validate(), Ok(()));
        // The ends of what the parameters may be.
        let parameters = ObstacleFusionParameters {
            late: 1.0,
            camera_range: 0.5,
            doubted_hits: 1,
            confirm_hits: 1,
            max_missed: 0.1,
            visible_misses: 1,
            visible_missed: 0.0,
            ..parameters
        };
        assert_eq!(tracker_options(&parameters, &classes).validate(), Ok(()));
        assert_eq!(fusion_options(&parameters, &classes).validate(), Ok(()));
    }

    #[test]
    fn inflation_and_heights_are_those_of_the_parameters() {
        let classes = Classes::new(&["person".into(), "pallet".into()]);
        let track = |class| Track { class, size: [0.4, 0.4, 1.8], ..Track::person_at(3.0, 0.0) };
        let mut inflation = PerClass::all(0.0);
        inflation.own.insert("person".into(), 0.5);
        let parameters = ObstacleFusionParameters {
            keep_classes: TextList(classes.names().to_vec()),
            inflation,
            max_height: 1.0,
            ..Default::default()
        };
        let reach = |class| {
            let points = footprint_points(&[track(class)], &classes, None, &parameters);
            assert!(points.iter().all(|point| (0.05..=1.0).contains(&point[2])));
            points.iter().map(|point| point[0] - 3.0).fold(0.0, f32::max)
        };
        assert!((reach(0) - 0.7).abs() < 0.06 && (reach(1) - 0.2).abs() < 0.06, "{} {}", reach(0), reach(1));
        assert!(footprint_points(&[], &classes, None, &parameters).is_empty());
        // 8 m away and 12 m away, with an obstacle_range of 10 m.
        let from = |robot: f64| footprint_points(&[track(0)], &classes, Some([robot, 0.0, 0.0]), &parameters).len();
        assert!(from(-5.0) > 0 && from(-9.0) == 0);
    }
}
