//! Any bytes as an MCAP file, as a SQLite file and as the description of a recording: no panic, and reading comes to an end.

use std::ops::ControlFlow;

use distilled_perception::distill::bag::{Bag, TopicFilter};

/// The first byte tells what the others are: 0 an MCAP file, 1 a SQLite file, else a `metadata.yaml`.
pub fn check(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().expect("a folder for the recording");
    let (name, is_file) = match kind {
        0 => ("recording.mcap", true),
        1 => ("recording.db3", true),
        _ => ("metadata.yaml", false),
    };
    let file = folder.path().join(name);
    std::fs::write(&file, bytes).expect("the recording can be written");
    let path = if is_file { file.as_path() } else { folder.path() };
    match Bag::open(path) {
        Ok(bag) => {
            if let Err(error) = bag.read(&TopicFilter::All, |_| ControlFlow::Continue(())) {
                assert!(!error.to_string().is_empty());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
