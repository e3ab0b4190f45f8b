//! The run's curves for TensorBoard.
//!
//! An event file is a row of records, each a protobuf `Event` (tensorflow/core/util/event.proto) in TensorFlow's frame:
//!
//! ```text
//! length, u64 little endian | its masked CRC-32C | the message | its masked CRC-32C
//! ```
//!
//! Our own small writer and no crate (looked for in November 2026), because none that writes these files is kept: `tensorboard-rs` 0.5.9
//! is of 2022 (`protobuf` 2 and `image` 0.23; it panics where a file cannot be written), `tfrecord` 0.15 of 2023 (`prost` 0.12, an HTTP
//! client to be built for its build script), `tboard` 0.1.1 of 2024 (`prost` 0.12, cannot be built without `protoc`). Rerun's SDK is
//! kept (0.41, 2026), but brings gRPC and the rest of Arrow for a handful of scalars, and asks for a newer Rust than this crate. Of the
//! format only the checksum is worth a dependency.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{EpochRecord, StepReport};
use crate::model::wire::{put_bytes, put_varint};

/// TensorBoard knows event files by this name and reads those of a folder in the order of their names.
const PREFIX: &str = "events.out.tfevents.";
const SUFFIX: &str = ".distill";

const EVENT_WALL_TIME: u64 = 1;
const EVENT_STEP: u64 = 2;
const EVENT_FILE_VERSION: u64 = 3;
const EVENT_SUMMARY: u64 = 5;
const EVENT_SESSION_LOG: u64 = 7;
const SESSION_STATUS: u64 = 1;
/// `SessionLog.SessionStatus`.
const STATUS_START: u64 = 1;
const SUMMARY_VALUE: u64 = 1;
const VALUE_TAG: u64 = 1;
const VALUE_SIMPLE: u64 = 2;

// Kinds of fields in protobuf's wire format.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const FIXED_32: u64 = 5;

/// The curves of a training, as far as they are wanted. They are to be looked at, nothing else reads them: what cannot be written
/// is warned about once and then given up.
#[derive(Debug)]
pub(in crate::distill) struct EventLog {
    file: Option<EventFile>,
}

impl EventLog {
    /// Begins a file in `folder` that goes on after `steps_made` steps, when curves are wanted. Those of an earlier training are
    /// taken away when this one starts from the beginning, wanted or not.
    pub fn open(folder: &Path, wanted: bool, steps_made: usize) -> Self {
        let forgotten = if steps_made == 0 { forget(folder) } else { Ok(()) };
        let file = match forgotten {
            Ok(()) if wanted => EventFile::create(folder, steps_made + 1).map(Some),
            Ok(()) => Ok(None),
            Err(error) => Err(error),
        };
        Self {
            file: file.unwrap_or_else(|error| {
                warn(folder, &error);
                None
            }),
        }
    }

    /// Writes a step's losses, the norm of its gradient and its learning rate.
    pub fn step(&mut self, report: &StepReport) {
        let mut scalars = Scalars::default();
        // Not `loss/total`: a term may be called that.
        scalars.add("loss", report.losses.total.into());
        for term in &report.losses.terms {
            scalars.add(&format!("loss/{}", term.name), term.value.into());
        }
        scalars.add("optimizer/gradient_norm", report.norm);
        scalars.add("optimizer/learning_rate", report.rate);
        self.write(report.step, &scalars);
    }

    /// Writes an epoch's validation, where there was one, and its speed.
    pub fn epoch(&mut self, record: &EpochRecord) {
        let mut scalars = Scalars::default();
        let validation = [
            ("validation/AP", record.validation_ap),
            ("validation/AP50", record.validation_ap50),
            ("validation/point_IoU", record.validation_point_iou),
        ];
        for (tag, figure) in validation {
            if let Some(figure) = figure {
                scalars.add(tag, figure);
            }
        }
        scalars.add("speed/images_per_second", record.images_per_second);
        scalars.add("speed/wait_share", record.wait_share);
        self.write(record.step, &scalars);
    }

    fn write(&mut self, step: usize, scalars: &Scalars) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.append(step, EVENT_SUMMARY, &scalars.summary) {
            warn(&file.path, &error);
            self.file = None;
        }
    }
}

fn warn(path: &Path, error: &io::Error) {
    tracing::warn!("{}: {error}; the training goes on without curves for TensorBoard", path.display());
}

