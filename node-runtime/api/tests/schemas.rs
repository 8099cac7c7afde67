//! Debian's kubectl with the node's OpenAPI documents: what it explains, what
//! it checks, and which patches it makes with them.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{Kubectl, Server, has};

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
      containers: [{name: web, image: 'web:1', ports: [{containerPort: 80}]}]
";

async fn server(release: &str) -> Option<(Server, Kubectl)> {
    let server = Server::strict().await;
    let kubectl = Kubectl::find(release, &server.kubeconfig())?;
    Some((server, kubectl))
}

with_both!(
    explains,
    names_unknown_fields,
    patches_by_the_document,
    applies_and_compares_on_the_server,
    rollout_history
);

async fn explains(release: &str) {
    let Some((_server, k)) = server(release).await else { return };
    let text = ok!(k, "", "explain", "deployment.spec.strategy", "--recursive");
    has(
        &text,
        &["GROUP:      apps", "FIELD: strategy <DeploymentStrategy>", "rollingUpdate\t<RollingUpdateDeployment>"],
    );
    has(&text, &["maxSurge\t<IntOrString>", "enum: RollingUpdate, Recreate"]);
    let text = ok!(k, "", "explain", "pod.spec.containers");
    has(
        &text,
        &["FIELD: containers <[]Container>", "image\t<string>", "Container image name", "name\t<string> -required-"],
    );
    has(&ok!(k, "", "explain", "pod.status.containerStatuses.state"), &["waiting\t<ContainerStateWaiting>"]);
    has(
        &ok!(k, "", "explain", "nodes", "--api-version=metrics.k8s.io/v1beta1"),
        &["KIND:       NodeMetrics", "usage\t<map[string]Quantity>"],
    );
    has(&ok!(k, "", "explain", "releases"), &["GROUP:      os.skerry.dev"]);
    // Refused by the node, though Kubernetes has it.
    let missing = k.run(&["explain", "pod.spec.ephemeralContainers"], "").await.unwrap_err();
    has(&missing, &["field \"ephemeralContainers\" does not exist"]);
    let old = k.run(&["explain", "deployment.spec", "--output=plaintext-openapiv2"], "").await;
    match old {
        // Decoded from protobuf by kubectl.
        Ok(text) => has(&text, &["RESOURCE: spec <Object>", "template\t<Object> -required-", "Number of desired pods"]),
        Err(error) => {
            assert_eq!(release, "forky", "{error}");
            has(&error, &["plaintext-openapiv2"]);
        }
    }
}

async fn names_unknown_fields(release: &str) {
    let Some((_server, k)) = server(release).await else { return };
    has(&ok!(k, DEPLOYMENT, "apply", "-f", "-"), &["created"]);
    let wrong = DEPLOYMENT.replace("replicas:", "replica:");
    let error = k.run(&["apply", "-f", "-"], &wrong).await.unwrap_err();
    has(&error, &["strict decoding error", "unknown field \"spec.replica\""]);
    has(&k.run(&["create", "-f", "-"], &wrong).await.unwrap_err(), &["unknown field \"spec.replica\""]);
    let warned = ok!(k, &wrong, "apply", "-f", "-", "--validate=warn");
    has(&warned, &["Warning: unknown field \"spec.replica\"", "deployment.apps/web"]);
    let text = DEPLOYMENT.replace("replicas: 1", "replicas: three");
    has(&k.run(&["apply", "-f", "-"], &text).await.unwrap_err(), &["spec.replicas"]);
    let refused = DEPLOYMENT.replace("      containers:", "      priorityClassName: high\n      containers:");
    has(
        &k.run(&["apply", "-f", "-"], &refused).await.unwrap_err(),
        &["priorityClassName", "not supported on this node"],
    );
}

