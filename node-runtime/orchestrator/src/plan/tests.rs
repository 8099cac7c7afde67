//! Tables over `plan`, and a simulated node on which every plan is carried
//! out: from any state it must come to rest in the desired one.
#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::{
    desired::{Container as Want, Pod, RestartPolicy, Role},
    observed::{Container, Exit, Failure, HookState, Labels, Sandbox, State, Stopping, Unhealthy},
    testing::{deployment, desired, service},
};

const UID: &str = "00000000-0000-8000-8000-000000000001";

fn want(name: &str, role: Role) -> Want {
    Want { name: name.into(), role, ..Want::default() }
}

/// A pod with these containers: `i:` init, `s:` sidecar, else main.
fn pod_of(restart: RestartPolicy, containers: &str) -> Pod {
    let containers = containers.split_whitespace().map(|c| match c.split_once(':') {
        Some(("i", name)) => want(name, Role::Init),
        Some((_, name)) => want(name, Role::Sidecar),
        None => want(c, Role::Main),
    });
    let containers = containers.collect();
    Pod { uid: UID.into(), name: "p".into(), grace_secs: 30, restart, containers, ..Pod::default() }
}

fn just(pod: &Pod) -> Desired {
    Desired { pods: [(pod.uid.clone(), pod.clone())].into(), ..Desired::default() }
}

fn id(name: &str) -> String {
    crate::executor::container_id(UID, name, 0)
}

fn container(pod: &Pod, name: &str, attempt: u32, state: State) -> (String, Container) {
    let labels = Labels {
        pod_uid: pod.uid.clone(),
        pod: pod.name.clone(),
        container: name.into(),
        attempt,
        grace_secs: pod.grace_secs,
        ..Labels::default()
    };
    let exit = match state {
        State::Exited { code, at, ran_secs } => Some(Exit { code, at, ran_secs, ..Exit::default() }),
        _ => None,
    };
    let (started, ready) = (true, true);
    let c = Container { labels, state, started, ready, unhealthy: None, stopping: None, started_at: None, exit };
    (crate::executor::container_id(&pod.uid, name, attempt), c)
}

fn sandbox(octet: u8, intact: bool) -> Sandbox {
    Sandbox { ip: Ipv4Addr::new(10, 244, 0, octet), ip6: None, intact }
}

fn exited(code: u32, at: f64, ran_secs: f64) -> State {
    State::Exited { code, at, ran_secs }
}

/// A node with the pod's network, and containers in these states:
/// `name=running`, `name=up` (running, not started), `name=CODE` (ended at 50
/// after 1 s).
fn seen(pod: &Pod, states: &str) -> Observed {
    let mut o = Observed::default();
    o.sandboxes.insert(pod.uid.clone(), sandbox(2, true));
    o.files.insert(pod.uid.clone(), pod.files_hash);
    for s in states.split_whitespace() {
        let (name, state) = s.split_once('=').unwrap();
        let what = state.parse().map_or(State::Running, |code| exited(code, 50.0, 1.0));
        let (id, mut c) = container(pod, name, 0, what);
        c.started = state != "up";
        o.attempts.insert(failure_key(&pod.uid, Some(name)), 0);
        o.containers.insert(id, c);
    }
    o.rules = Some(ruleset_input(&just(pod), &o));
    o
}

/// What a plan does, in short: `+name` start, `-name` begin to end, `!name`
/// SIGTERM, `x name` SIGKILL, `remove`, `setup`, `teardown`.
fn short(pod: &Pod, o: &Observed, now: f64) -> (String, Option<f64>) {
    let p = plan(&just(pod), o, now);
    let name = |id: &String| o.containers[id].labels.container.clone();
    let words: Vec<String> = p
        .actions
        .iter()
        .filter(|a| !matches!(a, Action::ApplyRules(_)))
        .map(|a| match a {
            Action::Start { container, attempt: 0, .. } => format!("+{container}"),
            Action::Start { container, attempt, .. } => format!("+{container}#{attempt}"),
            Action::Stop { id, hook: None, .. } => format!("-{}", name(id)),
            Action::Stop { id, .. } => format!("-{}(hook)", name(id)),
            Action::Signal { id, signal: Signal::Term } => format!("!{}", name(id)),
            Action::Signal { id, .. } => format!("x{}", name(id)),
            Action::Remove { id } => format!("remove:{}", name(id)),
            Action::SetupPod { .. } => "setup".into(),
            Action::TeardownPod { what, .. } => format!("teardown:{what:?}"),
            Action::UpdateFiles { .. } => "files".into(),
            Action::ApplyRules(_) => String::new(),
        })
        .collect();
    (words.join(" "), p.wake_at)
}

