//! The build log: a copy of every event, as lines of text.

use std::{
    fs::File,
    io::Write as _,
    sync::{Arc, Mutex},
};

use crate::progress::{Event, Progress, Sink};

struct Tee {
    log: Mutex<File>,
    next: Progress,
}

impl Sink for Tee {
    fn emit(&self, event: Event) {
        let line = match &event {
            Event::Start { step, .. } => Some(format!("{step}: start")),
            Event::Advance { .. } => None,
            Event::Done { step, summary, millis } => {
                Some(format!("{step}: {summary} ({}.{:03} s)", millis / 1000, millis % 1000))
            }
            Event::Note { text } => Some(format!("note: {text}")),
        };
        if let (Some(line), Ok(mut log)) = (line, self.log.lock()) {
            // A log that cannot be written must not fail the build.
            let _ = writeln!(log, "{line}");
        }
        self.next.emit(event);
    }
}

/// A progress handle that also writes to `log`.
pub fn tee(log: File, next: &Progress) -> Progress {
    Progress::from_sink(Arc::new(Tee { log: Mutex::new(log), next: next.clone() }))
}
