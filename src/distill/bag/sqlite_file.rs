//! rosbag2's SQLite files (`.db3`), read row by row.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use tempfile::NamedTempFile;

use super::{BagError, Loss, temporary::temporary_file};

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
    /// What is read in the file's stead where that breaks off inside a page; stays as long as the connection.
    _whole_pages: Option<NamedTempFile>,
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
    /// SQLite fills a page that is not all there with zeros, and those would come out as rows that nobody wrote. Of a file
    /// that breaks off inside a page a temporary copy of the whole pages is read instead.
    ///
    /// # Errors
    /// When it is not an SQLite file with rosbag2's tables.
    pub(super) fn open(path: &Path) -> Result<Self, BagError> {
        let size = std::fs::metadata(path).map_err(|error| BagError::io(path, error))?.len();
        let header = Header::read(path)?;
        let torn = header.map_or(0, |header| header.torn_bytes(size));
        let missing = header.map_or(0, |header| header.missing_bytes(size));
        let mut loss = Loss::default();
        let whole_pages = if torn > 0 { Some(copy_start(path, size - torn)?) } else { None };
        let logged = open_with_log(path, torn > 0, &mut loss);
        let cut = torn > 0 || (missing > 0 && logged.is_none());
        if cut {
            let what = match missing {
                0 => "it ends inside a page".to_owned(),
                missing => format!("{missing} bytes of {} are missing at its end", size + missing),
            };
            loss.add(torn, 0, format!("{}: {what}", path.display()));
        }
        let (connection, topics) = match logged {
            Some(opened) => opened,
            None => open_plain(whole_pages.as_ref().map_or(path, |copy| copy.path()))
                .map_err(|reason| BagError::Sqlite { path: path.into(), reason })?,
        };
        let order = if !cut && has_time_index(&connection) { Order::Time } else { Order::Row };
        Ok(Self {
            path: path.into(),
            connection,
            _whole_pages: whole_pages,
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
                    self.stop(&format!("rows cannot be read on: {error}"));
                    return None;
                }
            };
            if found <= self.last {
                // A page of zeros is full of rows with the number 0, and what follows row 0 has been delivered already.
                self.stop(&format!("rows are out of order after row {}", self.last.1));
                return None;
            }
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

    /// Ends the reading before the end, for a reason.
    fn stop(&mut self, why: &str) {
        self.finished = true;
        self.loss.add(0, 0, format!("{}: {why}", self.path.display()));
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

/// A connection and what it finds in the table `topics`.
type Opened = (Connection, BTreeMap<i64, SqliteTopic>);

/// Opens the file as it is, without a write-ahead log.
fn open_plain(path: &Path) -> Result<Opened, String> {
    let connection = connect(path, true).map_err(|error| error.to_string())?;
    let topics = read_topics(&connection).map_err(|reason| {
        format!("{reason}; if this is a rosbag2 recording, `sqlite3 bag.db3 .recover` may rescue it")
    })?;
    Ok((connection, topics))
}

/// Opens the file with its write-ahead log; `None` where there is none. One that cannot be read is counted, as is one of a file
/// that is `torn`: its pages belong to the file as it was.
fn open_with_log(path: &Path, torn: bool, loss: &mut Loss) -> Option<Opened> {
    let log_size = std::fs::metadata(beside(path, "-wal")).map_or(0, |log| log.len());
    if log_size == 0 {
        return None;
    }
    let opened = if torn { None } else { connect(path, false).ok() };
    let opened = opened.and_then(|connection| read_topics(&connection).ok().map(|topics| (connection, topics)));
    if opened.is_none() {
        loss.add(log_size, 0, format!("{}: its write-ahead log cannot be read", path.display()));
    }
    opened
}

/// Copies the first `length` bytes of the file.
fn copy_start(path: &Path, length: u64) -> Result<NamedTempFile, BagError> {
    if length == 0 {
        let reason = "it breaks off inside its first page, so nothing of it can be read".into();
        return Err(BagError::Sqlite { path: path.into(), reason });
    }
    let file = File::open(path).map_err(|error| BagError::io(path, error))?;
    let copy = temporary_file()?;
    let mut target = copy.as_file();
    std::io::copy(&mut file.take(length), &mut target)
        .map_err(|source| BagError::Io { path: copy.path().into(), source })?;
    Ok(copy)
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

/// What the first 100 bytes of a file tell of its size (<https://www.sqlite.org/fileformat.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    page_size: u64,
    /// Page size times page count; `None` where the count is not to be believed.
    promised_size: Option<u64>,
}

impl Header {
    const LENGTH: usize = 100;

    /// Reads it; `Ok(None)` when the file does not start with one.
    fn read(path: &Path) -> Result<Option<Self>, BagError> {
        let io_error = |error| BagError::io(path, error);
        let mut bytes = Vec::with_capacity(Self::LENGTH);
        let file = File::open(path).map_err(io_error)?;
        file.take(Self::LENGTH as u64).read_to_end(&mut bytes).map_err(io_error)?;
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < Self::LENGTH || !bytes.starts_with(SQLITE_MAGIC) {
            return None;
        }
        let page_size = match u16::from_be_bytes([bytes[16], bytes[17]]) {
            1 => 65_536,
            size if size >= 512 && size.is_power_of_two() => u64::from(size),
            _ => return None,
        };
        let pages = u32::from_be_bytes([bytes[28], bytes[29], bytes[30], bytes[31]]);
        // The count is only valid when the change counter and the version-valid-for number agree.
        let believed = pages > 0 && bytes[24..28] == bytes[92..96];
        Some(Self { page_size, promised_size: believed.then_some(page_size * u64::from(pages)) })
    }

    /// Bytes that are not there of those that the header promises.
    fn missing_bytes(self, size: u64) -> u64 {
        self.promised_size.map_or(0, |promised| promised.saturating_sub(size))
    }

    /// Bytes of a last page that is not all there. None where the promised pages are there: SQLite does not look behind them.
    fn torn_bytes(self, size: u64) -> u64 {
        match self.promised_size {
            Some(promised) if promised <= size => 0,
            _ => size % self.page_size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of 3 pages of 4096 bytes whose two counters are these.
    fn header(change: u8, valid_for: u8) -> Vec<u8> {
        let mut bytes = vec![0; Header::LENGTH];
        bytes[..16].copy_from_slice(SQLITE_MAGIC);
        bytes[16] = 0x10;
        bytes[31] = 3;
        bytes[27] = change;
        bytes[95] = valid_for;
        bytes
    }

    #[test]
    fn the_page_size_is_known_whether_the_count_is_or_not() {
        let believed = Header::parse(&header(7, 7)).unwrap();
        assert_eq!(believed, Header { page_size: 4096, promised_size: Some(3 * 4096) });
        let doubted = Header::parse(&header(7, 6)).unwrap();
        assert_eq!(doubted, Header { page_size: 4096, promised_size: None });
        assert_eq!(Header::parse(&header(7, 7)[..99]), None);
        assert_eq!(Header::parse(&[0; 100]), None);
    }

    #[test]
    fn torn_pages_are_those_that_sqlite_would_fill_up() {
        let header = Header { page_size: 4096, promised_size: Some(3 * 4096) };
        assert_eq!((header.torn_bytes(2 * 4096), header.missing_bytes(2 * 4096)), (0, 4096));
        assert_eq!((header.torn_bytes(2 * 4096 + 5), header.missing_bytes(2 * 4096 + 5)), (5, 4091));
        assert_eq!((header.torn_bytes(3 * 4096 + 5), header.missing_bytes(3 * 4096 + 5)), (0, 0));
        let doubted = Header { promised_size: None, ..header };
        assert_eq!((doubted.torn_bytes(3 * 4096 + 5), doubted.missing_bytes(5)), (5, 0));
    }
}
