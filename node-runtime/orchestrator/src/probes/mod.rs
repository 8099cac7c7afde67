//! Probes: one small task per probe of a running container; the verdict is
//! counted here, in [`Verdict`], without looking at a clock.

mod grpc;
mod http;
mod tls;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{net::TcpStream, sync::mpsc, task::AbortHandle, time::timeout};

pub(crate) use http::get;

use crate::{
    containerd::Outcome,
    desired::{Check, Probe},
};

/// Runs a program in a container: container id, arguments, time.
pub(crate) type ExecFn =
    Arc<dyn Fn(String, Vec<String>, Duration) -> BoxFuture<'static, Result<Outcome, String>> + Send + Sync>;

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Has it come up? The others wait for it.
    Startup,
    /// May it get traffic?
    Readiness,
    /// Must it be restarted?
    Liveness,
}

impl Kind {
    /// In messages.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// One attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Container.
    pub(crate) id: String,
    /// Probe.
    pub(crate) kind: Kind,
    /// `Err`: why it failed, one line.
    pub(crate) outcome: Result<(), String>,
}

/// Successes and failures in a row, turned into good or bad.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    good: bool,
    successes: u32,
    failures: u32,
    decided_bad: bool,
    last_error: Option<String>,
}

impl Verdict {
    /// Before the first attempt: not Ready, but alive.
    pub(crate) fn new(kind: Kind) -> Self {
        Self { good: kind == Kind::Liveness, successes: 0, failures: 0, decided_bad: false, last_error: None }
    }

    /// Count one attempt.
    pub(crate) fn record(&mut self, outcome: Result<(), String>, probe: &Probe) {
        match outcome {
            Ok(()) => {
                (self.successes, self.failures) = (self.successes.saturating_add(1), 0);
                if self.successes >= probe.success_threshold {
                    (self.good, self.last_error) = (true, None);
                }
            }
            Err(why) => {
                (self.successes, self.failures) = (0, self.failures.saturating_add(1));
                self.last_error = Some(why);
                if self.failures >= probe.failure_threshold {
                    (self.good, self.decided_bad) = (false, true);
                }
            }
        }
    }

    /// Good as far as is known?
    pub(crate) fn is_good(&self) -> bool {
        self.good
    }

    /// Failed as often as it may?
    pub(crate) fn has_failed(&self) -> bool {
        self.decided_bad && !self.good
    }

    /// Why the last attempt failed.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }
}

/// A probe that shall run.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Container.
    pub(crate) id: String,
    /// For what.
    pub(crate) kind: Kind,
    /// Address of the pod.
    pub(crate) ip: Ipv4Addr,
    /// How.
    pub(crate) probe: Probe,
    /// Seconds since the container started.
    pub(crate) age_secs: f64,
}

/// All probes.
pub(crate) struct Prober {
    running: BTreeMap<(String, Kind), (Probe, Verdict, AbortHandle)>,
    results: mpsc::Sender<Attempt>,
    exec: ExecFn,
}

/// What an attempt brought.
pub(crate) struct Recorded {
    /// Is the verdict another now?
    pub(crate) changed: bool,
    /// Why it failed, for an event.
    pub(crate) failure: Option<String>,
}

impl Prober {
    /// No probe yet; attempts go to `results`.
    pub(crate) fn new(results: mpsc::Sender<Attempt>, exec: ExecFn) -> Self {
        Self { running: BTreeMap::new(), results, exec }
    }

    /// Start what is wanted and does not run, stop the rest.
    pub(crate) fn sync(&mut self, wanted: Vec<Wanted>) {
        let keys: BTreeSet<(String, Kind)> = wanted.iter().map(|w| (w.id.clone(), w.kind)).collect();
        self.running.retain(|k, (_, _, task)| {
            let keep = keys.contains(k);
            if !keep {
                task.abort();
            }
            keep
        });
        for w in wanted {
            self.running.entry((w.id.clone(), w.kind)).or_insert_with(|| {
                let task = tokio::spawn(attempts(w.clone(), self.results.clone(), self.exec.clone())).abort_handle();
                (w.probe, Verdict::new(w.kind), task)
            });
        }
    }