#[test]
fn an_evicted_pod_ends_quickly_and_leaves_its_disk_space() {
    let pod = pod_of(RestartPolicy::Always, "i:one a b");
    for (states, since, want) in [
        ("one=0 a=running b=137", None, "-a"),
        ("one=0 a=running b=137", Some(99.5), "!a"),
        ("one=0 a=running b=137", Some(90.0), "!a"),
        ("one=0 a=143 b=137", None, "teardown:Finished"),
    ] {
        let mut o = seen(&pod, states);
        o.evicted.insert(UID.into(), "too much".into());
        let stopping = since.map(|since| Stopping { since, grace_secs: 30, hook: HookState::None, term_at: None });
        o.containers.values_mut().filter(|c| c.state == State::Running).for_each(|c| c.stopping = stopping);
        assert_eq!(short(&pod, &o, 100.0).0, want, "{states}");
    }
    let mut o = seen(&pod, "one=0 a=running b=137");
    o.evicted.insert(UID.into(), "too much".into());
    let late = Stopping { since: 98.0, grace_secs: 30, hook: HookState::None, term_at: Some(98.0) };
    o.containers.get_mut(&id("a")).unwrap().stopping = Some(late);
    assert_eq!(short(&pod, &o, 100.0).0, "xa", "a second is enough");
}

#[test]
fn containers_start_in_their_order() {
    use RestartPolicy::*;
    for (policy, pod, states, want) in [
        (Always, "a b", "", "+a +b"),
        (Always, "i:one i:two a", "", "+one"),
        (Always, "i:one i:two a", "one=running", ""),
        (Always, "i:one i:two a", "one=0", "+two"),
        (Always, "i:one i:two a", "one=0 two=0", "+a"),
        (Always, "i:one i:two a", "one=1", "+one#1"),
        (Never, "i:one a", "one=1", "teardown:Finished"),
        (OnFailure, "i:one a", "one=1", "+one#1"),
        // A sidecar must have come up before the next one starts.
        (Always, "s:proxy i:one a", "", "+proxy"),
        (Always, "s:proxy i:one a", "proxy=up", ""),
        (Always, "s:proxy i:one a", "proxy=running", "+one"),
        (Always, "s:proxy i:one a", "proxy=running one=0", "+a"),
        // It restarts whatever the policy, and holds up nothing that runs.
        (Never, "s:proxy a", "proxy=0 a=running", "+proxy#1"),
        (Never, "s:proxy i:one a", "proxy=1 one=0 a=running", "+proxy#1"),
        // Once the main ones run, init containers are done for good.
        (Always, "i:one a", "a=running", ""),
        (Always, "a", "a=0", "+a#1"),
        (OnFailure, "a", "a=1", "+a#1"),
        (OnFailure, "a b", "a=0 b=running", ""),
        (OnFailure, "a", "a=0", "teardown:Finished"),
        (Never, "a", "a=1", "teardown:Finished"),
        (Never, "a b", "a=1 b=running", ""),
        // Sidecars end when the rest has, the last one first.
        (Never, "s:one s:two a", "one=running two=running a=0", "-two"),
        (Never, "s:one s:two a", "one=running two=0 a=0", "-one"),
        (Never, "s:one s:two a", "one=0 two=0 a=0", "teardown:Finished"),
    ] {
        let p = pod_of(policy, pod);
        assert_eq!(short(&p, &seen(&p, states), 60.0).0, want, "{policy:?} {pod:?} {states:?}");
    }
}

