//! Plausible and implausible events for a state, chosen by three numbers.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

use skerry_formats::{
    Sequence,
    layout::{BootCounter, UkiName},
    status::{Progress, ReleaseRef},
};
use skerry_update_core::{
    BootObservation, Cause, DiskRelease, Env, Event, Failure, Now, Phase, Plan, Policy, Problem, State,
};

pub const STABLE_SECS: u64 = 20;

pub fn release(sequence: u32) -> ReleaseRef {
    ReleaseRef { sequence: Sequence(sequence), version: format!("1.{sequence}") }
}

pub fn env(boot_secs: u64, random: u64) -> Env {
    Env {
        now: Now { unix_secs: 1_800_000_000 + boot_secs, boot_secs },
        policy: Policy { check_interval_secs: Some(600), health_timeout_secs: 300, health_stable_secs: STABLE_SECS },
        random,
    }
}

fn boot(s: &State, a: u8, b: u8) -> BootObservation {
    let candidate = s.phase.candidate().map(|c| c.sequence.0);
    let running = match a % 8 {
        0..=3 => s.running.sequence.0,
        4 | 5 => candidate.unwrap_or(s.running.sequence.0),
        6 => s.previous.as_ref().map_or(s.running.sequence.0, |p| p.sequence.0),
        _ => 1 + u32::from(b % 6),
    };
    let counter = |n: u8| match n % 4 {
        0 | 1 => None,
        2 => Some(BootCounter { left: u32::from(n / 4 % 3), done: 1 }),
        _ => Some(BootCounter { left: 0, done: 3 }),
    };
    let on_disk = (1..=6u32)
        .filter(|i| *i == running || (b >> i) & 1 == 1 || *i < running)
        .map(|i| DiskRelease {
            release: release(i),
            // Older releases are blessed; the running one and newer ones vary.
            entry: ((a ^ b) % 11 != i as u8).then(|| UkiName {
                sequence: Sequence(i),
                counter: if i < running { None } else { counter(b.wrapping_add(i as u8)) },
            }),
            complete: i <= running || a & 1 == 0,
        })
        .collect();
    let boot_id = if a & 16 == 0 { s.boot_id.clone() } else { format!("boot-{b}-{a}") };
    BootObservation { boot_id, running: release(running), on_disk }
}

pub fn event(s: &State, (kind, a, b): (u8, u8, u8)) -> Event {
    let plan = |r: ReleaseRef| Plan { candidate: r, planned_bytes: 1000, objects: 3, full_bytes: 9000 };
    match kind % 16 {
        0 => Event::Boot(boot(s, a, b)),
        1 | 2 => Event::Timer,
        3 | 4 => Event::Offered(release(s.running.sequence.0.saturating_sub(1) + u32::from(a % 4))),
        5 | 6 => Event::Planned(plan(match &s.phase {
            Phase::Checking { offer: Some(o) } if b > 10 => o.clone(),
            _ => release(u32::from(a % 9)),
        })),
        7 => Event::Received { received: a.into(), progress: Progress::default() },
        8 => Event::Fetched,
        9 => Event::Staged,
        10 => {
            let cause = [Cause::Network, Cause::Server, Cause::DiskFull, Cause::Local, Cause::Release][a as usize % 5];
            Event::Failed(Failure { cause, reason: format!("reason {b}"), progressed: b & 1 == 0 })
        }
        11..=13 => Event::Health(if a % 5 == 0 {
            Err(Problem { what: "workload default/hello: 0/1 Ready".into(), why: "probe".into() })
        } else {
            Ok(())
        }),
        14 => Event::Health(Err(Problem { what: "x".into(), why: String::new() })),
        _ => Event::Blessed,
    }
}
