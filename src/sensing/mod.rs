//! From sensor messages to network input: every image encoding to RGB, letterboxing.