#[test]
fn how_far_a_pod_has_come() {
    use RestartPolicy::*;
    for (policy, pod, states, want) in [
        (Always, "a", "a=0", Course::Going),
        (Never, "a", "a=running", Course::Going),
        (Never, "a", "", Course::Going),
        (Never, "a b", "a=0 b=0", Course::Succeeded),
        (Never, "a b", "a=0 b=3", Course::Failed),
        (OnFailure, "a b", "a=0 b=3", Course::Going),
        (OnFailure, "a", "a=0", Course::Succeeded),
        (Never, "i:one a", "one=1", Course::Failed),
        (OnFailure, "i:one a", "one=1", Course::Going),
        (Never, "s:proxy a", "proxy=1 a=0", Course::Succeeded),
    ] {
        let p = pod_of(policy, pod);
        assert_eq!(course(&p, &seen(&p, states), 60.0), want, "{policy:?} {pod:?} {states:?}");
    }
}

#[test]
fn a_crashed_container_restarts_after_its_delay() {
    for (carried, ran, now, want, wake) in [
        (0, 1.0, 50.0, "+a#1", None),
        (10, 1.0, 59.9, "", Some(60.0)),
        (10, 1.0, 60.0, "+a#1", None),
        (300, 1.0, 349.0, "", Some(350.0)),
        (300, 700.0, 50.0, "+a#1", None),
    ] {
        let p = pod_of(RestartPolicy::Always, "a");
        let mut o = seen(&p, "a=1");
        let c = o.containers.get_mut(&id("a")).unwrap();
        (c.state, c.labels.backoff_secs) = (exited(1, 50.0, ran), carried);
        assert_eq!(short(&p, &o, now), (want.into(), wake), "carried {carried}, ran {ran}, now {now}");
    }
}

#[test]
fn a_container_ends_by_hook_then_politely_then_not() {
    let stop = |hook, term_at| Some(Stopping { since: 100.0, grace_secs: 30, hook, term_at });
    for (stopping, now, want, wake) in [
        (None, 100.0, "-a(hook)", None),
        (stop(HookState::Running, None), 129.0, "", Some(130.0)),
        (stop(HookState::Running, None), 130.0, "!a", None),
        (stop(HookState::Done, None), 101.0, "!a", None),
        (stop(HookState::Done, Some(101.0)), 129.0, "", Some(130.0)),
        (stop(HookState::Done, Some(101.0)), 130.0, "xa", Some(131.0)),
        // The hook used up the time: two seconds are left for SIGTERM.
        (stop(HookState::Running, Some(130.0)), 131.0, "", Some(132.0)),
        (stop(HookState::Running, Some(130.0)), 132.0, "xa", Some(133.0)),
        (stop(HookState::None, Some(100.0)), 130.0, "xa", Some(131.0)),
    ] {
        let mut p = pod_of(RestartPolicy::Always, "a");
        p.containers[0].pre_stop = Some(Hook::Sleep { secs: 1 });
        p.deletion_grace_secs = Some(30);
        let mut o = seen(&p, "a=running");
        o.containers.get_mut(&id("a")).unwrap().stopping = stopping;
        assert_eq!(short(&p, &o, now), (want.into(), wake), "{stopping:?} {now}");
    }
}

#[test]
fn a_failed_probe_has_a_grace_time_of_its_own() {
    for (own, want) in [(None, 30), (Some(4), 4)] {
        let p = pod_of(RestartPolicy::Always, "a");
        let mut o = seen(&p, "a=running");
        let unhealthy = Unhealthy { message: "Container a failed liveness probe".into(), grace_secs: own };
        o.containers.get_mut(&id("a")).unwrap().unhealthy = Some(unhealthy);
        let why = "Container a failed liveness probe, will be restarted".to_owned();
        let stop = Action::Stop { id: id("a"), grace_secs: want, hook: None, why };
        assert!(plan(&just(&p), &o, 60.0).actions.contains(&stop));
    }
}

#[test]
fn a_deleted_pod_goes_in_order_and_completely() {
    let mut p = pod_of(RestartPolicy::Always, "i:one s:x s:y a b");
    p.deletion_grace_secs = Some(30);
    for (states, want) in [
        ("one=0 x=running y=running a=running b=running", "-a -b"),
        ("one=0 x=running y=running a=0 b=0", "-y"),
        ("one=0 x=running y=0 a=0 b=0", "-x"),
        ("one=0 a=0", "remove:a remove:one"),
        ("", "teardown:Everything"),
    ] {
        let (mut words, _) = short(&p, &seen(&p, states), 60.0);
        let mut all: Vec<&str> = words.split(' ').collect();
        all.sort_unstable();
        words = all.join(" ");
        assert_eq!(words, want, "{states:?}");
    }
    // Nothing is left: nothing to do. Something is left on the disk: it goes.
    let mut o = Observed { rules: Some(Ruleset::default()), ..Observed::default() };
    assert_eq!(short(&p, &o, 60.0).0, "");
    o.on_disk.insert(UID.into());
    assert_eq!(short(&p, &o, 60.0).0, "teardown:Everything");
}

