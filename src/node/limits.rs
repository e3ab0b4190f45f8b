//! How much one message may ask of a node. What sensors send is bounded by parameters (`max_image_megapixels`, `max_points`); these hold
//! for everybody, because no honest publisher comes near them.

use crate::{excerpt::excerpt, messages::Header};

/// Bytes of a sensor's `frame_id`: as many as the buffer of transforms takes. The detectors write it into each of their detections.
const MAX_FRAME_ID: usize = 128;
/// Bytes of a class's name: what is longer is no class.
pub(super) const MAX_CLASS_NAME: usize = 64;
/// Detections of one message that the fusion looks at, the best ones: as many as there can be tracks. The work of telling whose they are
/// grows with the third power of their number.
pub(super) const MAX_DETECTIONS: usize = 256;

/// A message that asks too much.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LimitError {
    /// A `frame_id` that is longer than a frame's name can be.
    #[error("header.frame_id is `{shown}`; a frame's name has at most {MAX_FRAME_ID} bytes: mend the publisher")]
    FrameId {
        /// How it begins, and its length.
        shown: String,
    },
}

/// That a sensor's header may be copied into everything that is published for it.
pub(super) fn check_header(header: &Header<'_>) -> Result<(), LimitError> {
    if header.frame_id.len() > MAX_FRAME_ID {
        return Err(LimitError::FrameId { shown: excerpt(header.frame_id) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(frame_id: &str) -> Header<'_> {
        Header { frame_id, ..Default::default() }
    }

    #[test]
    fn frames_have_names_of_a_bounded_length() {
        assert_eq!(check_header(&header("camera")), Ok(()));
        assert_eq!(check_header(&header(&"x".repeat(MAX_FRAME_ID))), Ok(()));
        let error = check_header(&header(&"x".repeat(1 << 20))).unwrap_err().to_string();
        assert!(error.contains("1048576 bytes") && error.len() < 400, "{error}");
    }
}
