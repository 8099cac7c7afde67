//! Programs in a running container: for probes, hooks, and the API's exec.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use containerd_client::{
    services::v1::{
        CloseIoRequest, DeleteProcessRequest, ExecProcessRequest, GetContainerRequest, KillRequest, ResizePtyRequest,
        StartRequest, WaitRequest, tasks_client::TasksClient,
    },
    tonic::Code,
};
use prost_types::Any;
use tokio::{io::AsyncReadExt, net::unix::pipe, time::timeout};

use super::{Client, RuntimeError};
use crate::logs::make_fifo;

/// Output of a probe or hook that is kept.
pub const OUTPUT_BYTES_MAX: usize = 10 << 10;
/// Time for output that is still on its way when the program has ended.
const DRAIN: Duration = Duration::from_secs(1);

/// A program to run in a container.
#[derive(Debug, Clone)]
pub struct NewExec {
    /// Container id.
    pub container: String,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Terminal? Then there is no error output of its own.
    pub tty: bool,
    /// Is there an input?
    pub stdin: bool,
    /// Existing folder for its FIFOs.
    pub dir: PathBuf,
}

/// A program that runs in a container. [`Exec::close`] it at the end: its FIFOs
/// and containerd's record of it go then.
#[derive(Debug)]
pub struct Exec {
    client: Client,
    container: String,
    id: String,
    fifos: Vec<PathBuf>,
    /// To its input.
    pub stdin: Option<pipe::Sender>,
    /// Its output.
    pub stdout: pipe::Receiver,
    /// Its error output; `None`: it has a terminal.
    pub stderr: Option<pipe::Receiver>,
}

/// How a short program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Exit status.
    pub code: u32,
    /// Both outputs, at most [`OUTPUT_BYTES_MAX`].
    pub output: String,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Client {
    /// Run a program with its ends in our hands.
    ///
    /// # Errors
    /// containerd refused it: no such program, no such container.
    pub async fn exec(&self, new: NewExec) -> Result<Exec, RuntimeError> {
        let refused = |detail: String| RuntimeError::Refused { operation: "exec", id: new.container.clone(), detail };
        let process = self.process(&new).await?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Not used before by a process of ours that is no more.
        let id = format!("x{}-{number}", skerry_platform::clock::boottime_secs().to_bits());
        let path = |end: &str| new.dir.join(format!("{id}.{end}"));
        let (input, output, error) = (path("in"), path("out"), path("err"));
        let mut fifos = vec![output.clone()];
        fifos.extend((!new.tty).then(|| error.clone()));
        fifos.extend(new.stdin.then(|| input.clone()));
        let receiver = |p: &Path| pipe::OpenOptions::new().open_receiver(p);
        let open = || -> std::io::Result<_> {
            fifos.iter().try_for_each(|f| make_fifo(f))?;
            let error = if new.tty { None } else { Some(receiver(&error)?) };
            // Read and write, or it could not be opened before the other side.
            let input = new.stdin.then(|| pipe::OpenOptions::new().read_write(true).open_sender(&input));
            Ok((input.transpose()?, receiver(&output)?, error))
        };
        let (stdin, stdout, stderr) = open().map_err(|e| refused(e.to_string()))?;
        let text = |wanted: bool, p: &Path| if wanted { p.display().to_string() } else { String::new() };
        let request = ExecProcessRequest {
            container_id: new.container.clone(),
            exec_id: id.clone(),
            stdin: text(new.stdin, &input),
            stdout: text(true, &output),
            stderr: text(!new.tty, &error),
            terminal: new.tty,
            spec: Some(process),
        };
        let exec = Exec { client: self.clone(), container: new.container.clone(), id, fifos, stdin, stdout, stderr };
        let fail = self.error("exec", &new.container);
        let mut started = self.tasks().exec(self.request(request)).await.map(|_| ());
        if started.is_ok() {
            let start = StartRequest { container_id: exec.container.clone(), exec_id: exec.id.clone() };
            started = self.tasks().start(self.request(start)).await.map(|_| ());
        }
        match started {
            Ok(()) => Ok(exec),
            Err(e) => {
                exec.close().await;
                Err(fail(e))
            }
        }
    }

    /// The container's own process, with other arguments.
    async fn process(&self, new: &NewExec) -> Result<Any, RuntimeError> {
        let get = GetContainerRequest { id: new.container.clone() };
        let answer = self.containers().get(self.request(get)).await.map_err(self.error("exec", &new.container))?;
        let spec = answer.into_inner().container.and_then(|c| c.spec).unwrap_or_default();
        let unreadable = |e: serde_json::Error| RuntimeError::Refused {
            operation: "exec",
            id: new.container.clone(),
            detail: format!("its spec is unreadable: {e}"),
        };
        let spec: serde_json::Value = serde_json::from_slice(&spec.value).map_err(unreadable)?;
        let mut process = spec["process"].clone();
        process["args"] = serde_json::json!(new.args);
        process["terminal"] = serde_json::json!(new.tty);
        Ok(Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".into(),
            value: serde_json::to_vec(&process).map_err(unreadable)?,
        })
    }

    /// Run a short program to its end, which comes by force when `limit` is
    /// over.
    ///
    /// # Errors
    /// It could not be started, or did not end in time.
    pub async fn run(&self, new: NewExec, limit: Duration) -> Result<Outcome, String> {
        let mut exec = self.exec(new).await.map_err(|e| e.to_string())?;
        let mut output = vec![];
        let ended = timeout(limit, exec.wait_and_read(&mut output)).await;
        if ended.is_err() {
            exec.kill(9).await;
        }
        exec.close().await;
        match ended {
            Err(_) => Err(format!("command timed out after {} s", limit.as_secs())),
            Ok(code) => {
                Ok(Outcome { code: code.map_err(|e| e.to_string())?, output: String::from_utf8_lossy(&output).into() })
            }
        }
    }
}

