//! What a student is to say about each point of a sweep.

use crate::sensing::range_image::Sweep;

/// What a point lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PointClass {
    /// Nothing that the student looks for.
    Background,
    /// An object of this class, an index into the experiment's classes.
    Class(u16),
}

/// What is learnt of one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointTarget {
    /// What it lies on.
    pub class: PointClass,
    /// How much it counts; 0: ignored, nobody knows what it lies on (or nothing was measured there).
    pub weight: f32,
    /// The object it lies on, an index into [`SweepLabels::objects`] of the same sweep. A point of a class without one teaches its
    /// class and no vote.
    pub object: Option<u32>,
}

impl PointTarget {
    /// Nobody knows what the point lies on.
    pub const IGNORED: Self = Self { class: PointClass::Background, weight: 0.0, object: None };
    /// The point lies on nothing that the student looks for.
    pub const BACKGROUND: Self = Self { class: PointClass::Background, weight: 1.0, object: None };

    /// The point lies on an object of this class.
    pub fn of_class(class: u16, object: Option<u32>) -> Self {
        Self { class: PointClass::Class(class), weight: 1.0, object }
    }

    /// Whether it is known what the point lies on.
    pub fn is_known(&self) -> bool {
        self.weight > 0.0
    }
}

impl PointClass {
    /// The class; none for background.
    pub fn class(self) -> Option<u16> {
        match self {
            Self::Background => None,
            Self::Class(class) => Some(class),
        }
    }
}

/// An object around the sensor, in its frame.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledObject {
    /// What it is, an index into the experiment's classes.
    pub class: usize,
    /// Its middle, in metres. Where only its points tell, see the source of the label.
    pub center: [f32; 3],
    /// Length, width and height in metres, where they are known.
    pub size: Option<[f32; 3]>,
    /// How its length is turned about z, in radians from x, where that is known.
    pub yaw: Option<f32>,
    /// How sure it is, in `[0, 1]`; 1 for truth.
    pub score: f32,
    /// Points of the sweep that lie on it.
    pub points: usize,
}

/// What is known of one sweep.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SweepLabels {
    /// One entry for each point of the sweep, void ones included (these are ignored).
    pub points: Vec<PointTarget>,
    /// The objects.
    pub objects: Vec<LabelledObject>,
}

impl SweepLabels {
    /// Nothing is known of a sweep with so many points.
    pub fn ignored(points: usize) -> Self {
        Self { points: vec![PointTarget::IGNORED; points], objects: Vec::new() }
    }

    /// Whether something is known of any point.
    pub fn is_known(&self) -> bool {
        self.points.iter().any(PointTarget::is_known)
    }

    /// Counts for each object the points that lie on it, and lets those go that `keep` does not want; their points stay of the
    /// object's class, without an object.
    pub fn count_points(&mut self, keep: impl Fn(&LabelledObject) -> bool) {
        for object in &mut self.objects {
            object.points = 0;
        }
        for object in self.points.iter().filter_map(|point| point.object) {
            if let Some(object) = self.objects.get_mut(object as usize) {
                object.points += 1;
            }
        }
        let mut kept = 0u32;
        let places: Vec<Option<u32>> = self
            .objects
            .iter()
            .map(|object| {
                keep(object).then(|| {
                    kept += 1;
                    kept - 1
                })
            })
            .collect();
        for point in &mut self.points {
            point.object = point.object.and_then(|object| places.get(object as usize).copied().flatten());
        }
        self.objects.retain(|object| keep(object));
    }
}

/// One sweep with what is to be learnt of it. The sweep is kept whole: a scan of 720 beams takes 30 kB with its labels, a cloud of
/// 100 000 points 4 MB.
#[derive(Debug, Clone)]
pub struct LabelledSweep {
    /// The header's stamp, in nanoseconds.
    pub stamp: i64,
    /// The sensor's frame.
    pub frame_id: String,
    /// What was measured.
    pub sweep: Sweep,
    /// What is learnt of it.
    pub labels: SweepLabels,
    /// What is true of it, to judge by; `None` where that is not known.
    pub truth: Option<SweepLabels>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_that_go_leave_their_points_their_class() {
        let object =
            |class| LabelledObject { class, center: [0.0; 3], size: None, yaw: None, score: 1.0, points: usize::MAX };
        let of = |class: u16, object| PointTarget::of_class(class, Some(object));
        let mut labels = SweepLabels {
            points: vec![of(0, 0), of(1, 2), of(1, 2), of(1, 1), PointTarget::BACKGROUND, of(0, 7)],
            objects: vec![object(0), object(1), object(1), object(0)],
        };
        labels.count_points(|object| object.points == 0 || object.points == 2);
        let counts: Vec<(usize, usize)> = labels.objects.iter().map(|object| (object.class, object.points)).collect();
        assert_eq!(counts, [(1, 2), (0, 0)]);
        let found: Vec<Option<u32>> = labels.points.iter().map(|point| point.object).collect();
        assert_eq!(found, [None, Some(0), Some(0), None, None, None]);
        assert_eq!(labels.points[0].class, PointClass::Class(0));
        assert!(labels.is_known() && !SweepLabels::ignored(3).is_known());
    }
}
