//! Which model files may be loaded: where they lie, how large they are, what other files they name.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::ModelError;
use super::external_data::{external_tensors, files, refused};

/// Bytes of a model at most, wherever it runs: what a protobuf message can have (2 GiB).
pub const MAX_MODEL_BYTES: u64 = i32::MAX as u64;
/// Bytes of a model on a robot at most, the files of its external data included: our students have 1 to 20 MB, and the largest
/// detectors that a robot's computer runs in time 300 MB. While a model is loaded, several times as much memory is taken.
pub const MAX_BUNDLE_BYTES: u64 = 500_000_000;

/// What a model file must keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelLimits {
    /// Folders that models may lie in, at any depth; none: anywhere. Links are followed on both sides.
    pub folders: Vec<PathBuf>,
    /// Bytes of the file and of its external data together.
    pub max_bytes: u64,
}

impl Default for ModelLimits {
    fn default() -> Self {
        Self { folders: Vec::new(), max_bytes: MAX_MODEL_BYTES }
    }
}

impl ModelLimits {
    /// The path to load a model by: as it is where it may lie anywhere, else with all links followed.
    ///
    /// # Errors
    /// [`ModelError::OutsideFolders`], or [`ModelError::Read`] when there is nothing at the path.
    pub fn admit(&self, path: &Path) -> Result<PathBuf, ModelError> {
        if self.folders.is_empty() {
            return Ok(path.to_path_buf());
        }
        let resolved = path.canonicalize().map_err(|source| ModelError::Read { path: path.to_path_buf(), source })?;
        // A folder that is not there holds nothing.
        let mut folders = self.folders.iter().filter_map(|folder| folder.canonicalize().ok());
        if folders.any(|folder| resolved.starts_with(folder)) {
            return Ok(resolved);
        }
        let folders: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
        Err(ModelError::OutsideFolders { path: path.to_path_buf(), resolved, folders: folders.join(", ") })
    }

    /// Checks a model that came as bytes, which has no folder to have files in.
    pub(super) fn check_bytes(&self, bytes: &[u8], name: &str) -> Result<(), ModelError> {
        self.check_size(bytes.len() as u64, name)?;
        match external_tensors(bytes) {
            None => Err(no_model(name)),
            Some(tensors) => match tensors.first() {
                Some(tensor) => Err(refused(name, tensor, "only the model's own bytes are at hand".into())),
                None => Ok(()),
            },
        }
    }

    fn check_size(&self, bytes: u64, model: &str) -> Result<(), ModelError> {
        if bytes > self.max_bytes {
            return Err(ModelError::TooLarge { model: model.to_owned(), bytes, most: self.max_bytes });
        }
        Ok(())
    }
}

/// A model file that was looked at.
pub(super) struct ModelFile {
    /// Where to load it from.
    pub path: PathBuf,
    /// What stands in it.
    pub bytes: Vec<u8>,
    /// Whether tensors have their data in other files, which lie beside it or below.
    pub has_external_data: bool,
}

impl ModelFile {
    /// Reads a model file within its limits.
    ///
    /// # Errors
    /// It cannot be read, is no ONNX model, too large, or lies or has data where it must not.
    pub fn read(path: &Path, limits: &ModelLimits) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let fault = |source| ModelError::Read { path: path.to_path_buf(), source };
        let path = limits.admit(path)?;
        // Asked before it is opened: opening a pipe would wait for its other end.
        let about = std::fs::metadata(&path).map_err(fault)?;
        if !about.is_file() {
            return Err(fault(std::io::Error::other("it is not a file")));
        }
        limits.check_size(about.len(), &name)?;
        let mut bytes = Vec::new();
        // It may grow while it is read.
        std::fs::File::open(&path)
            .and_then(|file| file.take(limits.max_bytes.saturating_add(1)).read_to_end(&mut bytes))
            .map_err(fault)?;
        let tensors = external_tensors(&bytes).ok_or_else(|| no_model(&name))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut total = bytes.len() as u64;
        for file in files(&name, folder, &tensors)? {
            total = total.saturating_add(std::fs::metadata(&file).map_err(fault)?.len());
        }
        limits.check_size(total, &name)?;
        Ok(Self { path, bytes, has_external_data: !tensors.is_empty() })
    }
}

