//! Tables over `plan`, and a simulated node on which every plan is carried
//! out: from any state it must come to rest in the desired one.
#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::{
    observed::{Failure, Labels, Sandbox},
    testing::{deployment, desired, service},
};

fn one_pod() -> (Desired, String) {
    let d = desired(&deployment("web", 1, "RollingUpdate", "1"));
    let uid = d.pods.keys().next().unwrap().clone();
    (d, uid)
}

fn container(pod: &Pod, name: &str, attempt: u32, state: State) -> (String, Container) {
    let labels = Labels {
        pod_uid: pod.uid.clone(),
        pod: pod.name.clone(),
        namespace: pod.namespace.clone(),
        deployment: pod.deployment.clone(),
        container: name.into(),
        attempt,
        backoff_secs: 0,
        grace_secs: pod.grace_secs,
    };
    let c = Container { labels, state, ready: true, unhealthy: None, term_sent_at: None };
    (crate::executor::container_id(&pod.uid, name, attempt), c)
}

fn sandbox(octet: u8, intact: bool) -> Sandbox {
    Sandbox { ip: Ipv4Addr::new(10, 244, 0, octet), intact }
}

/// The one pod at rest.
fn running() -> (Desired, Observed, String, String) {
    let (d, uid) = one_pod();
    let pod = &d.pods[&uid];
    let mut o = Observed::default();
    o.sandboxes.insert(uid.clone(), sandbox(2, true));
    for name in ["main", "side"] {
        o.containers.extend([container(pod, name, 0, State::Running)]);
    }
    o.rules = Some(ruleset_input(&d, &o));
    let id = crate::executor::container_id(&uid, "main", 0);
    (d, o, uid, id)
}

fn no_rules(plan: Plan) -> Vec<Action> {
    plan.actions.into_iter().filter(|a| !matches!(a, Action::ApplyRules(_))).collect()
}

fn exited(at: f64, ran_secs: f64) -> State {
    State::Exited { code: 1, at, ran_secs }
}

#[test]
fn nothing_to_do_at_rest() {
    let (d, o, ..) = running();
    assert_eq!(plan(&d, &o, 100.0), Plan::default());
}

#[test]
fn an_empty_node_gets_the_pod_then_its_containers() {
    let (d, uid) = one_pod();
    let mut o = Observed { rules: Some(ruleset_input(&d, &Observed::default())), ..Default::default() };
    assert_eq!(plan(&d, &o, 0.0).actions, [Action::SetupPod { uid: uid.clone() }]);
    o.sandboxes.insert(uid.clone(), sandbox(2, true));
    let start =
        |c: &str| Action::Start { uid: uid.clone(), container: c.into(), attempt: 0, backoff_secs: 0, replaces: None };
    assert_eq!(plan(&d, &o, 0.0).actions, [start("main"), start("side")]);
}

#[test]
fn a_crashed_container_restarts_after_its_delay() {
    for (carried, ran, now, want_attempt, want_next) in [
        (0, 1.0, 50.0, Some(1), 10),
        (10, 1.0, 59.9, None, 0),
        (10, 1.0, 60.0, Some(1), 20),
        (300, 1.0, 349.0, None, 0),
        (300, 700.0, 50.0, Some(1), 10),
    ] {
        let (d, mut o, uid, id) = running();
        let c = o.containers.get_mut(&id).unwrap();
        c.state = exited(50.0, ran);
        c.labels.backoff_secs = carried;
        let p = plan(&d, &o, now);
        let want = want_attempt.map(|attempt| Action::Start {
            uid,
            container: "main".into(),
            attempt,
            backoff_secs: want_next,
            replaces: Some(id),
        });
        if want.is_none() {
            assert_eq!(p.wake_at, Some(50.0 + f64::from(carried)));
        }
        assert_eq!(no_rules(p), Vec::from_iter(want), "carried {carried}, ran {ran}, now {now}");
    }
}

#[test]
fn a_failed_liveness_probe_ends_the_container_politely_then_not() {
    let (d, mut o, _, id) = running();
    o.containers.get_mut(&id).unwrap().unhealthy = Some("status 500".into());
    let term = Action::Signal { id: id.clone(), signal: Signal::Term };
    assert_eq!(no_rules(plan(&d, &o, 10.0)), [term]);
    o.containers.get_mut(&id).unwrap().term_sent_at = Some(10.0);
    let p = plan(&d, &o, 14.9);
    assert_eq!((p.wake_at, no_rules(p)), (Some(15.0), vec![]));
    let kill = Action::Signal { id: id.clone(), signal: Signal::Kill };
    assert_eq!(no_rules(plan(&d, &o, 15.0)), [kill]);
}

