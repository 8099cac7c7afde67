//! What the first look after a start of the daemon means.

use skerry_formats::{
    Sequence,
    layout::{BootCounter, UkiName},
    status::{FailedRelease, ReleaseRef},
};

use crate::{
    backoff::REBOOT_RETRY_SECS,
    event::{Action, BootObservation, Env},
    state::{Phase, State},
    step::{idle_soon, trial},
};

/// Take the observation in. Legal in every state: power can go at any time.
pub(crate) fn on_boot(s: &mut State, seen: BootObservation, env: &Env) -> Vec<Action> {
    let same_boot = s.boot_id == seen.boot_id;
    let before = std::mem::replace(&mut s.running, seen.running.clone());
    s.boot_id = seen.boot_id.clone();
    let phase = std::mem::replace(&mut s.phase, idle_soon(env));
    let mut actions = match phase {
        Phase::RollingBack { failed, .. } => after_rollback(s, failed, &seen, env),
        Phase::ReadyToReboot { candidate, .. } => after_reboot(s, &before, candidate, &seen, same_boot, env),
        Phase::Staging { candidate } => after_staging(s, &before, candidate, &seen, same_boot, env),
        Phase::Blessing { .. } if same_run(&before, s) && !counted(&seen) => {
            s.phase = Phase::Blessing { retry_at: env.now.boot_secs + REBOOT_RETRY_SECS };
            vec![Action::Bless(s.running.sequence)]
        }
        Phase::Trial { .. } | Phase::Blessing { .. } if !same_run(&before, s) => {
            let reason = format!("did not stay up: {}", tries(seen.entry(before.sequence)));
            rolled_back(s, FailedRelease { release: before, reason, at: env.now.unix_secs })
        }
        Phase::Trial { deadline_at, problem, .. } if same_boot => {
            s.phase = Phase::Trial { deadline_at, healthy_since: None, problem };
            vec![]
        }
        Phase::Trial { .. } | Phase::Blessing { .. } => begin_trial(s, env),
        _ if counted(&seen) => begin_trial(s, env),
        Phase::Idle { .. } | Phase::Checking { .. } | Phase::Fetching { .. } => vec![],
    };
    for d in &seen.on_disk {
        let dead = d.entry.and_then(|e| e.counter).is_some_and(|c| c.left == 0);
        if dead && d.release.sequence != s.running.sequence {
            let reason = format!("did not boot: {}", tries(d.entry));
            s.remember(FailedRelease { release: d.release.clone(), reason, at: env.now.unix_secs });
        }
    }
    if s.phase.candidate().is_some_and(|c| s.failure_of(c.sequence).is_some()) {
        // The disk says that it failed, whatever the notes say.
        s.phase = idle_soon(env);
        actions.retain(|a| !matches!(a, Action::Stage(_) | Action::Reboot));
    }
    s.previous = fallback(s, &seen);
    actions.extend(stuck(s, env));
    actions
}

/// A roll-back without a release to go to is no roll-back: keep trying here.
fn stuck(s: &mut State, env: &Env) -> Vec<Action> {
    match (&s.phase, &s.previous) {
        (Phase::RollingBack { .. }, None) => begin_trial(s, env),
        (Phase::RollingBack { failed, .. }, Some(_)) => vec![Action::MarkBad(failed.release.sequence), Action::Reboot],
        _ => vec![],
    }
}

fn same_run(before: &ReleaseRef, s: &State) -> bool {
    before.sequence == s.running.sequence
}

fn counted(seen: &BootObservation) -> bool {
    seen.entry(seen.running.sequence).is_some_and(|e| e.counter.is_some())
}

fn begin_trial(s: &mut State, env: &Env) -> Vec<Action> {
    s.phase = trial(env);
    vec![Action::Announce(format!("release {} ({}) is on trial", s.running.sequence, s.running.version))]
}

/// Newest complete blessed release beside the running one.
fn fallback(s: &State, seen: &BootObservation) -> Option<ReleaseRef> {
    seen.on_disk
        .iter()
        .filter(|d| d.complete && d.release.sequence != s.running.sequence)
        .filter(|d| d.entry.is_some_and(|e| e.counter.is_none()) && s.failure_of(d.release.sequence).is_none())
        .max_by_key(|d| d.release.sequence)
        .map(|d| d.release.clone())
}

fn after_rollback(s: &mut State, failed: FailedRelease, seen: &BootObservation, env: &Env) -> Vec<Action> {
    if failed.release.sequence != seen.running.sequence {
        return rolled_back(s, failed);
    }
    s.phase = Phase::RollingBack { failed, retry_at: env.now.boot_secs + REBOOT_RETRY_SECS };
    vec![]
}

fn rolled_back(s: &mut State, failed: FailedRelease) -> Vec<Action> {
    let line = format!("rolled back {} -> {}: {}", failed.release.sequence, s.running.sequence, failed.reason);
    let bad: Sequence = failed.release.sequence;
    s.remember(failed.clone());
    s.last_rollback = Some(failed);
    s.cost = None;
    s.attempts = 0;
    vec![Action::Announce(line), Action::MarkBad(bad)]
}

fn after_reboot(
    s: &mut State,
    before: &ReleaseRef,
    candidate: ReleaseRef,
    seen: &BootObservation,
    same_boot: bool,
    env: &Env,
) -> Vec<Action> {
    if candidate.sequence == s.running.sequence {
        return begin_trial(s, env);
    }
    if same_boot && same_run(before, s) {
        s.phase = Phase::ReadyToReboot { candidate, retry_at: env.now.boot_secs + REBOOT_RETRY_SECS };
        return vec![Action::Reboot];
    }
    let reason = format!("did not boot: {}", tries(seen.entry(candidate.sequence)));
    rolled_back(s, FailedRelease { release: candidate, reason, at: env.now.unix_secs })
}

fn after_staging(
    s: &mut State,
    before: &ReleaseRef,
    candidate: ReleaseRef,
    seen: &BootObservation,
    same_boot: bool,
    env: &Env,
) -> Vec<Action> {
    let entry = seen.entry(candidate.sequence);
    let used_up = entry.and_then(|e| e.counter).is_some_and(|c| c.left == 0);
    // The power can go between the UKI's rename and the note that it happened.
    if candidate.sequence == s.running.sequence || (used_up && !same_boot) {
        return after_reboot(s, before, candidate, seen, false, env);
    }
    if !same_run(before, s) {
        return vec![];
    }
    s.phase = Phase::Staging { candidate: candidate.clone() };
    vec![Action::Stage(candidate)]
}

fn tries(entry: Option<UkiName>) -> String {
    match entry {
        None => "its boot entry is gone".into(),
        Some(UkiName { counter: None, .. }) => "the boot loader chose another release".into(),
        Some(UkiName { counter: Some(BootCounter { left: 0, done }), .. }) => {
            format!("{done} {} used up", if done == 1 { "try" } else { "tries" })
        }
        Some(UkiName { counter: Some(BootCounter { left, .. }), .. }) => {
            format!("the boot loader chose another release with {left} tries left")
        }
    }
}
