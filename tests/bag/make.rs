//! Recordings made for the tests, by other hands than the library's: the mcap crate and SQLite.

use std::{
    collections::BTreeMap,
    io::Cursor,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use distilled_perception::distill::bag::{Bag, Loss, TopicFilter};
use mcap::{Compression, WriteOptions, records::MessageHeader};

/// Topic name, log time and bytes.
pub type Written = (String, i64, Vec<u8>);

/// Messages of two topics, 10 ms apart, of sizes from 4 bytes to `largest`; the content depends on the number.
pub fn messages(count: usize, largest: usize) -> Vec<Written> {
    let one = |number: usize| {
        let topic = if number.is_multiple_of(3) { "/b" } else { "/a" };
        let size = 4 + (number * 37) % largest.max(1);
        let mut data = vec![0, 1, 0, 0];
        data.extend((4..size).map(|byte| ((byte * 31) ^ (number * 7)) as u8));
        (topic.to_owned(), 1_000_000_000 + number as i64 * 10_000_000, data)
    };
    (0..count).map(one).collect()
}

/// How to write an MCAP file.
#[derive(Debug, Clone, Copy)]
pub struct Mcap {
    pub compression: Option<Compression>,
    pub chunked: bool,
    pub summary: bool,
}

impl Default for Mcap {
    fn default() -> Self {
        Self { compression: Some(Compression::Zstd), chunked: true, summary: true }
    }
}

/// The bytes of an MCAP file with small chunks.
pub fn mcap(kind: Mcap, messages: &[Written]) -> Vec<u8> {
    mcap_encoded(kind, "cdr", messages)
}

/// [`mcap`] with another message encoding.
pub fn mcap_encoded(kind: Mcap, encoding: &str, messages: &[Written]) -> Vec<u8> {
    let options = WriteOptions::new()
        .profile("ros2")
        .compression(kind.compression)
        .use_chunks(kind.chunked)
        .chunk_size(Some(2_000))
        .emit_summary_records(kind.summary)
        .emit_summary_offsets(kind.summary);
    let mut writer = options.create(Cursor::new(Vec::new())).unwrap();
    let schema = writer.add_schema("test_msgs/msg/Bytes", "ros2msg", b"uint8[] data").unwrap();
    let mut channels = BTreeMap::new();
    for (topic, time, data) in messages {
        let channel = *channels
            .entry(topic.clone())
            .or_insert_with(|| writer.add_channel(schema, topic, encoding, &BTreeMap::new()).unwrap());
        let time = *time as u64;
        let header = MessageHeader { channel_id: channel, sequence: 0, log_time: time, publish_time: time };
        writer.write_to_known_channel(&header, data).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner().into_inner()
}

/// Writes a rosbag2 SQLite file.
pub fn sqlite(path: &Path, messages: &[Written]) {
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch(
            "PRAGMA page_size = 4096; BEGIN;
             CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
                                 serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);
             CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
                                   data BLOB NOT NULL);
             CREATE INDEX timestamp_idx ON messages (timestamp ASC);",
        )
        .unwrap();
    let mut topics = BTreeMap::new();
    for (topic, time, data) in messages {
        let next = topics.len() as i64 + 1;
        let id = *topics.entry(topic.clone()).or_insert_with(|| {
            let row = (next, topic, "test_msgs/msg/Bytes", "cdr", "");
            database.execute("INSERT INTO topics VALUES (?, ?, ?, ?, ?)", row).unwrap();
            next
        });
        database
            .execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", (id, time, data))
            .unwrap();
    }
    database.execute_batch("COMMIT").unwrap();
}

/// A `metadata.yaml` of version 5 for the files with these messages.
pub fn metadata(storage: &str, files: &[&str], compression: (&str, &str), messages: &[Written]) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (topic, ..) in messages {
        *counts.entry(topic).or_default() += 1;
    }
    let topics: String = counts
        .iter()
        .map(|(topic, count)| {
            format!(
                "    - topic_metadata: {{name: {topic}, type: test_msgs/msg/Bytes, serialization_format: cdr, \
                 offered_qos_profiles: ''}}\n      message_count: {count}\n"
            )
        })
        .collect();
    let (start, end) = (messages[0].1, messages[messages.len() - 1].1);
    format!(
        "rosbag2_bagfile_information:\n  version: 5\n  storage_identifier: {storage}\n  duration:\n    nanoseconds: {}\n  \
         starting_time:\n    nanoseconds_since_epoch: {start}\n  message_count: {}\n  topics_with_message_count:\n{topics}  \
         compression_format: '{}'\n  compression_mode: '{}'\n  relative_file_paths: [{}]\n",
        end - start,
        messages.len(),
        compression.1,
        compression.0,
        files.join(", ")
    )
}

/// Writes files into a new folder and gives its path.
pub fn folder(files: &[(&str, &[u8])]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let path = folder.path().to_path_buf();
    (folder, path)
}

/// Everything that can be read.
pub fn read(path: &Path, filter: &TopicFilter) -> (Vec<Written>, Loss) {
    let bag = Bag::open(path).unwrap();
    let mut read = Vec::new();
    let loss = bag
        .read(filter, |message| {
            read.push((message.topic.name.clone(), message.log_time, message.data.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    (read, loss)
}
