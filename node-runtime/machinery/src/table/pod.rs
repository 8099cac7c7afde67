//! The status of a pod in one word, and its other cells.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::{seconds_between, since},
    human_duration,
    look::{at, condition_true, int, items, or_none, text, text_or},
};

/// Cells of a pod.
pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let sums = summarize(pod);
    let restarts = match sums.restarts.last {
        Some(last) if sums.restarts.count > 0 => {
            format!("{} ({} ago)", sums.restarts.count, human_duration(seconds_between(last, now)))
        }
        _ => sums.restarts.count.to_string(),
    };
    vec![
        text(pod, "metadata.name").into(),
        format!("{}/{}", sums.ready, sums.total).into(),
        sums.reason.into(),
        restarts.into(),
        since(at(pod, "metadata.creationTimestamp").as_str(), now).into(),
        or_none(items(pod, "status.podIPs").map(|ip| text(ip, "ip")).next().unwrap_or_default().into()).into(),
        text_or(pod, "spec.nodeName", "<none>").into(),
        text_or(pod, "status.nominatedNodeName", "<none>").into(),
        readiness_gates(pod).into(),
    ]
}

/// Marks rows of pods that have ended, so that clients can tell them apart.
pub(super) fn row_conditions(pod: &Value) -> Value {
    let (reason, message) = match text(pod, "status.phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return Value::Null,
    };
    json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}])
}

fn readiness_gates(pod: &Value) -> String {
    let gates: Vec<&str> = items(pod, "spec.readinessGates").map(|g| text(g, "conditionType")).collect();
    match gates.len() {
        0 => "<none>".into(),
        all => format!("{}/{all}", gates.iter().filter(|g| condition_true(pod, g)).count()),
    }
}

/// Restarts of some containers, and when the last one was.
#[derive(Default, Clone, Copy)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += int(status, "restartCount");
        let finished = text(status, "lastState.terminated.finishedAt").parse().ok();
        self.last = self.last.max(finished);
    }
}

struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: Restarts,
}

/// One pass over the init containers, then, unless one of them still has to
/// end, one over the containers.
fn summarize(pod: &Value) -> Summary {
    let sidecars: Vec<&str> = items(pod, "spec.initContainers")
        .filter(|c| text(c, "restartPolicy") == "Always")
        .map(|c| text(c, "name"))
        .collect();
    let mut sums = Summary {
        reason: text_or(pod, "status.reason", text(pod, "status.phase")).into(),
        ready: 0,
        total: items(pod, "spec.containers").count() + sidecars.len(),
        restarts: Restarts::default(),
    };
    let gated = |c: &Value| text(c, "type") == "PodScheduled" && text(c, "reason") == "SchedulingGated";
    if items(pod, "status.conditions").any(gated) {
        sums.reason = "SchedulingGated".into();
    }
    let (initializing, of_sidecars) = init_containers(pod, &sidecars, &mut sums);
    if !initializing || condition_true(pod, "Initialized") {
        sums.restarts = of_sidecars;
        containers(pod, &mut sums);
    }
    if !at(pod, "metadata.deletionTimestamp").is_null() {
        if text(pod, "status.reason") == "NodeLost" {
            sums.reason = "Unknown".into();
        } else if !matches!(text(pod, "status.phase"), "Succeeded" | "Failed") {
            sums.reason = "Terminating".into();
        }
    }
    sums
}

