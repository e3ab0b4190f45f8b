//! Where the programs of the nodes log to: lines on stderr, and where it is wanted a trace of every frame's stages.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, IsTerminal, Write, stderr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{Metadata, subscriber::Interest};
use tracing_chrome::{ChromeLayerBuilder, FlushGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::dynamic_filter_fn,
    fmt,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// Variable of the environment: how lines look, `text` or `json`.
pub(super) const FORMAT_VARIABLE: &str = "DISTILLED_PERCEPTION_LOG_FORMAT";
/// Variable of the environment: a file that the trace goes to.
pub(super) const TRACE_VARIABLE: &str = "DISTILLED_PERCEPTION_TRACE";
/// What is logged where `RUST_LOG` does not say it.
pub(super) const USUAL_FILTER: &str = "info,ort=warn";
/// A trace ends at so many bytes, some hours of a camera: nobody can open more.
pub(super) const LARGEST_TRACE: u64 = 256 * 1024 * 1024;
/// Spans and events of our own are traced, not those of others' crates.
const OURS: &str = env!("CARGO_PKG_NAME");

/// Logging that cannot begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoggingError {
    /// A format that is not known.
    #[error("{FORMAT_VARIABLE} is `{0}`, which is neither text nor json")]
    Format(String),
    /// A trace that cannot be written.
    #[error("{TRACE_VARIABLE}: {path}: {source}", path = path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

impl Format {
    /// By the variable's value.
    fn of(value: Option<OsString>) -> Result<Self, LoggingError> {
        match value.as_ref().map(|value| value.to_string_lossy()).as_deref() {
            None | Some("" | "text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            Some(other) => Err(LoggingError::Format(other.to_owned())),
        }
    }
}

/// Keeps the trace's file open; it is whole once this is dropped.
pub(super) struct Logging {
    _trace: Option<FlushGuard>,
}

/// Begins to log as the environment says.
///
/// # Errors
/// [`LoggingError`].
pub(super) fn begin() -> Result<Logging, LoggingError> {
    let format = Format::of(std::env::var_os(FORMAT_VARIABLE))?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(USUAL_FILTER));
    let has_colors = format == Format::Text && stderr().is_terminal();
    let lines = fmt::layer::<Registry>().with_ansi(has_colors).with_writer(stderr);
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = vec![match format {
        Format::Text => lines.with_filter(filter).boxed(),
        Format::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    }];
    let mut guard = None;
    if let Some(path) = std::env::var_os(TRACE_VARIABLE).filter(|path| !path.is_empty()) {
        let path = of_process(path, std::process::id());
        let file = File::create(&path).map_err(|source| LoggingError::Trace { path, source })?;
        let (layer, flush) = trace(file);
        layers.push(layer);
        guard = Some(flush);
    }
    tracing_subscriber::registry().with(layers).init();
    Ok(Logging { _trace: guard })
}

/// A path with the number of the process in place of `%p`.
fn of_process(path: OsString, process: u32) -> PathBuf {
    match path.to_str() {
        Some(text) => PathBuf::from(text.replace("%p", &process.to_string())),
        None => PathBuf::from(path),
    }
}

/// Traces our own spans and events in Chrome's format until the file is full.
fn trace(file: impl Write + Send + 'static) -> (Box<dyn Layer<Registry> + Send + Sync>, FlushGuard) {
    let written = Arc::new(AtomicU64::new(0));
    let file = TraceFile { file, written: written.clone(), has_failed: false };
    let (layer, guard) = ChromeLayerBuilder::<Registry>::new().writer(file).include_locations(false).build();
    let is_wanted = dynamic_filter_fn(move |metadata: &Metadata<'_>, _: &Context<'_, Registry>| {
        metadata.target().starts_with(OURS) && written.load(Ordering::Relaxed) < LARGEST_TRACE
    })
    .with_callsite_filter(|metadata| {
        if metadata.target().starts_with(OURS) { Interest::sometimes() } else { Interest::never() }
    });
    (layer.with_filter(is_wanted).boxed(), guard)
}

/// Counts what is written. The thread that writes the trace ends with a panic where it cannot; a full disk must not look like that.
struct TraceFile<W> {
    file: W,
    written: Arc<AtomicU64>,
    has_failed: bool,
}

impl<W: Write> TraceFile<W> {
    fn look_after(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && !self.has_failed
        {
            self.has_failed = true;
            tracing::error!("{TRACE_VARIABLE}: the trace ends here: {error}");
        }
    }
}

impl<W: Write> Write for TraceFile<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if !self.has_failed {
            let result = self.file.write_all(bytes);
            self.look_after(result);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.file.flush();
        self.look_after(result);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A file that a test can look into.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn formats_are_known_by_name() {
        let of = |value: &str| Format::of(Some(value.into()));
        assert_eq!(Format::of(None).unwrap(), Format::Text);
        assert_eq!(
            (of("").unwrap(), of("text").unwrap(), of("json").unwrap()),
            (Format::Text, Format::Text, Format::Json)
        );
        let error = of("xml").unwrap_err().to_string();
        assert!(error.contains("xml") && error.contains(FORMAT_VARIABLE), "{error}");
    }

    #[test]
    fn each_process_may_have_a_trace_of_its_own() {
        assert_eq!(of_process("/tmp/trace.json".into(), 7), PathBuf::from("/tmp/trace.json"));
        assert_eq!(of_process("/tmp/trace_%p.json".into(), 7), PathBuf::from("/tmp/trace_7.json"));
    }

    #[test]
    fn a_trace_holds_our_spans_and_is_whole_json() {
        let file = Shared::default();
        let (layer, guard) = trace(file.clone());
        let subscriber = tracing_subscriber::registry().with(vec![layer]);
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..3 {
                let _frame = tracing::trace_span!("frame").entered();
                let _stage = tracing::trace_span!("infer").entered();
                let _other = tracing::trace_span!(target: "somebody_else", "noise").entered();
            }
        });
        drop(guard);
        let text = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
        let entries: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let count = |name: &str, phase: &str| {
            entries.iter().filter(|entry| entry["name"] == name && entry["ph"] == phase).count()
        };
        assert_eq!(
            [count("frame", "B"), count("frame", "E"), count("infer", "B"), count("infer", "E")],
            [3; 4],
            "{text}"
        );
        assert_eq!(count("noise", "B"), 0);
    }

    #[test]
    fn a_full_disk_ends_the_trace_and_not_the_node() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::StorageFull.into())
            }
        }
        let written = Arc::new(AtomicU64::new(0));
        let mut file = TraceFile { file: Full, written: written.clone(), has_failed: false };
        assert!(file.write_all(b"[]").is_ok() && file.flush().is_ok() && file.has_failed);
        assert_eq!(written.load(Ordering::Relaxed), 2);
    }
}
