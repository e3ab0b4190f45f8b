//! The newest frames, for what is known of them only later.

use std::{collections::VecDeque, sync::Arc};

use crate::node::onlooker::{Frame, SightKind, Sighting};

/// Frames that are remembered at most.
const MOST_FRAMES: usize = 30;
/// Bytes of their messages at most: of large raw images fewer are remembered.
const MOST_BYTES: usize = 64 << 20;

/// An object as it was seen; see [`Sighting`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen {
    pub(super) class: usize,
    pub(super) score: f32,
    pub(super) place: [f32; 4],
}

impl From<&Sighting> for Seen {
    fn from(sighting: &Sighting) -> Self {
        Self { class: sighting.class, score: sighting.score, place: sighting.place }
    }
}

/// A frame of its own.
#[derive(Debug)]
pub(super) struct SeenFrame {
    /// The message as it came, CDR.
    pub(super) message: Vec<u8>,
    /// When it was measured, in nanoseconds.
    pub(super) stamp: i64,
    /// When it had been worked on, in nanoseconds since 1970 by the system's clock.
    pub(super) time: i64,
    /// The sensor's frame.
    pub(super) frame_id: String,
    /// What was seen.
    pub(super) objects: Vec<Seen>,
    /// What the objects' places are.
    pub(super) kind: SightKind,
    /// The names of the classes.
    pub(super) classes: Arc<[String]>,
}

impl SeenFrame {
    /// The name of a class.
    pub(super) fn class(&self, class: usize) -> &str {
        self.classes.get(class).map_or("", String::as_str)
    }
}

/// A frame that is remembered.
#[derive(Debug)]
struct Remembered {
    frame: Arc<SeenFrame>,
    is_recorded: bool,
}

/// The newest frames, within bounds of number and bytes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    frames: VecDeque<Remembered>,
    bytes: usize,
    classes: Option<Arc<[String]>>,
}

impl Memory {
    /// Remembers a frame, which had been worked on at a time by the system's clock.
    pub(super) fn keep(&mut self, frame: &Frame<'_>, time: i64) -> Arc<SeenFrame> {
        let known = self.classes.take().filter(|classes| **classes == *frame.classes);
        let classes = known.unwrap_or_else(|| frame.classes.into());
        self.classes = Some(classes.clone());
        let kept = Arc::new(SeenFrame {
            message: frame.message.to_vec(),
            stamp: frame.stamp,
            time,
            frame_id: frame.frame_id.to_owned(),
            objects: frame.sightings.iter().map(Seen::from).collect(),
            kind: frame.kind,
            classes,
        });
        self.bytes += kept.message.len();
        self.frames.push_back(Remembered { frame: kept.clone(), is_recorded: false });
        while self.frames.len() > MOST_FRAMES || (self.bytes > MOST_BYTES && self.frames.len() > 1) {
            let forgotten = self.frames.pop_front().map_or(0, |forgotten| forgotten.frame.message.len());
            self.bytes = self.bytes.saturating_sub(forgotten);
        }
        kept
    }

    /// The newest frame.
    pub(super) fn newest(&self) -> Option<Arc<SeenFrame>> {
        self.frames.back().map(|newest| newest.frame.clone())
    }

    /// The newest frame with that stamp, of that sensor where one is named.
    pub(super) fn find(&self, stamp: i64, frame_id: Option<&str>) -> Option<Arc<SeenFrame>> {
        let fits = |known: &&Remembered| {
            known.frame.stamp == stamp && frame_id.is_none_or(|frame_id| known.frame.frame_id == frame_id)
        };
        self.frames.iter().rev().find(fits).map(|found| found.frame.clone())
    }

    /// Whether a frame was recorded.
    pub(super) fn is_recorded(&self, frame: &Arc<SeenFrame>) -> bool {
        self.frames.iter().any(|known| known.is_recorded && Arc::ptr_eq(&known.frame, frame))
    }

    /// Notes that a frame is recorded.
    pub(super) fn recorded(&mut self, frame: &Arc<SeenFrame>) {
        if let Some(known) = self.frames.iter_mut().find(|known| Arc::ptr_eq(&known.frame, frame)) {
            known.is_recorded = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame<'a>(message: &'a [u8], stamp: i64, classes: &'a [String]) -> Frame<'a> {
        Frame { message, stamp, frame_id: "camera", sightings: &[], classes, kind: SightKind::Boxes }
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let (mut memory, classes) = (Memory::default(), ["person".to_owned()]);
        for stamp in 0..100 {
            memory.keep(&frame(&[7; 10], stamp, &classes), stamp + 1);
        }
        assert_eq!((memory.frames.len(), memory.bytes), (MOST_FRAMES, MOST_FRAMES * 10));
        assert_eq!(memory.newest().map(|newest| (newest.stamp, newest.time)), Some((99, 100)));
        assert!(memory.find(69, None).is_none());
        let found = memory.find(70, Some("camera")).unwrap();
        assert_eq!((found.class(0), found.class(1)), ("person", ""));
        assert!(memory.find(70, Some("other")).is_none());
        assert!(!memory.is_recorded(&found));
        memory.recorded(&found);
        assert!(memory.is_recorded(&found));
    }

    #[test]
    fn large_frames_are_fewer() {
        let (mut memory, large) = (Memory::default(), vec![0; MOST_BYTES / 3]);
        for stamp in 0..10 {
            memory.keep(&frame(&large, stamp, &[]), 0);
        }
        assert_eq!(memory.frames.len(), 3);
        assert!(memory.bytes <= MOST_BYTES);
        let huge = vec![0; MOST_BYTES + 1];
        memory.keep(&frame(&huge, 10, &[]), 0);
        assert_eq!(memory.frames.len(), 1, "the newest is always there");
    }
}
