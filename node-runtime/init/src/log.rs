//! Kernel log lines with the time since kernel start, and boot stages.

use std::sync::Mutex;

use skerry_platform::{
    clock,
    console::{Priority, kmsg},
};

static STAGES: Mutex<Vec<(&'static str, f64)>> = Mutex::new(Vec::new());

fn line(priority: Priority, text: &str) {
    kmsg(priority, &format!("skerry-init[{:.3}]: {text}", clock::boottime_secs()));
}

/// A step of normal operation.
pub fn info(text: &str) {
    line(Priority::Notice, text);
}

/// Something that is wrong but does not stop the boot.
pub fn warn(text: &str) {
    line(Priority::Warning, text);
}

/// Something that a person in front of the box should read.
pub fn loud(text: &str) {
    skerry_platform::console::console_line(&format!("skerry-init: {text}"));
}

/// Note that `stage` is complete.
pub fn stage(stage: &'static str) {
    let at = clock::boottime_secs();
    info(&format!("stage {stage}"));
    if let Ok(mut s) = STAGES.lock() {
        s.push((stage, at));
    }
    crate::early::feed_watchdog();
}

/// The stages as a JSON object, stage → seconds since kernel start.
pub fn stages_json() -> String {
    render(&STAGES.lock().map(|s| s.clone()).unwrap_or_default())
}

fn render(stages: &[(&str, f64)]) -> String {
    let body: Vec<String> = stages.iter().map(|(n, t)| format!("  \"init-{n}\": {t:.3}")).collect();
    format!("{{\n{}\n}}\n", body.join(",\n"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn stages_are_a_json_object_of_numbers() {
        assert_eq!(
            super::render(&[("a", 1.0), ("b-c", 2.3456)]),
            "{\n  \"init-a\": 1.000,\n  \"init-b-c\": 2.346\n}\n"
        );
    }
}