impl Exec {
    /// Its exit status, once it has ended; an error if containerd does not
    /// answer. Holds nothing of this value.
    pub fn waiter(&self) -> impl Future<Output = Result<u32, RuntimeError>> + Send + 'static {
        let (client, container) = (self.client.clone(), self.container.clone());
        let request = WaitRequest { container_id: container.clone(), exec_id: self.id.clone() };
        async move {
            let mut tasks = TasksClient::new(client.events.clone());
            let ended = tasks.wait(client.request(request)).await;
            Ok(ended.map_err(client.error("exec", &container))?.into_inner().exit_status)
        }
    }

    async fn wait_and_read(&mut self, output: &mut Vec<u8>) -> Result<u32, RuntimeError> {
        let request = WaitRequest { container_id: self.container.clone(), exec_id: self.id.clone() };
        let mut tasks = TasksClient::new(self.client.events.clone());
        let request = self.client.request(request);
        let wait = async { tasks.wait(request).await };
        let (stdout, stderr) = (&mut self.stdout, &mut self.stderr);
        let read = async {
            let mut error = vec![];
            let other = async {
                if let Some(e) = stderr {
                    take(e, &mut error).await;
                }
            };
            tokio::join!(take(stdout, output), other);
            output.extend(error);
            output.truncate(OUTPUT_BYTES_MAX);
        };
        tokio::pin!(read, wait);
        let mut all_read = false;
        let ended = loop {
            tokio::select! {
                ended = &mut wait => break ended,
                () = &mut read, if !all_read => all_read = true,
            }
        };
        if !all_read {
            // A child that lives on may hold the output open.
            let _ = timeout(DRAIN, read).await;
        }
        Ok(ended.map_err(self.client.error("exec", &self.container))?.into_inner().exit_status)
    }

    /// New size of its terminal.
    pub async fn resize(&self, columns: u16, rows: u16) {
        let request = ResizePtyRequest {
            container_id: self.container.clone(),
            exec_id: self.id.clone(),
            width: columns.into(),
            height: rows.into(),
        };
        let _ = self.client.tasks().resize_pty(self.client.request(request)).await;
    }

    /// No more input.
    pub async fn close_stdin(&mut self) {
        self.stdin = None;
        let request = CloseIoRequest { container_id: self.container.clone(), exec_id: self.id.clone(), stdin: true };
        let _ = self.client.tasks().close_io(self.client.request(request)).await;
    }

    /// Send a signal; a program that is gone is fine.
    pub async fn kill(&self, signal: u32) {
        let request = KillRequest {
            container_id: self.container.clone(),
            exec_id: self.id.clone(),
            signal,
            ..Default::default()
        };
        match self.client.tasks().kill(self.client.request(request)).await {
            Err(s) if s.code() != Code::NotFound => tracing::debug!("exec in {}: {}", self.container, s.message()),
            _ => {}
        }
    }

    /// Remove what is left of it.
    pub async fn close(self) {
        let request = DeleteProcessRequest { container_id: self.container.clone(), exec_id: self.id.clone() };
        if self.client.tasks().delete_process(self.client.request(request.clone())).await.is_err() {
            // It was killed a moment ago.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let _ = self.client.tasks().delete_process(self.client.request(request)).await;
        }
        for fifo in &self.fifos {
            let _ = std::fs::remove_file(fifo);
        }
    }
}

/// Read to the end; what is over the limit is thrown away. A FIFO that nobody
/// has opened for writing yet is at its end too, so this comes after the start.
async fn take(from: &mut pipe::Receiver, into: &mut Vec<u8>) {
    let mut buf = vec![0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buf).await {
        let room = OUTPUT_BYTES_MAX.saturating_sub(into.len());
        into.extend_from_slice(&buf[..n.min(room)]);
    }
}
