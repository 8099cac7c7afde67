//! Renderer of progress events: bars on a terminal, plain lines or JSON lines
//! elsewhere, or nothing.

use std::{
    collections::HashMap,
    io::{IsTerminal, Write},
    sync::Mutex,
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::progress::{Event, Progress, Sink};

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Bars on a terminal, plain lines elsewhere.
    Auto,
    /// Bars.
    Bar,
    /// One JSON object per line.
    Json,
    /// Nothing.
    None,
}

/// The renderer for a mode, on standard error.
pub fn renderer(mode: Mode) -> Progress {
    match mode {
        Mode::None => Progress::none(),
        Mode::Json => Progress::new(JsonLines::new(std::io::stderr())),
        Mode::Auto if !std::io::stderr().is_terminal() => Progress::new(PlainLines::new(std::io::stderr())),
        Mode::Auto | Mode::Bar => Progress::new(Bars::default()),
    }
}

/// One JSON object per event; `advance` events at most about a hundred per step.
struct JsonLines<W> {
    out: Mutex<(W, Throttle)>,
}

impl<W: Write + Send> JsonLines<W> {
    fn new(out: W) -> Self {
        Self { out: Mutex::new((out, Throttle::default())) }
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn emit(&self, event: Event) {
        let Ok(mut guard) = self.out.lock() else { return };
        let (out, throttle) = &mut *guard;
        if !throttle.passes(&event) {
            return;
        }
        if let Ok(line) = serde_json::to_string(&event) {
            // A closed pipe must not stop the build.
            let _ = writeln!(out, "{line}");
        }
    }
}

/// Drops `advance` events that change less than a hundredth of the total.
#[derive(Default)]
struct Throttle {
    steps: HashMap<String, (Option<u64>, u64)>,
}

impl Throttle {
    fn passes(&mut self, event: &Event) -> bool {
        match event {
            Event::Start { step, total, .. } => {
                self.steps.insert(step.clone(), (*total, 0));
                true
            }
            Event::Advance { step, done } => {
                let Some((total, shown)) = self.steps.get_mut(step) else { return true };
                let portion = total.map_or(1 << 20, |t| (t / 100).max(1));
                let passes = *done >= *shown + portion || (*total == Some(*done) && *done != *shown);
                if passes {
                    *shown = *done;
                }
                passes
            }
            Event::Done { .. } | Event::Note { .. } => true,
        }
    }
}

/// One line per finished step, for logs.
struct PlainLines<W> {
    out: Mutex<W>,
}

impl<W: Write + Send> PlainLines<W> {
    fn new(out: W) -> Self {
        Self { out: Mutex::new(out) }
    }
}

impl<W: Write + Send> Sink for PlainLines<W> {
    fn emit(&self, event: Event) {
        let line = match event {
            Event::Done { step, summary, millis } => done_line(&step, &summary, millis),
            Event::Note { text } => text,
            Event::Start { .. } | Event::Advance { .. } => return,
        };
        if let Ok(mut out) = self.out.lock() {
            let _ = writeln!(out, "{line}");
        }
    }
}

fn done_line(step: &str, summary: &str, millis: u64) -> String {
    format!("{step:>12}  {summary}  ({}.{} s)", millis / 1000, millis % 1000 / 100)
}

/// Bars of indicatif.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Sink for Bars {
    fn emit(&self, event: Event) {
        let Ok(mut bars) = self.bars.lock() else { return };
        match event {
            Event::Start { step, total, unit } => {
                let bar = self.all.add(total.map_or_else(ProgressBar::new_spinner, ProgressBar::new));
                bar.set_style(style(total.is_some(), &unit));
                bar.set_prefix(format!("{step:>12}"));
                bar.enable_steady_tick(Duration::from_millis(120));
                bars.insert(step, bar);
            }
            Event::Advance { step, done } => {
                if let Some(bar) = bars.get(&step) {
                    bar.set_position(done);
                }
            }
            Event::Done { step, summary, millis } => {
                if let Some(bar) = bars.remove(&step) {
                    bar.finish_and_clear();
                }
                let _ = self.all.println(done_line(&step, &summary, millis));
            }
            Event::Note { text } => {
                let _ = self.all.println(text);
            }
        }
    }
}

fn style(bounded: bool, unit: &str) -> ProgressStyle {
    let template = match (bounded, unit) {
        (true, "bytes") => "{prefix} {bar:24} {bytes:>10}/{total_bytes:10} {bytes_per_sec} {eta}".to_string(),
        (true, unit) => format!("{{prefix}} {{bar:24}} {{pos:>6}}/{{len}} {unit} {{eta}}"),
        (false, "bytes") => "{prefix} {spinner} {bytes}".to_string(),
        (false, unit) => format!("{{prefix}} {{spinner}} {{pos}} {unit}"),
    };
    // Units are constants of this program; a bad one only costs the template.
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;

    /// A writer whose content can be read after it was moved away.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(data);
            Ok(data.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn json_lines_parse_and_are_few() {
        let out = Shared::default();
        let progress = Progress::new(JsonLines::new(out.clone()));
        let step = progress.start("packages", Some(100_000), "bytes");
        for _ in 0..100_000 {
            step.advance(1);
        }
        step.done("all");
        progress.note("hello");
        let lines: Vec<serde_json::Value> = out.text().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[0]["event"], "start");
        assert_eq!(lines.len(), 1 + 100 + 2);
        assert_eq!(lines[100]["done"], 100_000);
        assert_eq!(lines[101]["summary"], "all");
        assert_eq!(lines[102]["text"], "hello");
    }

    #[test]
    fn plain_lines_show_results_only() {
        let out = Shared::default();
        let sink = PlainLines::new(out.clone());
        sink.emit(Event::Start { step: "tree".into(), total: None, unit: "files".into() });
        sink.emit(Event::Advance { step: "tree".into(), done: 3 });
        sink.emit(Event::Done { step: "tree".into(), summary: "3 files".into(), millis: 1234 });
        assert_eq!(out.text(), "        tree  3 files  (1.2 s)\n");
    }
}
