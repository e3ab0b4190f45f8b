//! Smaller and faster students out of finished ones, with what that costs in accuracy measured and never guessed.
//!
//! ```text
//! student.onnx -> quantize (int8 QDQ, or float16) -> student_int8.onnx, refused where it loses more than its budget
//! run's folder -> prune (channels cut out) -> a folder as a run's, and the experiment that recovers it
//! ladder.yaml  -> ladder (sizes x inputs x cuts x precisions) -> the front, and the most accurate student that keeps all limits
//! ```
//!
//! | room | holds |
//! |---|---|
//! | [`ladder`] | which of many students fits a board: all made, timed in turns, judged alike |
//! | [`prune`] | finished students with the channels cut out that matter least for the time they take |
//! | [`quantize`] | exported bundles in int8 (post-training, calibrated on recordings) and in float16 |

pub mod ladder;
pub mod prune;
pub mod quantize;
