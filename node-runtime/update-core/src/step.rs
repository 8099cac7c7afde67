//! The step function.

use skerry_formats::status::{FailedRelease, LastUpdate, Progress, ReleaseRef};

use crate::{
    backoff::{FIRST_CHECK_SECS, REBOOT_RETRY_SECS, retry_secs, spread},
    boot,
    event::{Action, Cause, Env, Event, Failure, Plan, Problem},
    state::{Cost, Phase, State, one_line},
};

/// An event that cannot happen in a state: a defect of the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event} is not possible in state {state}")]
pub struct IllegalTransition {
    /// Name of the state.
    pub state: &'static str,
    /// Name of the event.
    pub event: &'static str,
}

/// One step of the machine: the next state and what to do about it.
///
/// # Errors
/// [`IllegalTransition`] if the event cannot happen in this state; the caller
/// keeps its state.
pub fn step(mut state: State, event: Event, env: &Env) -> Result<(State, Vec<Action>), IllegalTransition> {
    let s = &mut state;
    let illegal = IllegalTransition { state: s.phase.name(), event: event.name() };
    let actions = match (s.phase.clone(), event) {
        (_, Event::Boot(seen)) => boot::on_boot(s, seen, env),
        (phase, Event::Timer) => on_timer(s, phase, env),
        (Phase::Checking { offer: None }, Event::Offered(offer)) => on_offer(s, offer, env),
        (Phase::Checking { offer: Some(offer) }, Event::Planned(plan)) if plan.candidate == offer => on_plan(s, plan),
        (Phase::Fetching { plan, .. }, Event::Received { received, progress }) => {
            on_received(s, plan, received, progress)
        }
        (Phase::Fetching { plan, .. }, Event::Fetched) => {
            s.phase = Phase::Staging { candidate: plan.candidate.clone() };
            vec![Action::Stage(plan.candidate)]
        }
        (Phase::Staging { candidate }, Event::Staged) => on_staged(s, candidate, env),
        (Phase::Checking { .. }, Event::Failed(f)) => on_failure(s, None, f, env),
        (Phase::Fetching { plan, .. }, Event::Failed(f)) => on_failure(s, Some(plan.candidate), f, env),
        (Phase::Staging { candidate }, Event::Failed(f)) => on_failure(s, Some(candidate), f, env),
        (Phase::ReadyToReboot { .. } | Phase::Blessing { .. } | Phase::RollingBack { .. }, Event::Failed(f)) => {
            s.last_error = Some(one_line(&f.reason));
            vec![]
        }
        (Phase::Trial { deadline_at, healthy_since, .. }, Event::Health(report)) => {
            on_health(s, deadline_at, healthy_since, report, env)
        }
        (Phase::Blessing { .. }, Event::Blessed) => on_blessed(s, env),
        _ => return Err(illegal),
    };
    Ok((state, actions))
}

/// Idle until the next regular check.
pub(crate) fn idle(env: &Env) -> Phase {
    let interval = env.policy.check_interval_secs;
    Phase::Idle { next_check_at: interval.map(|i| env.now.boot_secs + spread(i, env.random)) }
}

/// Idle with a check soon, as after a boot.
pub(crate) fn idle_soon(env: &Env) -> Phase {
    let interval = env.policy.check_interval_secs;
    Phase::Idle { next_check_at: interval.map(|_| env.now.boot_secs + spread(FIRST_CHECK_SECS, env.random)) }
}

/// A trial that begins now.
pub(crate) fn trial(env: &Env) -> Phase {
    Phase::Trial { deadline_at: env.now.boot_secs + env.policy.health_timeout_secs, healthy_since: None, problem: None }
}

fn on_timer(s: &mut State, phase: Phase, env: &Env) -> Vec<Action> {
    let now = env.now.boot_secs;
    let again = now + REBOOT_RETRY_SECS;
    match phase {
        Phase::Idle { next_check_at: Some(at) } if now >= at => {
            s.phase = Phase::Checking { offer: None };
            vec![Action::Check]
        }
        Phase::ReadyToReboot { candidate, retry_at } if now >= retry_at => {
            s.phase = Phase::ReadyToReboot { candidate, retry_at: again };
            vec![Action::Reboot]
        }
        Phase::Blessing { retry_at } if now >= retry_at => {
            s.phase = Phase::Blessing { retry_at: again };
            vec![Action::Bless(s.running.sequence)]
        }
        Phase::RollingBack { failed, retry_at } if now >= retry_at => {
            let bad = failed.release.sequence;
            s.phase = Phase::RollingBack { failed, retry_at: again };
            vec![Action::MarkBad(bad), Action::Reboot]
        }
        _ => vec![],
    }
}

fn on_offer(s: &mut State, offer: ReleaseRef, env: &Env) -> Vec<Action> {
    s.last_check = Some(env.now.unix_secs);
    let (offered, running) = (offer.sequence, s.running.sequence);
    let refusal = if offered == running {
        None
    } else if let Some(f) = s.failure_of(offered) {
        Some(format!("release {offered} is on offer but failed here: {}", f.reason))
    } else if offered < running {
        Some(format!("release {offered} on offer is older than running {running}; refused"))
    } else {
        s.phase = Phase::Checking { offer: Some(offer.clone()) };
        return vec![Action::Plan(offer)];
    };
    s.last_error = refusal.map(|r| one_line(&r));
    s.attempts = 0;
    s.cost = None;
    s.phase = idle(env);
    vec![]
}

