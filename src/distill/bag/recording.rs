//! Whatever frames can come from.

use std::path::Path;

use super::{Bag, BagError, ImageFolder};

/// A recording of either kind.
#[derive(Debug)]
pub enum Recording {
    /// A rosbag2 recording.
    Bag(Bag),
    /// A folder of images.
    Folder(ImageFolder),
}

impl Recording {
    /// Opens what lies at the path: a rosbag2 folder, a folder of parts (`part_00000001`, each a rosbag2 folder), a single `.mcap` or
    /// `.db3` file, or a folder of images.
    ///
    /// # Errors
    /// Those of [`Bag::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BagError> {
        let path = path.as_ref();
        match Bag::open(path) {
            Ok(bag) => Ok(Self::Bag(bag)),
            Err(BagError::NotABag { path: named, reason }) if path.is_dir() && named == path => {
                match ImageFolder::open(path)? {
                    Some(folder) => Ok(Self::Folder(folder)),
                    None => {
                        Err(BagError::NotABag { path: named, reason: format!("{reason}, nor .jpg or .png images") })
                    }
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        match self {
            Self::Bag(bag) => bag.path(),
            Self::Folder(folder) => folder.path(),
        }
    }
}