/// Removes the event files of an earlier training, whose curves would stand among this one's.
fn forget(folder: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// An event file under way.
#[derive(Debug)]
struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// A new file. What files before it tell of `first_step` and later is of steps that a crash has undone, and is dropped by
    /// TensorBoard.
    fn create(folder: &Path, first_step: usize) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let now = since_epoch();
        let path = folder.join(format!("{PREFIX}{:010}.{:09}{SUFFIX}", now.as_secs(), now.subsec_nanos()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let mut events = Self { path, file };
        events.append(0, EVENT_FILE_VERSION, b"brain.Event:2")?;
        let mut session = Vec::new();
        put_number(&mut session, SESSION_STATUS, STATUS_START);
        events.append(first_step, EVENT_SESSION_LOG, &session)?;
        Ok(events)
    }

    /// Appends an event that holds one field besides time and step.
    fn append(&mut self, step: usize, field: u64, content: &[u8]) -> io::Result<()> {
        let mut event = Vec::with_capacity(content.len() + 24);
        put_key(&mut event, EVENT_WALL_TIME, FIXED_64);
        event.extend(since_epoch().as_secs_f64().to_le_bytes());
        if step > 0 {
            put_number(&mut event, EVENT_STEP, step as u64);
        }
        put_bytes(&mut event, field, content);
        // In one piece and past no buffer, so that a reader sees each step at once and whole.
        self.file.write_all(&framed(&event))
    }
}

/// Scalars as a `Summary` message.
#[derive(Debug, Default)]
struct Scalars {
    summary: Vec<u8>,
}

impl Scalars {
    fn add(&mut self, tag: &str, scalar: f64) {
        let mut value = Vec::with_capacity(tag.len() + 8);
        put_bytes(&mut value, VALUE_TAG, tag.as_bytes());
        put_key(&mut value, VALUE_SIMPLE, FIXED_32);
        value.extend((scalar as f32).to_le_bytes());
        put_bytes(&mut self.summary, SUMMARY_VALUE, &value);
    }
}

/// A clock that stands before 1970 costs the curves their time of day.
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn put_key(out: &mut Vec<u8>, number: u64, kind: u64) {
    put_varint(out, (number << 3) | kind);
}

fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
    put_key(out, number, VARINT);
    put_varint(out, value);
}

/// A record with its length and checksums.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(message.len() + 16);
    record.extend(length);
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(message);
    record.extend(masked_crc(message).to_le_bytes());
    record
}

