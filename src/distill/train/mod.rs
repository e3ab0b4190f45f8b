//! Training students.
