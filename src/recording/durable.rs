//! Files that are whole or not there: written beside their place, flushed to the disk, then renamed.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

/// What the names of files and folders begin with that are being written, or that nobody could finish.
pub const TEMPORARY_PREFIX: &str = ".partial-";

/// Writes a file through `fill` so that a reader, a crash or a full disk never meets half of it: a temporary file in the
/// same folder, `fsync`, rename, `fsync` of the folder. Missing parent folders are made.
///
/// # Errors
/// Whatever the file system or `fill` says; the old file, if any, is then untouched.
pub fn write_file<E: From<io::Error>>(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> Result<(), E>,
) -> Result<(), E> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let temporary =
        tempfile::Builder::new().prefix(TEMPORARY_PREFIX).permissions(readable_by_all()).tempfile_in(folder)?;
    {
        let mut writer = BufWriter::new(temporary.as_file());
        fill(&mut writer)?;
        writer.flush()?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Temporary files are born private; what the workshop writes is for everyone to read.
fn readable_by_all() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o644)
}

/// [`write_file`] of bytes that are at hand.
///
/// # Errors
/// Whatever the file system says.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_file(path, |writer| writer.write_all(bytes))
}

/// Removes a file, if it is there.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_writer_leaves_the_old_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        write_bytes(&path, b"old").unwrap();
        let result: io::Result<()> = write_file(&path, |writer| {
            writer.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert!(result.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }
}
