//! What the API asks of the node beside objects.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde_json::{Value, json};
use skerry_api::{Answer, Backend, Duplex, ExecRequest, LogRequest, Streams};
use skerry_formats::{
    status::{OrchestratorStatus, ReleaseRef, UpdaterStatus},
    versioned::Document,
};
use skerry_machinery::{ApiError, Key, Kind, Reason, kind};
use skerry_orchestrator::{
    Handle,
    containerd::{Client, Exec, NewExec},
    logs::{Attached, ReadError, Request},
};
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
    pub handle: Handle,
}

impl NodeBackend {
    pub(crate) fn new(config: &Config, node: &str, store: Store, handle: Handle) -> Arc<Self> {
        let client = skerry_orchestrator::containerd_client(&config.kubelet);
        Arc::new(Self { config: config.clone(), node: node.into(), store, client, handle })
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

    /// Where the log of a container is, and which run is asked for.
    fn log_of(&self, request: &LogRequest) -> Result<(PathBuf, u32), ApiError> {
        let pod = self.pod(&request.namespace, &request.pod)?;
        let name = container(&pod, request.container.as_deref())?;
        let status = container_status(&pod, &name);
        let run = status.map_or(0, |s| u32::try_from(s.restart_count).unwrap_or(0));
        let started = status.is_some_and(|s| s.container_id.is_some());
        let place = format!("\"{name}\" in pod \"{}\"", request.pod);
        if request.previous && run == 0 {
            return Err(ApiError::bad_request(format!("previous terminated container {place} not found")));
        }
        if !started && !request.previous {
            let reason = status.and_then(|s| s.state.as_ref()?.waiting.as_ref()?.reason.clone());
            let reason = reason.unwrap_or_else(|| "ContainerCreating".into());
            return Err(ApiError::bad_request(format!("container {place} is waiting to start: {reason}")));
        }
        let uid = pod.metadata.uid.unwrap_or_default();
        let (kubelet, namespace) = (&self.config.kubelet, &request.namespace);
        Ok((skerry_orchestrator::log_path(kubelet, namespace, &request.pod, &uid, &name, run), run))
    }
}

/// What the API asks for in the words of the log reader.
fn log_request(request: &LogRequest, run: u32, now: Timestamp) -> Result<Request, ApiError> {
    let absolute = request.since_time.as_deref().filter(|t| !t.is_empty()).map(str::parse::<Timestamp>).transpose();
    let absolute = absolute.map_err(|e| ApiError::bad_request(format!("sinceTime: {e}")))?;
    let ago = request.since_seconds.and_then(|s| i64::try_from(s).ok());
    let relative = ago.and_then(|s| now.checked_sub(SignedDuration::from_secs(s)).ok());
    Ok(Request {
        run: Some(run),
        previous: request.previous,
        tail_lines: request.tail_lines,
        since: absolute.or(relative),
        limit_bytes: request.limit_bytes,
        timestamps: request.timestamps,
        follow: request.follow,
    })
}

impl NodeBackend {
    /// The ends of a container's own process for a client.
    fn attached(&self, id: String, attached: Attached, request: &ExecRequest) -> Streams {
        let (resize_to, mut resize) = mpsc::channel::<(u16, u16)>(1);
        let (exit_to, exit) = oneshot::channel();
        let handle = self.handle.clone();
        tokio::spawn(async move {
            let mut exit_to = exit_to;
            let wait = handle.wait(&id);
            tokio::pin!(wait);
            let mut sized = true;
            loop {
                tokio::select! {
                    code = &mut wait => return drop(exit_to.send(code.map_err(internal))),
                    // The client is gone; the container goes on.
                    () = exit_to.closed() => return,
                    size = resize.recv(), if sized => match size {
                        Some((columns, rows)) => handle.resize(&id, columns, rows).await,
                        None => sized = false,
                    },
                }
            }
        });
        Streams {
            stdin: attached.stdin.filter(|_| request.stdin),
            stdout: request.stdout.then_some(attached.stdout),
            stderr: attached.stderr.filter(|_| request.stderr),
            resize: request.tty.then_some(resize_to),
            exit,
        }
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
            let (path, run) = self.log_of(&request)?;
            let wanted = log_request(&request, run, Timestamp::now())?;
            let dir = path.parent().unwrap_or(&path);
            self.handle.log(dir, &wanted).map_err(|e| match e {
                ReadError::NotFound(_) => ApiError::bad_request("the log of this run is not kept any more"),
                other => internal(other),
            })
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
            let id = self.running(&request)?;
            let gone = || ApiError::bad_request(format!("a container of pod {} has just ended", request.pod));
            let attached = self.handle.attach(&id).ok_or_else(gone)?;
            Ok(self.attached(id, attached, &request))
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
