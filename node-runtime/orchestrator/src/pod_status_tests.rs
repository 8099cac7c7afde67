//! Tables over `pod_status`.
#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use super::*;
use crate::{
    desired::{RestartPolicy, Waiting},
    observed::{Labels, NodeAddresses, Sandbox},
};

const NOW: i64 = 1_800_000_000;

fn pod(restart: RestartPolicy, roles: &[(&str, Role)]) -> Pod {
    let one = |(name, role): &(&str, Role)| Want { name: (*name).into(), role: *role, ..Want::default() };
    Pod {
        uid: "u".into(),
        name: "p".into(),
        namespace: "n".into(),
        restart,
        containers: roles.iter().map(one).collect(),
        ..Pod::default()
    }
}

fn add(o: &mut Observed, name: &str, code: Option<u32>, at: f64, backoff_secs: u32) {
    let exit = code.map(|code| Exit {
        code,
        reason: if code == 0 { "Completed" } else { "Error" }.into(),
        at,
        ran_secs: 1.0,
        ..Exit::default()
    });
    let state = match &exit {
        Some(e) => State::Exited { code: e.code, at, ran_secs: 1.0 },
        None => State::Running,
    };
    let labels = Labels { pod_uid: "u".into(), container: name.into(), backoff_secs, attempt: 2, ..Labels::default() };
    let c = Container {
        labels,
        state,
        started: true,
        ready: true,
        unhealthy: None,
        stopping: None,
        started_at: None,
        exit,
    };
    o.attempts.insert(failure_key("u", Some(name)), 2);
    o.containers.insert(format!("{name}-2"), c);
}

fn node() -> Observed {
    let node = NodeAddresses { ip: Ipv4Addr::new(192, 0, 2, 1), ip6: "2001:db8::1".parse().ok() };
    let mut o = Observed { node: Some(node), ..Observed::default() };
    let ip6 = "fd00::2".parse().ok();
    o.sandboxes.insert("u".into(), Sandbox { ip: Ipv4Addr::new(10, 244, 0, 2), ip6, intact: true });
    o
}

fn status(pod: &Pod, o: &Observed, previous: Option<&core::PodStatus>, now: f64) -> core::PodStatus {
    let ended = o.containers.iter().filter_map(|(id, c)| Some((c, id, c.exit.clone()?)));
    let ended = ended.map(|(c, id, e)| (failure_key("u", Some(&c.labels.container)), (id.clone(), e))).collect();
    let clock = Timestamp::from_second(NOW + now as i64).unwrap();
    pod_status(&View { pod, observed: o, ended: &ended, previous, now, clock })
}

fn is(s: &core::PodStatus, kind: &str) -> String {
    let c = s.conditions.iter().flatten().find(|c| c.type_ == kind).unwrap();
    format!("{} {}", c.status, c.reason.as_deref().unwrap_or("-"))
}

fn waits(s: &core::PodStatus, n: usize) -> String {
    let c = &s.container_statuses.as_ref().unwrap()[n];
    c.state.as_ref().unwrap().waiting.as_ref().map(|w| w.reason.clone().unwrap()).unwrap_or_default()
}

#[test]
fn a_pod_from_its_start_to_ready() {
    let p = pod(RestartPolicy::Always, &[("one", Role::Init), ("main", Role::Main)]);
    let mut o = node();
    let s = status(&p, &o, None, 0.0);
    assert_eq!((s.phase.as_deref(), waits(&s, 0).as_str()), (Some("Pending"), "PodInitializing"));
    assert_eq!(is(&s, "Initialized"), "False ContainersNotInitialized");
    assert_eq!((s.pod_ip.as_deref(), s.host_ip.as_deref()), (Some("10.244.0.2"), Some("192.0.2.1")));
    let pod_ips: Vec<&str> = s.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect();
    let host_ips: Vec<&str> = s.host_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect();
    assert_eq!((pod_ips, host_ips), (vec!["10.244.0.2", "fd00::2"], vec!["192.0.2.1", "2001:db8::1"]));
    add(&mut o, "one", Some(0), 1.0, 0);
    add(&mut o, "main", None, 1.0, 0);
    let ready = status(&p, &o, Some(&s), 5.0);
    assert_eq!((ready.phase.as_deref(), is(&ready, "Ready").as_str()), (Some("Running"), "True -"));
    assert_eq!(ready.start_time, s.start_time);
    // What did not change keeps its time.
    let later = status(&p, &o, Some(&ready), 50.0);
    assert_eq!(later, ready);
    o.containers.get_mut("main-2").unwrap().ready = false;
    let unready = status(&p, &o, Some(&ready), 60.0);
    assert_eq!(is(&unready, "Ready"), "False ContainersNotReady");
    let time = |s: &core::PodStatus, kind: &str| {
        s.conditions.iter().flatten().find(|c| c.type_ == kind).unwrap().last_transition_time.clone().unwrap().0
    };
    assert_eq!(time(&unready, "Ready").as_second(), NOW + 60);
    assert_eq!(time(&unready, "PodScheduled"), time(&s, "PodScheduled"));
}