#[test]
fn sidecars_do_not_wait_for_ever() {
    let mut p = pod_of(RestartPolicy::Always, "s:x a");
    p.deletion_grace_secs = Some(10);
    let mut o = seen(&p, "x=running a=running");
    let stopping = Stopping { since: 100.0, grace_secs: 10, hook: HookState::None, term_at: Some(100.0) };
    o.containers.get_mut(&id("a")).unwrap().stopping = Some(stopping);
    assert_eq!(short(&p, &o, 105.0), ("".into(), Some(110.0)));
    let (mut words, _) = short(&p, &o, 110.0);
    words = words.split(' ').rev().collect::<Vec<_>>().join(" ");
    assert!(words == "-x xa" || words == "xa -x", "{words}");
}

#[test]
fn a_pod_may_run_for_so_long() {
    let mut p = pod_of(RestartPolicy::Always, "a");
    p.deadline_secs = Some(60);
    let mut o = seen(&p, "a=running");
    o.pods_started.insert(UID.into(), 100.0);
    assert_eq!(short(&p, &o, 159.0), ("".into(), Some(160.0)));
    assert_eq!(short(&p, &o, 160.0).0, "-a");
    assert_eq!(short(&p, &seen(&p, "a=137"), 160.0).0, "+a#1", "its start is not known");
}

#[test]
fn what_came_to_its_end_stays_so() {
    let mut p = pod_of(RestartPolicy::Always, "a");
    p.finished = true;
    let o = Observed { rules: Some(Ruleset::default()), ..Observed::default() };
    assert_eq!(short(&p, &o, 60.0).0, "");
    assert_eq!(short(&p, &seen(&p, "a=running"), 60.0).0, "-a");
}

#[test]
fn what_is_missing_holds_up_its_own_container_only() {
    let mut p = pod_of(RestartPolicy::Always, "a b");
    p.containers[0].waiting =
        Some(crate::desired::Waiting { reason: "CreateContainerConfigError".into(), message: "no".into() });
    assert_eq!(short(&p, &seen(&p, ""), 60.0).0, "+b");
    // It does not touch what runs.
    assert_eq!(short(&p, &seen(&p, "a=running b=running"), 60.0).0, "");
    p.volumes_missing = Some("no".into());
    let o = Observed { rules: Some(Ruleset::default()), ..Observed::default() };
    assert_eq!(short(&p, &o, 60.0).0, "");
}

#[test]
fn a_pod_that_runs_once_does_not_run_again_after_a_reboot() {
    for (policy, want) in [(RestartPolicy::Never, Course::Failed), (RestartPolicy::OnFailure, Course::Going)] {
        let p = pod_of(policy, "a b");
        let mut o = seen(&p, "a=0 b=1");
        o.containers.values_mut().filter(|c| c.labels.container == "b").for_each(|c| c.state = State::Absent);
        o.sandboxes.clear();
        assert_eq!(course(&p, &o, 60.0), want);
        let (words, _) = short(&p, &o, 60.0);
        assert_eq!(words, if want == Course::Failed { "" } else { "remove:b" });
    }
}

#[test]
fn files_follow_their_objects() {
    let mut p = pod_of(RestartPolicy::Always, "a");
    let o = seen(&p, "a=running");
    p.files_hash = 7;
    assert_eq!(short(&p, &o, 60.0).0, "files");
}

#[test]
fn a_container_that_was_started_before_counts_on() {
    let p = pod_of(RestartPolicy::Always, "a");
    let mut o = seen(&p, "");
    o.attempts.insert(failure_key(UID, Some("a")), 4);
    assert_eq!(short(&p, &o, 60.0).0, "+a#5");
}

