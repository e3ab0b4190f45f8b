//! Recordings: rosbag2 bags of every kind and folders of images, read as streams.
//!
//! [`Bag`] opens a recording and lends its messages one by one; memory stays at about one chunk or row. What cannot be read is
//! passed over and counted in [`Loss`].

mod compression;
mod error;
mod layout;
mod loss;
mod mcap_file;
mod mcap_summary;
mod metadata;
mod reader;
mod sqlite_file;
mod stream;
mod topic;

pub use error::BagError;
pub use loss::Loss;
pub use reader::{Bag, Storage};
pub use stream::{BagMessage, Messages, OwnedMessage};
pub use topic::{Topic, TopicFilter};
