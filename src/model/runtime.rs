//! Finding ONNX Runtime's library and keeping the one environment that a process has.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use super::ModelError;

/// The loaded library and its environment.
struct Runtime {
    environment: ort::environment::Environment,
    library: PathBuf,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
/// Held while the library is being loaded, so that two threads do not load two.
static LOADING: Mutex<()> = Mutex::new(());

/// The process's ONNX Runtime environment; the library is loaded by the first call.
///
/// The library is, in this order: `explicit`, the file in `ORT_DYLIB_PATH`, one in the system's library folders, one in
/// the cache that scripts/setup fills. A library in the system or the cache that is too old or broken is passed over for
/// the next one; one that was named is an error. Later calls get the library that is loaded, whatever they name.
///
/// # Errors
/// [`ModelError::RuntimeMissing`] and [`ModelError::RuntimeUnusable`].
pub(super) fn environment(explicit: Option<&Path>) -> Result<&'static ort::environment::Environment, ModelError> {
    if let Some(runtime) = RUNTIME.get() {
        warn_if_other(explicit, &runtime.library);
        return Ok(&runtime.environment);
    }
    // A poisoned lock only says that another thread panicked while loading; the guarded value is ().
    let _loading = LOADING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(runtime) = RUNTIME.get() {
        return Ok(&runtime.environment);
    }
    let runtime = load(explicit)?;
    tracing::debug!(library = %runtime.library.display(), "ONNX Runtime loaded");
    Ok(&RUNTIME.get_or_init(|| runtime).environment)
}

/// The library file in use, once a session was made.
pub fn runtime_library() -> Option<&'static Path> {
    RUNTIME.get().map(|runtime| runtime.library.as_path())
}

/// The version of the library in use, once a session was made: that of its file's name, or of the branch that it was built from;
/// `None` where neither tells.
pub fn runtime_version() -> Option<String> {
    let file = runtime_library()?.canonicalize().ok()?;
    let version = file.file_name().and_then(|name| library_version(name.to_str()?)).filter(|parts| !parts.is_empty());
    match version {
        Some(parts) => Some(parts.iter().map(u64::to_string).collect::<Vec<_>>().join(".")),
        None => runtime_build().and_then(branch_version),
    }
}

/// What the library in use says of its own build (branch, commit, flags), once a session was made.
pub fn runtime_build() -> Option<&'static str> {
    RUNTIME.get().map(|_| ort::info())
}

/// The version in the name of a release's branch (`git-branch=rel-1.22.0`).
fn branch_version(build: &str) -> Option<String> {
    let version = build.split("git-branch=rel-").nth(1)?.split([',', ' ']).next()?;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
}

fn warn_if_other(explicit: Option<&Path>, loaded: &Path) {
    if let Some(path) = explicit
        && path != loaded
    {
        tracing::warn!(loaded = %loaded.display(), asked = %path.display(), "ONNX Runtime is already loaded from another file");
    }
}

fn load(explicit: Option<&Path>) -> Result<Runtime, ModelError> {
    let named = explicit
        .map(Path::to_path_buf)
        .or_else(|| env::var_os("ORT_DYLIB_PATH").filter(|value| !value.is_empty()).map(PathBuf::from));
    if let Some(path) = named {
        return open(&path);
    }
    let folders = search_folders();
    let mut unusable = None;
    for folder in &folders {
        for library in libraries_in(folder) {
            match open(&library) {
                Ok(runtime) => return Ok(runtime),
                Err(error) => {
                    tracing::debug!("{error}");
                    unusable.get_or_insert(error);
                }
            }
        }
    }
    Err(unusable.unwrap_or_else(|| ModelError::RuntimeMissing {
        name: library_name(),
        looked_in: folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", "),
    }))
}

fn open(path: &Path) -> Result<Runtime, ModelError> {
    let unusable = |reason: String| ModelError::RuntimeUnusable { path: path.to_path_buf(), reason };
    if !path.is_file() {
        return Err(unusable("there is no such file".into()));
    }
    // An absolute path: the loader would look for a bare file name elsewhere.
    let absolute = path.canonicalize().map_err(|error| unusable(error.to_string()))?;
    let environment = ort::init_from(&absolute)
        .map_err(|error| unusable(error.to_string()))?
        .with_name("distilled_perception")
        .with_telemetry(false)
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    environment.set_log_level(ort::logging::LogLevel::Error);
    Ok(Runtime { environment, library: path.to_path_buf() })
}

fn library_name() -> String {
    format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}

