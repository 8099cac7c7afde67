//! The health gate: what must hold before a release is blessed.

use std::time::Duration;

use skerry_formats::{
    baked::HealthCheck,
    status::{HEARTBEAT_SECS_MAX, OrchestratorStatus},
};
use skerry_update_core::Problem;

/// Time between two looks at the gate.
pub const POLL_SECS: u64 = 2;

fn problem(what: impl Into<String>, why: impl Into<String>) -> Problem {
    Problem { what: what.into(), why: why.into() }
}

/// Judge the orchestrator's document; `None`: there is none.
///
/// # Errors
/// The first thing that does not hold.
pub fn judge(doc: Option<&OrchestratorStatus>, boot_secs: u64) -> Result<(), Problem> {
    let Some(doc) = doc else {
        return Err(problem("orchestrator: no status", "it has not started or cannot write its status"));
    };
    let age = boot_secs.saturating_sub(doc.heartbeat_secs);
    if age > HEARTBEAT_SECS_MAX {
        return Err(problem(format!("orchestrator: silent for {age} s"), ""));
    }
    // A heartbeat from the future is one of an earlier boot.
    if doc.heartbeat_secs > boot_secs + 1 {
        return Err(problem("orchestrator: no status of this boot", ""));
    }
    if let Some(error) = &doc.containerd_error {
        return Err(problem("containerd: not answering", error));
    }
    if let Some(error) = doc.manifest_errors.first() {
        return Err(problem("manifests: not usable", error));
    }
    match doc.workloads.iter().find(|w| w.ready != w.desired) {
        None => Ok(()),
        Some(w) => {
            Err(problem(format!("workload {}/{}: {}/{} Ready", w.namespace, w.name, w.ready, w.desired), &w.message))
        }
    }
}

/// Run the user's checks, one after the other.
///
/// # Errors
/// The first check that does not pass.
pub async fn user_checks(checks: &[HealthCheck]) -> Result<(), Problem> {
    if checks.is_empty() {
        return Ok(());
    }
    let failed = |c: &HealthCheck, why: String| problem(format!("health check {}: not passing", c.name), why);
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|e| problem("health checks: no HTTP client", e.to_string()))?;
    for c in checks {
        let limit = Duration::from_secs(c.timeout_secs.max(1));
        let answer = client.get(&c.url).timeout(limit).send().await;
        let status = match answer {
            Ok(r) => r.status().as_u16(),
            Err(e) if e.is_timeout() => return Err(failed(c, format!("no answer within {} s", limit.as_secs()))),
            Err(e) => return Err(failed(c, e.without_url().to_string())),
        };
        if status != c.expect_status {
            return Err(failed(c, format!("status {status} instead of {}", c.expect_status)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use skerry_formats::{status::WorkloadStatus, versioned::Document as _};

    use super::*;

    fn doc() -> OrchestratorStatus {
        let workload = |name: &str| WorkloadStatus {
            kind: "Deployment".into(),
            namespace: "default".into(),
            name: name.into(),
            desired: 2,
            ready: 2,
            message: String::new(),
            restarts: 0,
        };
        OrchestratorStatus {
            format: OrchestratorStatus::header(),
            node: "n".into(),
            heartbeat_secs: 100,
            containerd_error: None,
            manifest_errors: vec![],
            workloads: vec![workload("a"), workload("b")],
            events: vec![],
        }
    }

    #[test]
    fn every_single_condition_can_keep_the_gate_shut() {
        type Break = fn(&mut OrchestratorStatus);
        let cases: [(&str, Break); 6] = [
            ("orchestrator: silent for 31 s", |d| d.heartbeat_secs = 69),
            ("orchestrator: no status of this boot", |d| d.heartbeat_secs = 5000),
            ("containerd: not answering", |d| d.containerd_error = Some("no socket".into())),
            ("manifests: not usable", |d| d.manifest_errors.push("a.yaml: bad".into())),
            ("workload default/b: 1/2 Ready", |d| d.workloads[1].ready = 1),
            ("workload default/a: 3/2 Ready", |d| d.workloads[0].ready = 3),
        ];
        assert_eq!(judge(Some(&doc()), 100), Ok(()));
        assert_eq!(judge(Some(&doc()), 130), Ok(()));
        assert!(judge(None, 100).is_err());
        for (what, break_it) in cases {
            let mut d = doc();
            break_it(&mut d);
            assert_eq!(judge(Some(&d), 100).map_err(|p| p.what), Err(what.to_owned()));
        }
    }
}