#[test]
fn a_pod_that_is_not_ready_gets_no_traffic() {
    let d = desired(&format!("{}---{}", deployment("web", 1, "Recreate", "1"), service("web", 30080)));
    let (_, mut o, _, id) = {
        let uid = d.pods.keys().next().unwrap().clone();
        let mut o = Observed::default();
        o.sandboxes.insert(uid.clone(), sandbox(2, true));
        for name in ["main", "side"] {
            o.containers.extend([container(&d.pods[&uid], name, 0, State::Running)]);
        }
        let id = crate::executor::container_id(&uid, "main", 0);
        (0, o, uid, id)
    };
    let endpoints = |o: &Observed| ruleset_input(&d, o).forwards[0].endpoints.len();
    assert_eq!(endpoints(&o), 1);
    o.containers.get_mut(&id).unwrap().ready = false;
    assert_eq!(endpoints(&o), 0);
    let (c, f) = (o.containers.get_mut(&id).unwrap(), Some(1.0));
    (c.ready, c.term_sent_at) = (true, f);
    assert_eq!(endpoints(&o), 0);
}

#[test]
fn a_failed_action_waits_and_others_go_on() {
    let (d, uid) = one_pod();
    let mut o = Observed::default();
    o.sandboxes.insert(uid.clone(), sandbox(2, true));
    let failure = Failure { message: "no".into(), retry_at: 8.0, delay_secs: 4 };
    o.failures.insert(failure_key(&uid, Some("main")), failure);
    let starts = |now| {
        let p = plan(&d, &o, now);
        (p.wake_at, p.actions.iter().filter(|a| matches!(a, Action::Start { .. })).count())
    };
    assert_eq!(starts(7.0), (Some(8.0), 1));
    assert_eq!(starts(8.0), (None, 2));
}

#[test]
fn a_pod_whose_network_is_gone_is_made_anew() {
    let (d, mut o, uid, id) = running();
    o.sandboxes.insert(uid.clone(), sandbox(2, false));
    let acts = no_rules(plan(&d, &o, 1.0));
    assert!(acts.contains(&Action::Signal { id, signal: Signal::Term }), "{acts:?}");
    o.containers.clear();
    assert_eq!(no_rules(plan(&d, &o, 1.0)), [Action::TeardownPod { uid }]);
}

/// A node on which actions have their effect at once, except that containers
/// named in `stubborn` ignore SIGTERM.
struct Simulated {
    observed: Observed,
    now: f64,
    octet: u8,
    stubborn: bool,
    fewest_ready: usize,
}

