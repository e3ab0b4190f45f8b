//! Folders of images for builds that cannot read recordings.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::command::{RECORDED_INPUTS, Recorded};
use crate::{model::bundle::Task, sensing::image::decode_compressed_bytes};

/// JPEG and PNG files of a folder, spread over them in the order of their names.
///
/// # Errors
/// It is no folder of images, or sweeps are wanted.
pub fn read_folder(task: Task, data: &Path, topic: Option<&str>) -> anyhow::Result<Recorded> {
    if task != Task::CameraDetection || topic.is_some() || !data.is_dir() || data.join("metadata.yaml").exists() {
        bail!("this build reads no recordings, only folders of images; build with the feature `distill` for the rest");
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in data.read_dir()? {
        let path = entry?.path();
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        if ending.is_some_and(|ending| ["jpg", "jpeg", "png"].iter().any(|known| ending == *known)) {
            files.push(path);
        }
    }
    files.sort();
    let every = files.len().div_ceil(RECORDED_INPUTS).max(1);
    let mut found = Recorded::default();
    for file in files.iter().step_by(every) {
        let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
        match decode_compressed_bytes(&bytes) {
            Ok(image) => found.images.push(image),
            Err(error) => found.loss = Some(format!("{}: {error}", file.display())),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::picture;

    #[test]
    fn images_are_spread_over_the_folder_and_all_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..40u32 {
            picture(8 + number, 6, number).save(folder.path().join(format!("{number:02}.png"))).unwrap();
        }
        std::fs::write(folder.path().join("notes.txt"), "hello").unwrap();
        let found = read_folder(Task::CameraDetection, folder.path(), None).unwrap();
        let widths: Vec<u32> = found.images.iter().map(|image| image.width()).collect();
        assert_eq!((widths.len(), widths[0], widths[1], found.loss), (14, 8, 11, None));
        std::fs::write(folder.path().join("00.png"), "hello").unwrap();
        let found = read_folder(Task::CameraDetection, folder.path(), None).unwrap();
        assert!(found.images.len() == 13 && found.loss.is_some_and(|loss| loss.contains("00.png")));
        for (task, topic) in [(Task::LidarDetection, None), (Task::CameraDetection, Some("/camera"))] {
            let error = read_folder(task, folder.path(), topic).unwrap_err().to_string();
            assert!(error.contains("feature `distill`"), "{error}");
        }
    }
}