#[test]
fn leftovers_of_other_pods_go() {
    let p = pod_of(RestartPolicy::Always, "a");
    let mut o = seen(&p, "a=running");
    o.on_disk.extend(["old".to_owned(), UID.to_owned()]);
    assert_eq!(short(&p, &o, 60.0).0, "teardown:Everything");
}

#[test]
fn a_pod_that_is_not_ready_gets_no_traffic() {
    let d = desired(&format!("{}---{}", deployment("web", 1, "Recreate", "1"), service("web", 30080)));
    let pod = d.pods.values().next().unwrap();
    let o = || {
        let mut o = Observed::default();
        o.sandboxes.insert(pod.uid.clone(), sandbox(2, true));
        o.containers.extend(["main", "side"].map(|n| container(pod, n, 0, State::Running)));
        o
    };
    let main = crate::executor::container_id(&pod.uid, "main", 0);
    let endpoints = |o: &Observed, d: &Desired| ruleset_input(d, o).forwards[0].endpoints.len();
    assert_eq!(endpoints(&o(), &d), 1);
    for change in [
        (|c: &mut Container| c.ready = false) as fn(&mut Container),
        |c| c.started = false,
        |c| c.stopping = Some(Stopping { since: 1.0, grace_secs: 1, hook: HookState::Running, term_at: None }),
    ] {
        let mut o = o();
        change(o.containers.get_mut(&main).unwrap());
        assert_eq!(endpoints(&o, &d), 0);
        let mut all = d.clone();
        all.services[0].not_ready_too = true;
        assert_eq!(endpoints(&o, &all), 1);
    }
    let mut going = d.clone();
    going.pods.values_mut().next().unwrap().deletion_grace_secs = Some(1);
    assert_eq!(endpoints(&o(), &going), 0);
}

#[test]
fn a_failed_action_waits_and_others_go_on() {
    let p = pod_of(RestartPolicy::Always, "a b");
    let mut o = seen(&p, "");
    let failure = Failure { message: "no".into(), retry_at: 8.0, delay_secs: 4 };
    o.failures.insert(failure_key(UID, Some("a")), failure);
    assert_eq!(short(&p, &o, 7.0), ("+b".into(), Some(8.0)));
    assert_eq!(short(&p, &o, 8.0), ("+a +b".into(), None));
}

#[test]
fn a_pod_whose_network_is_gone_is_made_anew() {
    let p = pod_of(RestartPolicy::Always, "a");
    let mut o = seen(&p, "a=running");
    o.sandboxes.insert(UID.into(), sandbox(2, false));
    assert_eq!(short(&p, &o, 1.0).0, "-a");
    o.containers.clear();
    assert_eq!(short(&p, &o, 1.0).0, "teardown:Network");
    o.sandboxes.clear();
    assert_eq!(short(&p, &o, 1.0).0, "setup");
}

/// A node on which actions have their effect at once, except that containers
/// ignore SIGTERM where `stubborn`.
struct Simulated {
    observed: Observed,
    now: f64,
    octet: u8,
    stubborn: bool,
}

