//! What is written is read, in every layout that rosbag2 and MCAP know.

use distilled_perception::{
    distill::bag::{Bag, Storage, TopicFilter},
    recording::part_name,
};
use mcap::Compression;

use crate::make::{self, Mcap};

const COMPRESSIONS: [Option<Compression>; 3] = [None, Some(Compression::Zstd), Some(Compression::Lz4)];

#[test]
fn mcap_of_every_compression_with_and_without_chunks_and_summary() {
    let written = make::messages(200, 300);
    for compression in COMPRESSIONS {
        for (chunked, summary) in [(true, true), (true, false), (false, true), (false, false)] {
            let kind = Mcap { compression, chunked, summary };
            let (_folder, path) = make::folder(&[("run.mcap", &make::mcap(kind, &written))]);
            let bag = Bag::open(path.join("run.mcap")).unwrap();
            assert_eq!(bag.message_count(), Some(200), "{kind:?}");
            assert_eq!((bag.start(), bag.duration()), (Some(1_000_000_000), Some(1_990_000_000)), "{kind:?}");
            assert_eq!(bag.topic("/b").unwrap().message_count, Some(67));
            let (read, loss) = make::read(&path.join("run.mcap"), &TopicFilter::All);
            assert_eq!(read, written, "{kind:?}");
            assert!(loss.is_empty(), "{kind:?}: {loss}");
            let (read, loss) = make::read(&path, &TopicFilter::only(["/b"]));
            assert_eq!(read, written.iter().filter(|message| message.0 == "/b").cloned().collect::<Vec<_>>());
            assert!(loss.is_empty(), "{kind:?}: {loss}");
        }
    }
}

