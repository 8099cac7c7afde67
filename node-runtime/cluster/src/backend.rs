//! What the API asks of the node beside objects.

use std::{path::PathBuf, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde_json::{Value, json};
use skerry_api::{Answer, Backend, Duplex, ExecRequest, LogRequest, Streams};
use skerry_formats::{
    status::{OrchestratorStatus, ReleaseRef, UpdaterStatus},
    versioned::Document,
};
use skerry_machinery::{ApiError, Key, Kind, Reason, kind};
use skerry_orchestrator::containerd::{Client, Exec, NewExec};
use skerry_store::Store;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{Config, metrics};

/// Pieces on their way in each direction.
const PIECES: usize = 8;
/// Size of a piece.
const PIECE_BYTES: usize = 8 << 10;
/// Time for a pod to take a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The node.
pub(crate) struct NodeBackend {
    pub config: Config,
    pub node: String,
    pub store: Store,
    pub client: Client,
}

impl NodeBackend {
    pub(crate) fn new(config: &Config, node: &str, store: Store) -> Arc<Self> {
        let client = skerry_orchestrator::containerd_client(&config.kubelet);
        Arc::new(Self { config: config.clone(), node: node.into(), store, client })
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<Pod, ApiError> {
        let key = Key::new(kind("", "Pod"), namespace, name);
        let stored = self.store.get(&key).ok_or_else(|| ApiError::not_found(key.kind, name))?;
        stored.typed()
    }

    /// containerd's id of a running container.
    fn running(&self, request: &ExecRequest) -> Result<String, ApiError> {
        let pod = self.pod(&request.namespace, &request.pod)?;
        let name = container(&pod, request.container.as_deref())?;
        let status = container_status(&pod, &name);
        let running = status.is_some_and(|s| s.state.as_ref().is_some_and(|s| s.running.is_some()));
        let id = status.and_then(|s| s.container_id.as_deref()).and_then(|id| id.strip_prefix("containerd://"));
        match id.filter(|_| running) {
            Some(id) => Ok(id.to_owned()),
            None => Err(ApiError::bad_request(format!("container {name} of pod {} is not running", request.pod))),
        }
    }

    fn log_dir_and_run(&self, request: &LogRequest) -> Result<(PathBuf, String), ApiError> {
        let pod = self.pod(&request.namespace, &request.pod)?;
        let name = container(&pod, request.container.as_deref())?;
        let status = container_status(&pod, &name);
        let restarts = status.map_or(0, |s| u32::try_from(s.restart_count).unwrap_or(0));
        let started = status.is_some_and(|s| s.container_id.is_some());
        let why = |text: String| Err(ApiError::bad_request(text));
        let run = match (request.previous, restarts) {
            (true, 0) => {
                return why(format!("previous terminated container \"{name}\" in pod \"{}\" not found", request.pod));
            }
            (true, n) => n - 1,
            (false, n) => n,
        };
        if !started && !request.previous {
            let reason = status.and_then(|s| s.state.as_ref()?.waiting.as_ref()?.reason.clone());
            let reason = reason.unwrap_or_else(|| "ContainerCreating".into());
            return why(format!("container \"{name}\" in pod \"{}\" is waiting to start: {reason}", request.pod));
        }
        let uid = pod.metadata.uid.unwrap_or_default();
        let path =
            skerry_orchestrator::log_path(&self.config.kubelet, &request.namespace, &request.pod, &uid, &name, run);
        Ok((path, name))
    }
}

/// Annotation that names the container which people mean.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

fn container(pod: &Pod, wanted: Option<&str>) -> Result<String, ApiError> {
    let spec = pod.spec.as_ref();
    let main = spec.map(|s| s.containers.as_slice()).unwrap_or_default();
    let init = spec.and_then(|s| s.init_containers.as_deref()).unwrap_or_default();
    let names: Vec<&str> = main.iter().chain(init).map(|c| c.name.as_str()).collect();
    let default = || pod.metadata.annotations.as_ref()?.get(DEFAULT_CONTAINER).map(String::as_str);
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    match wanted.filter(|w| !w.is_empty()).or_else(default) {
        Some(name) if names.contains(&name) => Ok(name.into()),
        Some(name) => Err(ApiError::bad_request(format!("container {name} is not valid for pod {pod_name}"))),
        None if main.len() == 1 => Ok(names[0].into()),
        None => {
            let list = names.join(" ");
            let text = format!("a container name must be specified for pod {pod_name}, choose one of: [{list}]");
            Err(ApiError::bad_request(text))
        }
    }
}

fn container_status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = status.container_statuses.iter().chain(status.init_container_statuses.iter()).flatten();
    all.into_iter().find(|c| c.name == name)
}

fn internal(e: impl std::fmt::Display) -> ApiError {
    ApiError::internal(e.to_string())
}

impl Backend for NodeBackend {
    fn logs(&self, request: LogRequest) -> Answer<'_, mpsc::Receiver<Vec<u8>>> {
        Box::pin(async move {
            let (path, _) = self.log_dir_and_run(&request)?;
            crate::logs::read(&path, &request).await
        })
    }

    fn exec(&self, request: ExecRequest) -> Answer<'_, Streams> {
        Box::pin(async move {
            let new = NewExec {
                container: self.running(&request)?,
                args: request.command.clone(),
                tty: request.tty,
                stdin: request.stdin,
                dir: self.config.kubelet.run_dir.join("exec"),
            };
            let exec = self.client.exec(new).await.map_err(internal)?;
            Ok(streams(exec, &request))
        })
    }

    fn attach(&self, request: ExecRequest) -> Answer<'_, Streams> {
        Box::pin(async move {
            self.running(&request)?;
            Err(ApiError::new(
                Reason::MethodNotAllowed,
                "attach is not supported by this node yet; use logs -f or exec",
            ))
        })
    }

    fn connect<'a>(&'a self, namespace: &'a str, pod: &'a str, port: u16) -> Answer<'a, Box<dyn Duplex>> {
        Box::pin(async move {
            let object = self.pod(namespace, pod)?;
            let ip = object.status.as_ref().and_then(|s| s.pod_ip.clone());
            let ip = ip.ok_or_else(|| ApiError::bad_request(format!("pod {pod} has no address yet")))?;
            let refused = |why: String| {
                ApiError::new(Reason::ServiceUnavailable, format!("connecting to port {port} of pod {pod}: {why}"))
            };
            match timeout(CONNECT, TcpStream::connect(format!("{ip}:{port}"))).await {
                Ok(Ok(stream)) => Ok(Box::new(stream) as Box<dyn Duplex>),
                Ok(Err(e)) => Err(refused(e.to_string())),
                Err(_) => Err(refused("timed out".into())),
            }
        })
    }

    fn view<'a>(&'a self, kind: &'static Kind, namespace: Option<&'a str>) -> Answer<'a, Vec<Value>> {
        Box::pin(async move {
            Ok(match kind.kind {
                "NodeMetrics" => metrics::node(&self.node).await,
                "PodMetrics" => {
                    let (_, pods) = self.store.list(skerry_machinery::kind("", "Pod"), namespace);
                    let pods: Vec<Pod> = pods.iter().filter_map(|p| p.typed().ok()).collect();
                    metrics::pods(&pods, &self.config.kubelet.cgroup_parent).await
                }
                "Release" => {
                    read::<UpdaterStatus>(&self.config.updater_status).map(|u| releases(&u)).unwrap_or_default()
                }
                _ => vec![],
            })
        })
    }

    fn not_ready(&self) -> Option<String> {
        match read::<OrchestratorStatus>(&self.config.kubelet.status) {
            None => Some("the kubelet part has not looked yet".into()),
            Some(s) => s.containerd_error.map(|e| format!("containerd: {e}")),
        }
    }
}

