//! What is no recording is refused with a message that names the file, the reason and the mend.

use distilled_perception::distill::bag::{Bag, BagError, Recording, TopicFilter};

use crate::make::{self, Mcap};

fn refused(path: &std::path::Path) -> String {
    Bag::open(path).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn files_that_are_no_recordings() {
    let (_folder, path) = make::folder(&[
        ("notes.txt", b"a text"),
        ("empty.mcap", b""),
        ("old.bag", b"#ROSBAG V2.0\n"),
        ("noise.db3", &[0, 200, 3, 7]),
        ("other.db3", b"SQLite format 3\0 and then nothing"),
    ]);
    for (name, expected) in [
        ("notes.txt", "text file"),
        ("empty.mcap", "the file is empty"),
        ("old.bag", "rosbags-convert"),
        ("noise.db3", "damaged or encrypted"),
        ("other.db3", "database"),
        ("missing", "no such file or folder"),
    ] {
        let text = refused(&path.join(name));
        assert!(text.contains(expected) && text.contains(name), "{text}");
    }
}

#[test]
fn recordings_without_messages() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run.mcap"), make::mcap(Mcap::default(), &[])).unwrap();
    assert!(matches!(Bag::open(folder.path()), Err(BagError::Empty { .. })));
    make::sqlite(&folder.path().join("none.db3"), &[]);
    assert!(matches!(Bag::open(folder.path().join("none.db3")), Err(BagError::Empty { .. })));
}

#[test]
fn an_sqlite_file_of_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db3");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE a(b)").unwrap();
    assert!(refused(&path).contains("no table `topics`"));
}

#[test]
fn what_metadata_says_and_cannot_be_read() {
    let written = make::messages(3, 10);
    let file = make::mcap(Mcap::default(), &written);
    let plain = make::metadata("mcap", &["run_0.mcap"], ("", ""), &written);
    for (metadata, expected) in [
        (plain.replace("storage_identifier: mcap", "storage_identifier: rocksdb"), "storage plugin `rocksdb`"),
        (plain.replace("storage_identifier: mcap", "storage_identifier: sqlite3"), "this file is `mcap`"),
        (plain.replace("serialization_format: cdr", "serialization_format: protobuf"), "serialised as `protobuf`"),
        (plain.replace("compression_mode: ''", "compression_mode: SECRET"), "compression mode `SECRET`"),
        (
            plain.replace("compression_mode: ''", "compression_mode: FILE").replace("_format: ''", "_format: 'aes'"),
            "compression format `aes`",
        ),
        (plain.replace("run_0", "run_9"), "none of the files"),
        (plain.replace("version: 5", "version: 50"), "version 50"),
        ("hello".into(), "not rosbag2 metadata"),
    ] {
        let (_folder, path) = make::folder(&[("run_0.mcap", &file), ("metadata.yaml", metadata.as_bytes())]);
        let text = refused(&path);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn other_message_encodings_and_chunk_compressions() {
    let written = make::messages(3, 10);
    let file = make::mcap_encoded(Mcap::default(), "ros1", &written);
    let (_folder, path) = make::folder(&[("run.mcap", &file)]);
    assert!(refused(&path).contains("serialised as `ros1`"));
    for summary in [true, false] {
        let mut file = make::mcap(Mcap { summary, ..Default::default() }, &written);
        let places: Vec<usize> = (0..file.len() - 4).filter(|&at| &file[at..at + 4] == b"zstd").collect();
        for at in places {
            file[at..at + 4].copy_from_slice(b"aes7");
        }
        // The summary's own checksum no longer fits, so the file is read from its start either way.
        let (_folder, path) = make::folder(&[("run.mcap", &file)]);
        assert!(refused(&path).contains("chunk compression `aes7`"), "{}", refused(&path));
    }
}

#[test]
fn folders_with_nothing_or_too_much() {
    let written = make::messages(3, 10);
    let file = make::mcap(Mcap::default(), &written);
    let (_folder, path) = make::folder(&[("notes.txt", b"x")]);
    let text = Recording::open(&path).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("no metadata.yaml") && text.contains("nor .jpg"), "{text}");
    let (_folder, path) = make::folder(&[("monday.mcap", &file), ("tuesday.mcap", &file)]);
    assert!(refused(&path).contains("several recordings"));
    let (_folder, path) = make::folder(&[]);
    std::fs::create_dir(path.join("inner")).unwrap();
    std::fs::write(path.join("inner/metadata.yaml"), "x").unwrap();
    assert!(refused(&path).contains("inner"));
}

#[test]
fn topics_that_are_not_there() {
    let (_folder, path) = make::folder(&[("run.mcap", &make::mcap(Mcap::default(), &make::messages(9, 10)))]);
    let text = Bag::open(&path).unwrap().messages(&TopicFilter::only(["/c"])).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("no topic `/c`") && text.contains("/a, /b"), "{text}");
}
