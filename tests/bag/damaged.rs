//! Cut and corrupt recordings: never a panic, never a message that was not written, never a silent loss.

use std::collections::HashSet;

use distilled_perception::distill::bag::{Bag, TopicFilter};
use mcap::Compression;
use proptest::prelude::*;

use crate::make::{self, Mcap, Written};

/// Reads what is left of a recording and checks it against what was written: a subset, in order, and a loss wherever
/// something is missing.
fn check(name: &str, bytes: &[u8], written: &[Written]) {
    let (_folder, path) = make::folder(&[(name, bytes)]);
    if let Err(error) = Bag::open(path.join(name)) {
        assert!(error.to_string().contains(name), "{error}");
        return;
    }
    let (read, loss) = make::read(&path.join(name), &TopicFilter::All);
    assert_part_of(&read, written);
    assert!(read.len() == written.len() || !loss.is_empty(), "{} of {} and no loss", read.len(), written.len());
}

/// Asserts that what was read is a subset of what was written, in order.
fn assert_part_of(read: &[Written], written: &[Written]) {
    let mut rest = written.iter();
    for message in read {
        assert!(rest.any(|candidate| candidate == message), "a message that was not written, or out of order");
    }
}

fn kinds() -> impl Strategy<Value = Mcap> {
    let compression = prop_oneof![Just(None), Just(Some(Compression::Zstd)), Just(Some(Compression::Lz4))];
    (compression, any::<bool>(), any::<bool>()).prop_map(|(compression, chunked, summary)| Mcap {
        compression,
        chunked,
        summary,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_cut_mcap_gives_its_start(kind in kinds(), cut in 0.0..1.0_f64) {
        let written = make::messages(60, 400);
        let bytes = make::mcap(kind, &written);
        check("run.mcap", &bytes[..(bytes.len() as f64 * cut) as usize], &written);
    }

    /// Chunks are protected by checksums, so whatever is changed in them is either harmless or lost.
    #[test]
    fn a_flipped_byte_in_an_mcap_costs_its_chunk_at_most(
        kind in kinds().prop_map(|kind| Mcap { chunked: true, ..kind }),
        place in 0.0..1.0_f64,
        flip in 1..=255_u8,
    ) {
        let written = make::messages(60, 400);
        let mut bytes = make::mcap(kind, &written);
        let place = (bytes.len() as f64 * place) as usize;
        bytes[place] ^= flip;
        let (_folder, path) = make::folder(&[("run.mcap", &bytes)]);
        if Bag::open(path.join("run.mcap")).is_ok() {
            let bag = Bag::open(path.join("run.mcap")).unwrap();
            // An unknown compression name is an error; all else is read past.
            let contents: HashSet<&[u8]> = written.iter().map(|message| message.2.as_slice()).collect();
            for message in bag.messages(&TopicFilter::All).unwrap().map_while(Result::ok) {
                prop_assert!(contents.contains(message.data.as_slice()));
            }
        }
    }

    #[test]
    fn noise_is_no_recording(noise in proptest::collection::vec(any::<u8>(), 0..2_000), magic in any::<bool>()) {
        let mut bytes = if magic { mcap::MAGIC.to_vec() } else { Vec::new() };
        bytes.extend(&noise);
        let (_folder, path) = make::folder(&[("run.mcap", &bytes)]);
        if let Ok(bag) = Bag::open(path.join("run.mcap")) {
            bag.messages(&TopicFilter::All).unwrap().for_each(drop);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_cut_sqlite_file_gives_rows_or_words(cut in 0.0..1.0_f64) {
        let written = make::messages(150, 3_000);
        let folder = tempfile::tempdir().unwrap();
        make::sqlite(&folder.path().join("run.db3"), &written);
        let bytes = std::fs::read(folder.path().join("run.db3")).unwrap();
        check("run.db3", &bytes[..(bytes.len() as f64 * cut) as usize], &written);
    }

    #[test]
    fn a_cut_compressed_file_gives_its_start(cut in 0.0..1.0_f64) {
        let written = make::messages(60, 400);
        let bytes = make::mcap(Mcap { compression: None, ..Default::default() }, &written);
        let packed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
        check("run_0.mcap.zstd", &packed[..(packed.len() as f64 * cut) as usize], &written);
    }
}

#[test]
fn half_a_sqlite_file_still_gives_many_rows() {
    let written = make::messages(200, 3_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.db3");
    make::sqlite(&path, &written);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let (read, loss) = make::read(&path, &TopicFilter::All);
    assert!(read.len() > 50, "{} rows", read.len());
    assert_eq!(read, written[..read.len()]);
    assert!(!loss.is_empty());
}

/// A power cut can leave a file of the right size with zeros in it.
#[test]
fn half_a_page_of_zeros_ends_the_rows_and_is_told() {
    const PAGE: usize = 4096;
    const TABLE_LEAF: u8 = 13;
    let written = make::messages(200, 300);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.db3");
    make::sqlite(&path, &written);
    // With its index the rows are found one by one; without it each is looked for behind the one before.
    rusqlite::Connection::open(&path).unwrap().execute_batch("DROP INDEX timestamp_idx").unwrap();
    let whole = std::fs::read(&path).unwrap();
    let leaves = (5..whole.len() / PAGE).filter(|page| whole[page * PAGE] == TABLE_LEAF);
    let mut tried = 0;
    for page in leaves {
        let mut bytes = whole.clone();
        bytes[page * PAGE + PAGE / 2..(page + 1) * PAGE].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        let (read, loss) = make::read(&path, &TopicFilter::All);
        assert_part_of(&read, &written);
        assert!(read.len() < written.len(), "page {page}");
        assert!(loss.to_string().contains("rows are out of order after row"), "page {page}: {loss}");
        tried += 1;
    }
    assert!(tried > 4, "{tried} pages");
}

#[test]
fn an_empty_split_does_not_spoil_the_others() {
    let written = make::messages(40, 400);
    let file = make::mcap(Mcap::default(), &written);
    for names in [["run_0.mcap", "run_1.mcap"], ["run_1.mcap", "run_0.mcap"]] {
        let (_folder, path) = make::folder(&[(names[0], &file), (names[1], b"")]);
        let (read, loss) = make::read(&path, &TopicFilter::All);
        assert_eq!(read, written);
        assert!(loss.to_string().contains(names[1]), "{loss}");
    }
    // Where no file is left, the first one's error is the recording's.
    let (_folder, path) = make::folder(&[("run_0.mcap", b""), ("run_1.mcap", b"")]);
    let text = Bag::open(&path).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("run_0.mcap") && text.contains("the file is empty"), "{text}");
}

#[test]
fn a_cut_sqlite_split_costs_its_own_rows_at_most() {
    let written = make::messages(200, 3_000);
    let folder = tempfile::tempdir().unwrap();
    make::sqlite(&folder.path().join("run_0.db3"), &written[..100]);
    let second = folder.path().join("run_1.db3");
    make::sqlite(&second, &written[100..]);
    let whole = std::fs::read(&second).unwrap();
    // Inside the first bytes that tell the kind, inside the first page, and inside a page of rows.
    for kept in [10, 1_000, whole.len() / 2 + 100] {
        std::fs::write(&second, &whole[..kept]).unwrap();
        let (read, loss) = make::read(folder.path(), &TopicFilter::All);
        assert_part_of(&read, &written);
        assert_eq!(read[..100], written[..100], "{kept} bytes");
        assert!(loss.to_string().contains("run_1.db3"), "{kept} bytes: {loss}");
    }
}

/// Compressed files of a recording with a description are first looked into when they are read.
#[test]
fn a_compressed_split_beyond_reading_is_counted() {
    let written = make::messages(40, 400);
    let folder = tempfile::tempdir().unwrap();
    let names = ["run_0.db3.zstd", "run_1.db3.zstd"];
    for (name, part) in names.iter().zip([&written[..20], &written[20..]]) {
        let plain = folder.path().join("plain.db3");
        make::sqlite(&plain, part);
        let mut bytes = std::fs::read(&plain).unwrap();
        std::fs::remove_file(&plain).unwrap();
        if *name == names[1] {
            bytes.truncate(1_000);
        }
        std::fs::write(folder.path().join(name), zstd::encode_all(bytes.as_slice(), 1).unwrap()).unwrap();
    }
    let metadata = make::metadata("sqlite3", &names, ("FILE", "zstd"), &written);
    std::fs::write(folder.path().join("metadata.yaml"), metadata).unwrap();
    let (read, loss) = make::read(folder.path(), &TopicFilter::All);
    assert_eq!(read, written[..20]);
    assert_eq!(loss.messages, 20, "{loss}");
    assert!(loss.to_string().contains("run_1.db3.zstd"), "{loss}");
}

#[test]
fn a_corrupt_chunk_is_passed_over_and_its_messages_counted() {
    let written = make::messages(100, 400);
    for summary in [true, false] {
        let mut bytes = make::mcap(Mcap { summary, ..Default::default() }, &written);
        // The data of the second chunk: kind 6 at its start, its content from 60 bytes on.
        let chunks: Vec<usize> = record_starts(&bytes).filter(|(kind, _)| *kind == 6).map(|(_, start)| start).collect();
        assert!(chunks.len() > 4);
        bytes[chunks[1] + 120] ^= 0x55;
        let (_folder, path) = make::folder(&[("run.mcap", &bytes)]);
        let (read, loss) = make::read(&path, &TopicFilter::All);
        assert!(read.len() > 80 && read.len() < 100, "{}", read.len());
        assert_eq!(read.len() as u64 + loss.messages, 100, "summary {summary}: {loss}");
        assert!(loss.bytes > 0);
        assert_eq!(read.last(), written.last());
    }
}

#[test]
fn corrupt_framing_is_passed_over_with_the_index() {
    let written = make::messages(100, 400);
    let mut bytes = make::mcap(Mcap::default(), &written);
    let chunks: Vec<usize> = record_starts(&bytes).filter(|(kind, _)| *kind == 6).map(|(_, start)| start).collect();
    // The second chunk's length field becomes absurd.
    bytes[chunks[1] + 7] = 0x7F;
    let (_folder, path) = make::folder(&[("run.mcap", &bytes)]);
    let (read, loss) = make::read(&path, &TopicFilter::All);
    assert!(read.len() > 80 && read.len() < 100, "{}", read.len());
    assert_eq!(read.len() as u64 + loss.messages, 100, "{loss}");
}

/// Kind and place of each record of an MCAP file.
fn record_starts(bytes: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    let mut at = 8;
    std::iter::from_fn(move || {
        let header = bytes.get(at..at + 9)?;
        let start = at;
        at += 9 + u64::from_le_bytes(header[1..9].try_into().unwrap()) as usize;
        Some((header[0], start))
    })
}
