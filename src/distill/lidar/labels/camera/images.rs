//! What the teachers see in a recording's images.

use std::{ops::ControlFlow, path::Path, thread};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::super::{LabelContext, LidarLabelError};
use crate::{
    distill::{
        bag::{EncodedFrame, Frames, Loss, TruthSource},
        teacher::Ensemble,
    },
    geometry::FusedBox,
};

/// More threads than this do not help.
const MOST_THREADS: usize = 64;

/// An image and the boxes in it.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraImage {
    /// The header's stamp, in nanoseconds.
    pub stamp: i64,
    /// The boxes, with a probability for each class of the experiment.
    pub boxes: Vec<FusedBox>,
}

/// The images of a recording.
pub(super) struct CameraImages {
    /// By stamp.
    pub images: Vec<CameraImage>,
    /// The optical frame, as the images' headers have it; may be empty.
    pub frame_id: String,
    /// Columns and rows of the images.
    pub size: Option<(u32, u32)>,
    /// What could not be read.
    pub loss: Loss,
}

/// What a worker found in a frame; the reason where the frame cannot be decoded.
type Found = Result<Result<(CameraImage, (u32, u32)), String>, LidarLabelError>;

/// Asks the teachers about every image of the topic, on as many threads as compute, and keeps boxes with at least `least_score`. `watch` is told how many
/// images are done and how many to expect (0 where that is not known), and may stop the work.
///
/// # Errors
/// The topic cannot be read, a teacher cannot be loaded or run, or `watch` stopped it.
pub(super) fn detect(
    path: &Path,
    topic: Option<&str>,
    context: &LabelContext<'_>,
    least_score: f32,
    watch: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<CameraImages, LidarLabelError> {
    let mut frames = Frames::open(path, topic, TruthSource::None)?;
    let total = frames.len_hint().and_then(|total| usize::try_from(total).ok()).unwrap_or(0);
    let threads = rayon::current_num_threads().min(MOST_THREADS);
    // The first here, so that what is wrong with a teacher is told before the others are loaded.
    let mut first = Some(Ensemble::load(context.teachers, context.classes, context.fusion)?);
    let (task_sender, tasks) = bounded::<EncodedFrame>(2 * threads);
    let (found_sender, found) = unbounded::<Found>();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (tasks, found_sender, own) = (tasks.clone(), found_sender.clone(), first.take());
            scope.spawn(move || work(context, own, least_score, &tasks, &found_sender));
        }
        drop((tasks, found_sender));
        let mut gathered =
            CameraImages { images: Vec::new(), frame_id: String::new(), size: None, loss: Loss::default() };
        let mut broken = Loss::default();
        let mut done = 0;
        let mut take = |gathered: &mut CameraImages, found: Found| -> Result<(), LidarLabelError> {
            match found? {
                Ok((image, size)) => {
                    gathered.size.get_or_insert(size);
                    gathered.images.push(image);
                }
                Err(reason) => broken.add_broken(reason),
            }
            done += 1;
            if watch(done, total).is_break() { Err(LidarLabelError::Stopped) } else { Ok(()) }
        };
        for frame in &mut frames {
            let frame = frame?;
            if gathered.frame_id.is_empty() {
                gathered.frame_id.clone_from(&frame.frame_id);
            }
            // Nobody takes it when all workers have failed; they say why below.
            if task_sender.send(frame).is_err() {
                break;
            }
            while let Ok(found) = found.try_recv() {
                take(&mut gathered, found)?;
            }
        }
        drop(task_sender);
        for found in &found {
            take(&mut gathered, found)?;
        }
        gathered.loss = frames.loss().clone();
        gathered.loss.merge(&broken);
        gathered.images.sort_by_key(|image| image.stamp);
        Ok(gathered)
    })
}

/// A worker: looks at frames until there are no more or nobody listens.
fn work(
    context: &LabelContext<'_>,
    own: Option<Ensemble>,
    least_score: f32,
    tasks: &Receiver<EncodedFrame>,
    found: &Sender<Found>,
) {
    let loaded = own.map_or_else(|| Ensemble::load(context.teachers, context.classes, context.fusion), Ok);
    let mut ensemble = match loaded {
        Ok(ensemble) => ensemble,
        Err(error) => {
            // Nobody listening means that another failure was quicker.
            let _ = found.send(Err(error.into()));
            return;
        }
    };
    for frame in tasks {
        let seen = look(&mut ensemble, &frame, least_score);
        let has_failed = seen.is_err();
        if found.send(seen).is_err() || has_failed {
            return;
        }
    }
}

fn look(ensemble: &mut Ensemble, frame: &EncodedFrame, least_score: f32) -> Found {
    let image = match frame.decode() {
        Ok(image) => image,
        Err(error) => return Ok(Err(format!("frame {}: {error}", frame.name))),
    };
    let mut boxes = ensemble.label(&image)?.fused;
    boxes.retain(|fused| fused.score() >= least_score);
    Ok(Ok((CameraImage { stamp: frame.stamp, boxes }, image.dimensions())))
}