/// Folders in the order of the search; the cache's are those that hold a library, at any depth up to 8.
fn search_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("LD_LIBRARY_PATH").map(|paths| env::split_paths(&paths).collect()).unwrap_or_default();
    folders.retain(|folder| !folder.as_os_str().is_empty());
    folders.extend(["/usr/local/lib", "/usr/lib", "/lib", "/opt/onnxruntime/lib"].map(PathBuf::from));
    folders.push(PathBuf::from(format!("/usr/lib/{}-linux-gnu", env::consts::ARCH)));
    if let Some(cache) = cache_folder() {
        let mut found = BTreeSet::new();
        folders_with_libraries(&cache, 8, &mut found);
        folders.extend(found);
        folders.push(cache);
    }
    folders
}

/// `${DISTILLED_PERCEPTION_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/distilled_perception}`, as scripts/setup has it.
fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("DISTILLED_PERCEPTION_CACHE").or_else(|| {
        let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
        Some(base.join("distilled_perception"))
    })
}

fn folders_with_libraries(folder: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
    if !libraries_in(folder).is_empty() {
        found.insert(folder.to_path_buf());
    }
    if depth == 0 {
        return;
    }
    let Ok(entries) = folder.read_dir() else { return };
    for entry in entries.flatten() {
        // `file_type` does not follow links, so that a link to a parent cannot trap the walk.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders_with_libraries(&entry.path(), depth - 1, found);
        }
    }
}

/// The ONNX Runtime libraries of a folder, newest version first. `libonnxruntime.so.1.31.0` counts,
/// `libonnxruntime_providers_shared.so` does not.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut found: Vec<(Vec<u64>, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((library_version(entry.file_name().to_str()?)?, entry.path())))
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

/// The version in a library's file name (empty when it has none), or `None` for other files.
fn library_version(name: &str) -> Option<Vec<u64>> {
    let rest = name.strip_prefix(env::consts::DLL_PREFIX)?.strip_prefix("onnxruntime")?;
    let suffix = env::consts::DLL_SUFFIX;
    // Linux puts the version behind the suffix (.so.1.31.0), macOS before it (.1.31.0.dylib).
    let version = rest.strip_prefix(suffix).or_else(|| rest.strip_suffix(suffix))?;
    let version = version.trim_start_matches('.');
    if version.is_empty() {
        return Some(Vec::new());
    }
    version.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Whether ONNX Runtime is at hand. Otherwise says, as a test's last words, why it is skipped; where `CI` is true, which always has
    /// it, the test fails.
    pub(crate) fn has_runtime() -> bool {
        let found = env::var_os("ORT_DYLIB_PATH").is_some_and(|path| !path.is_empty());
        let may_skip = matches!(env::var("CI").ok().as_deref(), None | Some("" | "0" | "false"));
        assert!(found || may_skip, "ORT_DYLIB_PATH does not name ONNX Runtime's library, and CI is set");
        if !found {
            println!("skipped: ORT_DYLIB_PATH does not name ONNX Runtime's library");
        }
        found
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn library_names_are_told_apart() {
        assert_eq!(library_version("libonnxruntime.so.1.31.0"), Some(vec![1, 31, 0]));
        assert_eq!(library_version("libonnxruntime.so"), Some(vec![]));
        assert_eq!(library_version("libonnxruntime_providers_shared.so"), None);
        assert_eq!(library_version("libonnxruntime.so.bak"), None);
    }

    #[test]
    fn a_build_tells_its_version_by_the_branch_of_a_release() {
        let build = "ORT Build Info: git-branch=rel-1.19.0, git-commit-id=26250ae, build type=Release";
        assert_eq!(branch_version(build).as_deref(), Some("1.19.0"));
        assert_eq!(branch_version("ORT Build Info: git-branch=HEAD, git-commit-id=fab30a4"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn newest_library_of_a_folder_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.31.0", "libonnxruntime_providers_shared.so"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let names: Vec<_> = libraries_in(folder.path()).iter().map(|p| p.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["libonnxruntime.so.1.31.0", "libonnxruntime.so.1.9.0"]);
        let mut found = BTreeSet::new();
        folders_with_libraries(folder.path().parent().unwrap(), 1, &mut found);
        assert!(found.contains(folder.path()));
    }

    #[test]
    fn a_named_library_that_is_no_library_is_an_error_that_says_what_to_do() {
        let missing = open(Path::new("/nowhere/libonnxruntime.so")).err().unwrap().to_string();
        assert!(missing.contains("no such file") && missing.contains("scripts/setup"), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("libonnxruntime.so");
        std::fs::write(&text, b"not a library").unwrap();
        let broken = open(&text).err().unwrap().to_string();
        assert!(broken.contains("ORT_DYLIB_PATH"), "{broken}");
    }
}
