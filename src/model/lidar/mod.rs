//! What a lidar detector is: sweep in, labelled points and objects in the sensor frame out.
//!
//! The network sees a sweep as a range image and says three things in every cell: what the point is, where the centre
//! of its object lies, and how large and how turned the object is. The points vote for the centres (DROW, Beyer et al.
//! 2016; Deep Hough Voting, Qi et al. 2019), so that an object is found by all of its points that are seen, and each
//! point knows its object.
//!
//! | file | holds |
//! |---|---|
//! | `spec` | what must be known to run the network: [`LidarSpec`] |
//! | `input` | range image to input tensor, the same for training and for the robot |
//! | `coding` | votes and boxes as the network has them, from and to metres |
//! | `head` | the network's outputs to labels of points and to objects |
//! | `grouping` | votes to objects |
//! | `detector` | all of it with a session: [`LidarDetector`] |
//!
//! Coordinates are metres in the sensor frame, x forwards, y left, z up (REP-103).

mod coding;
mod detector;
mod grouping;
mod head;
mod input;
mod spec;

#[cfg(test)]
mod properties;

pub use coding::{decode_box, decode_vote, encode_box, encode_vote};
pub use detector::LidarDetector;
pub use head::{
    BOXES, CLASS_LOGITS, LidarDetections, LidarObject, LidarOutput, PointLabel, VOTES, decode, label_hidden_points,
};
pub use input::fill_input;
pub use spec::{Grouping, LidarSpec, RangeChannel};
