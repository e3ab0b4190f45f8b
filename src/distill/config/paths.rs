//! Paths of a configuration: `${NAME}` and `${NAME:-default}` from the environment, then relative to the file's folder.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::{ConfigError, read_yaml};

/// The absolute folder that a file lies in.
///
/// # Errors
/// When the file has no name, or the current folder is not known.
pub(in crate::distill) fn folder_of(file: &Path) -> io::Result<PathBuf> {
    Ok(std::path::absolute(file)?.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf))
}

/// A path as it is named on the command line, absolute and without dots.
///
/// # Errors
/// When it is empty, or the current folder is not known.
pub(in crate::distill) fn absolute_path(path: &Path) -> io::Result<PathBuf> {
    Ok(without_dots(&std::path::absolute(path)?))
}

/// Reads a configuration file that unknown keys are refused in, changes single values by `overrides` (`key.path=value`), and has
/// `resolve` make its paths absolute; `unread` tells that the file cannot be read.
///
/// # Errors
/// When the file cannot be read, is not what it should be, or `resolve` fails.
pub(in crate::distill) fn read_resolved<T: DeserializeOwned, E: From<ConfigError>>(
    path: &Path,
    overrides: &[String],
    unread: impl Fn(io::Error) -> E,
    resolve: impl FnOnce(&mut T, &PathResolver<'_>) -> Result<(), ConfigError>,
) -> Result<T, E> {
    let text = std::fs::read_to_string(path).map_err(&unread)?;
    let (mut config, _): (T, String) = read_yaml(&text, &path.display().to_string(), overrides)?;
    let variable = |name: &str| std::env::var(name).ok();
    let paths = PathResolver { file: path, folder: folder_of(path).map_err(&unread)?, variable: &variable };
    resolve(&mut config, &paths)?;
    Ok(config)
}

/// Resolves the paths of one configuration file.
pub(in crate::distill) struct PathResolver<'a> {
    /// The configuration file, for messages.
    pub file: &'a Path,
    /// The absolute folder that relative paths start from.
    pub folder: PathBuf,
    /// Looks up an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

impl PathResolver<'_> {
    /// Replaces `path` by its absolute form; `key` is its place in the file, for messages.
    pub fn resolve(&self, key: &str, path: &mut PathBuf) -> Result<(), ConfigError> {
        let text = path.to_string_lossy();
        let expanded = self.expand(key, &text)?;
        *path = without_dots(&self.folder.join(expanded));
        Ok(())
    }

    fn expand(&self, key: &str, text: &str) -> Result<String, ConfigError> {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            result.push_str(&rest[..start]);
            let inner = &rest[start + 2..];
            let end = inner.find('}').ok_or_else(|| ConfigError::Unclosed {
                path: self.file.to_owned(),
                key: key.to_owned(),
                text: text.to_owned(),
            })?;
            let (name, default) = match inner[..end].split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (&inner[..end], None),
            };
            match (self.variable)(name).filter(|value| !value.is_empty()) {
                Some(value) => result.push_str(&value),
                None => result.push_str(default.ok_or_else(|| ConfigError::Environment {
                    path: self.file.to_owned(),
                    key: key.to_owned(),
                    name: name.to_owned(),
                })?),
            }
            rest = &inner[end + 1..];
        }
        result.push_str(rest);
        Ok(result)
    }
}

/// Puts one entry for each recording that fits in place of an entry whose path has `*`, `?` or `[..]` in it, in the order of their names.
/// One that nothing fits stays, and whoever opens it says that there is none.
pub(in crate::distill) fn spread<T: Clone>(entries: &mut Vec<T>, path: impl Fn(&mut T) -> &mut PathBuf) {
    let one_for_each = |mut entry: T| -> Vec<T> {
        let pattern = path(&mut entry).clone();
        if pattern.exists() {
            return vec![entry];
        }
        let found = glob::glob(&pattern.to_string_lossy()).into_iter().flatten().filter_map(Result::ok);
        let spread: Vec<T> = found
            .map(|found| {
                let mut entry = entry.clone();
                *path(&mut entry) = found;
                entry
            })
            .collect();
        if spread.is_empty() { vec![entry] } else { spread }
    };
    *entries = std::mem::take(entries).into_iter().flat_map(one_for_each).collect();
}

/// Takes `.` and `..` out of an absolute path without asking the file system.
fn without_dots(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    result
}

/// A path as it is written in a file of a folder; both are absolute and without dots.
pub(super) fn relative_path(path: &Path, folder: &Path) -> PathBuf {
    let common = path.components().zip(folder.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(common).map(|_| Component::ParentDir);
    let relative: PathBuf = up.chain(path.components().skip(common)).collect();
    if relative.as_os_str().is_empty() { PathBuf::from(".") } else { relative }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<PathBuf, ConfigError> {
        let resolver = PathResolver {
            file: Path::new("/a/b/c.yaml"),
            folder: PathBuf::from("/a/b"),
            variable: &|name| (name == "DATA").then(|| String::from("/data")),
        };
        let mut path = PathBuf::from(text);
        resolver.resolve("data.0.path", &mut path).map(|()| path)
    }

    #[test]
    fn relative_to_the_experiment() {
        assert_eq!(resolve("bag").unwrap(), Path::new("/a/b/bag"));
        assert_eq!(resolve("../../x/./y").unwrap(), Path::new("/x/y"));
        assert_eq!(resolve("/abs").unwrap(), Path::new("/abs"));
    }

    #[test]
    fn relative_paths_lead_back() {
        for (path, written) in
            [("/a/b/bag", "bag"), ("/a/x/y", "../x/y"), ("/a/b", "."), ("/z", "../../z"), ("/a", "..")]
        {
            assert_eq!(relative_path(Path::new(path), Path::new("/a/b")), Path::new(written));
            assert_eq!(resolve(written).unwrap(), Path::new(path));
        }
    }

    #[test]
    fn a_pattern_is_an_entry_for_each_that_fits() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["w2", "w1", "other", "w[3]"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let entry = |name: &str, number| (folder.path().join(name), number);
        let mut entries =
            vec![entry("w*", 1), entry("none_*", 2), entry("w[3]", 3), entry("other", 4), entry("gone", 5)];
        spread(&mut entries, |entry| &mut entry.0);
        let expected = [("w1", 1), ("w2", 1), ("w[3]", 1), ("none_*", 2), ("w[3]", 3), ("other", 4), ("gone", 5)];
        assert_eq!(entries, expected.map(|(name, number)| entry(name, number)));
    }

    #[test]
    fn environment_with_and_without_default() {
        assert_eq!(resolve("${DATA}/bag").unwrap(), Path::new("/data/bag"));
        assert_eq!(resolve("${OTHER:-../shared}/bag").unwrap(), Path::new("/a/shared/bag"));
        assert!(resolve("${OTHER}/bag").unwrap_err().to_string().contains("OTHER"));
        assert!(matches!(resolve("${DATA/bag"), Err(ConfigError::Unclosed { .. })));
    }
}