pub(crate) fn read<D: Document>(path: &std::path::Path) -> Option<D> {
    D::parse(&std::fs::read(path).ok()?).ok()
}

/// Releases of the node as objects.
fn releases(u: &UpdaterStatus) -> Vec<Value> {
    let one = |r: &ReleaseRef, state: &str| {
        json!({
            "apiVersion": "os.skerry.dev/v1", "kind": "Release",
            "metadata": {"name": format!("{}-{}", u.product, r.sequence.0), "creationTimestamp": null},
            "spec": {"product": u.product, "board": u.board, "version": r.version, "sequence": r.sequence.0},
            "status": {"state": state},
        })
    };
    let mut out = vec![];
    out.extend(u.previous.iter().map(|r| one(r, "Previous")));
    out.push(one(&u.running, if u.blessed { "Running" } else { "OnTrial" }));
    out.extend(u.candidate.iter().map(|r| one(r, "Candidate")));
    for f in &u.failed {
        let mut object = one(&f.release, "Failed");
        object["status"]["reason"] = json!(f.reason);
        out.push(object);
    }
    out
}

/// The ends of a program for a client.
fn streams(mut exec: Exec, request: &ExecRequest) -> Streams {
    let (stdin_to, stdin) = mpsc::channel::<Vec<u8>>(PIECES);
    let (stdout_to, stdout) = mpsc::channel(PIECES);
    let (stderr_to, stderr) = mpsc::channel(PIECES);
    let (resize_to, resize) = mpsc::channel(1);
    let (exit_to, exit) = oneshot::channel();
    let has_stderr = exec.stderr.is_some();
    if let Some(error) = exec.stderr.take() {
        tokio::spawn(copy_out(error, stderr_to));
    }
    tokio::spawn(supervise(exec, stdin, resize, stdout_to, exit_to));
    Streams {
        stdin: request.stdin.then_some(stdin_to),
        stdout: request.stdout.then_some(stdout),
        stderr: (request.stderr && has_stderr).then_some(stderr),
        resize: request.tty.then_some(resize_to),
        exit,
    }
}

