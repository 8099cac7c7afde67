//! What runs beside the loop and reports back to it, above all lifecycle hooks.

use std::time::Duration;

use super::Executor;
use crate::{
    containerd::{Outcome, Runtime},
    desired::{Desired, Hook, Pod},
    host::Host,
    observed::HookState,
    probes::{self, ExecFn},
    storage::Usage,
};

/// Longest time for a postStart hook; Kubernetes knows no limit.
pub(super) const POST_START_SECS: u32 = 600;
/// Longest time for the answer to a hook's request.
const HTTP_SECS: u64 = 30;

/// What happened beside the loop.
#[derive(Debug, Clone)]
pub(crate) enum Happened {
    /// Something with a task: look again.
    Look,
    /// A hook has ended.
    Hook {
        /// Container.
        id: String,
        /// Which.
        which: Which,
        /// `Err`: why it failed.
        result: Result<(), String>,
    },
    /// Disk space of pods was measured.
    Measured {
        /// By uid.
        usages: Vec<(String, Usage)>,
        /// How long it took.
        took: Duration,
    },
}

/// Which hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Right after the start.
    PostStart,
    /// Before SIGTERM.
    PreStop,
}

impl<R: Runtime, H: Host> Executor<R, H> {
    /// Run a hook beside the loop.
    pub(super) fn spawn_hook(&self, id: &str, pod: &Pod, hook: &Hook, limit_secs: u32, which: Which) {
        let ip = self.host.sandboxes().get(&pod.uid).map(|s| s.ip);
        let (id, hook, exec, report) = (id.to_owned(), hook.clone(), self.exec.clone(), self.happened.clone());
        tokio::spawn(async move {
            let limit = Duration::from_secs(limit_secs.into());
            let result = run(&id, ip, &hook, limit, &exec).await;
            let _ = report.send(Happened::Hook { id, which, result }).await;
        });
    }

    /// Note what happened.
    pub(crate) fn note(&mut self, happened: Happened, desired: &Desired, now: f64) {
        match happened {
            Happened::Look => {}
            Happened::Hook { id, which, result } => self.note_hook(&id, which, result, desired),
            Happened::Measured { usages, took } => self.note_usage(&usages, took, desired, now),
        }
    }

    fn note_hook(&mut self, id: &str, which: Which, result: Result<(), String>, desired: &Desired) {
        match which {
            Which::PreStop => {
                if let Some(s) = self.memory.stopping.get_mut(id) {
                    s.hook = HookState::Done;
                }
            }
            Which::PostStart => match &result {
                Ok(()) => drop(self.memory.post_start.remove(id)),
                Err(why) => {
                    if let Some(state) = self.memory.post_start.get_mut(id) {
                        *state = Some(why.clone());
                    }
                }
            },
        }
        if let Some((why, (pod, container))) = result.err().zip(self.place(id, desired)) {
            let (reason, name) = match which {
                Which::PreStop => ("FailedPreStopHook", "PreStopHook"),
                Which::PostStart => ("FailedPostStartHook", "PostStartHook"),
            };
            self.memory.tell(pod, Some(container), true, reason, &format!("{name} failed: {why}"));
            self.memory.event(format!("{}/{}: container {container}: {name} failed: {why}", pod.namespace, pod.name));
        }
    }
}

async fn run(
    id: &str,
    ip: Option<std::net::Ipv4Addr>,
    hook: &Hook,
    limit: Duration,
    exec: &ExecFn,
) -> Result<(), String> {
    match hook {
        Hook::Sleep { secs } => {
            tokio::time::sleep(Duration::from_secs((*secs).into()).min(limit)).await;
            Ok(())
        }
        Hook::Http(request) => {
            let ip = ip.ok_or("the pod has no network")?;
            probes::get(ip, request, limit.min(Duration::from_secs(HTTP_SECS))).await
        }
        Hook::Exec(command) => match exec(id.to_owned(), command.clone(), limit).await? {
            Outcome { code: 0, .. } => Ok(()),
            Outcome { code, output } => Err(format!("command exited with {code}: {}", output.trim())),
        },
    }
}