/// TensorFlow's checksum: masked, so that checksums of data that holds checksums stay good ones.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::distill::loss::{LossValues, TermValue};

    /// An event as it stands in a file.
    #[derive(Debug, Default, PartialEq)]
    pub struct Event {
        pub step: u64,
        pub version: String,
        /// A session starts: what was told of this step and later does not hold.
        pub start: bool,
        pub scalars: Vec<(String, f32)>,
    }

    /// The events of each of a folder's files, in the order in which TensorBoard reads them.
    pub fn read_folder(folder: &Path) -> Vec<Vec<Event>> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
            .iter()
            .map(|path| records(&std::fs::read(path).unwrap()).iter().map(|record| event(record)).collect())
            .collect()
    }

    /// The messages of a file, whose checksums must be right.
    fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_at(8);
            let (length_sum, rest) = rest.split_at(4);
            let (message, rest) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
            let (message_sum, rest) = rest.split_at(4);
            for (data, sum) in [(length, length_sum), (message, message_sum)] {
                let sum = u32::from_le_bytes(sum.try_into().unwrap());
                assert_eq!(sum.wrapping_sub(0xa282_ead8).rotate_left(15), crc32c::crc32c(data));
            }
            records.push(message.to_vec());
            bytes = rest;
        }
        records
    }

    fn event(message: &[u8]) -> Event {
        let mut event = Event::default();
        for (number, content) in fields(message) {
            match number {
                1 => assert!(f64::from_le_bytes(content[..].try_into().unwrap()) > 1.6e9),
                2 => event.step = u64::from_le_bytes(content[..].try_into().unwrap()),
                3 => event.version = String::from_utf8(content).unwrap(),
                5 => event.scalars = fields(&content).iter().map(|(_, value)| scalar(value)).collect(),
                7 => event.start = fields(&content) == [(1, 1_u64.to_le_bytes().to_vec())],
                _ => panic!("an event has no field {number}"),
            }
        }
        event
    }

    fn scalar(message: &[u8]) -> (String, f32) {
        let fields = fields(message);
        assert_eq!((fields[0].0, fields[1].0, fields.len()), (1, 2, 2));
        (String::from_utf8(fields[0].1.clone()).unwrap(), f32::from_le_bytes(fields[1].1[..].try_into().unwrap()))
    }

    /// The fields of a message by their numbers; a varint as eight bytes.
    fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut fields = Vec::new();
        while !message.is_empty() {
            let key = varint(&mut message);
            let length = match key & 7 {
                0 => {
                    fields.push((key >> 3, varint(&mut message).to_le_bytes().to_vec()));
                    continue;
                }
                1 => 8,
                2 => varint(&mut message) as usize,
                5 => 4,
                kind => panic!("no field is of kind {kind}"),
            };
            let (content, rest) = message.split_at(length);
            fields.push((key >> 3, content.to_vec()));
            message = rest;
        }
        fields
    }

    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    fn report(step: usize) -> StepReport {
        let term = |name: &str, value| TermValue { name: name.into(), value, weight: 2.0 };
        let losses = LossValues { total: 1.5, terms: vec![term("class", 0.5), term("total", 0.25)] };
        StepReport { step, steps: 1000, epoch: 1, losses, norm: 3.0, rate: 0.002 }
    }

    fn record(step: usize, validation: Option<f64>) -> EpochRecord {
        EpochRecord {
            epoch: 1,
            step,
            loss: 1.0,
            terms: std::collections::BTreeMap::new(),
            gradient_norm: 1.0,
            learning_rate: 0.1,
            validation_ap: validation,
            validation_ap50: validation.map(|ap| ap + 0.25),
            validation_point_iou: None,
            best: false,
            seconds: 1.0,
            images_per_second: 80.0,
            wait_share: 0.125,
        }
    }

    fn owned(scalars: &[(&str, f32)]) -> Vec<(String, f32)> {
        scalars.iter().map(|(tag, value)| ((*tag).to_owned(), *value)).collect()
    }

    #[test]
    fn what_was_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let events = folder.path().join("train/events");
        let mut log = EventLog::open(&events, true, 299);
        log.step(&report(300));
        log.epoch(&record(300, None));
        log.epoch(&record(600, Some(0.5)));
        let files = read_folder(&events);
        let step = [
            ("loss", 1.5),
            ("loss/class", 0.5),
            ("loss/total", 0.25),
            ("optimizer/gradient_norm", 3.0),
            ("optimizer/learning_rate", 0.002),
        ];
        let speed = [("speed/images_per_second", 80.0), ("speed/wait_share", 0.125)];
        let validation = [("validation/AP", 0.5), ("validation/AP50", 0.75)];
        let expected = vec![
            Event { version: "brain.Event:2".into(), ..Event::default() },
            Event { step: 300, start: true, ..Event::default() },
            Event { step: 300, scalars: owned(&step), ..Event::default() },
            Event { step: 300, scalars: owned(&speed), ..Event::default() },
            Event { step: 600, scalars: owned(&[validation, speed].concat()), ..Event::default() },
        ];
        assert_eq!(files, [expected]);
    }

    #[test]
    fn a_file_begins_as_tensorflow_begins_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = EventLog::open(folder.path(), true, 0);
        let bytes = std::fs::read(&log.file.unwrap().path).unwrap();
        // The length of the first record and its checksum as in any file that TensorFlow wrote.
        assert_eq!(bytes[..13], *b"\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22\x09");
        assert_eq!(bytes[21..36], *b"\x1a\x0dbrain.Event:2");
    }

    #[test]
    fn a_new_training_takes_the_old_curves_away_and_a_resumed_one_leaves_them() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = folder.path().join("events.out.tfevents.1.somebody");
        std::fs::write(&foreign, "").unwrap();
        let count = || std::fs::read_dir(folder.path()).unwrap().count() - 1;
        EventLog::open(folder.path(), true, 0);
        EventLog::open(folder.path(), true, 7);
        EventLog::open(folder.path(), false, 9);
        assert_eq!(count(), 2);
        EventLog::open(folder.path(), true, 0);
        assert_eq!(count(), 1);
        EventLog::open(folder.path(), false, 0);
        assert_eq!(count(), 0);
        assert!(foreign.exists());
    }

    #[test]
    fn what_cannot_be_written_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "").unwrap();
        let mut log = EventLog::open(&path.join("events"), true, 0);
        assert!(log.file.is_none());
        log.step(&report(1));
        // Open for reading alone: every write fails, as on a full disk.
        let mut log = EventLog { file: Some(EventFile { file: File::open(&path).unwrap(), path }) };
        log.step(&report(1));
        assert!(log.file.is_none());
        log.epoch(&record(1, None));
    }
}
