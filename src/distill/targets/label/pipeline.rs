//! Reading, labelling and writing at the same time.
//!
//! One thread reads frames and hands out tickets, several threads decode and label them, each with its own teachers, and the
//! calling thread puts the results back into the order of the tickets and writes the parts. A ticket is only handed
//! out when another has come home, so that neither a fast reader nor a slow frame fills the memory.

use std::{
    any::Any,
    collections::BTreeMap,
    num::NonZero,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use image::RgbImage;

use super::{
    ClassStatistics, LabelError, LabelJob, LabelProgress, LabelSummary, TeacherLatency,
    plan::{Decision, Plan},
    statistics::median_ms,
};
use crate::distill::{
    bag::{EncodedFrame, Frames, TruthSource},
    targets::{FrameTargets, PartEnd, PartMetadata, PictureStatistics, SoftBox, write_part},
    teacher::{Ensemble, EnsembleOutput},
};

/// A frame on its way to a worker.
struct Task {
    ticket: u64,
    source: u32,
    frame: EncodedFrame,
}

/// Something that the writer must know, in the order of the tickets.
enum Event {
    /// A part begins.
    Begin(Box<PartMetadata>),
    /// A frame was labelled.
    Labelled { targets: FrameTargets, statistics: Vec<ClassStatistics>, latencies: Vec<Duration> },
    /// A frame could not be decoded.
    Undecodable { source: u32, index: u64, reason: String },
    /// The part that began last ends.
    End(PartEnd),
    /// A part that is there already, or that is another machine's.
    Skipped { frames: u64, kept: Option<Box<PartMetadata>> },
    /// What a recording lost, in words.
    Lost(String),
    /// Nothing works any more. Does not wait for its turn.
    Failed(LabelError),
}

type Events = Sender<(u64, Event)>;

/// Labels everything that the plan has not done yet.
pub(super) fn run(
    job: &LabelJob,
    plan: &Plan,
    ensemble: Ensemble,
    progress: &mut dyn FnMut(LabelProgress) -> ControlFlow<()>,
) -> Result<LabelSummary, LabelError> {
    let threads = match job.threads {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        threads => threads,
    };
    let window = 4 * threads + 4;
    let (task_sender, tasks) = bounded::<Task>(window);
    let (event_sender, events) = bounded(window + threads);
    let (ticket_sender, tickets) = bounded(window);
    for _ in 0..window {
        // There is room for exactly these.
        let _ = ticket_sender.send(());
    }
    let names = ensemble.names();
    thread::scope(|scope| {
        let reader_events = event_sender.clone();
        scope.spawn(move || {
            let mut reader = Reader { job, plan, tasks: task_sender, events: reader_events, tickets, next: 0 };
            if let Err(Halt::Failed(error)) = reader.read_all() {
                let _ = reader.events.send((0, Event::Failed(error)));
            }
        });
        let mut first = Some(ensemble);
        for _ in 0..threads {
            let (tasks, events, own) = (tasks.clone(), event_sender.clone(), first.take());
            scope.spawn(move || work(job, own, &tasks, &events));
        }
        drop((tasks, event_sender));
        // Moved in, so that leaving early closes the channels and the other threads end.
        Writer::new(job, plan, names, events, ticket_sender).run(progress)
    })
}

/// Why the reader stops early.
enum Halt {
    /// The writer has left.
    Stopped,
    Failed(LabelError),
}

impl<E: Into<LabelError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

struct Reader<'a> {
    job: &'a LabelJob,
    plan: &'a Plan,
    tasks: Sender<Task>,
    events: Events,
    tickets: Receiver<()>,
    next: u64,
}