/// What others added stays, by the keys of lists; what a choice excludes goes.
async fn patches_by_the_document(release: &str) {
    let Some((_server, k)) = server(release).await else { return };
    ok!(k, DEPLOYMENT, "apply", "-f", "-");
    ok!(k, "", "set", "env", "deploy/web", "ADDED=1");
    let other = DEPLOYMENT
        .replace("web:1", "web:2")
        .replace("spec:\n  replicas", "spec:\n  strategy: {type: Recreate}\n  replicas");
    let applied = ok!(k, &other, "apply", "-f", "-", "-v=8");
    // As kubectl says when it makes the patch with the document.
    has(&applied, &["/openapi/v3/apis/apps/v1?hash=", "$retainKeys", "$setElementOrder/containers"]);
    assert!(!applied.contains("warning: error calculating patch"), "{applied}");
    let got: Value = serde_json::from_str(&ok!(k, "", "get", "deploy", "web", "-o", "json")).unwrap();
    let container = &got["spec"]["template"]["spec"]["containers"][0];
    assert_eq!((container["image"].as_str(), &container["env"][0]["name"]), (Some("web:2"), &json!("ADDED")));
    assert_eq!(got["spec"]["strategy"], json!({"type": "Recreate"}), "the default rollingUpdate goes");
}

async fn applies_and_compares_on_the_server(release: &str) {
    let Some((_server, k)) = server(release).await else { return };
    has(&k.run(&["diff", "-f", "-"], DEPLOYMENT).await.unwrap_err(), &["Some(1)", "+kind: Deployment"]);
    has(&ok!(k, DEPLOYMENT, "apply", "--server-side", "-f", "-"), &["serverside-applied"]);
    assert_eq!(ok!(k, DEPLOYMENT, "diff", "--server-side", "-f", "-"), "");
    let three = DEPLOYMENT.replace("replicas: 1", "replicas: 3");
    has(&k.run(&["diff", "--server-side", "-f", "-"], &three).await.unwrap_err(), &["Some(1)", "+  replicas: 3"]);
    ok!(k, "", "scale", "deploy/web", "--replicas=2");
    let conflict = k.run(&["apply", "--server-side", "-f", "-"], &three).await.unwrap_err();
    has(&conflict, &["conflict", ".spec.replicas", "--force-conflicts"]);
    has(&ok!(k, &three, "apply", "--server-side", "--force-conflicts", "-f", "-"), &["serverside-applied"]);
    assert_eq!(ok!(k, "", "get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"), "3");
    let wrong = DEPLOYMENT.replace("image:", "imag:");
    let error = k.run(&["apply", "--server-side", "-f", "-"], &wrong).await.unwrap_err();
    has(&error, &["imag"]);
}

/// Revisions are replica sets; a controller would make them.
async fn rollout_history(release: &str) {
    let Some((server, k)) = server(release).await else { return };
    ok!(k, DEPLOYMENT, "apply", "-f", "-");
    let deployment: Value = serde_json::from_str(&ok!(k, "", "get", "deploy", "web", "-o", "json")).unwrap();
    for revision in ["1", "2"] {
        let mut template = deployment["spec"]["template"].clone();
        template["metadata"]["labels"]["pod-template-hash"] = revision.into();
        template["spec"]["containers"][0]["image"] = format!("web:{revision}").into();
        let set = json!({
            "metadata": {
                "name": format!("web-{revision}"), "labels": {"app": "web", "pod-template-hash": revision},
                "annotations": {
                    "deployment.kubernetes.io/revision": revision, "kubernetes.io/change-cause": format!("cause {revision}"),
                },
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": true,
                    "uid": deployment["metadata"]["uid"],
                }],
            },
            "spec": {
                "replicas": 1, "template": template,
                "selector": {"matchLabels": {"app": "web", "pod-template-hash": revision}},
            },
        });
        let kind = skerry_machinery::kind("apps", "ReplicaSet");
        server.registry.create(kind, "default", set, &Default::default()).unwrap();
    }
    has(&ok!(k, "", "rollout", "history", "deploy/web"), &["REVISION", "1", "cause 1", "cause 2"]);
    has(&ok!(k, "", "rollout", "history", "deploy/web", "--revision=1"), &["web:1"]);
    has(&ok!(k, "", "rollout", "undo", "deploy/web", "--to-revision=2"), &["deployment.apps/web rolled back"]);
    has(&ok!(k, "", "get", "deploy", "web", "-o", "jsonpath={..image}"), &["web:2"]);
}
