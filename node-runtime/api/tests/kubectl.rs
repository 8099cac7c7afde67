//! Debian's kubectl against the server: the truth about the API.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Stdio;

use skerry_api::{Limits, OpenApi, auth::Role, auth::tokens};
use skerry_store::StoreOptions;
use support::{Kubectl, Server, has};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: 'web:1'}]
";
const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: one}}
spec:
  containers: [{name: main, image: 'one:1'}]
";

async fn server(release: &str) -> Option<(Server, Kubectl)> {
    let server = Server::with(StoreOptions::default(), OpenApi::of_kinds(), Limits::default()).await;
    let kubectl = Kubectl::find(release, &server.kubeconfig())?;
    Some((server, kubectl))
}

with_both!(
    reads_and_writes,
    server_side_apply_and_conflicts,
    watches_and_waits,
    logs_exec_and_attach,
    more_logs_than_one_connection_carries,
    port_forward,
    who_may_what
);

async fn reads_and_writes(release: &str) {
    let Some((_server, k)) = server(release).await else { return };
    has(&ok!(k, "", "version"), &["Server Version: v1.34"]);
    let resources = ok!(k, "", "api-resources");
    has(&resources, &["deployments", "deploy", "apps/v1", "Deployment", "StatefulSet", "NodeMetrics"]);
    has(&ok!(k, "", "api-versions"), &["apps/v1", "batch/v1", "networking.k8s.io/v1", "v1"]);
    has(&ok!(k, DEPLOYMENT, "apply", "-f", "-"), &["deployment.apps/web created"]);
    has(&ok!(k, DEPLOYMENT, "apply", "-f", "-"), &["deployment.apps/web unchanged"]);
    let three = DEPLOYMENT.replace("replicas: 1", "replicas: 3");
    // Differences are exit status 1.
    has(&k.run(&["diff", "-f", "-"], &three).await.unwrap_err(), &["Some(1)", "replicas: 3"]);
    has(&ok!(k, &three, "apply", "-f", "-"), &["deployment.apps/web configured"]);
    let table = ok!(k, "", "get", "deploy");
    has(&table, &["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "web", "0/3"]);
    has(&ok!(k, "", "get", "deploy", "web", "-o", "yaml"), &["replicas: 3", "kind: Deployment"]);
    has(&ok!(k, "", "get", "deploy", "-o", "name", "-l", "app=web"), &["deployment.apps/web"]);
    has(&ok!(k, "", "get", "all"), &["deployment.apps/web"]);
    has(&ok!(k, "", "describe", "deploy", "web"), &["Name:", "web", "3 desired", "web:1"]);
    has(&ok!(k, "", "scale", "deploy/web", "--replicas=2"), &["scaled"]);
    has(&ok!(k, "", "get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"), &["2"]);
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}"#;
    has(&ok!(k, "", "patch", "deploy", "web", "-p", patch), &["patched"]);
    let patch = r#"[{"op":"replace","path":"/spec/replicas","value":4}]"#;
    has(&ok!(k, "", "patch", "deploy", "web", "--type=json", "-p", patch), &["patched"]);
    has(&ok!(k, "", "set", "image", "deploy/web", "web=web:3"), &["image updated"]);
    has(&ok!(k, "", "label", "deploy", "web", "tier=front"), &["labeled"]);
    has(&ok!(k, "", "annotate", "deploy", "web", "a=b"), &["annotated"]);
    has(&ok!(k, "", "get", "deploy", "web", "-o", "jsonpath={..image}"), &["web:3"]);
    has(&ok!(k, "", "rollout", "restart", "deploy/web"), &["restarted"]);
    has(&ok!(k, POD, "apply", "-f", "-", "--dry-run=server"), &["pod/one created (server dry run)"]);
    has(&k.run(&["get", "pod", "one"], "").await.unwrap_err(), &["NotFound"]);
    has(&ok!(k, "", "create", "configmap", "c", "--from-literal=a=1"), &["configmap/c created"]);
    has(&k.run(&["create", "configmap", "c"], "").await.unwrap_err(), &["already exists"]);
    has(&ok!(k, "", "delete", "deploy", "web"), &["deployment.apps \"web\" deleted"]);
    has(&k.run(&["get", "deploy", "web"], "").await.unwrap_err(), &["deployments.apps \"web\" not found"]);
    has(&ok!(k, "", "get", "nodes.metrics.k8s.io"), &["box-1"]);
}

async fn server_side_apply_and_conflicts(release: &str) {
    let Some((_server, k)) = server(release).await else { return };
    let apply = |manager: &'static str| ["apply", "--server-side", "--field-manager", manager, "-f", "-"];
    has(&k.run(&apply("a"), DEPLOYMENT).await.unwrap(), &["serverside-applied"]);
    let three = DEPLOYMENT.replace("replicas: 1", "replicas: 3");
    has(&k.run(&apply("b"), &three).await.unwrap_err(), &["conflict", ".spec.replicas"]);
    let mut forced = apply("b").to_vec();
    forced.push("--force-conflicts");
    has(&k.run(&forced, &three).await.unwrap(), &["serverside-applied"]);
    has(&ok!(k, "", "get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"), &["3"]);
}

async fn watches_and_waits(release: &str) {
    let Some((_server, k)) = server(release).await else { return };
    ok!(k, POD, "apply", "-f", "-");
    let mut watch = k.command(&["get", "pods", "-w"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    has(&lines.next_line().await.unwrap().unwrap(), &["NAME"]);
    has(&lines.next_line().await.unwrap().unwrap(), &["one"]);
    let condition = r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;
    let waiting = k.command(&["wait", "pod/one", "--for=condition=Ready"]).stdout(Stdio::piped()).spawn().unwrap();
    ok!(k, "", "patch", "pod", "one", "--subresource=status", "--type=merge", "-p", condition);
    has(&lines.next_line().await.unwrap().unwrap(), &["one", "Running"]);
    let output = waiting.wait_with_output().await.unwrap();
    has(&String::from_utf8_lossy(&output.stdout), &["pod/one condition met"]);
    has(&ok!(k, "", "wait", "pod/one", "--for=jsonpath={.status.phase}=Running"), &["pod/one condition met"]);
    let early = k.run(&["wait", "pod/one", "--for=jsonpath={.status.phase}=Failed", "--timeout=0"], "").await;
    has(&early.unwrap_err(), &["condition not met"]);
    let waiting = k.command(&["wait", "pod/one", "--for=delete"]).spawn().unwrap();
    ok!(k, "", "delete", "pod", "one", "--grace-period=0", "--force");
    assert!(waiting.wait_with_output().await.unwrap().status.success());
}

async fn logs_exec_and_attach(release: &str) {
    let Some((_server, k)) = server(release).await else { return };
    ok!(k, POD, "apply", "-f", "-");
    assert_eq!(ok!(k, "", "logs", "one"), "one\ntwo\nthree\n");
    assert_eq!(ok!(k, "", "logs", "one", "--tail=1"), "three\n");
    assert_eq!(ok!(k, "", "exec", "one", "--", "echo", "a", "b"), "a b\n");
    let big = "x".repeat(300_000);
    assert_eq!(ok!(k, &big, "exec", "-i", "one", "--", "cat"), big);
    let failed = k.run(&["exec", "one", "--", "exit", "7"], "").await.unwrap_err();
    has(&failed, &["Some(7)", "failing", "exit code 7"]);
    has(&k.run(&["exec", "one", "--", "missing"], "").await.unwrap_err(), &["not found"]);
    has(&k.run(&["exec", "nobody", "--", "echo"], "").await.unwrap_err(), &["NotFound"]);
    // kubectl only attaches to running pods.
    let running = r#"{"status":{"phase":"Running"}}"#;
    ok!(k, "", "patch", "pod", "one", "--subresource=status", "--type=merge", "-p", running);
    has(&ok!(k, "", "attach", "one"), &["attached"]);
}

/// One program, more streams than the server takes on one connection.
async fn more_logs_than_one_connection_carries(release: &str) {
    let Some((_server, k)) = server(release).await else { return };
    assert!(support::FOLLOWED_TOGETHER as u32 > Limits::default().streams);
    for i in 0..support::FOLLOWED_TOGETHER {
        _server.pod(&format!("many-{i}"), "many");
    }
    // No log says anything before all of them are followed.
    let lines = ok!(k, "", "logs", "-f", "-l", "app=many", "--max-log-requests=200");
    assert_eq!(lines.matches("one\n").count(), support::FOLLOWED_TOGETHER);
}

async fn port_forward(release: &str) {
    let Some((_server, k)) = server(release).await else { return };
    ok!(k, POD, "apply", "-f", "-");
    let running = r#"{"status":{"phase":"Running"}}"#;
    ok!(k, "", "patch", "pod", "one", "--subresource=status", "--type=merge", "-p", running);
    let mut forward = k
        .command(&["port-forward", "pod/one", ":80", ":9"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(forward.stdout.take().unwrap()).lines();
    let mut ports = Vec::new();
    while ports.len() < 2 {
        // Forwarding from 127.0.0.1:41234 -> 80
        let line = lines.next_line().await.unwrap().expect("kubectl says what it forwards");
        if let Some(rest) = line.strip_prefix("Forwarding from 127.0.0.1:") {
            ports.push(rest.split(' ').next().unwrap().parse::<u16>().unwrap());
        }
    }
    for round in 0..3u8 {
        let mut stream = TcpStream::connect(("127.0.0.1", ports[0])).await.unwrap();
        let sent = vec![round; 200_000];
        let (mut read, mut write) = stream.split();
        let mut got = vec![0; sent.len()];
        let (written, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut got));
        written.unwrap();
        read.unwrap();
        assert_eq!(got, sent);
    }
    let mut refused = TcpStream::connect(("127.0.0.1", ports[1])).await.unwrap();
    let mut nothing = Vec::new();
    let _ = refused.read_to_end(&mut nothing).await;
    assert_eq!(nothing, b"");
    let mut errors = BufReader::new(forward.stderr.take().unwrap()).lines();
    has(&errors.next_line().await.unwrap().unwrap(), &["error forwarding port 9", "connection refused"]);
}

async fn who_may_what(release: &str) {
    let Some((server, k)) = server(release).await else { return };
    has(&ok!(k, "", "auth", "whoami"), &["admin", "system:masters"]);
    has(&ok!(k, "", "auth", "can-i", "delete", "nodes"), &["yes"]);
    let token = tokens::create(&server.tokens_path(), "ann", Role::View, None).unwrap();
    let plain = server.dir.path().join("plain.kubeconfig");
    let config = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: '{}', certificate-authority: {}}}}}]\n\
         users: [{{name: u, user: {{token: {token}}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
         current-context: x\n",
        server.url(""),
        server.dir.path().join("pki/ca.crt").display()
    );
    std::fs::write(&plain, config).unwrap();
    let ann = Kubectl::find(release, &plain).unwrap();
    has(&ok!(ann, "", "auth", "whoami"), &["ann", "skerry:view"]);
    has(&ok!(ann, "", "auth", "can-i", "list", "pods"), &["yes"]);
    has(&ann.run(&["auth", "can-i", "create", "pods"], "").await.unwrap_err(), &["no"]);
    has(&ok!(ann, "", "auth", "can-i", "--list"), &["configmaps", "get list watch"]);
    has(
        &ann.run(&["get", "secrets"], "").await.unwrap_err(),
        &[
            r#"secrets is forbidden: User "ann" cannot list resource "secrets" in API group "" in the namespace "default""#,
        ],
    );
    tokens::revoke(&server.tokens_path(), "ann").unwrap();
    has(&ann.run(&["get", "pods"], "").await.unwrap_err(), &["Unauthorized"]);
}
