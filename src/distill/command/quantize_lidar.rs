//! `distill quantize` for lidar bundles: their sweeps, and what is known of them.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::bail;

use super::{
    label_lidar::label_stage,
    quantize::{Inputs, QuantizeArgs, Source, limits, work},
    score_profile::add_sweep_profile,
    train::stop_on_interrupt,
};
use crate::{
    distill::{
        compress::quantize::{
            frames::{check_frames, sweep_inputs},
            judge::LidarJudge,
            renew_samples,
        },
        lidar::{
            LidarExperiment,
            blocks::Blocks,
            evaluate::{JudgeBy, JudgeOptions},
            labels::{LabelContext, LabelledSweep, LidarData, label_recording},
        },
        split::{Block, Split, SplitConfig},
        stage::StageBook,
        teacher::EnsembleOptions,
        worst::spread,
    },
    model::{
        SessionOptions,
        lidar::{LidarDetector, LidarSpec},
    },
};

/// Quantises a lidar bundle; says what of the recordings could not be read.
pub(super) fn quantize_lidar(args: &QuantizeArgs, source: &Source) -> anyhow::Result<Vec<String>> {
    let spec: LidarSpec = source.spec()?;
    let Some(config) = &source.config else { return quantize_lidar_data(args, source, &spec) };
    let experiment = LidarExperiment::load(config, &[])?;
    let stop = stop_on_interrupt()?;
    let mut book = StageBook::open(&experiment.output);
    let Some(labelled) = label_stage(&experiment, &mut book, &stop)? else { return Ok(Vec::new()) };
    let blocks = Blocks::new(&experiment, &labelled.recordings)?;
    let train: Vec<&LabelledSweep> = blocks.recordings.iter().flat_map(|blocks| blocks.train.iter().copied()).collect();
    let validation: Vec<&LabelledSweep> =
        blocks.recordings.iter().flat_map(|blocks| blocks.validation.iter().copied()).collect();
    let options = experiment.evaluate.options(JudgeBy::Labels);
    if let Some(out) = quantize_sweeps(args, source, &spec, &train, &validation, options)? {
        add_sweep_profile(&blocks, out);
    }
    let lost = labelled.recordings.iter().filter(|recording| !recording.loss.is_empty());
    Ok(lost.map(|recording| recording.loss.to_string()).collect())
}

/// [`quantize_lidar`] on recordings that belong to no experiment: nothing is known of them, so only the agreement counts.
fn quantize_lidar_data(args: &QuantizeArgs, source: &Source, spec: &LidarSpec) -> anyhow::Result<Vec<String>> {
    if args.labels.is_some() {
        bail!("--labels are boxes in images; a lidar bundle is judged by truth where its run's folder is given");
    }
    let context = LabelContext { classes: &spec.classes, teachers: &[], fusion: EnsembleOptions::default() };
    let (mut recordings, mut losses) = (Vec::new(), Vec::new());
    for path in &args.data {
        let data = LidarData {
            path: path.clone(),
            topic: args.topic.clone(),
            labels: Vec::new(),
            carry_over: None,
            follow: None,
            truth: None,
            block: None,
        };
        let recording = label_recording(&data, &context, &mut |_, _| ControlFlow::Continue(()))?;
        if !recording.loss.is_empty() {
            losses.push(format!("{}: {}", path.display(), recording.loss));
        }
        recordings.push(recording);
    }
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for recording in &recordings {
        let stamps = || recording.sweeps.iter().map(|sweep| sweep.stamp);
        let (Some(first), Some(last)) = (stamps().min(), stamps().max()) else { continue };
        let split = Split::by_time(&SplitConfig::default(), first, last)?;
        for sweep in &recording.sweeps {
            match split.block_of(sweep.stamp) {
                Some(Block::Train) => train.push(sweep),
                Some(Block::Validation) => validation.push(sweep),
                Some(Block::Test) | None => {}
            }
        }
    }
    let options = JudgeOptions { by: JudgeBy::Labels, ..JudgeOptions::default() };
    quantize_sweeps(args, source, spec, &train, &validation, options)?;
    Ok(losses)
}

/// Quantises a lidar bundle by sweeps; says where it was written.
fn quantize_sweeps<'a>(
    args: &'a QuantizeArgs,
    source: &Source,
    spec: &LidarSpec,
    train: &[&LabelledSweep],
    validation: &[&LabelledSweep],
    options: JudgeOptions,
) -> anyhow::Result<Option<&'a Path>> {
    let limits = limits(args);
    let recordings = if args.data.is_empty() { "the run".to_owned() } else { paths(&args.data) };
    check_frames(train.len(), validation.len(), &recordings)?;
    let validation = spread(validation, limits.validation);
    let calibration_inputs = sweep_inputs(train, spec, limits.calibration);
    let validation_inputs = sweep_inputs(&validation, spec, validation.len());
    let sweeps: Vec<LabelledSweep> = validation.into_iter().cloned().collect();
    let inputs = Inputs {
        calibration: &calibration_inputs,
        validation: &validation_inputs,
        shape: [spec.channels.len(), spec.grid.rows, spec.grid.columns],
    };
    let judge = || LidarJudge::new(&source.bytes, &source.name(), &sweeps, options.clone());
    let renew = |bundle: Vec<u8>| {
        let mut detector = LidarDetector::from_bytes(&bundle, &source.name(), &SessionOptions::default())?;
        renew_samples(&source.path, bundle, &mut detector)
    };
    work::<LidarSpec, _>(args, source, inputs, judge, &renew, None)
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
