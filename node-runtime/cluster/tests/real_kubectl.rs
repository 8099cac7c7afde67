//! Debian's kubectl against a whole node: API, controllers, kubelet part and
//! a real containerd. Needs root, containerd, crun, nft and rustc; without root
//! there is nothing to test and it says so.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/families.rs"]
mod families;

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use bench::Bench;

const BAKED: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: main
          image: localhost/web:1
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: http, nodePort: 30080}]
"#;

/// A pod that is allowed everywhere; `more` is its spec beside containers.
fn pod(name: &str, args: &str, more: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{run: {name}}}}}
spec:
  {more}
  terminationGracePeriodSeconds: 1
  restartPolicy: Never
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: main
      image: localhost/web:1
      args: [{args}]
      securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"#
    )
}

fn main() {
    if let Some(dir) = std::env::var_os(bench::CHILD) {
        let filter = tracing_subscriber::filter::Targets::new().with_default(tracing::Level::INFO);
        use tracing_subscriber::prelude::*;
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
        tracing_subscriber::registry().with(lines).with(filter).init();
        skerry_cluster::run(bench::config(Path::new(&dir))).unwrap();
        return;
    }
    let said = |word: &str| std::env::args().any(|a| a == word);
    if said("--list") {
        // nextest asks for the ignored ones apart; there are none.
        if !said("--ignored") {
            println!("real_kubectl: test");
        }
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        println!("real_kubectl: not root, nothing tested");
        return;
    }
    let started = Instant::now();
    let kubectl = bench::kubectl().unwrap();
    let dir = tempfile::Builder::new().prefix("skerry-cluster").tempdir_in("/tmp").unwrap();
    bench::enter_namespaces();
    let b = Bench::prepare(dir.path(), kubectl, BAKED);
    test(&b);
    println!("real_kubectl: ok in {:.1} s", started.elapsed().as_secs_f64());
}

fn test(b: &Bench) {
    let _containerd = b.containerd();
    let mut node = b.node();
    b.until(&["get", "nodes"], |t| t.contains(" Ready "));
    b.until(&["get", "deployment", "web"], |t| t.contains("1/1"));
    baked_app_answers(b);
    reading(b);
    families::both(b);
    rollout(b);
    refusals(b);
    jobs(b);
    volumes(b);
    // Killed and started again: the same containers run on.
    let before = b.kubectl(&[
        "get",
        "pods",
        "-l",
        "app=web",
        "-o",
        "jsonpath={.items[*].status.containerStatuses[0].containerID}",
    ]);
    drop(node);
    node = b.node();
    b.until(&["get", "deployment", "web"], |t| t.contains("2/2"));
    let after = b.kubectl(&[
        "get",
        "pods",
        "-l",
        "app=web",
        "-o",
        "jsonpath={.items[*].status.containerStatuses[0].containerID}",
    ]);
    assert_eq!(before, after);
    deletion(b);
    drop(node);
}

fn baked_app_answers(b: &Bench) {
    for _ in 0..50 {
        if get("127.0.0.1:30080", "/").is_ok_and(|t| t.contains("ok")) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the Service does not answer: {}", b.kubectl(&["get", "svc,endpointslices,pods", "-o", "wide"]));
}

fn get(at: &str, path: &str) -> std::io::Result<String> {
    let mut s = TcpStream::connect_timeout(&at.parse().unwrap(), Duration::from_secs(5))?;
    s.set_read_timeout(Some(Duration::from_secs(5)))?;
    s.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    s.read_to_string(&mut text)?;
    Ok(text)
}

fn reading(b: &Bench) {
    let name = b.kubectl(&["get", "pods", "-l", "app=web", "-o", "name"]);
    let name = name.trim();
    assert!(b.kubectl(&["logs", name]).contains("serving"));
    let described = b.kubectl(&["describe", name]);
    for part in ["Started", "Ready:          True", "QoS Class:"] {
        assert!(described.contains(part), "{part:?} is not in\n{described}");
    }
    // exec: output, exit status.
    assert_eq!(b.kubectl(&["exec", name, "--", "/server", "exists", "/server"]), "");
    let failed = b.try_kubectl(&["exec", name, "--", "/server", "exists", "/none"], "").unwrap_err();
    assert!(failed.contains("/none is not there") && failed.contains("exit code 1"), "{failed}");
    // The kernel counts for cgroup v2 only.
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        assert!(b.kubectl(&["top", "pods"]).contains("web-"));
    }
    assert!(b.kubectl(&["top", "nodes"]).contains('%'));
    assert!(b.kubectl(&["get", "node", "-o", "wide"]).contains("Skerry p 1 (release 1)"));
    let slices = b.kubectl(&["get", "endpointslices", "-o", "wide"]);
    assert!(slices.contains("10.244.0."), "{slices}");
}

