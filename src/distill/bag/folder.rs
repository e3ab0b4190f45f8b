//! A folder of images as a recording.

use std::path::{Path, PathBuf};

use super::{BagError, coco::Coco};

/// Frames of a folder whose names are no times are this far apart: 0.1 s in nanoseconds.
const FRAME_INTERVAL: i64 = 100_000_000;

/// Names of digits are taken for nanoseconds between the years 2001 and 2100.
const PLAUSIBLE_STAMPS: std::ops::Range<i64> = 1_000_000_000_000_000_000..4_102_444_800_000_000_000;

/// A folder of JPEG and PNG images, with those of its subfolders (one level), sorted by name; perhaps with a COCO `instances`
/// file beside them.
#[derive(Debug, Clone)]
pub struct ImageFolder {
    path: PathBuf,
    names: Vec<String>,
    labels: Option<PathBuf>,
    timed: bool,
}

impl ImageFolder {
    /// Looks into the folder; `Ok(None)` when it has no images.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(path: &Path) -> Result<Option<Self>, BagError> {
        let mut names = Vec::new();
        let mut json = Vec::new();
        for (entry, name) in entries(path)? {
            if entry.is_dir() {
                let inner = entries(&entry)?.into_iter().filter(|(path, _)| is_image(path));
                names.extend(inner.map(|(_, file)| format!("{name}/{file}")));
            } else if is_image(&entry) {
                names.push(name);
            } else if has_extension(&entry, &["json"]) {
                json.push(entry);
            }
        }
        if names.is_empty() {
            return Ok(None);
        }
        names.sort();
        json.retain(|path| Coco::looks_like_one(path));
        let labels = if json.len() == 1 { json.pop() } else { None };
        let stamps: Option<Vec<i64>> = names.iter().map(|name| stamp_of(name)).collect();
        let timed = stamps.is_some_and(|stamps| stamps.is_sorted_by(|a, b| a < b));
        Ok(Some(Self { path: path.into(), names, labels, timed }))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The images' paths in the folder, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The one COCO `instances` file in the folder; `None` when there is none or more than one.
    pub fn labels(&self) -> Option<&Path> {
        self.labels.as_deref()
    }

    /// When an image was taken, in nanoseconds: what its name says where all names are nanoseconds in rising order, else 0.1 s
    /// after the image before it.
    pub fn stamp(&self, index: usize) -> i64 {
        let by_name = if self.timed { self.names.get(index).and_then(|name| stamp_of(name)) } else { None };
        by_name.unwrap_or_else(|| i64::try_from(index).unwrap_or(i64::MAX).saturating_mul(FRAME_INTERVAL))
    }
}

/// The entries of a folder with their names, without hidden ones.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, String)>, BagError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| BagError::io(folder, error))? {
        let entry = entry.map_err(|error| BagError::io(folder, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            found.push((entry.path(), name));
        }
    }
    Ok(found)
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|extension| extensions.contains(&extension.as_str()))
}

fn is_image(path: &Path) -> bool {
    has_extension(path, &["jpg", "jpeg", "png"])
}

/// The time that a name of digits only says.
fn stamp_of(name: &str) -> Option<i64> {
    let stem = Path::new(name).file_stem()?.to_str()?;
    let stamp = stem.bytes().all(|byte| byte.is_ascii_digit()).then(|| stem.parse().ok())??;
    PLAUSIBLE_STAMPS.contains(&stamp).then_some(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"{}").unwrap();
        }
        folder
    }

    #[test]
    fn images_are_sorted_by_name_one_level_deep() {
        let folder = folder_of(&["b.PNG", "a.jpg", "notes.txt", "left/c.jpeg", "left/deep/d.jpg", ".hidden.png"]);
        let images = ImageFolder::open(folder.path()).unwrap().unwrap();
        assert_eq!(images.names(), ["a.jpg", "b.PNG", "left/c.jpeg"]);
        assert_eq!(images.stamp(2), 200_000_000);
        assert_eq!(images.labels(), None);
        assert!(ImageFolder::open(folder_of(&["notes.txt"]).path()).unwrap().is_none());
    }

    #[test]
    fn names_that_are_nanoseconds_give_the_stamps() {
        let folder = folder_of(&["1700000000000000000.jpg", "1700000000200000000.jpg"]);
        assert_eq!(ImageFolder::open(folder.path()).unwrap().unwrap().stamp(1), 1_700_000_000_200_000_000);
        let folder = folder_of(&["1700000000000000000.jpg", "000123.jpg"]);
        assert_eq!(ImageFolder::open(folder.path()).unwrap().unwrap().stamp(1), 100_000_000);
    }

    #[test]
    fn one_labels_file_is_found() {
        let folder = folder_of(&["1.jpg", "other.json"]);
        let labels = folder.path().join("labels.json");
        std::fs::write(&labels, r#"{"images": [], "annotations": [], "categories": []}"#).unwrap();
        assert_eq!(ImageFolder::open(folder.path()).unwrap().unwrap().labels(), Some(labels.as_path()));
        std::fs::copy(&labels, folder.path().join("more.json")).unwrap();
        assert_eq!(ImageFolder::open(folder.path()).unwrap().unwrap().labels(), None);
    }
}
