//! Recordings: rosbag2 bags of every kind and folders of images, read as streams.
//!
//! [`Bag`] opens a recording and lends its messages one by one; memory stays at about one chunk or row. What cannot be read is
//! passed over and counted in [`Loss`]. [`Frames`] gives the camera frames of a bag or of a folder of images, with truth boxes
//! where there are some. [`BagWriter`] writes recordings.

mod coco;
mod compression;
mod error;
mod folder;
mod frames;
mod layout;
mod loss;
mod mcap_file;
mod mcap_summary;
mod metadata;
mod reader;
mod recording;
mod sqlite_file;
mod stream;
mod survey;
mod temporary;
mod topic;
mod topic_frames;

pub use error::BagError;
pub use folder::ImageFolder;
pub use frames::{EncodedFrame, Frames, TruthBox, TruthSource};
pub use loss::Loss;
pub use reader::{Bag, Storage};
pub use recording::Recording;
pub use stream::{BagMessage, Messages, OwnedMessage};
pub use survey::{BagSurvey, FolderSurvey, ImageSurvey, SizeCount, TopicSurvey};
pub use topic::{Topic, TopicFilter};

pub use crate::recording::{BagWriter, OfferedQos, TopicId};
