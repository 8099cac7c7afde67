//! Progress as events: steps report, one renderer draws bars on a terminal,
//! JSON lines elsewhere, or nothing. Libraries never print.

use std::sync::Arc;

use serde::Serialize;

/// What a step reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A step starts; `total` in `unit`s, if known.
    Start {
        /// Step name, such as `packages`.
        step: String,
        /// Amount of work.
        total: Option<u64>,
        /// `bytes` or a plural noun such as `files`.
        unit: String,
    },
    /// The step has done this much so far.
    Advance {
        /// Step name.
        step: String,
        /// Amount done.
        done: u64,
    },
    /// The step ended well.
    Done {
        /// Step name.
        step: String,
        /// One line of result, such as `71 packages, 58.2 MB, 71 cached`.
        summary: String,
        /// How long it took.
        millis: u64,
    },
    /// Something a person should read although nothing failed.
    Note {
        /// The text.
        text: String,
    },
}

/// Receiver of events.
pub trait Sink: Send + Sync {
    /// Take one event.
    fn emit(&self, event: Event);
}

/// Handle that steps pass around.
#[derive(Clone)]
pub struct Progress(Arc<dyn Sink>);

impl Progress {
    /// Wrap a receiver.
    pub fn new(sink: impl Sink + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Wrap a shared receiver.
    pub fn from_sink(sink: Arc<dyn Sink>) -> Self {
        Self(sink)
    }

    /// Pass an event on.
    pub fn emit(&self, event: Event) {
        self.0.emit(event);
    }

    /// Discards everything.
    pub fn none() -> Self {
        struct Nothing;
        impl Sink for Nothing {
            fn emit(&self, _: Event) {}
        }
        Self::new(Nothing)
    }

    /// Start a step.
    pub fn start(&self, step: &str, total: Option<u64>, unit: &str) -> Step {
        self.0.emit(Event::Start { step: step.into(), total, unit: unit.into() });
        Step { progress: self.clone(), name: step.into(), done: 0.into(), started: std::time::Instant::now() }
    }

    /// Say something a person should read.
    pub fn note(&self, text: impl Into<String>) {
        self.0.emit(Event::Note { text: text.into() });
    }
}

/// A running step; share by reference between threads.
pub struct Step {
    progress: Progress,
    name: String,
    done: std::sync::atomic::AtomicU64,
    started: std::time::Instant,
}

impl Step {
    /// `n` more units are done.
    pub fn advance(&self, n: u64) {
        let done = self.done.fetch_add(n, std::sync::atomic::Ordering::Relaxed) + n;
        self.progress.0.emit(Event::Advance { step: self.name.clone(), done });
    }

    /// The step ended well.
    pub fn done(self, summary: impl Into<String>) {
        let millis = self.started.elapsed().as_millis() as u64;
        self.progress.0.emit(Event::Done { step: self.name.clone(), summary: summary.into(), millis });
    }
}
