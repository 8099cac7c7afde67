//! What holds after any sequence of events.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{STABLE_SECS, env, event, release};
use proptest::prelude::*;
use skerry_formats::{Sequence, versioned::Document as _};
use skerry_update_core::{Action, Event, Phase, State, step};

/// What an onlooker knows about health: since when every report was good.
#[derive(Default)]
struct Onlooker {
    good_since: Option<u64>,
}

impl Onlooker {
    fn see(&mut self, event: &Event, before: &State, after: &State, now: u64) {
        match event {
            Event::Health(Ok(())) if matches!(before.phase, Phase::Trial { .. }) => {
                self.good_since.get_or_insert(now);
            }
            Event::Health(Err(_)) | Event::Boot(_) => self.good_since = None,
            _ => {}
        }
        if !matches!(before.phase, Phase::Blessing { .. }) && matches!(after.phase, Phase::Blessing { .. }) {
            let since = self.good_since.expect("blessed without a good report");
            assert!(now - since >= STABLE_SECS, "blessed after {} s", now - since);
        }
    }
}

fn check_action(action: &Action, before: &State, s: &State) {
    match action {
        Action::Bless(seq) => {
            assert!(matches!(s.phase, Phase::Blessing { .. }), "bless in {}", s.phase.name());
            assert_eq!(*seq, s.running.sequence);
        }
        Action::Plan(r) | Action::Fetch(r) | Action::Stage(r) => {
            assert!(s.failure_of(r.sequence).is_none(), "failed release {} tried again", r.sequence);
            assert!(
                r.sequence > before.running.sequence || matches!(action, Action::Stage(_)),
                "went back to {}",
                r.sequence
            );
        }
        Action::Prune { keep } => {
            let wanted = std::iter::once(&s.running).chain(&s.previous).chain(s.phase.candidate());
            for r in wanted {
                assert!(keep.contains(&r.sequence), "objects of {} removed", r.sequence);
            }
            assert!(keep.len() <= 3);
        }
        Action::MarkBad(seq) => {
            assert_ne!(Some(*seq), s.previous.as_ref().map(|p| p.sequence), "the way back was marked bad");
            let leaving = matches!(s.phase, Phase::RollingBack { .. }) && s.previous.is_some();
            assert!(*seq != s.running.sequence || leaving, "running release marked bad with nowhere to go");
        }
        Action::Reboot => match &s.phase {
            Phase::ReadyToReboot { .. } => {}
            Phase::RollingBack { .. } => assert!(s.previous.is_some(), "rolled back to nothing"),
            other => panic!("reboot in {}", other.name()),
        },
        Action::Check | Action::Announce(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_events(codes in prop::collection::vec((any::<(u8, u8, u8)>(), 0u64..60), 0..120)) {
        let mut state = State::new(release(2));
        let mut onlooker = Onlooker::default();
        let mut now = 20;
        for (code, secs) in codes {
            now += secs;
            let event = event(&state, code);
            let Ok((next, actions)) = step(state.clone(), event.clone(), &env(now, now * 7919)) else { continue };
            onlooker.see(&event, &state, &next, now);
            for action in &actions {
                check_action(action, &state, &next);
            }
            for f in &state.failed {
                prop_assert!(next.failed.contains(f), "failure of {} forgotten", f.release.sequence);
            }
            prop_assert!(next.previous.as_ref().is_none_or(|p| p.sequence != next.running.sequence));
            // What is written is what is read back.
            prop_assert_eq!(&State::parse(&next.to_bytes()).unwrap(), &next);
            state = next;
        }
    }
}

#[test]
fn rejected_event_names_state_and_event() {
    let e = step(State::new(release(1)), Event::Staged, &env(1, 1)).unwrap_err();
    assert_eq!(e.to_string(), "event staged is not possible in state idle");
}

#[test]
fn unhealthy_release_with_no_way_back_stays_and_says_so() {
    let mut s = State::new(release(3));
    s.phase = Phase::Trial { deadline_at: 100, healthy_since: None, problem: None };
    let problem = skerry_update_core::Problem { what: "containerd: not answering".into(), why: "no socket".into() };
    let (s, actions) = step(s, Event::Health(Err(problem)), &env(100, 0)).unwrap();
    assert!(matches!(s.phase, Phase::Trial { deadline_at: 400, .. }));
    assert!(matches!(&actions[..], [Action::Announce(l)] if l.contains("no release to go back to")), "{actions:?}");
    assert_eq!(s.failure_of(Sequence(3)), None);
}
