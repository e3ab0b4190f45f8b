//! What a model is worth: AP, size, work and latency next to its teachers'.