impl Reader<'_> {
    fn ticket(&mut self) -> Result<u64, Halt> {
        self.tickets.recv().map_err(|_| Halt::Stopped)?;
        self.next += 1;
        Ok(self.next - 1)
    }

    fn tell(&mut self, event: Event) -> Result<(), Halt> {
        let ticket = self.ticket()?;
        self.events.send((ticket, event)).map_err(|_| Halt::Stopped)
    }

    fn read_all(&mut self) -> Result<(), Halt> {
        let mut part = 0;
        let mut frames_read = 0;
        for (number, source) in self.job.sources.iter().enumerate() {
            if self.job.max_frames == Some(frames_read) {
                break;
            }
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let mut frames = Frames::open(&source.path, source.topic.as_deref(), TruthSource::None)?;
            let mut ahead = frames.next();
            if ahead.is_none() {
                return Err(LabelError::Job(format!(
                    "{} holds no frame that could be read{}",
                    source.path.display(),
                    if frames.loss().is_empty() { String::new() } else { format!(": {}", frames.loss()) }
                ))
                .into());
            }
            let mut in_part = 0;
            let mut labelling = false;
            while let Some(frame) = ahead {
                let frame = frame?;
                ahead = frames.next();
                let decision = self.plan.decide(part);
                if in_part == 0 {
                    labelling = matches!(decision, Decision::Label);
                    if labelling {
                        // How it ends is only known at its end.
                        let metadata = self.plan.part_metadata(part, number, PartEnd::Full);
                        self.tell(Event::Begin(Box::new(metadata)))?;
                    }
                }
                in_part += 1;
                frames_read += 1;
                if labelling {
                    let ticket = self.ticket()?;
                    self.tasks.send(Task { ticket, source: number, frame }).map_err(|_| Halt::Stopped)?;
                }
                let end = if ahead.is_none() {
                    PartEnd::Source
                } else if self.job.max_frames == Some(frames_read) {
                    PartEnd::Limit(frames_read)
                } else if in_part == self.plan.part_frames() {
                    PartEnd::Full
                } else {
                    continue;
                };
                match self.plan.decide(part) {
                    Decision::Label => self.tell(Event::End(end))?,
                    Decision::Keep(metadata) => {
                        self.tell(Event::Skipped { frames: in_part, kept: Some(Box::new(metadata.clone())) })?;
                    }
                    Decision::NotOurs => self.tell(Event::Skipped { frames: in_part, kept: None })?,
                }
                part += 1;
                in_part = 0;
                if matches!(end, PartEnd::Limit(_)) {
                    break;
                }
            }
            if !frames.loss().is_empty() {
                let lost = format!("{}: {}", source.path.display(), frames.loss());
                self.tell(Event::Lost(lost))?;
            }
        }
        Ok(())
    }
}

/// A worker: labels frames until there are no more or nobody listens.
fn work(job: &LabelJob, ensemble: Option<Ensemble>, tasks: &Receiver<Task>, events: &Events) {
    let loaded = ensemble.map_or_else(|| Ensemble::load(&job.teachers, &job.classes, job.options), Ok);
    let mut ensemble = match loaded {
        Ok(ensemble) => ensemble,
        Err(error) => {
            // Nobody listening means that another failure was quicker.
            let _ = events.send((0, Event::Failed(error.into())));
            return;
        }
    };
    for Task { ticket, source, frame } in tasks {
        let (path, index) = (&job.sources[source as usize].path, frame.index);
        let event = guarded(path, index, || label_frame(job, &mut ensemble, source, frame));
        // After a panic the teachers may be in any state.
        let failed = matches!(event, Event::Failed(_));
        if events.send((ticket, event)).is_err() || failed {
            return;
        }
    }
}

/// Does the work on a frame; a panic in it becomes the failure of the run. A worker that just vanished would leave the writer
/// waiting for its frame for ever.
fn guarded(path: &Path, frame: u64, work: impl FnOnce() -> Event) -> Event {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let (path, reason) = (path.display().to_string(), panic_words(&*panic));
        Event::Failed(LabelError::Panicked { path, frame, reason })
    })
}

/// What a panic said.
fn panic_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no reason is told").to_owned()
}

fn label_frame(job: &LabelJob, ensemble: &mut Ensemble, source: u32, frame: EncodedFrame) -> Event {
    let index = frame.index;
    let image = match frame.decode() {
        Ok(image) => image,
        Err(error) => return Event::Undecodable { source, index, reason: error.to_string() },
    };
    match ensemble.label(&image) {
        Ok(output) => labelled(job, source, frame, &image, output),
        Err(error) => {
            let path = job.sources[source as usize].path.display().to_string();
            Event::Failed(LabelError::Run { path, frame: index, source: error })
        }
    }
}

fn labelled(job: &LabelJob, source: u32, frame: EncodedFrame, image: &RgbImage, output: EnsembleOutput) -> Event {
    let mut statistics = ClassStatistics::none(&job.classes);
    for fused in &output.fused {
        statistics[fused.best().0].count(fused);
    }
    let boxes = output.fused.into_iter().map(Into::into).collect();
    let per_teacher = job.teachers.iter().zip(output.per_teacher).map(|(teacher, found)| {
        found.into_iter().map(|detection| SoftBox::of_teacher(detection, teacher.trust)).collect::<Vec<_>>()
    });
    Event::Labelled {
        targets: FrameTargets {
            source,
            index: frame.index,
            name: frame.name,
            stamp: frame.stamp,
            width: image.width(),
            height: image.height(),
            picture: PictureStatistics::of(image),
            boxes,
            per_teacher: per_teacher.collect(),
        },
        statistics,
        latencies: output.timing.iter().map(|timing| timing.preprocess + timing.infer + timing.decode).collect(),
    }
}

