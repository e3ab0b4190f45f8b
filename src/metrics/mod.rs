//! What a detector is worth: average precision and latency, used by reports and nodes alike.