impl Simulated {
    fn apply(&mut self, action: &Action, d: &Desired) {
        let (o, now) = (&mut self.observed, self.now);
        match action {
            Action::SetupPod { uid } => {
                assert!(!o.sandboxes.contains_key(uid), "set up twice");
                self.octet += 1;
                o.sandboxes.insert(uid.clone(), sandbox(self.octet, true));
                o.files.insert(uid.clone(), d.pods[uid].files_hash);
                o.on_disk.insert(uid.clone());
            }
            Action::TeardownPod { uid, what } => {
                assert!(o.of_pod(uid).all(|(_, c)| c.state != State::Running), "torn down while running");
                o.sandboxes.remove(uid);
                if *what == Teardown::Everything {
                    assert!(o.of_pod(uid).next().is_none(), "torn down with containers");
                    o.on_disk.remove(uid);
                }
            }
            Action::UpdateFiles { uid } => drop(o.files.insert(uid.clone(), d.pods[uid].files_hash)),
            Action::Start { uid, container: name, attempt, backoff_secs, replaces } => {
                if let Some(id) = replaces {
                    assert_ne!(o.containers.remove(id).map(|c| c.state), Some(State::Running));
                }
                assert!(o.sandboxes[uid].intact, "started without a network");
                let role = d.pods[uid].container(name).unwrap().role;
                // Init containers end at once, and well.
                let state = if role == Role::Init { exited(0, now, 1.0) } else { State::Running };
                let (id, mut c) = container(&d.pods[uid], name, *attempt, state);
                (c.labels.backoff_secs, c.ready, c.started) = (*backoff_secs, false, role != Role::Sidecar);
                o.attempts.insert(failure_key(uid, Some(name)), *attempt);
                assert!(o.containers.insert(id, c).is_none(), "started twice");
            }
            Action::Stop { id, grace_secs, hook, .. } => {
                let c = o.containers.get_mut(id).unwrap();
                assert_eq!((c.state, c.stopping), (State::Running, None), "ended twice");
                let hook = if hook.is_some() { HookState::Running } else { HookState::None };
                let term_at = (hook == HookState::None).then_some(now);
                c.stopping = Some(Stopping { since: now, grace_secs: *grace_secs, hook, term_at });
                if term_at.is_some() && !self.stubborn {
                    c.state = exited(143, now, 1.0);
                }
            }
            Action::Signal { id, signal } => {
                let c = o.containers.get_mut(id).unwrap();
                let s = c.stopping.as_mut().unwrap();
                s.term_at.get_or_insert(now);
                if *signal == Signal::Kill || !self.stubborn {
                    c.state = exited(137, now, 1.0);
                }
            }
            Action::Remove { id } => {
                assert_ne!(o.containers.remove(id).map(|c| c.state), Some(State::Running), "removed while running");
            }
            Action::ApplyRules(r) => o.rules = Some((**r).clone()),
        }
    }

    /// Carry out plans until one is empty and waits for nothing.
    fn settle(&mut self, d: &Desired) -> Result<(), String> {
        for _ in 0..600 {
            let p = plan(d, &self.observed, self.now);
            for a in &p.actions {
                self.apply(a, d);
            }
            if p.actions.is_empty() {
                // Init containers end by themselves.
                let init = |c: &Container| {
                    let pod = d.pods.get(&c.labels.pod_uid);
                    pod.and_then(|p| p.container(&c.labels.container)).is_some_and(|w| w.role == Role::Init)
                };
                let now = self.now;
                let come_up = |c: &Container| c.state == State::Running && (init(c) || !(c.ready && c.started));
                let waking = self.observed.containers.values().any(come_up);
                for c in self.observed.containers.values_mut().filter(|c| c.state == State::Running) {
                    (c.ready, c.started) = (true, true);
                    if init(c) {
                        c.state = exited(0, now, 1.0);
                    }
                }
                match p.wake_at {
                    _ if waking => {}
                    Some(at) => {
                        assert!(at > self.now, "waits for the past: {at} at {}", self.now);
                        self.now = at;
                    }
                    None => return Ok(()),
                }
            }
        }
        Err(format!("does not come to rest: {:?}", plan(d, &self.observed, self.now)))
    }
}

type AnyContainer = (usize, usize, u32, State, bool, Option<Stopping>, u32, bool);

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        3 => Just(State::Running),
        1 => Just(State::Absent),
        2 => (0..3u32, 0.0..100.0f64, 0.0..2000.0f64).prop_map(|(c, at, ran)| exited(c, at, ran)),
    ]
}

fn any_stopping() -> impl Strategy<Value = Option<Stopping>> {
    let hook = prop_oneof![Just(HookState::None), Just(HookState::Running), Just(HookState::Done)];
    let one = (0.0..100.0f64, 0..60u32, hook, any::<bool>()).prop_map(|(since, grace_secs, hook, term)| Stopping {
        since,
        grace_secs,
        hook,
        term_at: (term || hook == HookState::None).then_some(since),
    });
    prop::option::of(one)
}

fn any_container() -> impl Strategy<Value = AnyContainer> {
    (0..4usize, 0..6usize, 0..3u32, any_state(), any::<bool>(), any_stopping(), 0..400u32, any::<bool>())
}

