//! Every transition that exists, for the diagram and the tests.

use std::fmt::Write as _;

/// `(state, event, next state)`, names as [`crate::Phase::name`] and
/// [`crate::Event::name`] give them. Anything else is rejected.
pub const TRANSITIONS: &[(&str, &str, &str)] = &[
    ("idle", "boot", "idle"),
    ("idle", "boot", "trial"),
    ("idle", "timer", "idle"),
    ("idle", "timer", "checking"),
    ("checking", "boot", "idle"),
    ("checking", "boot", "trial"),
    ("checking", "timer", "checking"),
    ("checking", "offered", "idle"),
    ("checking", "offered", "checking"),
    ("checking", "planned", "fetching"),
    ("checking", "failed", "idle"),
    ("fetching", "boot", "idle"),
    ("fetching", "boot", "trial"),
    ("fetching", "timer", "fetching"),
    ("fetching", "received", "fetching"),
    ("fetching", "fetched", "staging"),
    ("fetching", "failed", "idle"),
    ("staging", "boot", "idle"),
    ("staging", "boot", "staging"),
    ("staging", "boot", "trial"),
    ("staging", "timer", "staging"),
    ("staging", "staged", "ready-to-reboot"),
    ("staging", "failed", "idle"),
    ("ready-to-reboot", "boot", "idle"),
    ("ready-to-reboot", "boot", "ready-to-reboot"),
    ("ready-to-reboot", "boot", "trial"),
    ("ready-to-reboot", "timer", "ready-to-reboot"),
    ("ready-to-reboot", "failed", "ready-to-reboot"),
    ("trial", "boot", "idle"),
    ("trial", "boot", "trial"),
    ("trial", "timer", "trial"),
    ("trial", "health", "trial"),
    ("trial", "health", "blessing"),
    ("trial", "health", "rolling-back"),
    ("blessing", "boot", "idle"),
    ("blessing", "boot", "trial"),
    ("blessing", "boot", "blessing"),
    ("blessing", "timer", "blessing"),
    ("blessing", "failed", "blessing"),
    ("blessing", "blessed", "idle"),
    ("rolling-back", "boot", "idle"),
    ("rolling-back", "boot", "trial"),
    ("rolling-back", "boot", "rolling-back"),
    ("rolling-back", "timer", "rolling-back"),
    ("rolling-back", "failed", "rolling-back"),
];

/// The table as a mermaid state diagram; one arrow per pair of states.
pub fn mermaid() -> String {
    let mut out = String::from("stateDiagram-v2\n    [*] --> idle\n");
    let mut seen: Vec<(&str, &str)> = vec![];
    for (from, _, to) in TRANSITIONS {
        if seen.contains(&(from, to)) {
            continue;
        }
        seen.push((from, to));
        let events: Vec<_> = TRANSITIONS.iter().filter(|t| t.0 == *from && t.2 == *to).map(|t| t.1).collect();
        let _ = writeln!(out, "    {from} --> {to}: {}", events.join(", "));
    }
    out
}
