//! An API server on loopback, with a node that is made up.
#![allow(clippy::unwrap_used, dead_code)]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use skerry_api::{
    Answer, Api, Backend, Duplex, ExecRequest, Limits, LogRequest, OpenApi, Parts, Streams, Tls,
    auth::tokens::Tokens,
    pki::{Names, Pki, kubeconfig},
    serve,
};
use skerry_machinery::{ApiError, Kind, Reason};
use skerry_store::{
    Admission, AllowAll, FieldValidation, Lookup, Operation, Part, Registry, Review, Store, StoreOptions,
    SystemEnvironment,
};
use tokio::{
    net::TcpListener,
    sync::{Barrier, mpsc, oneshot},
};

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    pub registry: Registry,
    pub pki: Pki,
    pub tls: Tls,
    pub dir: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(StoreOptions::default(), OpenApi::default(), Limits::default()).await
    }

    pub async fn with(options: StoreOptions, openapi: OpenApi, limits: Limits) -> Self {
        Self::admitting(options, openapi, limits, Arc::new(AllowAll)).await
    }

    /// With the fields of the node.
    pub async fn strict() -> Self {
        Self::admitting(StoreOptions::default(), OpenApi::of_kinds(), Limits::default(), Arc::new(Fields)).await
    }

    async fn admitting(options: StoreOptions, openapi: OpenApi, limits: Limits, admission: Arc<dyn Admission>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(&dir.path().join("pki")).unwrap();
        let names = Names { node: "box-1".into(), ..Names::default() };
        let tls = Tls::new(&pki, &pki.server(&names, Timestamp::now()).unwrap()).unwrap();
        let registry = Registry::new(Store::in_memory(&options), admission, Arc::new(SystemEnvironment));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let api = Api::new(Parts {
            registry: registry.clone(),
            backend: Arc::new(MadeUp { followed: Arc::new(Barrier::new(FOLLOWED_TOGETHER)) }),
            tokens: Tokens::new(dir.path().join("tokens.json")),
            openapi,
            version: "test".into(),
            now: Timestamp::now,
        });
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(listener, tls.clone(), api, limits, async {
            let _ = stopped.await;
        }));
        let server = Self { address, registry, pki, tls, dir, _stop: stop };
        server.seed();
        server
    }

    /// A pod, made without a client.
    pub fn pod(&self, name: &str, app: &str) {
        let kind = skerry_machinery::kind("", "Pod");
        let pod = json!({
            "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
            "spec": {"containers": [{"name": "main", "image": "one:1"}]}, "status": {"phase": "Running"},
        });
        self.registry.create(kind, "default", pod, &Default::default()).unwrap();
    }

    fn seed(&self) {
        let kind = skerry_machinery::kind("", "Namespace");
        let default = json!({"metadata": {"name": "default"}, "status": {"phase": "Active"}});
        self.registry.create(kind, "", default, &Default::default()).unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    pub fn tokens_path(&self) -> PathBuf {
        self.dir.path().join("tokens.json")
    }

    /// The administrator's kubeconfig, in a file.
    pub fn kubeconfig(&self) -> PathBuf {
        let path = self.dir.path().join("admin.kubeconfig");
        let leaf = self.pki.admin(Timestamp::now()).unwrap();
        let text = kubeconfig("box-1", &self.url(""), self.pki.ca_pem(), "admin", &leaf);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A client that is nobody.
    pub fn anonymous(&self) -> reqwest::Client {
        self.builder().build().unwrap()
    }

    /// A client with a certificate.
    pub fn client(&self, user: &str, group: &str) -> reqwest::Client {
        let leaf = self.pki.client(user, group, Timestamp::now()).unwrap();
        let pem = format!("{}{}", leaf.certificate_pem, leaf.key_pem);
        self.builder().identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap()).build().unwrap()
    }

    pub fn admin(&self) -> reqwest::Client {
        self.client("admin", "system:masters")
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        let ca = reqwest::Certificate::from_pem(self.pki.ca_pem().as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([ca])
    }
}

/// An API that is called without connections, its folder and its objects.
pub fn without_connections() -> (Arc<Api>, tempfile::TempDir, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::in_memory(&StoreOptions::default());
    let registry = Registry::new(store, Arc::new(Fields), Arc::new(SystemEnvironment));
    let namespace = json!({"metadata": {"name": "default"}, "status": {"phase": "Active"}});
    registry.create(skerry_machinery::kind("", "Namespace"), "", namespace, &Default::default()).unwrap();
    let api = Api::new(Parts {
        registry: registry.clone(),
        backend: Arc::new(MadeUp { followed: Arc::new(Barrier::new(FOLLOWED_TOGETHER)) }),
        tokens: Tokens::new(dir.path().join("tokens.json")),
        openapi: OpenApi::of_kinds(),
        version: "test".into(),
        now: Timestamp::now,
    });
    (api, dir, registry)
}

/// Defaults and checks of single objects, as the node has them.
struct Fields;

impl Admission for Fields {
    fn review(&self, review: &mut Review<'_>, _: &dyn Lookup) -> Result<(), ApiError> {
        if !matches!(review.operation, Operation::Create | Operation::Update(Part::Main)) {
            return Ok(());
        }
        let validation = match review.field_validation {
            FieldValidation::Strict => skerry_workloads::FieldValidation::Strict,
            FieldValidation::Warn => skerry_workloads::FieldValidation::Warn,
            FieldValidation::Ignore => skerry_workloads::FieldValidation::Ignore,
        };
        let old = review.old.map(|o| o.value());
        let name = review.object["metadata"]["name"].as_str().unwrap_or_default().to_string();
        let admitted = skerry_workloads::admit(review.kind, review.object, old.as_ref(), validation);
        let refused = |causes| skerry_workloads::refusal(review.kind, &name, causes);
        review.warnings.extend(admitted.map_err(refused)?);
        Ok(())
    }
}

/// So many logs are followed before one of them says something.
pub const FOLLOWED_TOGETHER: usize = 150;

/// The node: processes that only a few programs can be, and ports that echo.
struct MadeUp {
    followed: Arc<Barrier>,
}

impl Backend for MadeUp {
    fn logs(&self, request: LogRequest) -> Answer<'_, mpsc::Receiver<Vec<u8>>> {
        Box::pin(async move {
            let (to, from) = mpsc::channel(4);
            let followed = self.followed.clone();
            tokio::spawn(async move {
                if request.follow {
                    followed.wait().await;
                }
                let lines = ["one", "two", "three"];
                let skip = request.tail_lines.map_or(0, |n| lines.len().saturating_sub(n as usize));
                for line in &lines[skip..] {
                    let _ = to.send(format!("{line}\n").into_bytes()).await;
                }
            });
            Ok(from)
        })
    }

    fn exec(&self, request: ExecRequest) -> Answer<'_, Streams> {
        Box::pin(async move {
            if request.command[0] == "missing" {
                return Err(ApiError::new(Reason::InternalError, "exec: \"missing\": not found"));
            }
            Ok(process(request))
        })
    }

    fn attach(&self, mut request: ExecRequest) -> Answer<'_, Streams> {
        Box::pin(async move {
            request.command = vec!["echo".into(), "attached".into()];
            Ok(process(request))
        })
    }

    fn connect<'a>(&'a self, _: &'a str, _: &'a str, port: u16) -> Answer<'a, Box<dyn Duplex>> {
        Box::pin(async move {
            if port == 9 {
                return Err(ApiError::new(Reason::ServiceUnavailable, "connection refused"));
            }
            let (ours, theirs) = tokio::io::duplex(1024);
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(theirs);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
            Ok(Box::new(ours) as Box<dyn Duplex>)
        })
    }

    fn view<'a>(&'a self, kind: &'static Kind, namespace: Option<&'a str>) -> Answer<'a, Vec<Value>> {
        Box::pin(async move {
            let mut metadata = json!({"name": "box-1", "creationTimestamp": "2026-01-01T00:00:00Z"});
            if kind.namespaced {
                metadata["namespace"] = namespace.unwrap_or("default").into();
            }
            let usage = json!({"cpu": "250m", "memory": "300Mi"});
            Ok(vec![json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": metadata,
                "timestamp": "2026-01-01T00:00:00Z", "window": "30s", "usage": usage})])
        })
    }

    fn not_ready(&self) -> Option<String> {
        None
    }
}

