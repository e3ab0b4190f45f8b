//! Student networks.
