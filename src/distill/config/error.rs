//! What can be wrong with an experiment file, said so that it can be mended.

use std::path::PathBuf;

use crate::distill::split::SplitError;

/// An experiment that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the experiment {path}: {source}", path = path.display())]
    Read {
        /// The experiment file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A key that no section knows.
    #[error("{origin}: unknown key `{key}`{place}{hint}")]
    UnknownKey {
        /// The file, or `--set`.
        origin: String,
        /// Full path of the key, for instance `train.epochz`.
        key: String,
        /// ` (line L, column C)`, or nothing.
        place: String,
        /// `; did you mean ..?` or the list of known keys.
        hint: String,
    },
    /// Not YAML, or a value of the wrong type.
    #[error("{origin}: {message}")]
    Invalid {
        /// The file, or `--set`.
        origin: String,
        /// What is wrong, with the key and the line where they are known.
        message: String,
    },
    /// A value that has the right type but makes no sense.
    #[error("{path}: {key}: {message}", path = path.display())]
    Value {
        /// The experiment file.
        path: PathBuf,
        /// Full path of the key.
        key: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// An experiment of lidar where one of cameras is wanted.
    #[error(
        "{path}: `task: lidar` goes through all its stages in one: `distill run {path}` labels, trains, exports and evaluates",
        path = path.display()
    )]
    Lidar {
        /// The experiment file.
        path: PathBuf,
    },
    /// Shares or gap of the split.
    #[error("{path}: {source}", path = path.display())]
    Split {
        /// The experiment file.
        path: PathBuf,
        /// What is wrong.
        source: SplitError,
    },
    /// `--set` without `=`.
    #[error("--set {0}: give it as key=value, for instance --set train.epochs=3")]
    Override(String),
    /// `--set` that points into something that has no keys.
    #[error("--set {key}: `{parent}` is not a section or list that has `{part}`")]
    OverridePath {
        /// The whole key.
        key: String,
        /// What was reached.
        parent: String,
        /// What is not in it.
        part: String,
    },
    /// `${NAME}` of a variable that is not set and has no default.
    #[error("{path}: {key}: the environment variable {name} is not set; set it, or give a default as ${{{name}:-default}}", path = path.display())]
    Environment {
        /// The experiment file.
        path: PathBuf,
        /// Full path of the key.
        key: String,
        /// The variable.
        name: String,
    },
    /// `${` without `}`.
    #[error("{path}: {key}: `${{` without its `}}` in {text:?}", path = path.display())]
    Unclosed {
        /// The experiment file.
        path: PathBuf,
        /// Full path of the key.
        key: String,
        /// The text as written.
        text: String,
    },
}

impl ConfigError {
    /// Turns the YAML reader's error into one that names the key and suggests the nearest right one.
    pub(in crate::distill) fn from_yaml(origin: &str, error: &serde_yaml::Error, with_place: bool) -> Self {
        let message = error.to_string();
        let place = match error.location() {
            Some(location) if with_place => format!(" (line {}, column {})", location.line(), location.column()),
            _ => String::new(),
        };
        let Some(unknown) = UnknownField::find(&message) else {
            return Self::Invalid { origin: origin.to_owned(), message };
        };
        let hint = match nearest(&unknown.field, &unknown.expected) {
            Some(best) => format!("; did you mean `{}{best}`?", unknown.prefix),
            None if unknown.expected.is_empty() => String::new(),
            None => format!("; known here: {}", unknown.expected.join(", ")),
        };
        Self::UnknownKey { origin: origin.to_owned(), key: format!("{}{}", unknown.prefix, unknown.field), place, hint }
    }
}

/// The parts of serde's "unknown field" message.
struct UnknownField {
    prefix: String,
    field: String,
    expected: Vec<String>,
}

impl UnknownField {
    /// Reads `path.to.section: unknown field `x`, expected one of `a`, `b` at line 1 column 2`.
    fn find(message: &str) -> Option<Self> {
        const MARK: &str = "unknown field `";
        let start = message.find(MARK)?;
        let path = message[..start].trim().trim_end_matches(':');
        let prefix = if path.is_empty() || path == "." { String::new() } else { format!("{path}.") };
        let mut quoted = message[start + MARK.len() - 1..].split('`').skip(1).step_by(2).map(str::to_owned);
        let field = quoted.next()?;
        Some(Self { prefix, field, expected: quoted.collect() })
    }
}

/// The candidate most like `field`, when it is like enough to be meant.
fn nearest<'a>(field: &str, candidates: &'a [String]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(field, candidate), candidate.as_str()))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