    /// Count an attempt.
    pub(crate) fn record(&mut self, a: Attempt) -> Recorded {
        let Some((probe, verdict, task)) = self.running.get_mut(&(a.id, a.kind)) else {
            return Recorded { changed: false, failure: None };
        };
        let failure = a.outcome.clone().err();
        let before = (verdict.is_good(), verdict.has_failed());
        verdict.record(a.outcome, probe);
        // Once up is up for good.
        if a.kind == Kind::Startup && verdict.is_good() {
            task.abort();
        }
        Recorded { changed: (verdict.is_good(), verdict.has_failed()) != before, failure }
    }

    /// Verdict of a probe that runs.
    pub(crate) fn verdict(&self, id: &str, kind: Kind) -> Option<&Verdict> {
        self.running.get(&(id.to_owned(), kind)).map(|(_, v, _)| v)
    }
}

async fn attempts(w: Wanted, results: mpsc::Sender<Attempt>, exec: ExecFn) {
    let delay = f64::from(w.probe.initial_delay_secs) - w.age_secs;
    tokio::time::sleep(Duration::from_secs_f64(delay.max(0.0))).await;
    let mut tick = tokio::time::interval(Duration::from_secs(w.probe.period_secs.into()));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let outcome = once(&w, &exec).await;
        if results.send(Attempt { id: w.id.clone(), kind: w.kind, outcome }).await.is_err() {
            return;
        }
    }
}

async fn once(w: &Wanted, exec: &ExecFn) -> Result<(), String> {
    let limit = Duration::from_secs(w.probe.timeout_secs.into());
    match &w.probe.check {
        Check::Http(request) => get(w.ip, request, limit).await,
        Check::Tcp { host, port } => {
            let host = host.clone().unwrap_or_else(|| w.ip.to_string());
            match timeout(limit, TcpStream::connect((host.as_str(), *port))).await {
                Err(_) => Err(format!("dial tcp {host}:{port}: i/o timeout")),
                Ok(Err(e)) => Err(format!("dial tcp {host}:{port}: {e}")),
                Ok(Ok(_)) => Ok(()),
            }
        }
        Check::Grpc { port, service } => grpc::check(w.ip, *port, service, limit).await,
        Check::Exec(command) => match exec(w.id.clone(), command.clone(), limit).await {
            Ok(Outcome { code: 0, .. }) => Ok(()),
            Ok(Outcome { code, output }) if output.trim().is_empty() => Err(format!("exit status {code}")),
            Ok(Outcome { output, .. }) => Err(output.trim().to_owned()),
            Err(why) => Err(why),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(success_threshold: u32, failure_threshold: u32) -> Probe {
        Probe {
            check: Check::Exec(vec![]),
            grace_secs: None,
            initial_delay_secs: 0,
            period_secs: 1,
            timeout_secs: 1,
            success_threshold,
            failure_threshold,
        }
    }

    #[test]
    fn thresholds_count_attempts_in_a_row() {
        for (kind, ok, bad, attempts, want) in [
            (Kind::Startup, 1, 3, "", false),
            (Kind::Startup, 1, 3, "--+", true),
            (Kind::Readiness, 1, 3, "", false),
            (Kind::Readiness, 1, 3, "+", true),
            (Kind::Readiness, 2, 3, "+-+", false),
            (Kind::Readiness, 2, 3, "++", true),
            (Kind::Readiness, 1, 3, "+--", true),
            (Kind::Readiness, 1, 3, "+---", false),
            (Kind::Readiness, 1, 3, "+--+--", true),
            (Kind::Liveness, 1, 3, "", true),
            (Kind::Liveness, 1, 3, "--", true),
            (Kind::Liveness, 1, 3, "---", false),
            (Kind::Liveness, 1, 1, "-", false),
        ] {
            let mut v = Verdict::new(kind);
            for a in attempts.chars() {
                v.record(if a == '+' { Ok(()) } else { Err("refused".into()) }, &probe(ok, bad));
            }
            assert_eq!(v.is_good(), want, "{kind:?} {ok}/{bad} {attempts}");
        }
    }
}