fn on_plan(s: &mut State, plan: Plan) -> Vec<Action> {
    let resumed = s.cost.as_ref().is_some_and(|c| c.plan.candidate == plan.candidate && c.from == s.running);
    if !resumed {
        s.cost = Some(Cost { from: s.running.clone(), plan: plan.clone(), fetched_bytes: 0 });
    }
    let line = format!(
        "update {} -> {}: {} bytes to fetch in {} objects (all of it would be {} bytes)",
        s.running.sequence, plan.candidate.sequence, plan.planned_bytes, plan.objects, plan.full_bytes
    );
    let progress = Progress { planned_bytes: plan.planned_bytes, objects: plan.objects, ..Progress::default() };
    let candidate = plan.candidate.clone();
    s.phase = Phase::Fetching { plan, progress };
    vec![Action::Announce(line), Action::Prune { keep: s.keep() }, Action::Fetch(candidate)]
}

fn on_received(s: &mut State, plan: Plan, received: u64, progress: Progress) -> Vec<Action> {
    if let Some(cost) = &mut s.cost {
        cost.fetched_bytes += received;
    }
    s.phase = Phase::Fetching { plan, progress };
    vec![]
}

fn on_staged(s: &mut State, candidate: ReleaseRef, env: &Env) -> Vec<Action> {
    s.attempts = 0;
    s.last_error = None;
    let line = format!("release {} ({}) is staged; rebooting into it", candidate.sequence, candidate.version);
    s.phase = Phase::ReadyToReboot { candidate, retry_at: env.now.boot_secs + REBOOT_RETRY_SECS };
    vec![Action::Announce(line), Action::Reboot]
}

fn on_failure(s: &mut State, candidate: Option<ReleaseRef>, f: Failure, env: &Env) -> Vec<Action> {
    let reason = one_line(&f.reason);
    s.last_error = Some(reason.clone());
    let offer = match &s.phase {
        Phase::Checking { offer } => offer.clone(),
        _ => candidate,
    };
    if let (Cause::Release, Some(release)) = (f.cause, offer) {
        let line = format!("release {} ({}) refused: {reason}", release.sequence, release.version);
        s.remember(FailedRelease { release, reason, at: env.now.unix_secs });
        s.attempts = 0;
        s.cost = None;
        s.phase = idle(env);
        return vec![Action::Announce(line)];
    }
    s.attempts = if f.progressed { 1 } else { s.attempts.saturating_add(1) };
    let wait = retry_secs(s.attempts, env.random);
    let next = env.policy.check_interval_secs.map(|_| env.now.boot_secs + wait);
    s.phase = Phase::Idle { next_check_at: next };
    vec![Action::Announce(format!("update stopped: {reason}; next try in {wait} s"))]
}

fn on_health(
    s: &mut State,
    deadline_at: u64,
    healthy_since: Option<u64>,
    report: Result<(), Problem>,
    env: &Env,
) -> Vec<Action> {
    let now = env.now.boot_secs;
    let problem = match report {
        Ok(()) => {
            let since = healthy_since.unwrap_or(now);
            if now.saturating_sub(since) >= env.policy.health_stable_secs {
                s.phase = Phase::Blessing { retry_at: now + REBOOT_RETRY_SECS };
                return vec![Action::Bless(s.running.sequence)];
            }
            s.phase = Phase::Trial { deadline_at, healthy_since: Some(since), problem: None };
            return vec![];
        }
        Err(problem) => problem,
    };
    if now < deadline_at {
        s.phase = Phase::Trial { deadline_at, healthy_since: None, problem: Some(problem) };
        return vec![];
    }
    let reason = problem.after(env.policy.health_timeout_secs);
    let Some(previous) = s.previous.clone() else {
        let line =
            format!("release {} is not healthy: {reason}; there is no release to go back to", s.running.sequence);
        s.last_error = Some(one_line(&line));
        let deadline_at = now + env.policy.health_timeout_secs;
        s.phase = Phase::Trial { deadline_at, healthy_since: None, problem: Some(problem) };
        return vec![Action::Announce(line)];
    };
    let failed = FailedRelease { release: s.running.clone(), reason: one_line(&reason), at: env.now.unix_secs };
    s.remember(failed.clone());
    let line = format!("rolling back {} -> {}: {}", s.running.sequence, previous.sequence, failed.reason);
    let bad = s.running.sequence;
    s.phase = Phase::RollingBack { failed, retry_at: now + REBOOT_RETRY_SECS };
    vec![Action::Announce(line), Action::MarkBad(bad), Action::Reboot]
}

fn on_blessed(s: &mut State, env: &Env) -> Vec<Action> {
    let mut line = format!("release {} ({}) is healthy and blessed", s.running.sequence, s.running.version);
    if let Some(cost) = s.cost.take().filter(|c| c.plan.candidate.sequence == s.running.sequence) {
        line += &format!("; fetched {} of {} bytes", cost.fetched_bytes, cost.plan.full_bytes);
        s.last_update = Some(LastUpdate {
            from: cost.from,
            to: s.running.clone(),
            planned_bytes: cost.plan.planned_bytes,
            fetched_bytes: cost.fetched_bytes,
            full_bytes: cost.plan.full_bytes,
        });
    }
    s.last_error = None;
    s.attempts = 0;
    s.phase = idle_soon(env);
    vec![Action::Announce(line), Action::Prune { keep: s.keep() }]
}

impl Problem {
    /// The reason line of a roll-back.
    pub fn after(&self, secs: u64) -> String {
        match self.why.is_empty() {
            true => format!("{} after {secs} s", self.what),
            false => format!("{} after {secs} s: {}", self.what, self.why),
        }
    }
}

impl Event {
    /// Name in the diagram.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Boot(_) => "boot",
            Event::Timer => "timer",
            Event::Offered(_) => "offered",
            Event::Planned(_) => "planned",
            Event::Received { .. } => "received",
            Event::Fetched => "fetched",
            Event::Staged => "staged",
            Event::Failed(_) => "failed",
            Event::Health(_) => "health",
            Event::Blessed => "blessed",
        }
    }
}
