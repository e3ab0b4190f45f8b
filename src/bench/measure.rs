//! Some models on one board.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use image::RgbImage;

use super::{
    BenchError, Machine, Subject,
    result::{BENCH_VERSION, BenchReport, BenchedModel, InputFacts, RuntimeFacts},
    scene,
    turns::{Laps, Plan, take_turns},
};
use crate::{
    model::{SessionOptions, bundle::Task, runtime_build, runtime_version},
    sensing::range_image::{RangeGrid, Sweep},
};

/// Made pictures or sweeps.
const MADE: u32 = 8;

/// What models run on.
#[derive(Debug, Clone)]
pub enum BenchInputs {
    /// Made ones.
    Made {
        /// Width and height of pictures, in pixels.
        image: (u32, u32),
        /// Rows and columns of sweeps; by default those of each model's range image.
        sweep: Option<(usize, usize)>,
    },
    /// Recorded ones, of each kind that a model looks at.
    Recorded {
        /// Where they come from.
        source: String,
        /// Pictures, perhaps of several sizes.
        images: Vec<RgbImage>,
        /// Sweeps.
        sweeps: Vec<Sweep>,
    },
}

/// What is measured, and how.
#[derive(Debug, Clone)]
pub struct BenchJob {
    /// How the models are run.
    pub options: SessionOptions,
    /// What they run on.
    pub inputs: BenchInputs,
    /// How they take turns.
    pub plan: Plan,
    /// What the board is called; by default what it calls itself.
    pub board: Option<String>,
}

/// Measures models against each other; the first is what the others are compared with. `clock` tells the time since any beginning (see
/// [`clock`](super::clock)). All but the times is the same in every run.
///
/// # Errors
/// [`BenchError`]: a model cannot be run, or has nothing to run on.
pub fn measure(
    mut subjects: Vec<Subject>,
    job: &BenchJob,
    clock: &mut dyn FnMut() -> Duration,
) -> Result<BenchReport, BenchError> {
    let inputs = show_inputs(&mut subjects, &job.inputs)?;
    // Once over everything: nobody's first run counts, and what is found does not depend on how many rounds there will be.
    let mut found = Vec::with_capacity(subjects.len());
    for subject in &mut subjects {
        let mut objects = 0usize;
        for number in 0..subject.inputs() {
            objects += subject.run(number)?.1;
        }
        found.push(objects as f64 / subject.inputs().max(1) as f64);
    }
    let laps =
        take_turns(subjects.len(), &job.plan, clock, &mut |who, number| subjects[who].run(number).map(|(lap, _)| lap))?;
    let names = names(&subjects.iter().map(Subject::path).collect::<Vec<_>>());
    let first = laps.first();
    let models = subjects.iter().zip(&laps).zip(names).zip(found);
    let models = models.map(|(((subject, laps), name), found)| benched(subject, laps, first, name, found)).collect();
    let machine = Machine::here();
    Ok(BenchReport {
        bench_version: BENCH_VERSION,
        crate_version: env!("CARGO_PKG_VERSION").to_owned(),
        board: job.board.clone().unwrap_or_else(|| machine.name()),
        machine,
        runtime: RuntimeFacts { version: runtime_version(), build: runtime_build().map(str::to_owned) },
        provider: job.options.provider,
        threads: job.options.threads,
        inputs,
        rounds: laps.first().map_or(0, Laps::rounds),
        runs_per_round: job.plan.counted,
        models,
    })
}