fn no_model(name: &str) -> ModelError {
    ModelError::Load { model: name.to_owned(), reason: "it is not a protobuf message with a graph".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::external_data::tests::external_model;
    use crate::model::onnx_file::tests::tiny_model;

    fn read(path: &Path, limits: &ModelLimits) -> String {
        match ModelFile::read(path, limits) {
            Ok(_) => "good".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    #[cfg(unix)]
    fn models_outside_of_the_folders_are_refused_with_the_folders_named() {
        let outer = tempfile::tempdir().unwrap();
        let (inside, outside) = (outer.path().join("models"), outer.path().join("tmp"));
        for folder in [&inside, &outside, &inside.join("v2"), &outer.path().join("models_of_others")] {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join("m.onnx"), tiny_model()).unwrap();
        }
        std::os::unix::fs::symlink(outside.join("m.onnx"), inside.join("link.onnx")).unwrap();
        std::os::unix::fs::symlink(inside.join("m.onnx"), outside.join("link.onnx")).unwrap();
        std::os::unix::fs::symlink(&inside, outer.path().join("allowed")).unwrap();
        let limits = ModelLimits { folders: vec![outer.path().join("allowed")], ..Default::default() };
        for good in [inside.join("m.onnx"), inside.join("v2/m.onnx"), outside.join("link.onnx")] {
            assert_eq!(read(&good, &limits), "good", "{}", good.display());
        }
        // A model by a link is the model that is linked to, with what lies beside that.
        assert_eq!(limits.admit(&outside.join("link.onnx")).unwrap(), inside.join("m.onnx").canonicalize().unwrap());
        for bad in [
            outside.join("m.onnx"),
            inside.join("link.onnx"),
            inside.join("../tmp/m.onnx"),
            outer.path().join("models_of_others/m.onnx"),
        ] {
            let told = read(&bad, &limits);
            assert!(told.contains("allowed") && told.contains("model_folders"), "{}: {told}", bad.display());
        }
        let nowhere = ModelLimits { folders: vec![PathBuf::from("/nowhere")], ..Default::default() };
        assert!(read(&inside.join("m.onnx"), &nowhere).contains("/nowhere"));
        assert_eq!(read(&outside.join("m.onnx"), &ModelLimits::default()), "good");
    }

    #[test]
    fn sizes_count_with_external_data() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        let model = external_model("data.bin");
        std::fs::write(&path, &model).unwrap();
        std::fs::write(folder.path().join("data.bin"), [0; 1000]).unwrap();
        let most = |max_bytes: usize| ModelLimits { max_bytes: max_bytes as u64, ..Default::default() };
        assert_eq!(read(&path, &most(model.len() + 1000)), "good");
        for max_bytes in [model.len() - 1, model.len() + 999] {
            let told = read(&path, &most(max_bytes));
            assert!(told.contains(&format!("at most {max_bytes}")), "{told}");
        }
    }

    #[test]
    fn bytes_have_no_files() {
        let limits = ModelLimits::default();
        assert!(limits.check_bytes(&tiny_model(), "m").is_ok());
        // Also not those that are there.
        let told = limits.check_bytes(&external_model("Cargo.toml"), "m").unwrap_err().to_string();
        assert!(told.contains("weights") && told.contains("Cargo.toml"), "{told}");
        assert!(limits.check_bytes(b"ROSBAG", "m").is_err());
        assert!(ModelLimits { max_bytes: 3, ..limits }.check_bytes(&tiny_model(), "m").is_err());
    }

    #[test]
    fn what_is_no_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path(), &ModelLimits::default()).contains("not a file"));
        let text = folder.path().join("text.onnx");
        std::fs::write(&text, "hello").unwrap();
        assert!(read(&text, &ModelLimits::default()).contains("not an ONNX file"));
    }
}
