//! A synthetic warehouse with exact truth.