/// Gives every model what it looks at; says what that is.
fn show_inputs(subjects: &mut [Subject], inputs: &BenchInputs) -> Result<InputFacts, BenchError> {
    let has = |task: Task, subjects: &[Subject]| subjects.iter().any(|subject| subject.task() == task);
    let images: Arc<[RgbImage]> = match inputs {
        BenchInputs::Recorded { images, .. } => images.as_slice().into(),
        BenchInputs::Made { image: (width, height), .. } if has(Task::CameraDetection, subjects) => {
            (0..MADE).map(|seed| scene::picture(*width, *height, seed)).collect()
        }
        BenchInputs::Made { .. } => Arc::default(),
    };
    let recorded: Arc<[Sweep]> = match inputs {
        BenchInputs::Recorded { sweeps, .. } => sweeps.as_slice().into(),
        BenchInputs::Made { .. } => Arc::default(),
    };
    let mut facts = InputFacts {
        source: match inputs {
            BenchInputs::Made { .. } => "made".to_owned(),
            BenchInputs::Recorded { source, .. } => source.clone(),
        },
        images: 0,
        image_sizes: Vec::new(),
        sweeps: 0,
        sweep_points: Vec::new(),
    };
    let (mut sizes, mut points) = (BTreeSet::new(), BTreeSet::new());
    for subject in subjects {
        match (subject.grid().cloned(), inputs) {
            (None, _) => {
                subject.show_images(&images);
                facts.images = images.len();
                sizes.extend(images.iter().map(RgbImage::dimensions));
            }
            (Some(grid), BenchInputs::Made { sweep, .. }) => {
                let made = made_sweeps(subject, grid, *sweep)?;
                facts.sweeps = made.len();
                points.extend(made.iter().map(Sweep::len));
                subject.show_sweeps(&made);
            }
            (Some(_), BenchInputs::Recorded { .. }) => {
                subject.show_sweeps(&recorded);
                facts.sweeps = recorded.len();
                points.extend(recorded.iter().map(Sweep::len));
            }
        }
        if subject.inputs() == 0 {
            let needed = if subject.grid().is_some() { "sweep" } else { "image" };
            return Err(BenchError::NoInput { model: subject.path().display().to_string(), needed });
        }
    }
    facts.image_sizes = sizes.into_iter().map(|(width, height)| [width, height]).collect();
    facts.sweep_points = points.into_iter().collect();
    Ok(facts)
}

/// Sweeps over a model's field of view, of so many rows and columns.
fn made_sweeps(subject: &Subject, grid: RangeGrid, size: Option<(usize, usize)>) -> Result<Arc<[Sweep]>, BenchError> {
    let (rows, columns) = size.unwrap_or((grid.rows, grid.columns));
    let grid = RangeGrid { rows, columns, ..grid };
    let model = || subject.path().display().to_string();
    grid.validate().map_err(|reason| BenchError::SweepSize { model: model(), rows, columns, reason })?;
    Ok((0..MADE).map(|seed| scene::sweep(&grid, seed)).collect())
}

/// What models are called: the names of their files, or all of their paths where two have one name.
fn names(paths: &[&Path]) -> Vec<String> {
    let stems: Vec<String> = paths
        .iter()
        .map(|path| path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()))
        .collect();
    if stems.iter().collect::<BTreeSet<_>>().len() == stems.len() {
        return stems;
    }
    paths.iter().map(|path| path.display().to_string()).collect()
}

fn benched(subject: &Subject, laps: &Laps, first: Option<&Laps>, name: String, found: f64) -> BenchedModel {
    let facts = subject.facts();
    BenchedModel {
        name,
        path: subject.path().display().to_string(),
        sha256: subject.sha256().to_owned(),
        task: subject.task(),
        provider: subject.provider(),
        input_shape: subject.input_shape(),
        bytes: facts.bytes,
        parameters: facts.parameters,
        macs: subject.macs(),
        found_per_input: found,
        ratio: first.and_then(|first| laps.ratios_to(first)),
        whole_ms: laps.whole.summary(),
        preprocess_ms: laps.preprocess.summary(),
        infer_ms: laps.infer.summary(),
        decode_ms: laps.decode.summary(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_called_by_their_files_or_by_all_of_their_paths() {
        let of = |paths: &[&str]| names(&paths.iter().map(Path::new).collect::<Vec<_>>());
        assert_eq!(of(&["runs/a/student.onnx", "models/legs.onnx"]), ["student", "legs"]);
        assert_eq!(of(&["runs/a/student.onnx", "runs/b/student.onnx"]), ["runs/a/student.onnx", "runs/b/student.onnx"]);
    }
}