#[test]
fn ends_by_policy() {
    use RestartPolicy::*;
    for (policy, code, now, phase, waiting) in [
        (Always, 1, 5.0, "Running", "CrashLoopBackOff"),
        (Always, 0, 5.0, "Running", "CrashLoopBackOff"),
        (Always, 1, 50.0, "Running", ""),
        (OnFailure, 1, 5.0, "Running", "CrashLoopBackOff"),
        (OnFailure, 0, 5.0, "Succeeded", ""),
        (Never, 1, 5.0, "Failed", ""),
        (Never, 0, 5.0, "Succeeded", ""),
    ] {
        let p = pod(policy, &[("main", Role::Main)]);
        let mut o = node();
        add(&mut o, "main", Some(code), 1.0, 40);
        let s = status(&p, &o, None, now);
        assert_eq!((s.phase.as_deref(), waits(&s, 0).as_str()), (Some(phase), waiting), "{policy:?} {code} {now}");
        let c = &s.container_statuses.as_ref().unwrap()[0];
        assert_eq!(c.restart_count, 2);
        if waiting.is_empty() {
            assert!(c.state.as_ref().unwrap().terminated.is_some());
        } else {
            let text = c.state.as_ref().unwrap().waiting.as_ref().unwrap().message.clone().unwrap();
            assert_eq!(text, "back-off 40s restarting failed container=main pod=p_n(u)");
            assert!(c.last_state.as_ref().unwrap().terminated.is_some());
        }
        let again = status(&p, &o, Some(&s), now);
        assert_eq!(again, s);
    }
}

#[test]
fn reasons_of_waiting_and_deadlines() {
    let mut p = pod(RestartPolicy::Always, &[("main", Role::Main)]);
    p.containers[0].waiting = Some(Waiting { reason: "ErrImageNeverPull".into(), message: "no".into() });
    assert_eq!(waits(&status(&p, &node(), None, 1.0), 0), "ErrImageNeverPull");
    p.containers[0].waiting = None;
    assert_eq!(waits(&status(&p, &node(), None, 1.0), 0), "ContainerCreating");
    p.deadline_secs = Some(10);
    let mut o = node();
    o.pods_started.insert("u".into(), 0.0);
    add(&mut o, "main", Some(137), 11.0, 0);
    let s = status(&p, &o, None, 11.0);
    assert_eq!((s.phase.as_deref(), s.reason.as_deref()), (Some("Failed"), Some("DeadlineExceeded")));
    // The end of a pod is final.
    let s = status(&p, &node(), Some(&s), 12.0);
    assert_eq!((s.phase.as_deref(), s.reason.as_deref()), (Some("Failed"), Some("DeadlineExceeded")));
}

#[test]
fn an_evicted_pod_says_why_for_good() {
    let p = pod(RestartPolicy::Always, &[("main", Role::Main)]);
    let mut o = node();
    add(&mut o, "main", None, 1.0, 0);
    let running = status(&p, &o, None, 5.0);
    o.evicted.insert("u".into(), "too much. ".into());
    let going = status(&p, &o, Some(&running), 6.0);
    assert_eq!((going.phase.as_deref(), going.reason.as_deref()), (Some("Running"), Some("Evicted")));
    o.containers.clear();
    add(&mut o, "main", Some(137), 7.0, 0);
    let gone = status(&p, &o, Some(&going), 7.0);
    assert_eq!((gone.phase.as_deref(), gone.reason.as_deref()), (Some("Failed"), Some("Evicted")));
    assert_eq!(gone.message.as_deref(), Some("too much. "));
    assert_eq!(is(&gone, "Ready"), "False PodFailed");
    // After a restart of this process.
    let later = status(&p, &node(), Some(&gone), 60.0);
    assert_eq!((later.reason.as_deref(), later.message.as_deref()), (Some("Evicted"), Some("too much. ")));
}