async fn copy_out(mut from: impl tokio::io::AsyncRead + Unpin, to: mpsc::Sender<Vec<u8>>) {
    let mut buf = vec![0; PIECE_BYTES];
    while let Ok(n @ 1..) = from.read(&mut buf).await {
        if to.send(buf[..n].to_vec()).await.is_err() {
            return;
        }
    }
}

/// Feed the program, wait for its end, and end it when nobody wants it any
/// more.
async fn supervise(
    mut exec: Exec,
    mut stdin: mpsc::Receiver<Vec<u8>>,
    mut resize: mpsc::Receiver<(u16, u16)>,
    stdout: mpsc::Sender<Vec<u8>>,
    mut exit: oneshot::Sender<Result<u32, ApiError>>,
) {
    const KILL: u32 = 9;
    let wait = exec.waiter();
    tokio::pin!(wait);
    let mut buf = vec![0; PIECE_BYTES];
    let (mut input_open, mut output_open, mut sized) = (exec.stdin.is_some(), true, true);
    let mut ended = None;
    while output_open || ended.is_none() {
        tokio::select! {
            code = &mut wait, if ended.is_none() => ended = Some(code),
            n = exec.stdout.read(&mut buf), if output_open => match n {
                Ok(n @ 1..) if stdout.send(buf[..n].to_vec()).await.is_ok() => {}
                _ => output_open = false,
            },
            piece = stdin.recv(), if input_open => {
                let taken = match (piece, &mut exec.stdin) {
                    (Some(piece), Some(to)) => to.write_all(&piece).await.is_ok(),
                    _ => false,
                };
                if !taken {
                    input_open = false;
                    exec.close_stdin().await;
                }
            }
            size = resize.recv(), if sized => match size {
                Some((columns, rows)) => exec.resize(columns, rows).await,
                None => sized = false,
            },
            () = exit.closed(), if ended.is_none() => exec.kill(KILL).await,
            // A child that lives on may hold the output open.
            () = tokio::time::sleep(Duration::from_secs(1)), if ended.is_some() => break,
        }
    }
    let code = ended.unwrap_or(Ok(0));
    exec.close().await;
    let _ = exit.send(code.map_err(internal));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::apis::meta::v1::ObjectMeta};

    use super::*;

    fn pod(names: &[&str], default: Option<&str>) -> Pod {
        let containers = names.iter().map(|n| core::Container { name: (*n).into(), ..Default::default() }).collect();
        let annotations = default.map(|d| [(DEFAULT_CONTAINER.to_owned(), d.to_owned())].into());
        Pod {
            metadata: ObjectMeta { name: Some("p".into()), annotations, ..Default::default() },
            spec: Some(core::PodSpec { containers, ..Default::default() }),
            status: None,
        }
    }

    #[test]
    fn which_container_is_meant() {
        for (names, default, wanted, found) in [
            (&["a"][..], None, None, Ok("a")),
            (&["a", "b"], None, Some("b"), Ok("b")),
            (&["a", "b"], Some("b"), None, Ok("b")),
            (&["a", "b"], None, None, Err("choose one of: [a b]")),
            (&["a"], None, Some("x"), Err("container x is not valid for pod p")),
        ] {
            match (container(&pod(names, default), wanted), found) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(got), Err(want)) => assert!(got.message.contains(want), "{}", got.message),
                other => panic!("{other:?}"),
            }
        }
    }
}