fn any_pod(n: u8) -> impl Strategy<Value = Pod> {
    let policy = prop_oneof![
        2 => Just(RestartPolicy::Always), 1 => Just(RestartPolicy::OnFailure), 1 => Just(RestartPolicy::Never),
    ];
    let shapes = ["a", "a b", "i:one a", "i:one s:x i:two a b", "s:x s:y a"];
    (policy, 0..shapes.len(), any::<bool>(), prop::option::weighted(0.3, 0..40u32)).prop_map(
        move |(policy, shape, hook, deletion)| {
            let mut p = pod_of(policy, shapes[shape]);
            p.uid = format!("00000000-0000-8000-8000-00000000000{n}");
            p.deletion_grace_secs = deletion;
            if hook {
                p.containers.iter_mut().for_each(|c| c.pre_stop = Some(Hook::Sleep { secs: 9 }));
            }
            p
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn from_any_state_to_the_desired_one_and_then_rest(
        one in any_pod(1),
        two in any_pod(2),
        gone in any_pod(3),
        stubborn in any::<bool>(),
        containers in prop::collection::vec(any_container(), 0..14),
        boxes in prop::collection::vec((0..3usize, any::<bool>()), 0..5),
    ) {
        let pods = [one, two, gone];
        let d = Desired {
            pods: pods[..2].iter().map(|p| (p.uid.clone(), p.clone())).collect(),
            ..Desired::default()
        };
        let mut o = Observed::default();
        for (i, (n, intact)) in boxes.into_iter().enumerate() {
            o.sandboxes.insert(pods[n].uid.clone(), sandbox(100 + i as u8, intact));
            o.on_disk.insert(pods[n].uid.clone());
        }
        for (n, name, attempt, state, ready, stopping, backoff, unhealthy) in containers {
            let name = ["a", "b", "one", "x", "y", "stranger"][name];
            let (id, mut c) = container(&pods[n % 3], name, attempt, state);
            (c.ready, c.labels.backoff_secs, c.stopping) = (ready, backoff, stopping);
            c.unhealthy = unhealthy.then(|| Unhealthy { message: "failed".into(), grace_secs: None });
            o.attempts.insert(failure_key(&pods[n % 3].uid, Some(name)), 3);
            o.containers.insert(id, c);
        }
        let mut sim = Simulated { observed: o, now: 100.0, octet: 1, stubborn };
        sim.settle(&d).map_err(TestCaseError::fail)?;
        let o = &sim.observed;
        prop_assert!(!o.sandboxes.contains_key(&pods[2].uid) && o.of_pod(&pods[2].uid).next().is_none());
        for p in d.pods.values() {
            let over = course(p, o, sim.now) != Course::Going;
            let running = o.of_pod(&p.uid).filter(|(_, c)| c.state == State::Running).count();
            if p.deletion_grace_secs.is_some() {
                prop_assert_eq!(o.of_pod(&p.uid).count(), 0, "a deleted pod has containers: {:#?}", o);
                prop_assert!(!o.sandboxes.contains_key(&p.uid));
            } else if over {
                prop_assert_eq!(running, 0, "something of a pod at its end runs: {:#?}", o);
                prop_assert!(!o.sandboxes.contains_key(&p.uid));
            } else {
                let due = |c: &Want| !matches!(
                    o.latest(&p.uid, &c.name).map(|(_, c)| c.state),
                    Some(State::Exited { code, .. }) if !lifecycle::restarts(p.restart, c.role, code)
                );
                let all = p.containers.iter().filter(|c| c.role != Role::Init && due(c)).count();
                let main = |c: &Container| {
                    c.state == State::Running && p.container(&c.labels.container).is_some_and(|w| w.role != Role::Init)
                };
                let running = o.of_pod(&p.uid).filter(|(_, c)| main(c)).count();
                prop_assert_eq!(running, all, "not all of {:?} runs: {:#?}", p, o);
            }
        }
        prop_assert_eq!(plan(&d, o, sim.now + 1e6), Plan::default());
        let boxes = sim.observed.sandboxes.clone();
        let since = sim.now;
        while !sim.observed.containers.is_empty() {
            let p = drain(&d, &sim.observed, 10, sim.now);
            p.actions.iter().for_each(|a| sim.apply(a, &d));
            sim.now += 0.5;
            prop_assert!(sim.now < since + 30.0, "containers outlive the system: {:#?}", sim.observed);
        }
        prop_assert_eq!(boxes, sim.observed.sandboxes, "only containers end with the system");
    }
}