struct Writer<'a> {
    plan: &'a Plan,
    events: Receiver<(u64, Event)>,
    tickets: Sender<()>,
    /// Events that came before their turn.
    early: BTreeMap<u64, Event>,
    part: Option<(PartMetadata, Vec<FrameTargets>)>,
    progress: LabelProgress,
    summary: LabelSummary,
    teachers: Vec<(String, Vec<Duration>)>,
}

impl<'a> Writer<'a> {
    fn new(
        job: &LabelJob,
        plan: &'a Plan,
        teachers: Vec<String>,
        events: Receiver<(u64, Event)>,
        tickets: Sender<()>,
    ) -> Self {
        let total = plan.total_frames().map(|total| job.max_frames.map_or(total, |limit| limit.min(total)));
        Self {
            plan,
            events,
            tickets,
            early: BTreeMap::new(),
            part: None,
            progress: LabelProgress { total, ..LabelProgress::default() },
            summary: LabelSummary {
                frames: 0,
                kept_frames: 0,
                undecodable: 0,
                losses: Vec::new(),
                classes: ClassStatistics::none(&job.classes),
                latencies: Vec::new(),
                seconds: 0.0,
            },
            teachers: teachers.into_iter().map(|name| (name, Vec::new())).collect(),
        }
    }

    fn run(mut self, progress: &mut dyn FnMut(LabelProgress) -> ControlFlow<()>) -> Result<LabelSummary, LabelError> {
        let mut next = 0;
        // Ends when the reader and all workers have ended.
        while let Ok((ticket, event)) = self.events.recv() {
            if let Event::Failed(error) = event {
                return Err(error);
            }
            self.early.insert(ticket, event);
            while let Some(event) = self.early.remove(&next) {
                next += 1;
                self.handle(event)?;
                // The reader may have read everything and left.
                let _ = self.tickets.send(());
                if progress(self.progress).is_break() {
                    return Err(LabelError::Stopped);
                }
            }
        }
        for (teacher, mut durations) in self.teachers {
            if let Some(median_ms) = median_ms(&mut durations) {
                self.summary.latencies.push(TeacherLatency { teacher, median_ms });
            }
        }
        Ok(self.summary)
    }

    fn handle(&mut self, event: Event) -> Result<(), LabelError> {
        match event {
            Event::Begin(metadata) => self.part = Some((*metadata, Vec::new())),
            Event::Labelled { targets, statistics, latencies } => {
                self.progress.frames += 1;
                self.progress.boxes += targets.boxes.len() as u64;
                for ((_, all), latency) in self.teachers.iter_mut().zip(latencies) {
                    all.push(latency);
                }
                if let Some((metadata, frames)) = &mut self.part {
                    add(&mut metadata.statistics, &statistics);
                    frames.push(targets);
                }
            }
            Event::Undecodable { source, index, reason } => {
                let path = &self.plan.sources[source as usize].path;
                tracing::warn!("frame {index} of {path} cannot be decoded: {reason}");
                self.progress.frames += 1;
                if let Some((metadata, _)) = &mut self.part {
                    metadata.undecodable += 1;
                }
            }
            Event::End(end) => {
                if let Some((mut metadata, frames)) = self.part.take() {
                    metadata.end = end;
                    metadata.frames = frames.len() as u64;
                    write_part(&self.plan.part_path(metadata.part), &metadata, &frames)?;
                    self.count(&metadata);
                }
            }
            Event::Skipped { frames, kept } => {
                self.progress.frames += frames;
                self.progress.skipped += frames;
                if let Some(metadata) = kept {
                    self.summary.kept_frames += metadata.frames;
                    self.count(&metadata);
                }
            }
            Event::Lost(words) => self.summary.losses.push(words),
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn count(&mut self, part: &PartMetadata) {
        self.summary.frames += part.frames;
        self.summary.undecodable += part.undecodable;
        add(&mut self.summary.classes, &part.statistics);
    }
}

fn add(sums: &mut [ClassStatistics], more: &[ClassStatistics]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        sum.add(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_fails_the_run_and_names_the_frame() {
        let undecodable = || Event::Undecodable { source: 0, index: 3, reason: "cut".into() };
        assert!(matches!(guarded(Path::new("bag"), 3, undecodable), Event::Undecodable { index: 3, .. }));
        // Panics carry a `&str` or a `String`.
        let panics: [fn() -> Event; 2] = [|| panic!("boom"), || std::panic::panic_any("boom".to_owned())];
        for work in panics {
            let Event::Failed(error) = guarded(Path::new("bag"), 3, work) else { panic!("no failure") };
            let text = error.to_string();
            assert!(text.contains("frame 3 of bag") && text.contains("boom"), "{text}");
            assert!(error.is_work_failure());
        }
    }
}
