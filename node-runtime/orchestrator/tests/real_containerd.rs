//! The whole orchestrator against a real containerd, in network and mount
//! namespaces of its own. Needs root, containerd, crun, nft and rustc; without
//! root there is nothing to test and it says so.
//!
//! `SKERRY_TEST_CONTAINERD_DIR` names a folder with `containerd` 2.1 and
//! `containerd-shim-runc-v2-rs`, the pair that nodes have; else the host's
//! containerd is used with its own shim.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/objects.rs"]
mod objects;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use serde_json::{Value, json};
use skerry_formats::{
    ObjectDigest, Sequence, Sha256Digest,
    baked::{AppConfig, BakedApp, HealthConfig, NodeConfig, Reserved},
    status::OrchestratorStatus,
    versioned::Document,
};
use skerry_orchestrator::{AppRoots, Config};

const CHILD: &str = "SKERRY_TEST_ORCHESTRATOR_DIR";

const MANIFEST: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, tier: test}}
    spec:
      terminationGracePeriodSeconds: 1
      volumes: [{name: tmp, emptyDir: {}}]
      securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: main
          image: localhost/web:1
          ports: [{name: http, containerPort: 8080}]
          env:
            - {name: TIER, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}}
            - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
          readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1}
          livenessProbe: {httpGet: {path: /health, port: http}, periodSeconds: 1}
          resources: {limits: {cpu: 500m, memory: 32Mi}}
          volumeMounts: [{name: tmp, mountPath: /tmp}]
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  clusterIP: 10.96.7.7
  ports: [{port: 80, targetPort: http, nodePort: 30080}]
"#;

