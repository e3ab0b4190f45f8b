//! Soft targets: what the teachers said, fused and stored.
