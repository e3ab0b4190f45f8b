//! What models cost on a board: the time of each stage, models in turn, with what must be known of the board to believe it.
//!
//! Needs neither ROS nor the workshop (feature `bench` alone), so that it runs where the model shall run. `distill report --bench`
//! puts the figures of boards beside the accuracy that the workshop has measured.
//!
//! | file | holds |
//! |---|---|
//! | `turns` | [`take_turns`]: models in short turns, forwards and backwards, and their ratios turn by turn |
//! | `machine` | [`Machine`]: processor, instruction sets, memory, system |
//! | `scene` | made pictures and sweeps, the same everywhere |
//! | `subject` | [`Subject`]: a camera or lidar detector with its inputs |
//! | `measure` | [`measure`]: all of it for some models |
//! | `result` | [`BenchReport`]: the figures as JSON and as tables |
//! | [`command`] | `distill bench` |
//! | `images` | folders of images, for builds that read no recordings |
//! | `program` | the program `distill` of a build without the workshop |

pub mod command;
mod error;
#[cfg(not(feature = "distill"))]
mod images;
mod machine;
mod measure;
#[cfg(not(feature = "distill"))]
pub mod program;
mod result;
mod scene;
mod subject;
mod turns;

pub use error::BenchError;
pub use machine::Machine;
pub use measure::{BenchInputs, BenchJob, measure};
pub use result::{BENCH_VERSION, BenchReport, BenchedModel, InputFacts, RuntimeFacts};
pub use scene::{picture, sweep};
pub use subject::Subject;
pub use turns::{Lap, Laps, Plan, Ratios, Until, clock, take_turns};

#[cfg(all(test, feature = "distill"))]
pub(crate) use result::tests::example as example_report;
