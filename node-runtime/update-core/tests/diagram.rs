//! The diagram in the docs, the table and the code say the same.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeSet;

use skerry_update_core::{State, TRANSITIONS, mermaid, step};

#[test]
fn diagram_in_the_docs_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/update-states.md");
    let text = std::fs::read_to_string(path).unwrap();
    let diagram = text.split("```mermaid\n").nth(1).and_then(|t| t.split("```").next()).unwrap();
    assert_eq!(diagram, mermaid(), "docs/update-states.md is out of date; the diagram should be:\n{}", mermaid());
}

/// A long walk with a fixed seed takes exactly the transitions of the table.
#[test]
fn table_is_what_the_code_does() {
    let table: BTreeSet<_> = TRANSITIONS.iter().copied().collect();
    let mut seen = BTreeSet::new();
    let mut x = 0x1234_5678_9abc_def1u64;
    let mut state = State::new(common::release(2));
    let mut now = 20;
    for _ in 0..600_000 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let [_, _, _, k, a, b, t, r] = x.to_be_bytes();
        now += u64::from(t) / 4;
        if r == 0 {
            // Sequences only grow; start over with a young node.
            state = State::new(common::release(2));
        }
        let event = common::event(&state, (k, a, b));
        let (from, name) = (state.phase.name(), event.name());
        if let Ok((next, _)) = step(state.clone(), event, &common::env(now, x)) {
            seen.insert((from, name, next.phase.name()));
            state = next;
        }
    }
    let unknown: Vec<_> = seen.difference(&table).collect();
    let never: Vec<_> = table.difference(&seen).collect();
    assert!(unknown.is_empty() && never.is_empty(), "not in the table: {unknown:?}; never taken: {never:?}");
}
