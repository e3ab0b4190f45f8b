//! A detector without a network, for the tests: it finds as many things as its messages have bytes.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use super::work::{Ready, Source, Work};
use crate::{
    messages::Header,
    model::StageTiming,
    node::{
        CameraDetectorParameters,
        host::{Host, lock},
        onlooker::{ModelIdentity, SightKind, Sighting},
        watch::Settings,
    },
};

/// Where models were freed: path and thread.
static FREED: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// The name of the thread that freed the model of this path, if one did.
pub(super) fn freed_by(path: &str) -> Option<String> {
    lock(&FREED).iter().find(|(freed, _)| freed == path).map(|(_, thread)| thread.clone())
}

/// A model that knows its path. `broken...` cannot be loaded, `slow...` takes a while, `blind...` sees nothing, `other...` has another
/// class, `faulty...` fails on each frame.
pub(super) struct FakeModel {
    pub(super) path: String,
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        let thread = thread::current().name().unwrap_or_default().to_owned();
        lock(&FREED).push((self.path.clone(), thread));
    }
}

/// Publishes how much was found, and the names of the model's classes; whether anybody listens is told.
pub(super) struct FakeWork {
    pub(super) results: mpsc::Sender<(usize, String)>,
    pub(super) is_listened_to: bool,
}

impl Work for FakeWork {
    const NOUN: &'static str = "message";
    const KIND: SightKind = SightKind::Boxes;
    const SETTINGS: Settings =
        Settings { topic: "image_topic", reliability: "image_reliability", kind: "", kinds: &[], is_shared: false };
    type Parameters = CameraDetectorParameters;
    type Model = FakeModel;
    type Decoded = usize;
    type Found = usize;

    fn load(parameters: &CameraDetectorParameters) -> anyhow::Result<FakeModel> {
        let path = parameters.model.clone();
        anyhow::ensure!(!path.starts_with("broken"), "it is broken");
        if path.starts_with("slow") {
            thread::sleep(Duration::from_millis(300));
        }
        Ok(FakeModel { path })
    }

    fn source(_: &CameraDetectorParameters) -> anyhow::Result<Source> {
        anyhow::bail!("a fake listens to nothing")
    }

    fn labels(model: &FakeModel) -> Vec<u8> {
        model.path.as_bytes().to_vec()
    }

    fn identity(model: &FakeModel) -> ModelIdentity {
        let class = if model.path.starts_with("other") { "pallet" } else { "person" };
        ModelIdentity {
            path: model.path.clone(),
            sha256: String::new(),
            bundle_version: Some(1),
            figures: serde_json::Map::new(),
            classes: vec![class.to_owned()],
            provider: "cpu",
            parameters: 0,
        }
    }

    fn create(_: &CameraDetectorParameters, _: &mut Host<CameraDetectorParameters>) -> anyhow::Result<Self> {
        anyhow::bail!("a fake has no topics")
    }

    fn decode<'m>(&self, message: &'m [u8]) -> anyhow::Result<(Header<'m>, usize)> {
        Ok((Header::default(), message.len()))
    }

    fn detect(model: &mut FakeModel, decoded: &usize, _: &CameraDetectorParameters) -> anyhow::Result<usize> {
        anyhow::ensure!(!model.path.starts_with("faulty"), "it is faulty");
        Ok(if model.path.starts_with("blind") { 0 } else { *decoded })
    }

    fn timing(_: &usize) -> StageTiming {
        StageTiming::default()
    }

    fn publish(&mut self, _: Header<'_>, _: &usize, found: &usize, classes: &[String]) -> anyhow::Result<()> {
        self.results.send((*found, classes.join(",")))?;
        Ok(())
    }

    fn illustrate(&mut self, _: Header<'_>, _: usize, _: &usize, _: &[String]) -> anyhow::Result<()> {
        Ok(())
    }

    fn sightings(_: &usize, found: &usize) -> Vec<Sighting> {
        let place = |at: usize| [at as f32, 0.0, at as f32 + 0.5, 0.5];
        (0..*found).map(|at| Sighting { class: 0, score: 0.9, place: place(at) }).collect()
    }

    fn is_listened_to(&self) -> bool {
        self.is_listened_to
    }
}

/// A model of this path, loaded.
pub(super) fn ready(path: &str) -> Ready<FakeModel> {
    Ready::of::<FakeWork>(FakeModel { path: path.to_owned() })
}

/// Parameters with this path.
pub(super) fn parameters(path: &str) -> CameraDetectorParameters {
    CameraDetectorParameters { model: path.to_owned(), ..Default::default() }
}

/// The same for several threads.
pub(super) fn shared(path: &str) -> Arc<Mutex<CameraDetectorParameters>> {
    Arc::new(Mutex::new(parameters(path)))
}
