//! The real containerd, over its socket.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use containerd_client::{
    services::v1::{
        CloseIoRequest, Container, CreateContainerRequest, CreateTaskRequest, DeleteContainerRequest,
        DeleteTaskRequest, KillRequest, ListContainersRequest, ListTasksRequest, ResizePtyRequest, StartRequest,
        SubscribeRequest, UpdateContainerRequest, WaitRequest, container::Runtime as RuntimeRef,
        containers_client::ContainersClient, events_client::EventsClient, tasks_client::TasksClient,
    },
    tonic::{
        Code, Request, Status,
        transport::{Channel, Endpoint},
    },
    types::{Mount, v1::Status as TaskStatus},
};
use hyper_util::rt::TokioIo;
use prost::Message;
use prost_types::Any;
use tokio::{net::UnixStream, sync::mpsc};

use super::{Listed, NewContainer, Runtime, RuntimeError, Task, from_map};

/// Longest time for one call; a shim that hangs must not hang us.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// `containerd.runc.v1.Options`, the fields that are used.
#[derive(Clone, PartialEq, prost::Message)]
struct RuncOptions {
    #[prost(string, tag = "6")]
    binary_name: String,
    #[prost(string, tag = "7")]
    root: String,
}

/// Connection to containerd. Cheap to clone; reconnects by itself.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    /// Without a call timeout: silence is normal on the event stream, and for
    /// one who waits for an end.
    pub(super) events: Channel,
    socket: PathBuf,
    namespace: String,
    runtime: String,
    options: Any,
}

impl Client {
    /// A client for the containerd at `socket`. Does not connect yet.
    pub fn new(socket: &Path, namespace: &str, runtime: &str, oci_runtime: &Path, state: &Path) -> Self {
        let endpoint = || Endpoint::from_static("http://containerd.invalid");
        let options = RuncOptions {
            binary_name: oci_runtime.display().to_string(),
            // Explicit, so that it is the same for every containerd version.
            root: state.join("oci").display().to_string(),
        };
        Self {
            channel: connect(endpoint().timeout(CALL_TIMEOUT), socket),
            events: connect(endpoint(), socket),
            socket: socket.into(),
            namespace: namespace.into(),
            runtime: runtime.into(),
            options: Any { type_url: "containerd.runc.v1.Options".into(), value: options.encode_to_vec() },
        }
    }

    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Ok(namespace) = self.namespace.parse() {
            request.metadata_mut().insert("containerd-namespace", namespace);
        }
        request
    }

    pub(super) fn error(&self, operation: &'static str, id: &str) -> impl Fn(Status) -> RuntimeError {
        let (socket, id) = (self.socket.display().to_string(), id.to_owned());
        move |status| match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
                RuntimeError::Unreachable { socket: socket.clone(), detail: status.message().to_owned() }
            }
            _ => RuntimeError::Refused { operation, id: id.clone(), detail: status.message().to_owned() },
        }
    }

    pub(super) fn containers(&self) -> ContainersClient<Channel> {
        ContainersClient::new(self.channel.clone())
    }

    pub(super) fn tasks(&self) -> TasksClient<Channel> {
        TasksClient::new(self.channel.clone())
    }

    /// Send `look` to `wake` on every task event, for ever. An event only says
    /// "look again", so a lost one costs time and nothing else.
    ///
    /// containerd sends the response headers with the first event only, so
    /// this must run in a task of its own.
    pub async fn watch_events<T: Clone + Send>(self, wake: mpsc::Sender<T>, look: T) {
        loop {
            let filters = vec![format!("namespace=={},topic~=^/tasks/(exit|oom)$", self.namespace)];
            let mut events = EventsClient::new(self.events.clone());
            if let Ok(stream) = events.subscribe(Request::new(SubscribeRequest { filters })).await {
                let mut stream = stream.into_inner();
                while let Ok(Some(_)) = stream.message().await {
                    // A full queue holds a wake-up already.
                    let _ = wake.try_send(look.clone());
                }
            }
            let _ = wake.try_send(look.clone());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn create_task(&self, new: &NewContainer) -> Result<u32, RuntimeError> {
        let rootfs = Mount {
            r#type: new.rootfs.kind.clone(),
            source: new.rootfs.source.clone(),
            target: String::new(),
            options: new.rootfs.options.clone(),
        };
        let create = CreateTaskRequest {
            container_id: new.id.clone(),
            rootfs: vec![rootfs],
            terminal: new.terminal,
            stdin: new.stdin.clone(),
            stdout: new.stdout.clone(),
            stderr: new.stderr.clone(),
            options: Some(self.options.clone()),
            ..Default::default()
        };
        self.tasks().create(self.request(create)).await.map_err(self.error("create task", &new.id))?;
        let start = StartRequest { container_id: new.id.clone(), ..Default::default() };
        let started = self.tasks().start(self.request(start)).await.map_err(self.error("start", &new.id))?;
        Ok(started.into_inner().pid)
    }
}

/// The container's own process, for clients that are attached to it.
impl Client {
    /// Exit status of a running container, once it has ended.
    ///
    /// # Errors
    /// containerd does not answer, or the container is gone.
    pub async fn wait(&self, id: &str) -> Result<u32, RuntimeError> {
        let request = WaitRequest { container_id: id.into(), ..Default::default() };
        let ended = TasksClient::new(self.events.clone()).wait(self.request(request)).await;
        Ok(ended.map_err(self.error("wait", id))?.into_inner().exit_status)
    }

    /// New size of its terminal; without one nothing happens.
    pub async fn resize(&self, id: &str, columns: u16, rows: u16) {
        let request = ResizePtyRequest {
            container_id: id.into(),
            width: columns.into(),
            height: rows.into(),
            ..Default::default()
        };
        let _ = self.tasks().resize_pty(self.request(request)).await;
    }

    /// No more input.
    pub async fn close_stdin(&self, id: &str) {
        let request = CloseIoRequest { container_id: id.into(), stdin: true, ..Default::default() };
        let _ = self.tasks().close_io(self.request(request)).await;
    }
}

impl Client {
    async fn delete_task(&self, id: &str) -> Result<(), RuntimeError> {
        let delete = DeleteTaskRequest { container_id: id.into() };
        match self.tasks().delete(self.request(delete.clone())).await {
            Ok(_) => return Ok(()),
            Err(s) if s.code() == Code::NotFound => return Ok(()),
            Err(_) => {}
        }
        // Created, or still running: end it, then try once more.
        self.signal(id, 9).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        match self.tasks().delete(self.request(delete)).await {
            Err(s) if s.code() == Code::NotFound => Ok(()),
            other => other.map(|_| ()).map_err(self.error("delete", id)),
        }
    }
}

/// A channel that connects at the first call and again after a failure.
fn connect(endpoint: Endpoint, socket: &Path) -> Channel {
    let path = socket.to_owned();
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
        let path = path.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    }))
}