fn rollout(b: &Bench) {
    b.kubectl(&["scale", "deployment/web", "--replicas=2"]);
    b.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    b.kubectl(&["set", "env", "deployment/web", "COLOUR=blue"]);
    b.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    let history = b.kubectl(&["rollout", "history", "deployment/web"]);
    assert!(history.contains('2'), "{history}");
    b.kubectl(&["rollout", "undo", "deployment/web"]);
    b.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    let env = b.kubectl(&["get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].env}"]);
    assert!(!env.contains("blue"), "{env}");
}

fn refusals(b: &Bench) {
    let refused = b.try_kubectl(&["run", "root", "--image=localhost/web:1"], "").unwrap_err();
    assert!(refused.contains("violates PodSecurity \"restricted"), "{refused}");
    let missing = pod("nowhere", "x", "").replace("localhost/web:1", "localhost/none:1");
    b.with_input(&["apply", "--validate=false", "-f", "-"], &missing);
    b.until(&["get", "pod", "nowhere"], |t| t.contains("ImagePull") || t.contains("ErrImage"));
    b.kubectl(&["delete", "pod", "nowhere", "--wait=true"]);
}

fn jobs(b: &Bench) {
    let text = pod("x", "exit, \"0\"", "");
    let indented = text.split("spec:").nth(1).unwrap().lines().map(|l| format!("      {l}\n")).collect::<String>();
    let job =
        format!("apiVersion: batch/v1\nkind: Job\nmetadata: {{name: once}}\nspec:\n  template:\n    spec:{indented}");
    b.with_input(&["apply", "--validate=false", "-f", "-"], &job);
    b.kubectl(&["wait", "--for=condition=complete", "job/once", "--timeout=120s"]);
    b.kubectl(&["delete", "job", "once"]);
    b.until(&["get", "pods", "-l", "job-name=once"], |t| t.is_empty());
}

fn volumes(b: &Bench) {
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  \
                 accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1Mi}}\n";
    let with = |name: &str, args: &str| {
        let pod = pod(name, args, "volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]");
        pod.trim_end().to_owned() + "\n      volumeMounts: [{name: data, mountPath: /data}]\n"
    };
    b.with_input(&["apply", "--validate=false", "-f", "-"], claim);
    b.until(&["get", "pvc", "data"], |t| t.contains("Bound"));
    b.with_input(&["apply", "--validate=false", "-f", "-"], &with("writer", "touch, /data/kept"));
    b.kubectl(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/writer", "--timeout=120s"]);
    b.kubectl(&["delete", "pod", "writer"]);
    b.with_input(&["apply", "--validate=false", "-f", "-"], &with("reader", "exists, /data/kept"));
    b.kubectl(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/reader", "--timeout=120s"]);
    b.kubectl(&["delete", "pod/reader", "pvc/data"]);
    b.until(&["get", "pv"], |t| t.is_empty());
    assert_eq!(std::fs::read_dir(b.dir.join("volumes")).unwrap().count(), 0);
}

fn deletion(b: &Bench) {
    b.kubectl(&["create", "namespace", "short"]);
    b.kubectl(&["create", "configmap", "c", "-n", "short", "--from-literal=a=b"]);
    b.kubectl(&["delete", "namespace", "short", "--timeout=60s"]);
    b.kubectl(&["delete", "deployment", "web"]);
    b.until(&["get", "pods", "-l", "app=web"], |t| t.is_empty());
    let events = b.kubectl(&["get", "events"]);
    assert!(events.contains("Killing"), "{events}");
}
