//! Where copies of recordings lie while they are read.

use tempfile::{Builder, NamedTempFile};

use super::BagError;

/// The folder for temporary files that may be large.
const LARGE_FILES: &str = "/var/tmp";

/// A new temporary file for as much as a whole recording; it goes when it is dropped. `TMPDIR` says where it lies, else it is
/// in `/var/tmp`: `/tmp` is often kept in memory, and a recording may be larger than that.
///
/// # Errors
/// When it cannot be made.
pub(super) fn temporary_file() -> Result<NamedTempFile, BagError> {
    let mut builder = Builder::new();
    builder.prefix("distill-");
    if std::env::var_os("TMPDIR").is_none()
        && let Ok(file) = builder.tempfile_in(LARGE_FILES)
    {
        return Ok(file);
    }
    let folder = std::env::temp_dir();
    builder.tempfile_in(&folder).map_err(|source| BagError::Io { path: folder, source })
}
