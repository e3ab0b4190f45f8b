//! A recording's transforms, all of them at once.

use std::time::Duration;

use crate::{distill::bag::Topic, messages::TFMessage, sensing::transforms::TransformBuffer};

/// Transforms are kept for the whole recording; this is longer than any.
const KEEP: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A buffer that forgets nothing of a recording.
pub(super) fn whole_recording() -> TransformBuffer {
    TransformBuffer::new(KEEP)
}

/// Whether a topic has transforms: `/tf` and `/tf_static`, also those of a robot with a namespace.
pub(super) fn is_transforms(topic: &Topic) -> bool {
    topic.type_name == TFMessage::TYPE_NAME
}

/// Takes in a message's transforms; all of them, even when one is wrong.
///
/// # Errors
/// What is wrong with the message, or with the first transform that is.
pub(super) fn take_transforms(buffer: &mut TransformBuffer, topic: &Topic, data: &[u8]) -> Result<(), String> {
    let message = TFMessage::decode(data).map_err(|error| error.to_string())?;
    let is_static = topic.name.ends_with("tf_static");
    let mut taken = Ok(());
    for transform in &message.transforms {
        let inserted = buffer.insert(transform, is_static);
        taken = taken.and(inserted.map_err(|error| error.to_string()));
    }
    taken
}
