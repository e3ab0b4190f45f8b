//! Labels of lidar points by camera teachers: what an ensemble of 2-D detectors sees is carried over to the points through the camera's
//! calibration and the transforms between the sensors.
//!
//! For a sweep the image nearest in time is taken. The points go into the camera's frame at the image's stamp, with the robot's motion
//! in between taken out, and are projected. What follows is careful: a point is labelled only where the label is plain, and ignored
//! where it is not.
//!
//! 1. Points outside the image, and those that the camera cannot see because another point lies before them, are ignored.
//! 2. Points within a box are grouped by nearness. The group that explains the box best is the object: it covers enough of the
//!    box's core, is about as large as its class would be at that distance, and stands not behind where the box meets the floor.
//! 3. Points within the box that lie clearly behind or before that group are background; the others are ignored.
//! 4. Points in no box are background, but for those near an edge of one.
//! 5. Points that two boxes dispute, and those in boxes that the teachers are not sure of, are ignored.
//!
//! A wrong calibration would teach wrong labels, evenly and without a sign of it. So [`CameraLabeller::calibration`] tells whether the
//! boxes would fit the groups of points better if the camera were turned.
//!
//! | file | holds |
//! |---|---|
//! | `config` | [`CameraLabels`], the entry of an experiment |
//! | `labeller` | [`CameraLabeller`] |
//! | `recorded` | what of a recording is needed: the calibration, the transforms |
//! | `images` | the ensemble over the recording's images |
//! | `spacing`, `neighbours` | how far apart a sweep's points are, and which lie side by side |
//! | `projection` | a sweep as the camera sees it |
//! | `seen_box` | a box, and what it says about where its object is |
//! | `membership` | which points belong to which box |
//! | `object` | the middle of an object of which one side is seen |
//! | `calibration`, `verdict` | [`CalibrationEstimate`], and what it comes to |

mod calibration;
mod config;
mod images;
mod labeller;
mod membership;
mod neighbours;
mod object;
mod projection;
mod recorded;
mod seen_box;
mod spacing;
mod verdict;

#[cfg(test)]
mod labeller_tests;
#[cfg(test)]
mod staged;
#[cfg(test)]
pub(super) mod warehouse_tests;

pub use calibration::CalibrationEstimate;
pub use config::CameraLabels;
pub use images::CameraImage;
pub use labeller::{CameraLabeller, Unlabelled};
pub(super) use object::estimate;
pub use verdict::CalibrationVerdict;
pub(super) use verdict::worst;
