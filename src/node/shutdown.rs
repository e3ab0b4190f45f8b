//! Ending cleanly.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Told by SIGINT or SIGTERM that the node shall end; all threads look at it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<AtomicBool>);

impl Shutdown {
    /// Whether it is time to end.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks all threads to end.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Listens for SIGINT and SIGTERM on a tokio runtime. r2r installs no handlers of its own.
    ///
    /// # Errors
    /// When the operating system refuses the handlers.
    pub fn listen(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let shutdown = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            shutdown.request();
        });
        Ok(())
    }
}
