//! How long a pod takes from the API to running and Ready, beside crun alone.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{super::workload, Starts, host::Host};
use crate::tools::run;

/// Pods that are started, one after the other; all stay.
const PODS: u32 = 50;
/// Numbers of pods with which memory is looked at.
const LOOKS: [u32; 3] = [1, 10, 50];
/// Time for memory to come to rest.
const SETTLE: Duration = Duration::from_secs(10);
/// Containers that crun starts on its own.
const CRUN_RUNS: u32 = 20;
/// Path of the pods.
pub const PODS_PATH: &str = "/api/v1/namespaces/default/pods";
/// Time limit of one pod; only a failure reaches it.
const POD_MAX: Duration = Duration::from_secs(120);

type Events = Receiver<Result<(Instant, Value)>>;

/// Start pods.
///
/// # Errors
/// If one does not get Ready.
pub fn measure(host: &Host) -> Result<Starts> {
    let events = follow(host)?;
    let mut out = Starts::default();
    for n in 1..=PODS {
        let name = format!("p{n}");
        let pod = workload::pod(&name);
        // The API closes connections on which nothing is asked for long.
        let mut connection = host.connect()?;
        let begun = Instant::now();
        connection.ask("POST", PODS_PATH, Some(&pod))?;
        let (running, ready) = states(&events, &name)?;
        out.running.push(millis(running - begun));
        out.ready.push(millis(ready - begun));
        if LOOKS.contains(&n) {
            sleep(SETTLE);
            out.looks.push(host.look()?.with(n)?);
        }
    }
    let bundle = host.bundles()?.into_iter().next().context("no container runs")?;
    out.crun = crun(&bundle)?;
    Ok(out)
}

/// All changes of pods, with the time of their arrival.
fn follow(host: &Host) -> Result<Events> {
    let mut watch = host.connect()?.watch(&format!("{PODS_PATH}?watch=1"))?;
    let (sender, events) = channel();
    // Ends with the watch, or when nobody listens any more.
    spawn(move || {
        loop {
            let event = watch.next_event().map(|e| (Instant::now(), e));
            let over = event.is_err();
            if sender.send(event).is_err() || over {
                return;
            }
        }
    });
    Ok(events)
}

/// When a pod was first seen running, and first Ready.
fn states(events: &Events, name: &str) -> Result<(Instant, Instant)> {
    let begun = Instant::now();
    let mut running = None;
    loop {
        let event = events.recv_timeout(POD_MAX.saturating_sub(begun.elapsed()));
        let (at, event) = event.with_context(|| format!("pod {name} does not get Ready"))??;
        let pod = &event["object"];
        if pod["metadata"]["name"] != name {
            continue;
        }
        if !pod["status"]["containerStatuses"][0]["state"]["running"].is_null() {
            running.get_or_insert(at);
        }
        if let Some(running) = running.filter(|_| is_ready(pod)) {
            return Ok((running, at));
        }
    }
}

/// Is the pod Ready?
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

/// What crun alone takes to create and start a container like that of `bundle`.
fn crun(bundle: &Path) -> Result<Vec<f64>> {
    let dir = tempfile::tempdir().context("making a folder for a bundle")?;
    let path = bundle.join("config.json");
    let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut config: Value = serde_json::from_slice(&text).context("reading an OCI configuration")?;
    config["root"]["path"] = bundle.join("rootfs").display().to_string().into();
    let cgroup = config["linux"]["cgroupsPath"].as_str().context("a container without cgroup")?;
    config["linux"]["cgroupsPath"] = format!("{cgroup}-alone").into();
    fs::write(dir.path().join("config.json"), config.to_string()).context("writing an OCI configuration")?;
    let step = |words: &[&str], id: &str| -> Result<()> {
        let mut command = Command::new("crun");
        command.arg("--root").arg(dir.path().join("state")).args(words).arg(id);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        ensure!(quiet.status().context("starting crun")?.success(), "crun {} fails", words.join(" "));
        Ok(())
    };
    let at = dir.path().display().to_string();
    (0..CRUN_RUNS)
        .map(|n| {
            let id = format!("alone-{n}");
            let begun = Instant::now();
            step(&["create", "--bundle", &at], &id)?;
            step(&["start"], &id)?;
            let took = millis(begun.elapsed());
            step(&["delete", "--force"], &id)?;
            Ok(took)
        })
        .collect()
}

/// Milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Version of crun, for the note.
///
/// # Errors
/// If there is none.
pub fn crun_version() -> Result<String> {
    let text = run(Command::new("crun").arg("--version"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ready_is_a_condition() {
        let pod = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        assert!(is_ready(&pod("True")) && !is_ready(&pod("False")) && !is_ready(&json!({})));
    }
}