fn task_state(p: &containerd_client::types::v1::Process) -> Task {
    match p.status() {
        // Unknown: its shim did not answer in time, as happens on a busy box.
        // Tasks without a shim are not listed at all. Taken for gone, it would
        // be ended and started again.
        TaskStatus::Running | TaskStatus::Paused | TaskStatus::Pausing | TaskStatus::Unknown => {
            Task::Running { pid: p.pid }
        }
        TaskStatus::Stopped => Task::Stopped { code: p.exit_status, at: p.exited_at.and_then(system_time) },
        TaskStatus::Created => Task::None,
    }
}

fn system_time(t: prost_types::Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(t).ok()
}

impl Runtime for Client {
    async fn list(&self) -> Result<Vec<Listed>, RuntimeError> {
        let containers = self
            .containers()
            .list(self.request(ListContainersRequest::default()))
            .await
            .map_err(self.error("list", "containers"))?
            .into_inner()
            .containers;
        let tasks = self
            .tasks()
            .list(self.request(ListTasksRequest::default()))
            .await
            .map_err(self.error("list", "tasks"))?
            .into_inner()
            .tasks;
        // Older versions fill only `id`, newer ones `container_id` too.
        let states: HashMap<&str, Task> = tasks.iter().map(|p| (p.id.as_str(), task_state(p))).collect();
        let listed = |c: Container| Listed {
            task: states.get(c.id.as_str()).cloned().unwrap_or(Task::None),
            labels: from_map(&c.labels),
            created: c.created_at.and_then(system_time),
            id: c.id,
        };
        Ok(containers.into_iter().map(listed).collect())
    }

    async fn start(&self, new: NewContainer) -> Result<u32, RuntimeError> {
        let container = Container {
            id: new.id.clone(),
            image: new.image.clone(),
            labels: new.labels.clone().into_iter().collect(),
            runtime: Some(RuntimeRef { name: self.runtime.clone(), options: Some(self.options.clone()) }),
            spec: Some(Any {
                type_url: "types.containerd.io/opencontainers/runtime-spec/1/Spec".into(),
                value: new.spec.clone(),
            }),
            ..Default::default()
        };
        let create = CreateContainerRequest { container: Some(container) };
        self.containers().create(self.request(create)).await.map_err(self.error("create container", &new.id))?;
        self.create_task(&new).await
    }

    async fn settle(&self, id: &str, labels: BTreeMap<String, String>) -> Result<(), RuntimeError> {
        let refused = || self.error("settle", id);
        let container = Container { id: id.into(), labels: labels.into_iter().collect(), ..Default::default() };
        let update = UpdateContainerRequest {
            container: Some(container),
            update_mask: Some(prost_types::FieldMask { paths: vec!["labels".into()] }),
        };
        self.containers().update(self.request(update)).await.map_err(refused())?;
        self.delete_task(id).await
    }

    async fn signal(&self, id: &str, signal: u32) -> Result<(), RuntimeError> {
        let kill = KillRequest { container_id: id.into(), signal, all: signal == 9, ..Default::default() };
        match self.tasks().kill(self.request(kill)).await {
            Err(s) if s.code() == Code::NotFound => Ok(()),
            other => other.map(|_| ()).map_err(self.error("kill", id)),
        }
    }

    async fn remove(&self, id: &str) -> Result<(), RuntimeError> {
        self.delete_task(id).await?;
        let delete = DeleteContainerRequest { id: id.into() };
        match self.containers().delete(self.request(delete)).await {
            Err(s) if s.code() == Code::NotFound => Ok(()),
            other => other.map(|_| ()).map_err(self.error("delete", id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_does_not_answer_in_time_is_not_taken_for_gone() {
        let task = |status: TaskStatus, pid| {
            task_state(&containerd_client::types::v1::Process { status: status.into(), pid, ..Default::default() })
        };
        assert_eq!(task(TaskStatus::Running, 7), Task::Running { pid: 7 });
        assert_eq!(task(TaskStatus::Unknown, 0), Task::Running { pid: 0 });
        assert_eq!(task(TaskStatus::Created, 7), Task::None);
    }
}
