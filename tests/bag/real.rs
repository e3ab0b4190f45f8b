//! Real recordings, against what independent readers found in them (scripts/reference/bags.py).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use distilled_perception::distill::bag::{Bag, Frames, TopicFilter, TruthSource};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::support;

#[derive(Deserialize)]
struct ExpectedTopic {
    #[serde(rename = "type")]
    type_name: String,
    count: u64,
    sha256: String,
}

type Expected = BTreeMap<String, BTreeMap<String, ExpectedTopic>>;

/// The folder of real recordings; says aloud when it is not there.
pub fn real_bags() -> Option<PathBuf> {
    Some(support::test_data("bags")?.join("bags"))
}

/// Recordings that must be refused, and a part of the message that says why.
const REFUSED: [(&str, &str); 3] = [
    ("rosbag2_fixtures/rosbag2_tests/resources/mcap/wrong_rmw_test", "serialised as `wrong_format`"),
    ("rosbag2_fixtures/rosbag2_tests/resources/sqlite3/wrong_rmw_test", "serialised as `wrong_format`"),
    ("rosbag2_fixtures/ros2bag/test/resources/empty_bag", "holds no messages"),
];

fn expected() -> Expected {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bags/expected.json"));
    serde_json::from_str(&text.unwrap()).unwrap()
}

#[test]
fn every_real_recording_gives_what_other_readers_find_in_it() {
    let Some(bags) = real_bags() else { return };
    for (name, topics) in expected() {
        if REFUSED.iter().any(|(refused, _)| *refused == name) {
            continue;
        }
        let bag = Bag::open(bags.join(&name)).unwrap();
        let mut read: BTreeMap<String, Vec<(i64, Vec<u8>)>> = BTreeMap::new();
        let mut messages = bag.messages(&TopicFilter::All).unwrap();
        while let Some(message) = messages.read_next().unwrap() {
            read.entry(message.topic.name.clone()).or_default().push((message.log_time, message.data.to_vec()));
        }
        assert!(messages.loss().is_empty(), "{name}: {}", messages.loss());
        for (topic, expected) in topics {
            let known = bag.topic(&topic).unwrap_or_else(|| panic!("{name}: no {topic}"));
            let mut found = read.remove(&topic).unwrap_or_default();
            assert_eq!(found.len() as u64, expected.count, "{name} {topic}");
            assert_eq!(known.message_count, Some(expected.count), "{name} {topic}");
            assert!(
                known.type_name == expected.type_name
                    || known.type_name == expected.type_name.replacen('/', "/msg/", 1),
                "{name} {topic}: {}",
                known.type_name
            );
            found.sort();
            let mut hasher = Sha256::new();
            for (time, data) in found {
                hasher.update(time.to_le_bytes());
                hasher.update((data.len() as u64).to_le_bytes());
                hasher.update(data);
            }
            let digest: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, expected.sha256, "{name} {topic}");
        }
        assert!(read.is_empty(), "{name}: topics that nobody else finds: {:?}", read.keys());
    }
}

#[test]
fn the_recordings_to_refuse_are_refused_in_words() {
    let Some(bags) = real_bags() else { return };
    for (name, expected) in REFUSED {
        let text = Bag::open(bags.join(name)).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains(expected) && text.contains(name), "{text}");
    }
}

/// No recording of the fixtures is left out of the two lists above.
#[test]
fn every_fixture_has_an_expectation() {
    let Some(bags) = real_bags() else { return };
    let expected = expected();
    let mut folders = vec![bags.clone()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "mcap" || extension == "db3") {
                files += 1;
                let inside = |name: &Path| name.strip_prefix(&bags).unwrap().to_str().unwrap().to_owned();
                let (file, folder) = (inside(&path), inside(path.parent().unwrap()));
                assert!(
                    expected.contains_key(&file)
                        || expected.contains_key(&folder)
                        || REFUSED.iter().any(|(name, _)| *name == folder),
                    "{file} has no expectation"
                );
            }
        }
    }
    assert!(files > 30, "{files}");
}

#[test]
fn frames_of_the_real_cameras() {
    let Some(bags) = real_bags() else { return };
    let mut frames = Frames::open(bags.join("indoor_person_mcap"), None, TruthSource::None).unwrap();
    assert_eq!((frames.topic(), frames.len_hint()), ("/camera/image_raw/compressed", Some(697)));
    let first = frames.next().unwrap().unwrap();
    assert_eq!(first.decode().unwrap().dimensions(), (640, 360));
    let mut last = first.stamp;
    for (place, frame) in frames.by_ref().enumerate() {
        let frame = frame.unwrap();
        assert_eq!(frame.index, place as u64 + 1);
        assert!(frame.stamp > last);
        last = frame.stamp;
    }
    assert!(frames.loss().is_empty());
    assert!(last - first.stamp > 139_000_000_000);

    let worker = bags.join("worker_zone_sqlite3");
    let text = Frames::open(&worker, None, TruthSource::None).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("/camera/image_raw,") || text.contains("/camera/image_raw/compressed,"), "{text}");
    let raw = Frames::open(&worker, Some("/camera/image_raw"), TruthSource::None).unwrap();
    let raw: Vec<_> = raw.map(|frame| frame.unwrap()).collect();
    assert_eq!(raw.len(), 20);
    assert_eq!(raw[0].decode().unwrap().dimensions(), (480, 270));
}