/// Is one still to end? And the restarts of those that stay.
fn init_containers(pod: &Value, sidecars: &[&str], sums: &mut Summary) -> (bool, Restarts) {
    let mut of_sidecars = Restarts::default();
    for (i, status) in items(pod, "status.initContainerStatuses").enumerate() {
        sums.restarts.add(status);
        let sidecar = sidecars.contains(&text(status, "name"));
        if sidecar {
            of_sidecars.add(status);
        }
        let terminated = at(status, "state.terminated");
        if !terminated.is_null() && int(terminated, "exitCode") == 0 {
            continue;
        }
        if sidecar && at(status, "started") == true {
            sums.ready += usize::from(at(status, "ready") == true);
            continue;
        }
        let waiting = text(status, "state.waiting.reason");
        sums.reason = if !terminated.is_null() {
            format!("Init:{}", ended(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{i}/{}", items(pod, "spec.initContainers").count())
        };
        return (true, of_sidecars);
    }
    (false, of_sidecars)
}

/// The first container that is not simply running gives the reason.
fn containers(pod: &Value, sums: &mut Summary) {
    let mut running = false;
    for status in items(pod, "status.containerStatuses").rev() {
        sums.restarts.add(status);
        let (waiting, terminated) = (text(status, "state.waiting.reason"), at(status, "state.terminated"));
        if !waiting.is_empty() {
            sums.reason = waiting.into();
        } else if !terminated.is_null() {
            sums.reason = ended(terminated);
        } else if at(status, "ready") == true && !at(status, "state.running").is_null() {
            running = true;
            sums.ready += 1;
        }
    }
    if sums.reason == "Completed" && running {
        sums.reason = if condition_true(pod, "Ready") { "Running" } else { "NotReady" }.into();
    }
}

fn ended(terminated: &Value) -> String {
    match (text(terminated, "reason"), int(terminated, "signal")) {
        ("", 0) => format!("ExitCode:{}", int(terminated, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(spec: Value, status: Value) -> String {
        shown_with(json!({"name": "p"}), spec, status)
    }

    fn shown_with(metadata: Value, spec: Value, status: Value) -> String {
        let pod = json!({"metadata": metadata, "spec": spec, "status": status});
        let cells = cells(&pod, "2026-01-01T00:10:00Z".parse().unwrap());
        cells[1..4].iter().map(|c| c.as_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn containers() {
        let one = json!({"containers": [{"name": "a"}]});
        let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        let running = json!({"name": "b", "ready": true, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}});
        let done = json!({"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
        for (spec, status, expected) in [
            (&one, json!({"phase": "Pending"}), "0/1 Pending 0"),
            (
                &one,
                json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}),
                "0/1 ContainerCreating 0",
            ),
            (&one, json!({"phase": "Running", "containerStatuses": [running]}), "1/1 Running 0"),
            (
                &one,
                json!({"phase": "Running", "containerStatuses": [{
                    "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:05:00Z"}}}]}),
                "0/1 CrashLoopBackOff 3 (5m ago)",
            ),
            (&one, json!({"phase": "Succeeded", "containerStatuses": [done]}), "0/1 Completed 0"),
            (
                &one,
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
                "0/1 Error 0",
            ),
            (
                &one,
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}),
                "0/1 OOMKilled 0",
            ),
            (
                &one,
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}),
                "0/1 ExitCode:3 0",
            ),
            (
                &one,
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 1, "signal": 9}}}]}),
                "0/1 Signal:9 0",
            ),
            (&one, json!({"phase": "Failed", "reason": "Evicted"}), "0/1 Evicted 0"),
            (&two, json!({"phase": "Running", "containerStatuses": [done, running]}), "1/2 NotReady 0"),
            (
                &two,
                json!({"phase": "Running", "containerStatuses": [done, running],
                    "conditions": [{"type": "Ready", "status": "True"}]}),
                "1/2 Running 0",
            ),
        ] {
            assert_eq!(shown(spec.clone(), status), expected);
        }
    }

    #[test]
    fn init_containers() {
        let spec = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
        let sidecar =
            json!({"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]});
        let done = json!({"name": "i", "state": {"terminated": {"exitCode": 0}}});
        let waits = json!({"state": {"waiting": {"reason": "PodInitializing"}}});
        for (spec, status, expected) in [
            (&spec, json!({"phase": "Pending", "initContainerStatuses": [waits, waits]}), "0/1 Init:0/2 0"),
            (&spec, json!({"phase": "Pending", "initContainerStatuses": [done, waits]}), "0/1 Init:1/2 0"),
            (
                &spec,
                json!({"phase": "Pending", "initContainerStatuses": [{"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
                "0/1 Init:CrashLoopBackOff 2",
            ),
            (
                &spec,
                json!({"phase": "Pending", "initContainerStatuses": [{"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
                "0/1 Init:Error 0",
            ),
            (
                &spec,
                json!({"phase": "Pending", "initContainerStatuses": [{"state": {"terminated": {"exitCode": 4}}}]}),
                "0/1 Init:ExitCode:4 0",
            ),
            (
                &spec,
                json!({"phase": "Pending", "initContainerStatuses": [done, done], "containerStatuses": [waits]}),
                "0/1 PodInitializing 0",
            ),
            (
                &sidecar,
                json!({"phase": "Running",
                    "initContainerStatuses": [{"name": "s", "started": true, "ready": true, "restartCount": 1, "state": {"running": {}}}],
                    "containerStatuses": [{"ready": true, "state": {"running": {}}}]}),
                "2/2 Running 1",
            ),
        ] {
            assert_eq!(shown(spec.clone(), status), expected);
        }
    }

    #[test]
    fn being_deleted() {
        let gone = json!({"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let spec = json!({"containers": [{}]});
        assert_eq!(shown_with(gone.clone(), spec.clone(), json!({"phase": "Running"})), "0/1 Terminating 0");
        assert_eq!(shown_with(gone.clone(), spec.clone(), json!({"phase": "Succeeded"})), "0/1 Succeeded 0");
        assert_eq!(shown_with(gone, spec, json!({"phase": "Running", "reason": "NodeLost"})), "0/1 Unknown 0");
    }

    #[test]
    fn wide() {
        let pod = json!({
            "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "box", "readinessGates": [{"conditionType": "x"}, {"conditionType": "y"}]},
            "status": {"phase": "Failed", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "x", "status": "True"}]},
        });
        let cells = cells(&pod, "2026-01-01T00:10:00Z".parse().unwrap());
        assert_eq!(json!(cells), json!(["p", "0/0", "Failed", "0", "10m", "10.0.0.1", "box", "<none>", "1/2"]));
        assert_eq!(row_conditions(&pod)[0]["reason"], "Failed");
    }
}