impl Simulated {
    fn apply(&mut self, action: &Action, d: &Desired) {
        let o = &mut self.observed;
        match action {
            Action::SetupPod { uid } => {
                assert!(!o.sandboxes.contains_key(uid), "set up twice");
                self.octet += 1;
                o.sandboxes.insert(uid.clone(), sandbox(self.octet, true));
            }
            Action::TeardownPod { uid } => {
                assert!(o.of_pod(uid).next().is_none(), "torn down with containers");
                o.sandboxes.remove(uid);
            }
            Action::Start { uid, container: name, attempt, backoff_secs, replaces } => {
                if let Some(id) = replaces {
                    assert_ne!(o.containers.remove(id).map(|c| c.state), Some(State::Running));
                }
                assert!(o.sandboxes[uid].intact, "started without a network");
                let (id, mut c) = container(&d.pods[uid], name, *attempt, State::Running);
                c.labels.backoff_secs = *backoff_secs;
                c.ready = false;
                assert!(o.containers.insert(id, c).is_none(), "started twice");
            }
            Action::Signal { id, signal } => {
                let now = self.now;
                let c = o.containers.get_mut(id).unwrap();
                c.term_sent_at.get_or_insert(now);
                if *signal == Signal::Kill || !self.stubborn {
                    c.state = exited(now, 1.0);
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
        for _ in 0..400 {
            let p = plan(d, &self.observed, self.now);
            for a in &p.actions {
                self.apply(a, d);
            }
            let ready = self.observed.containers.values().filter(|c| c.labels.container == "main" && c.is_ready());
            self.fewest_ready = self.fewest_ready.min(ready.count());
            if p.actions.is_empty() {
                let waking = self.observed.containers.values().any(|c| c.state == State::Running && !c.ready);
                for c in self.observed.containers.values_mut() {
                    c.ready = c.state == State::Running;
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

    fn is_at(&self, d: &Desired) -> bool {
        self.observed.sandboxes.keys().eq(d.pods.keys())
            && d.pods.values().all(|p| self.observed.pod_ready(p))
            && self.observed.containers.len() == d.pods.values().map(|p| p.containers.len()).sum::<usize>()
            && self.observed.rules == Some(ruleset_input(d, &self.observed))
    }
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        3 => Just(State::Running),
        1 => Just(State::Absent),
        2 => (0.0..100.0f64, 0.0..2000.0f64).prop_map(|(at, ran)| exited(at, ran)),
    ]
}

type AnyContainer = (usize, usize, u32, State, bool, Option<f64>, u32, bool);

fn any_container() -> impl Strategy<Value = AnyContainer> {
    let term = prop::option::of(0.0..100.0f64);
    (0..8usize, 0..3usize, 0..3u32, any_state(), any::<bool>(), term, 0..400u32, any::<bool>())
}

/// Pods of the wanted state, of an older one, and of a Deployment that is gone.
fn scramble(d: &Desired, old: &Desired, containers: Vec<AnyContainer>, boxes: Vec<(usize, bool)>) -> Observed {
    let pods: Vec<&Pod> = d.pods.values().chain(old.pods.values()).collect();
    let mut o = Observed::default();
    for (i, (pod, intact)) in boxes.into_iter().enumerate() {
        let uid = pods[pod % pods.len()].uid.clone();
        o.sandboxes.insert(uid, sandbox(100 + i as u8, intact));
    }
    for (pod, name, attempt, state, ready, term, backoff, unhealthy) in containers {
        let name = ["main", "side", "stranger"][name];
        let (id, mut c) = container(pods[pod % pods.len()], name, attempt, state);
        (c.ready, c.term_sent_at, c.labels.backoff_secs) = (ready, term, backoff);
        c.unhealthy = unhealthy.then(|| "failed".into());
        o.containers.insert(id, c);
    }
    o
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn from_any_state_to_the_desired_one_and_then_rest(
        replicas in 0..4u32,
        rolling in any::<bool>(),
        stubborn in any::<bool>(),
        containers in prop::collection::vec(any_container(), 0..14),
        boxes in prop::collection::vec((0..8usize, any::<bool>()), 0..8),
    ) {
        let strategy = if rolling { "RollingUpdate" } else { "Recreate" };
        let text = |v: &str| format!("{}---{}", deployment("web", replicas, strategy, v), service("web", 30080));
        let d = desired(&text("2"));
        let old = desired(&format!("{}---{}", deployment("web", 3, strategy, "1"), deployment("gone", 1, strategy, "1")));
        let mut sim = Simulated {
            observed: scramble(&d, &old, containers, boxes), now: 100.0, octet: 1, stubborn, fewest_ready: 0,
        };
        sim.settle(&d).map_err(TestCaseError::fail)?;
        prop_assert!(sim.is_at(&d), "rest in the wrong state: {:#?}", sim.observed);
        prop_assert_eq!(plan(&d, &sim.observed, sim.now + 1e6), Plan::default());
    }

    #[test]
    fn a_rolling_update_keeps_all_but_one_pod_ready(replicas in 1..5u32, stubborn in any::<bool>()) {
        let old = desired(&deployment("web", replicas, "RollingUpdate", "1"));
        let new = desired(&deployment("web", replicas, "RollingUpdate", "2"));
        let mut sim = Simulated { observed: Observed::default(), now: 0.0, octet: 1, stubborn, fewest_ready: 0 };
        sim.settle(&old).map_err(TestCaseError::fail)?;
        prop_assert!(sim.is_at(&old));
        sim.fewest_ready = usize::MAX;
        sim.settle(&new).map_err(TestCaseError::fail)?;
        prop_assert!(sim.is_at(&new));
        prop_assert!(sim.fewest_ready + 1 >= replicas as usize, "{} of {replicas}", sim.fewest_ready);
    }
}