/// `echo`, `cat`, `exit N`, `sleep` (for ever) and `size` (prints the size of
/// its terminal when it gets one).
fn process(request: ExecRequest) -> Streams {
    let (stdin_to, mut stdin) = mpsc::channel::<Vec<u8>>(4);
    let (stdout, stdout_from) = mpsc::channel(4);
    let (stderr, stderr_from) = mpsc::channel(4);
    let (resize_to, mut resize) = mpsc::channel(4);
    let (exit_to, exit) = oneshot::channel();
    let command = request.command.clone();
    tokio::spawn(async move {
        let code = match command[0].as_str() {
            "echo" => {
                let _ = stdout.send(format!("{}\n", command[1..].join(" ")).into_bytes()).await;
                0
            }
            "cat" => {
                while let Some(piece) = stdin.recv().await {
                    let _ = stdout.send(piece).await;
                }
                0
            }
            "exit" => {
                let _ = stderr.send(b"failing\n".to_vec()).await;
                command[1].parse().unwrap()
            }
            "size" => {
                let (columns, rows) = resize.recv().await.unwrap_or_default();
                let _ = stdout.send(format!("{columns}x{rows}\r\n").into_bytes()).await;
                0
            }
            _ => std::future::pending().await,
        };
        drop((stdout, stderr));
        let _ = exit_to.send(Ok(code));
    });
    Streams {
        stdin: request.stdin.then_some(stdin_to),
        stdout: request.stdout.then_some(stdout_from),
        stderr: request.stderr.then_some(stderr_from),
        resize: request.tty.then_some(resize_to),
        exit,
    }
}