#[test]
fn sqlite_rows_come_by_time_whatever_their_order() {
    let written = make::messages(100, 6_000);
    let mut shuffled = written.clone();
    shuffled.reverse();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.db3");
    make::sqlite(&path, &shuffled);
    assert_eq!(make::read(&path, &TopicFilter::All).0, written);
    let bag = Bag::open(folder.path()).unwrap();
    assert_eq!((bag.storage(), bag.message_count()), (Storage::Sqlite3, Some(100)));
    assert_eq!((bag.start(), bag.end()), (Some(written[0].1), Some(written[99].1)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is written beside a recording");
}

#[test]
fn sqlite_without_an_index_is_read_too() {
    let written = make::messages(30, 100);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.db3");
    make::sqlite(&path, &written);
    rusqlite::Connection::open(&path).unwrap().execute_batch("DROP INDEX timestamp_idx").unwrap();
    let (read, loss) = make::read(&path, &TopicFilter::only(["/a"]));
    assert_eq!(read.len(), 20);
    assert!(loss.is_empty());
}

#[test]
fn sqlite_in_a_folder_with_odd_signs_in_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("50% off? #1 ü");
    std::fs::create_dir(&odd).unwrap();
    let written = make::messages(3, 10);
    make::sqlite(&odd.join("run.db3"), &written);
    assert_eq!(make::read(&odd, &TopicFilter::All).0, written);
}

#[test]
fn split_recordings_are_read_in_the_order_of_their_numbers() {
    let written = make::messages(120, 200);
    let parts: Vec<Vec<u8>> = written.chunks(10).map(|part| make::mcap(Mcap::default(), part)).collect();
    let names: Vec<String> = (0..parts.len()).map(|number| format!("run_{number}.mcap")).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().zip(&parts).map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let (_folder, path) = make::folder(&files);
    // Without metadata.yaml: 2 comes before 10.
    assert_eq!(make::read(&path, &TopicFilter::All).0, written);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    std::fs::write(path.join("metadata.yaml"), make::metadata("mcap", &names, ("", ""), &written)).unwrap();
    let (read, loss) = make::read(&path, &TopicFilter::All);
    assert_eq!(read, written);
    assert!(loss.is_empty());
    // A part that is missing is counted.
    std::fs::remove_file(path.join("run_3.mcap")).unwrap();
    let (read, loss) = make::read(&path, &TopicFilter::All);
    assert_eq!(read.len(), 110);
    assert_eq!(loss.messages, 10, "{loss}");
    assert!(loss.to_string().contains("run_3.mcap"), "{loss}");
    // So is one that the recorder could not fill any more.
    std::fs::write(path.join("run_11.mcap"), b"").unwrap();
    let (read, loss) = make::read(&path, &TopicFilter::All);
    assert_eq!((read.len(), loss.messages), (100, 20), "{loss}");
}

#[test]
fn files_and_messages_compressed_by_rosbag2() {
    let written = make::messages(60, 500);
    let packed: Vec<_> = written
        .iter()
        .map(|(topic, time, data)| (topic.clone(), *time, zstd::encode_all(data.as_slice(), 1).unwrap()))
        .collect();
    for storage in ["mcap", "sqlite3"] {
        let file = |messages: &[make::Written]| match storage {
            "mcap" => make::mcap(Mcap { compression: None, ..Default::default() }, messages),
            _ => {
                let folder = tempfile::tempdir().unwrap();
                make::sqlite(&folder.path().join("run.db3"), messages);
                std::fs::read(folder.path().join("run.db3")).unwrap()
            }
        };
        let extension = if storage == "mcap" { "mcap" } else { "db3" };
        let whole = format!("run_0.{extension}.zstd");
        let by_file = zstd::encode_all(file(&written).as_slice(), 1).unwrap();
        let metadata = make::metadata(storage, &[&whole], ("FILE", "zstd"), &written);
        let (_folder, path) = make::folder(&[(&whole, &by_file), ("metadata.yaml", metadata.as_bytes())]);
        let (read, loss) = make::read(&path, &TopicFilter::All);
        assert_eq!(read, written, "{storage} compressed as a file");
        assert!(loss.is_empty(), "{loss}");
        assert_eq!(Bag::open(&path).unwrap().compression(), "zstd files");
        std::fs::remove_file(path.join("metadata.yaml")).unwrap();
        assert_eq!(make::read(&path, &TopicFilter::All).0, written, "{storage} compressed as a file, no metadata");
        assert_eq!(make::read(&path.join(&whole), &TopicFilter::All).0, written, "{storage} file by its name");

        let plain = format!("run_0.{extension}");
        let metadata = make::metadata(storage, &[&plain], ("MESSAGE", "zstd"), &written);
        let (_folder, path) = make::folder(&[(&plain, &file(&packed)), ("metadata.yaml", metadata.as_bytes())]);
        let (read, loss) = make::read(&path, &TopicFilter::All);
        assert_eq!(read, written, "{storage} compressed by message");
        assert!(loss.is_empty(), "{loss}");
        std::fs::remove_file(path.join("metadata.yaml")).unwrap();
        assert_eq!(make::read(&path, &TopicFilter::All).0, written, "{storage} compressed by message, no metadata");
    }
}

#[test]
fn an_empty_metadata_file_is_passed_over() {
    let written = make::messages(10, 50);
    let (_folder, path) =
        make::folder(&[("run_0.mcap", &make::mcap(Mcap::default(), &written)), ("metadata.yaml", b"")]);
    assert_eq!(make::read(&path, &TopicFilter::All).0, written);
}

#[test]
fn parts_in_a_folder_are_read_as_one_recording() {
    let folder = tempfile::tempdir().unwrap();
    let messages = make::messages(90, 400);
    // Written last, read first: the numbers tell the order.
    for (number, share) in [(12, &messages[60..]), (3, &messages[..30]), (7, &messages[30..60])] {
        let part = folder.path().join(part_name(number));
        std::fs::create_dir(&part).unwrap();
        std::fs::write(part.join("part_0.mcap"), make::mcap(Mcap::default(), share)).unwrap();
        std::fs::write(part.join("metadata.yaml"), make::metadata("mcap", &["part_0.mcap"], ("", ""), share)).unwrap();
    }
    // What lies beside the parts is none of theirs.
    std::fs::create_dir(folder.path().join(".partial-x1")).unwrap();
    std::fs::create_dir(folder.path().join("part_")).unwrap();
    let (read, loss) = make::read(folder.path(), &TopicFilter::All);
    assert_eq!(read, messages);
    assert!(loss.is_empty(), "{loss}");
    let bag = Bag::open(folder.path()).unwrap();
    assert_eq!((bag.message_count(), bag.files().count()), (Some(90), 3));
    assert_eq!((bag.start(), bag.end()), (Some(messages[0].1), Some(messages[89].1)));
    let (read, _) = make::read(folder.path(), &TopicFilter::only(["/b"]));
    assert_eq!(read.len(), 30);

    std::fs::write(folder.path().join(part_name(7)).join("metadata.yaml"), "half of").unwrap();
    let (read, loss) = make::read(folder.path(), &TopicFilter::All);
    assert_eq!(read, [&messages[..30], &messages[60..]].concat());
    assert!(loss.reasons[0].contains("part_00000007"), "{loss}");
}
