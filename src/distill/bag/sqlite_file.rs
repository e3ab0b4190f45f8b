//! rosbag2's SQLite files (`.db3`), read row by row.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::Read,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::{BagError, Loss};

/// The first bytes of every SQLite database.
pub(super) const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A row of the table `topics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SqliteTopic {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) serialization: String,
    pub(super) offered_qos: String,
}

/// Message counts by topic id and the first and last time.
#[derive(Debug, Default)]
pub(super) struct SqliteCounts {
    pub(super) by_topic: BTreeMap<i64, u64>,
    pub(super) times: Option<(i64, i64)>,
}

/// The order in which rows are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// By time, through the index that rosbag2 makes.
    Time,
    /// By row id: the file is cut off or has no index.
    Row,
}

/// Reads a `.db3` file's messages in the order of their time; of a file that is cut off, in the order in which they were written.
#[derive(Debug)]
pub(super) struct SqliteReader {
    path: PathBuf,
    connection: Connection,
    topics: BTreeMap<i64, SqliteTopic>,
    wanted: Option<HashSet<i64>>,
    order: Order,
    /// The last row delivered: time and id.
    last: (i64, i64),
    finished: bool,
    pub(super) loss: Loss,
}

impl SqliteReader {
    /// Opens the file for reading only. Nothing is ever written beside it, unless it has a write-ahead log to be read.
    ///
    /// # Errors
    /// When it is not an SQLite file with rosbag2's tables.
    pub(super) fn open(path: &Path) -> Result<Self, BagError> {
        let size = std::fs::metadata(path).map_err(|error| BagError::io(path, error))?.len();
        let mut loss = Loss::default();
        let log_size = std::fs::metadata(beside(path, "-wal")).map_or(0, |log| log.len());
        let refuse = |reason: String| BagError::Sqlite { path: path.into(), reason };
        let mut topics = Err(String::new());
        let mut connection = None;
        if log_size > 0 {
            if let Ok(with_log) = connect(path, false) {
                topics = read_topics(&with_log);
                connection = topics.is_ok().then_some(with_log);
            }
            if connection.is_none() {
                loss.add(log_size, 0, format!("{}: its write-ahead log cannot be read", path.display()));
            }
        }
        let connection = match connection {
            Some(connection) => connection,
            None => {
                let plain = connect(path, true).map_err(|error| refuse(error.to_string()))?;
                topics = read_topics(&plain);
                plain
            }
        };
        let topics = topics.map_err(|reason| {
            refuse(format!("{reason}; if this is a rosbag2 recording, `sqlite3 bag.db3 .recover` may rescue it"))
        })?;
        let promised = promised_size(path)?;
        let order = if log_size == 0 && promised > size {
            loss.add(
                0,
                0,
                format!("{}: {} bytes of {promised} are missing at its end", path.display(), promised - size),
            );
            Order::Row
        } else if has_time_index(&connection) {
            Order::Time
        } else {
            Order::Row
        };
        Ok(Self {
            path: path.into(),
            connection,
            topics,
            wanted: None,
            order,
            last: (i64::MIN, i64::MIN),
            finished: false,
            loss,
        })
    }

    /// Limits what is read to the named topics.
    pub(super) fn want(&mut self, names: &HashSet<String>) {
        let ids = self.topics.iter().filter(|(_, topic)| names.contains(&topic.name)).map(|(&id, _)| id);
        self.wanted = Some(ids.collect());
    }

    /// The topics by their id.
    pub(super) fn topics(&self) -> &BTreeMap<i64, SqliteTopic> {
        &self.topics
    }

    /// Counts the messages without reading them; `None` when the file is too broken for it.
    pub(super) fn count(&self) -> Option<SqliteCounts> {
        let mut counts = SqliteCounts::default();
        let query = "SELECT topic_id, COUNT(*), MIN(timestamp), MAX(timestamp) FROM messages GROUP BY topic_id";
        let mut statement = self.connection.prepare(query).ok()?;
        let mut rows = statement.query([]).ok()?;
        while let Some(row) = rows.next().ok()? {
            let (id, count, first, last): (i64, i64, i64, i64) =
                (row.get(0).ok()?, row.get(1).ok()?, row.get(2).ok()?, row.get(3).ok()?);
            counts.by_topic.insert(id, u64::try_from(count).ok()?);
            counts.times = Some(match counts.times {
                Some((start, end)) => (start.min(first), end.max(last)),
                None => (first, last),
            });
        }
        Some(counts)
    }

    /// The next message's topic id and time, its bytes in `data`; `None` at the end or where the file breaks off.
    pub(super) fn next(&mut self, data: &mut Vec<u8>) -> Option<(i64, i64)> {
        while !self.finished {
            let found = match self.find_next() {
                Ok(Some(found)) => found,
                Ok(None) => {
                    self.finished = true;
                    return None;
                }
                Err(error) => {
                    self.finished = true;
                    self.loss.add(0, 0, format!("{}: rows cannot be read on: {error}", self.path.display()));
                    return None;
                }
            };
            self.last = found;
            match self.read_row(found.1, data) {
                Ok(Some(message)) => return Some(message),
                Ok(None) => {}
                Err(error) => {
                    self.loss.add(0, 1, format!("{}: row {}: {error}", self.path.display(), found.1));
                }
            }
        }
        None
    }

    /// Time and id of the row after the last one.
    fn find_next(&self) -> rusqlite::Result<Option<(i64, i64)>> {
        let (time, id) = self.last;
        let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        match self.order {
            Order::Time => self
                .connection
                .prepare_cached(
                    "SELECT timestamp, id FROM messages WHERE (timestamp, id) > (?1, ?2) ORDER BY timestamp, id LIMIT 1",
                )?
                .query_row([time, id], pair)
                .optional(),
            Order::Row => self
                .connection
                .prepare_cached("SELECT 0, id FROM messages WHERE id > ?1 ORDER BY id LIMIT 1")?
                .query_row([id], pair)
                .optional(),
        }
    }

    /// Reads the row into `data`; `None` when its topic is not wanted.
    fn read_row(&self, id: i64, data: &mut Vec<u8>) -> rusqlite::Result<Option<(i64, i64)>> {
        if let Some(wanted) = &self.wanted {
            let topic: i64 = self
                .connection
                .prepare_cached("SELECT topic_id FROM messages WHERE id = ?1")?
                .query_row([id], |row| row.get(0))?;
            if !wanted.contains(&topic) {
                return Ok(None);
            }
        }
        self.connection.prepare_cached("SELECT topic_id, timestamp, data FROM messages WHERE id = ?1")?.query_row(
            [id],
            |row| {
                let bytes = row.get_ref(2)?.as_bytes()?;
                data.clear();
                data.extend_from_slice(bytes);
                Ok(Some((row.get(0)?, row.get(1)?)))
            },
        )
    }
}

/// The path with something appended to its file name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A connection that reads only. An immutable one takes no locks and looks at no log, so that it works on read-only media.
fn connect(path: &Path, immutable: bool) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    for byte in absolute.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(*byte)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str(if immutable { "?immutable=1" } else { "?mode=ro" });
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    // Without this SQLite refuses every file that is shorter than its header says, though most rows may be there.
    connection.pragma_update(None, "writable_schema", true)?;
    // A corrupt cell must not make SQLite run into the woods.
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// The table `topics`; early versions have fewer columns.
fn read_topics(connection: &Connection) -> Result<BTreeMap<i64, SqliteTopic>, String> {
    let words = |error: rusqlite::Error| match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text,
        other => other.to_string(),
    };
    let tables: HashMap<String, ()> = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
        .and_then(|mut statement| statement.query_map([], |row| Ok((row.get(0)?, ())))?.collect())
        .map_err(words)?;
    for needed in ["topics", "messages"] {
        if !tables.contains_key(needed) {
            return Err(format!("an SQLite file, but not a rosbag2 recording: it has no table `{needed}`"));
        }
    }
    let mut statement = connection.prepare("SELECT * FROM topics").map_err(words)?;
    let qos = statement.column_index("offered_qos_profiles").ok();
    let column =
        |name: &str| statement.column_index(name).map_err(|_| format!("the table `topics` has no column `{name}`"));
    let (id, name, kind, format) = (column("id")?, column("name")?, column("type")?, column("serialization_format")?);
    let rows = statement
        .query_map([], |row| {
            let topic = SqliteTopic {
                name: row.get(name)?,
                type_name: row.get(kind)?,
                serialization: row.get(format)?,
                offered_qos: qos.map_or(Ok(None), |index| row.get(index))?.unwrap_or_default(),
            };
            Ok((row.get(id)?, topic))
        })
        .map_err(words)?;
    rows.collect::<Result<_, _>>().map_err(words)
}

/// True when there is an index that starts with the time.
fn has_time_index(connection: &Connection) -> bool {
    let query = "SELECT COUNT(*) FROM pragma_index_list('messages') AS list, pragma_index_info(list.name) AS info \
                 WHERE info.seqno = 0 AND info.name = 'timestamp'";
    connection.query_row(query, [], |row| row.get::<_, i64>(0)).is_ok_and(|count| count > 0)
}

/// The size that the file's header promises: page size times page count (<https://www.sqlite.org/fileformat.html>).
fn promised_size(path: &Path) -> Result<u64, BagError> {
    let io_error = |error| BagError::io(path, error);
    let mut header = Vec::with_capacity(100);
    std::fs::File::open(path).map_err(io_error)?.take(100).read_to_end(&mut header).map_err(io_error)?;
    if header.len() < 100 || !header.starts_with(SQLITE_MAGIC) {
        return Ok(0);
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    // The count is only valid when the change counter and the version-valid-for number agree.
    if header[24..28] != header[92..96] {
        return Ok(0);
    }
    Ok(page_size * u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]])))
}