/// A failed test leaves no app behind.
impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(pid) = app_pid(&self.dir) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// Ends the process when the test ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// As a service manager ends it.
    fn end(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

struct Bench {
    dir: PathBuf,
    containerd: PathBuf,
    path: String,
    config_toml: PathBuf,
}

fn config(dir: &Path) -> Config {
    Config {
        node_config: dir.join("node.json"),
        manifests: dir.join("manifests"),
        app_roots: AppRoots::Folders(dir.join("apps")),
        run_dir: dir.join("run"),
        pods_dir: dir.join("pods"),
        logs_dir: dir.join("logs"),
        status: dir.join("status.json"),
        containerd_socket: dir.join("c/s.sock"),
        runtime_name: fs::read_to_string(dir.join("runtime")).unwrap(),
        cgroup_parent: format!("/skerry-test-{}", dir.file_name().unwrap().to_string_lossy().replace('.', "")),
        systemctl: dir.join("systemctl"),
        node_name: Some(node_name(dir)),
        ..Config::default()
    }
}

/// One name per run, so that what an earlier run left behind is not ours.
fn node_name(dir: &Path) -> String {
    dir.file_name().unwrap().to_string_lossy().into_owned()
}

fn main() {
    if let Some(dir) = std::env::var_os(CHILD) {
        objects::run(config(Path::new(&dir)), Path::new(&dir));
        return;
    }
    let said = |word: &str| std::env::args().any(|a| a == word);
    if said("--list") {
        // nextest asks for the ignored ones apart; there are none.
        if !said("--ignored") {
            println!("real_containerd: test");
        }
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        println!("real_containerd: not root, nothing tested");
        return;
    }
    let started = Instant::now();
    let dir = tempfile::Builder::new().prefix("skerry-orch").tempdir_in("/tmp").unwrap();
    enter_namespaces();
    let bench = prepare(dir.path());
    test(&bench);
    println!("real_containerd: ok in {:.1} s", started.elapsed().as_secs_f64());
}

fn run_ok(program: &str, args: &[&str]) {
    let out = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

fn enter_namespaces() {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    // Hosts with both cgroup hierarchies: crun wants one.
    if Path::new("/sys/fs/cgroup/unified").exists() {
        let _ = umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH);
    }
    run_ok("ip", &["link", "set", "lo", "up"]);
}

fn prepare(dir: &Path) -> Bench {
    let own = std::env::var_os("SKERRY_TEST_CONTAINERD_DIR").map(PathBuf::from);
    let (runtime, toml) = match &own {
        Some(_) => {
            let asset =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../../builder/src/tree/assets/containerd-config.toml");
            let c = dir.join("c").display().to_string();
            let text = fs::read_to_string(asset).unwrap();
            let text = text.replace("/run/containerd/containerd.sock", &format!("{c}/s.sock"));
            ("io.containerd.runc.v2-rs", text.replace("/run/containerd", &c).replace("oom_score = -999", ""))
        }
        None => (
            "io.containerd.runc.v2",
            format!(
                "version = 2\nroot = \"{0}/c/root\"\nstate = \"{0}/c/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{0}/c/s.sock\"\n",
                dir.display()
            ),
        ),
    };
    fs::write(dir.join("runtime"), runtime).unwrap();
    fs::create_dir_all(dir.join("c")).unwrap();
    let config_toml = dir.join("containerd.toml");
    fs::write(&config_toml, toml).unwrap();
    for folder in ["manifests", "objects", "out", "host"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    fs::write(dir.join("manifests/web.yaml"), MANIFEST).unwrap();
    fs::write(dir.join("node.json"), node_config().to_bytes()).unwrap();
    let rootfs = dir.join("apps/web");
    fs::create_dir_all(&rootfs).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/server.rs");
    let out = rootfs.join("server");
    run_ok(
        "rustc",
        &[
            "--edition=2024",
            "-Ctarget-feature=+crt-static",
            "-Cstrip=symbols",
            "-o",
            out.to_str().unwrap(),
            source.to_str().unwrap(),
        ],
    );
    let path = std::env::var("PATH").unwrap();
    let path = own.as_ref().map_or(path.clone(), |d| format!("{}:{path}", d.display()));
    Bench { dir: dir.into(), containerd: own.map_or("containerd".into(), |d| d.join("containerd")), path, config_toml }
}

fn node_config() -> NodeConfig {
    NodeConfig {
        format: NodeConfig::header(),
        product: "p".into(),
        board: "b".into(),
        version: "1".into(),
        sequence: Sequence(1),
        update: None,
        health: HealthConfig { timeout_secs: 60, stable_secs: 5, checks: vec![] },
        status_listen: None,
        api: None,
        images: Default::default(),
        reserved: Reserved { memory_bytes: 0, cpu_millis: 0 },
        apps: vec![BakedApp {
            name: "web".into(),
            image: "localhost/web:1".into(),
            manifest_digest: Sha256Digest([0; 32]),
            composefs: ObjectDigest([0; 32]),
            config: AppConfig { entrypoint: vec!["/server".into()], ..AppConfig::default() },
        }],
    }
}

impl Bench {
    fn containerd(&self) -> Running {
        let log = fs::File::options().append(true).create(true).open(self.dir.join("containerd.log")).unwrap();
        let child = Command::new(&self.containerd)
            .arg("--config")
            .arg(&self.config_toml)
            .env("PATH", &self.path)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Running(child)
    }

    fn orchestrator(&self) -> Running {
        let me = std::env::current_exe().unwrap();
        Running(Command::new(me).env(CHILD, &self.dir).stdin(Stdio::null()).spawn().unwrap())
    }

    /// Processes between containerd and the containers.
    fn shims(&self) -> usize {
        let socket = self.dir.join("c/s.sock").into_os_string().into_encoded_bytes();
        let ours = |cmdline: &[u8]| {
            let mut words = cmdline.split(|b| *b == 0);
            words.next().is_some_and(|w| w.windows(4).any(|w| w == b"shim")) && words.any(|w| w.starts_with(&socket))
        };
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|e| fs::read(e.path().join("cmdline")).ok())
            .filter(|c| ours(c))
            .count()
    }

    fn put(&self, name: &str, object: &Value) {
        let path = self.dir.join("objects").join(name);
        fs::write(path.with_extension("new"), object.to_string()).unwrap();
        fs::rename(path.with_extension("new"), path.with_extension("json")).unwrap();
    }

    fn pod_status(&self, name: &str) -> Option<PodStatus> {
        serde_json::from_slice(&fs::read(self.dir.join("out").join(name)).ok()?).ok()
    }

    /// Wait for a pod's status that fits.
    fn until_pod(&self, name: &str, what: &str, fits: impl Fn(&PodStatus) -> bool) -> PodStatus {
        for _ in 0..900 {
            if let Some(s) = self.pod_status(name).filter(|s| fits(s)) {
                return s;
            }
            sleep(Duration::from_millis(100));
        }
        panic!(
            "never came: {what}\nstatus: {:#?}\nevents: {}\n{:#?}",
            self.pod_status(name),
            self.events(),
            self.status()
        );
    }

    fn events(&self) -> String {
        fs::read_to_string(self.dir.join("out/events")).unwrap_or_default()
    }

    fn status(&self) -> Option<OrchestratorStatus> {
        OrchestratorStatus::parse(&fs::read(self.dir.join("status.json")).ok()?).ok()
    }

    /// Wait for a status that fits, with a limit that only a failure reaches.
    fn until(&self, what: &str, fits: impl Fn(&OrchestratorStatus) -> bool) -> OrchestratorStatus {
        for _ in 0..600 {
            if let Some(s) = self.status().filter(|s| fits(s)) {
                return s;
            }
            sleep(Duration::from_millis(100));
        }
        let log = fs::read_to_string(self.dir.join("containerd.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(15).collect();
        panic!("never came: {what}\nstatus: {:#?}\ncontainerd: {tail:#?}", self.status());
    }
}

fn ready(s: &OrchestratorStatus) -> bool {
    s.containerd_error.is_none() && s.workloads.iter().all(|w| w.ready == w.desired && w.desired == 1)
}

fn get(address: &str, path: &str) -> std::io::Result<String> {
    let address: SocketAddr = address.parse().unwrap();
    let mut s = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    s.set_read_timeout(Some(Duration::from_secs(5)))?;
    // In one piece: the app reads once.
    s.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    s.read_to_string(&mut text)?;
    Ok(text.split_once("\r\n\r\n").map(|(_, b)| b.to_owned()).unwrap_or_default())
}

/// Process id of the app, found by its program name inside our mount.
fn app_pid(dir: &Path) -> Option<i32> {
    let node = format!("NODE={}", node_name(dir)).into_bytes();
    fs::read_dir("/proc").unwrap().flatten().find_map(|e| {
        let pid: i32 = e.file_name().to_str()?.parse().ok()?;
        let args = fs::read(e.path().join("cmdline")).ok()?;
        let env = fs::read(e.path().join("environ")).ok()?;
        let ours = env.split(|b| *b == 0).any(|v| v == node);
        (args == b"/server\0" && ours).then_some(pid)
    })
}

fn test(b: &Bench) {
    let mut containerd = b.containerd();
    let mut orchestrator = b.orchestrator();
    let first = b.until("the app is Ready", ready);
    println!("ready: {:?}", first.events);

    // From the node: its loopback, the pods' gateway, the virtual address.
    for address in ["127.0.0.1:30080", "10.244.0.1:30080", "10.96.7.7:80"] {
        assert_eq!(get(address, "/").unwrap(), "ok\n", "{address}");
    }
    let env = get("127.0.0.1:30080", "/env").unwrap();
    assert!(env.contains("TIER=test\n") && env.contains(&format!("NODE={}\n", node_name(&b.dir))), "{env}");
    let status = get("127.0.0.1:30080", "/status").unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000", "Uid:\t65532"] {
        assert!(status.contains(line), "{line} missing in {status}");
    }
    assert_eq!(get("127.0.0.1:30080", "/write").unwrap(), "false true", "root is read-only, the volume is not");

    // The orchestrator ends and comes back: the same process serves on.
    let pid = app_pid(&b.dir).unwrap();
    drop(orchestrator);
    assert_eq!(get("127.0.0.1:30080", "/").unwrap(), "ok\n");
    fs::remove_file(b.dir.join("status.json")).unwrap();
    orchestrator = b.orchestrator();
    let s = b.until("adopted", ready);
    assert_eq!((app_pid(&b.dir), s.workloads[0].restarts), (Some(pid), 0), "{:?}", s.events);
    println!("adopted after a restart of the orchestrator");

    // containerd is killed and comes back: the same process serves on.
    drop(containerd);
    b.until("containerd is missed", |s| s.containerd_error.is_some());
    assert_eq!(get("127.0.0.1:30080", "/").unwrap(), "ok\n");
    containerd = b.containerd();
    let s = b.until("containerd is back", ready);
    assert_eq!((app_pid(&b.dir), s.workloads[0].restarts), (Some(pid), 0), "{:?}", s.events);
    println!("adopted after a kill of containerd");

    // The app dies, by itself and by force: started again.
    let _ = get("127.0.0.1:30080", "/crash");
    let s = b.until("restarted after a crash", |s| ready(s) && s.workloads[0].restarts == 1);
    assert!(s.events.iter().any(|e| e.contains("ended with status 3")), "{:?}", s.events);
    let again = app_pid(&b.dir).unwrap();
    assert_ne!(again, pid);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(again), nix::sys::signal::Signal::SIGKILL).unwrap();
    let s = b.until("restarted after SIGKILL, with delay", |s| ready(s) && s.workloads[0].restarts == 2);
    assert_eq!(get("127.0.0.1:30080", "/").unwrap(), "ok\n", "{:?}", s.events);

    // Somebody removes the pod's link and the packet filter: both come back.
    let link = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let link = link
        .lines()
        .filter_map(|l| l.split(':').next())
        .map(str::trim)
        .find(|n| n.starts_with("skp"))
        .unwrap()
        .to_owned();
    run_ok("ip", &["link", "del", &link]);
    run_ok("nft", &["delete", "table", "inet", "skerry"]);
    b.until("the loss is seen", |s| !ready(s));
    b.until("the pod is made anew", ready);
    assert_eq!(get("10.244.0.1:30080", "/").unwrap(), "ok\n");

    let log = walk(&b.dir.join("logs"));
    assert!(log.contains(" stdout F serving\n"), "{log}");
    let rss = fs::read_to_string(format!("/proc/{}/status", orchestrator.0.id())).unwrap();
    println!("orchestrator {}", rss.lines().find(|l| l.starts_with("VmRSS")).unwrap());
    let rss = fs::read_to_string(format!("/proc/{}/status", containerd.0.id())).unwrap();
    println!("containerd {}", rss.lines().find(|l| l.starts_with("VmRSS")).unwrap());

    orchestrator = ends_with_the_system(b, orchestrator);
    orchestrator = no_line_is_lost(b, orchestrator);
    clients_attach(b);
    (orchestrator, containerd) = objects_live_and_die(b, orchestrator, containerd);

    // No Deployment any more: everything goes.
    drop(orchestrator);
    fs::remove_file(b.dir.join("manifests/web.yaml")).unwrap();
    fs::remove_file(b.dir.join("status.json")).unwrap();
    orchestrator = b.orchestrator();
    for _ in 0..300 {
        if app_pid(&b.dir).is_none() && fs::read_dir(b.dir.join("pods")).unwrap().count() == 0 {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    assert_eq!(app_pid(&b.dir), None);
    assert_eq!(fs::read_dir(b.dir.join("pods")).unwrap().count(), 0);
    drop((orchestrator, containerd));
}

/// Containers outlive a restart of the orchestrator, but end with the system.
fn ends_with_the_system(b: &Bench, mut orchestrator: Running) -> Running {
    let says = |state: &str| {
        let path = b.dir.join("systemctl");
        fs::write(&path, format!("#!/bin/sh\necho {state}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    says("running");
    orchestrator.end();
    assert!(app_pid(&b.dir).is_some());
    fs::remove_file(b.dir.join("status.json")).unwrap();
    orchestrator = b.orchestrator();
    b.until("adopted once more", ready);
    says("stopping");
    orchestrator.end();
    assert_eq!(app_pid(&b.dir), None);
    let gone = (0..100).any(|_| {
        sleep(Duration::from_millis(100));
        b.shims() == 0
    });
    assert!(gone, "shims are left");
    says("running");
    fs::remove_file(b.dir.join("status.json")).unwrap();
    orchestrator = b.orchestrator();
    b.until("started after the system went down", ready);
    println!("ended with the system");
    orchestrator
}

/// An app writes on while the orchestrator is restarted.
fn no_line_is_lost(b: &Bench, mut orchestrator: Running) -> Running {
    const LAST: usize = 20_000;
    const STEP: usize = LAST / 4;
    let args = ["count", &LAST.to_string(), &STEP.to_string()];
    let spec = json!({"restartPolicy": "Never", "containers": [run("count", &args)],
        "volumes": [{"name": "data", "emptyDir": {}}]});
    b.put("pod-count", &pod(3, "count", spec));
    let dir = b.dir.join("logs").join(format!("default_count_{}", UIDS[3]));
    for restart in 1..=3 {
        let lines = || if dir.exists() { walk(&dir).matches(" stdout F ").count() } else { 0 };
        for _ in 0..3000 {
            if lines() == restart * STEP {
                break;
            }
            sleep(Duration::from_millis(20));
        }
        let last = walk(&dir).lines().last().unwrap_or_default().to_owned();
        assert_eq!(lines(), restart * STEP, "restart {restart}: {last}");
        // Now it writes on.
        fs::write(b.dir.join("pods").join(UIDS[3]).join(format!("volumes/data/go-{restart}")), "").unwrap();
        sleep(Duration::from_millis(30));
        orchestrator.end();
        sleep(Duration::from_millis(200));
        fs::remove_file(b.dir.join("status.json")).unwrap();
        orchestrator = b.orchestrator();
        b.until("it is back", |s| s.containerd_error.is_none());
    }
    b.until_pod("count", "it has counted", |s| s.phase.as_deref() == Some("Succeeded"));
    let mut text = String::new();
    for line in walk(&dir).lines() {
        let (_, tagged) = line.split_once(" stdout ").unwrap();
        text += &tagged[2..];
        text += if tagged.starts_with('F') { "\n" } else { "" };
    }
    let want: String = (0..LAST).map(|n| format!("number {n}\n")).collect();
    let odd = text.lines().zip(want.lines()).find(|(a, b)| a != b);
    assert!(text == want, "{} lines; the first that is not right: {odd:?}", text.lines().count());
    fs::remove_file(b.dir.join("objects/pod-count.json")).unwrap();
    println!("no line lost over restarts");
    orchestrator
}

/// Output, input, end of input of a running container; its log as it comes.
fn clients_attach(b: &Bench) {
    let echo = with(run("echo", &["echo"]), json!({"stdin": true, "stdinOnce": true}));
    let spec = json!({"restartPolicy": "Never", "containers": [echo], "volumes": [{"name": "data", "emptyDir": {}}]});
    b.put("pod-echo", &pod(4, "echo", spec));
    b.until_pod("echo", "it has heard the end of its input", |s| s.phase.as_deref() == Some("Succeeded"));
    let path = b.dir.join("out/echo.talk");
    for _ in 0..300 {
        if path.exists() {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    let said = "said hello\nsaid world\nend of input\n";
    let want = format!("attached:\n{said}log:\n{said}status 0\n");
    assert_eq!(fs::read_to_string(path).unwrap(), want);
    fs::remove_file(b.dir.join("objects/pod-echo.json")).unwrap();
    println!("attach, stdinOnce, a followed log");
}

/// As random at their beginning as real ones: links of the node are named by it.
const UIDS: [&str; 8] = [
    "10000000-0000-4000-8000-000000000001",
    "20000000-0000-4000-8000-000000000002",
    "30000000-0000-4000-8000-000000000003",
    "40000000-0000-4000-8000-000000000004",
    "50000000-0000-4000-8000-000000000005",
    "60000000-0000-4000-8000-000000000006",
    "70000000-0000-4000-8000-000000000007",
    "80000000-0000-4000-8000-000000000008",
];

fn pod(n: usize, name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "default", "uid": UIDS[n]}, "spec": spec})
}

fn run(name: &str, args: &[&str]) -> Value {
    let command: Vec<&str> = std::iter::once("/server").chain(args.iter().copied()).collect();
    json!({"name": name, "image": "localhost/web:1", "command": command,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}]})
}

fn with(mut object: Value, more: Value) -> Value {
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

fn life(dir: &Path) -> Value {
    let mounts = json!([
        {"name": "data", "mountPath": "/data"},
        {"name": "conf", "mountPath": "/etc/conf"},
        {"name": "host", "mountPath": "/host"},
        {"name": "data", "mountPath": "/part", "subPath": "a/b"},
    ]);
    let exists = |path: &str| json!({"exec": {"command": ["/server", "exists", path]}, "periodSeconds": 1, "timeoutSeconds": 30});
    let main = json!({
        "volumeMounts": mounts,
        "readinessProbe": exists("/data/ready"),
        "env": [{"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "greeting"}}}],
        "lifecycle": {"preStop": {"exec": {"command": ["/server", "touch", "/host/stopped"]}}},
    });
    let sidecar = json!({"restartPolicy": "Always", "startupProbe": exists("/data/init")});
    pod(
        0,
        "life",
        json!({
            "terminationGracePeriodSeconds": 20,
            "initContainers": [run("first", &["touch", "/data/init"]), with(run("proxy", &["wait", "/data/proxy"]), sidecar)],
            "containers": [
                with(run("main", &["wait", "/data/ready"]), main),
                with(run("web", &["serve"]), json!({"volumeMounts": mounts})),
            ],
            "volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "conf", "configMap": {"name": "conf"}},
                {"name": "host", "hostPath": {"path": dir.join("host")}},
            ],
        }),
    )
}

fn conf(text: &str) -> Value {
    json!({"metadata": {"name": "conf", "namespace": "default"}, "data": {"greeting": text}})
}

fn one<'a>(s: &'a PodStatus, name: &str) -> &'a ContainerStatus {
    let mut all = s.init_container_statuses.iter().chain(&s.container_statuses).flatten();
    all.find(|c| c.name == name).unwrap()
}

fn condition(s: &PodStatus, kind: &str) -> bool {
    s.conditions.iter().flatten().any(|c| c.type_ == kind && c.status == "True")
}

fn waits_for(s: &PodStatus, name: &str) -> Option<String> {
    one(s, name).state.as_ref()?.waiting.as_ref()?.reason.clone()
}

/// Pod objects: order, probes, volumes, ends.
fn objects_live_and_die(b: &Bench, mut orchestrator: Running, mut containerd: Running) -> (Running, Running) {
    b.put("pod-life", &life(&b.dir));
    b.until_pod("life", "a missing ConfigMap is waited for", |s| {
        waits_for(s, "main").as_deref() == Some("CreateContainerConfigError")
    });
    assert!(b.events().contains("configmap \"conf\" not found"), "{}", b.events());
    b.put("conf", &conf("hello"));
    let s = b.until_pod("life", "Ready", |s| condition(s, "Ready"));
    assert_eq!((s.phase.as_deref(), s.qos_class.as_deref()), (Some("Running"), Some("BestEffort")));
    let init = one(&s, "first").state.clone().unwrap().terminated.unwrap();
    assert_eq!((init.exit_code, init.reason.as_deref()), (0, Some("Completed")));
    let order: Vec<String> = b.events().lines().filter(|l| l.starts_with("life Started")).map(Into::into).collect();
    let place = |name: &str| order.iter().position(|l| l.ends_with(name)).unwrap();
    assert!(place("first") < place("proxy") && place("proxy") < place("main"), "{order:?}");
    assert!(b.dir.join("pods").join(UIDS[0]).join("volumes/data/a/b").is_dir(), "the subPath is made");
    let ip = s.pod_ip.clone().unwrap();
    assert_eq!(get(&format!("{ip}:8080"), "/conf").unwrap(), "hello");
    b.put("conf", &conf("good day"));
    for _ in 0..300 {
        if get(&format!("{ip}:8080"), "/conf").unwrap() == "good day" {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    assert_eq!(get(&format!("{ip}:8080"), "/conf").unwrap(), "good day");
    println!("init container, sidecar, exec probes, ConfigMap volume, subPath");

    let oom = with(run("eat", &["eat"]), json!({"resources": {"limits": {"memory": "24Mi"}}}));
    b.put(
        "pod-oom",
        &pod(
            1,
            "oom",
            json!({"restartPolicy": "Never", "containers": [oom],
        "volumes": [{"name": "data", "emptyDir": {}}]}),
        ),
    );
    let s = b.until_pod("oom", "OOMKilled", |s| s.phase.as_deref() == Some("Failed"));
    let end = one(&s, "eat").state.clone().unwrap().terminated.unwrap();
    assert_eq!((end.reason.as_deref(), end.exit_code), (Some("OOMKilled"), 137), "{end:?}");
    b.put(
        "pod-crash",
        &pod(
            2,
            "crash",
            json!({"containers": [run("bad", &["exit", "3"])],
        "volumes": [{"name": "data", "emptyDir": {}}]}),
        ),
    );
    let s = b.until_pod("crash", "CrashLoopBackOff", |s| waits_for(s, "bad").as_deref() == Some("CrashLoopBackOff"));
    let last = one(&s, "bad").last_state.clone().unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    assert_eq!(last.message.as_deref(), Some("these are my last words"));
    assert!(b.events().contains("crash BackOff"), "{}", b.events());
    println!("OOMKilled, CrashLoopBackOff");

    evictions(b);

    // Both are killed; the same containers go on.
    let ids =
        |s: &PodStatus| ["proxy", "main", "web"].map(|n| (one(s, n).container_id.clone(), one(s, n).restart_count));
    let before = ids(&b.pod_status("life").unwrap());
    drop(orchestrator);
    drop(containerd);
    fs::remove_file(b.dir.join("out/life")).unwrap();
    containerd = b.containerd();
    orchestrator = b.orchestrator();
    let s = b.until_pod("life", "adopted", |s| condition(s, "Ready"));
    assert_eq!(ids(&s), before);
    println!("pods adopted after a kill of both");

    let mut going = life(&b.dir);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    going["metadata"]["deletionGracePeriodSeconds"] = json!(20);
    b.put("pod-life", &going);
    for _ in 0..900 {
        if b.dir.join("out/life.deleted").exists() {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    assert!(b.dir.join("out/life.deleted").exists(), "{}\n{:#?}", b.events(), b.status());
    assert!(b.dir.join("host/stopped").exists(), "the preStop hook ran");
    assert!(!b.dir.join("pods").join(UIDS[0]).exists() && !b.dir.join("run/pods").join(UIDS[0]).exists());
    assert!(!walk(&b.dir.join("logs")).contains("life"), "its logs are gone");
    for name in ["pod-life.json", "pod-oom.json", "pod-crash.json"] {
        fs::remove_file(b.dir.join("objects").join(name)).unwrap();
    }
    println!("preStop, deletion");
    (orchestrator, containerd)
}

/// Pods that take more of the disk than they may.
fn evictions(b: &Bench) {
    let storage = |limit: &str| json!({"resources": {"limits": {"ephemeral-storage": limit}}});
    let volume = |limit: Value| json!([{"name": "data", "emptyDir": limit}]);
    let spec = |container: Value, volume: Value| json!({"containers": [container], "volumes": volume});
    let layer = with(run("fill", &["fill", "/big", "4"]), storage("3Mi"));
    let within = with(run("fill", &["fill", "/data/big", "4"]), storage("8Mi"));
    for (n, name, spec) in [
        (5, "full", spec(run("fill", &["fill", "/data/big", "4"]), volume(json!({"sizeLimit": "3Mi"})))),
        (6, "layer", spec(layer, volume(json!({})))),
        (7, "within", spec(within, volume(json!({"sizeLimit": "5Mi"})))),
    ] {
        b.put(&format!("pod-{name}"), &pod(n, name, spec));
    }
    for (n, name, why) in [
        (5, "full", "Usage of EmptyDir volume \"data\" exceeds the limit \"3Mi\". "),
        (6, "layer", "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. "),
    ] {
        let s = b.until_pod(name, "evicted", |s| s.phase.as_deref() == Some("Failed"));
        assert_eq!((s.reason.as_deref(), s.message.as_deref()), (Some("Evicted"), Some(why)));
        assert!(one(&s, "fill").state.clone().unwrap().terminated.is_some());
        assert!(b.events().contains(&format!("{name} Evicted {why}")), "{}", b.events());
        let left = b.dir.join("pods").join(UIDS[n]);
        for _ in 0..300 {
            if !left.exists() {
                break;
            }
            sleep(Duration::from_millis(100));
        }
        assert!(!left.exists(), "{name}: its disk space is free again");
    }
    let s = b.pod_status("within").unwrap();
    assert_eq!(s.phase.as_deref(), Some("Running"), "it takes no more than it may");
    assert_eq!(s.qos_class.as_deref(), Some("BestEffort"), "storage makes no class");
    for name in ["full", "layer", "within"] {
        fs::remove_file(b.dir.join(format!("objects/pod-{name}.json"))).unwrap();
    }
    println!("evictions for emptyDir and ephemeral-storage");
}

fn walk(dir: &Path) -> String {
    let mut text = String::new();
    for e in fs::read_dir(dir).unwrap().flatten() {
        text += &if e.path().is_dir() { walk(&e.path()) } else { fs::read_to_string(e.path()).unwrap() };
    }
    text
}
