//! What others in this process do with the containers that run here: read their
//! logs, attach to them.

use std::{path::Path, sync::Arc};

use tokio::sync::mpsc;

use crate::{
    config::Config,
    containerd::Client,
    logs::{self, Attached, Live, ReadError, Request},
};

/// Access to what runs. Cheap to clone; make one before [`crate::serve_with`]
/// and give it that.
#[derive(Clone)]
pub struct Handle {
    live: Arc<Live>,
    client: Client,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// A handle for an orchestrator with this configuration.
    pub fn new(config: &Config) -> Self {
        let bytes_max = logs::node_bytes_max(config.logs_bytes_max, &config.logs_dir);
        Self { live: Arc::new(Live::new(&config.logs_dir, bytes_max)), client: crate::containerd_client(config) }
    }

    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.clone()
    }

    /// Read the log of a container, whose files are in `dir` (the parent of
    /// [`crate::log_path`]). Must be called within the runtime. `follow` ends
    /// when the run does.
    ///
    /// # Errors
    /// There is no such log, or it cannot be read.
    pub fn log(&self, dir: &Path, request: &Request) -> Result<mpsc::Receiver<Vec<u8>>, ReadError> {
        logs::read(dir, request, |file| self.live.progress(file))
    }

    /// Attach to the container with this id; `None`: it does not run. Must be
    /// called within the runtime.
    ///
    /// Its output from now on comes in pieces; a client that takes them too
    /// slowly loses its connection, the container and its log go on. There is
    /// an input where the container has `stdin: true`, until its `stdinOnce` is
    /// used up or this process was restarted: the shim sees the end of the
    /// input then. The exit status comes from [`Client::wait`].
    pub fn attach(&self, id: &str) -> Option<Attached> {
        let (client, container) = (self.client.clone(), id.to_owned());
        self.live.attach(id, async move { client.close_stdin(&container).await })
    }

    /// New size of the terminal of a container.
    pub async fn resize(&self, id: &str, columns: u16, rows: u16) {
        self.client.resize(id, columns, rows).await;
    }

    /// Exit status of a running container, once it has ended.
    ///
    /// # Errors
    /// containerd does not answer, or the container is gone.
    pub async fn wait(&self, id: &str) -> Result<u32, crate::containerd::RuntimeError> {
        self.client.wait(id).await
    }
}
