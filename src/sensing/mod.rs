//! From sensor messages to network input.
//!
//! | file | holds |
//! |---|---|
//! | [`image`] | every image encoding, raw or compressed, to RGB |
//! | `yuv`, `bayer` | the two families of encodings that take arithmetic |
//! | [`letterbox`] | RGB images of any size to a network's input tensor, and boxes back |

mod bayer;
pub mod image;
pub mod letterbox;
mod yuv;