/// The tests once with Debian 13's kubectl, and once with that of the release
/// after it.
#[macro_export]
macro_rules! with_both {
    ($($test:ident),+) => {
        mod trixie {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test("trixie").await;
            })+
        }
        mod forky {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test("forky").await;
            })+
        }
    };
}

/// Output of a kubectl that must succeed.
#[macro_export]
macro_rules! ok {
    ($kubectl:expr, $input:expr, $($arg:expr),+) => {{
        let line = [$($arg),+];
        $kubectl.run(&line, $input).await.unwrap_or_else(|e| panic!("kubectl {}: {e}", line.join(" ")))
    }};
}

/// All of them are in the text.
#[track_caller]
pub fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

/// Debian's kubectl, with an empty home and a configuration.
pub struct Kubectl {
    program: PathBuf,
    home: tempfile::TempDir,
    config: PathBuf,
}

impl Kubectl {
    /// `None`, with a loud message, if it cannot be had.
    pub fn find(release: &str, config: &Path) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/kubectl");
        let output = std::process::Command::new(script).arg(release).output().unwrap();
        if !output.status.success() {
            eprintln!("SKIPPED: NO KUBECTL, THE TEST DID NOT RUN: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        let program = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        Some(Self { program, home: tempfile::tempdir().unwrap(), config: config.into() })
    }

    pub fn command(&self, line: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(line).env("HOME", self.home.path()).env("KUBECONFIG", &self.config).kill_on_drop(true);
        command
    }

    /// Run it with an input; its output and error output if it succeeded.
    pub async fn run(&self, line: &[&str], input: &str) -> Result<String, String> {
        use tokio::io::AsyncWriteExt;
        let piped = std::process::Stdio::piped;
        let mut child =
            self.command(line).stdin(piped()).stdout(piped()).stderr(piped()).spawn().map_err(|e| e.to_string())?;
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout) + &text(&output.stderr))
        } else {
            Err(format!("{:?} {}{}", output.status.code(), text(&output.stdout), text(&output.stderr)))
        }
    }
}
