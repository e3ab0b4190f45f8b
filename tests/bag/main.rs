//! Recordings of every kind: opened, read past damage, refused in words. Made ones, and real ones where they are at hand.

#![cfg(feature = "distill")]

mod damaged;
mod formats;
mod frames;
mod make;
mod real;
mod refused;
#[path = "../support/mod.rs"]
mod support;
