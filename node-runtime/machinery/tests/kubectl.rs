//! Patches compared with `kubectl patch --local`, which applies them with
//! Kubernetes' own code and asks no server. Where there is no `kubectl`, the
//! test says that it was skipped.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::{Value, json};
use skerry_machinery::{
    kind,
    patch::{PatchType, patch},
};

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"a": "1", "b": "2"}, "finalizers": ["x/a", "x/b", "x/c"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                "containers": [
                    {"name": "a", "image": "i:1", "args": ["x", "y"], "env": [{"name": "E", "value": "1"}],
                        "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81}],
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
                    {"name": "b", "image": "j:1", "resources": {"limits": {"cpu": "1"}}},
                ],
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "m"}}],
                "tolerations": [{"key": "t"}], "nodeSelector": {"disk": "ssd"},
                "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["h"]}],
                "imagePullSecrets": [{"name": "s"}],
            }},
        },
    })
}

/// What kubectl makes of it; `None` if it refuses.
fn by_kubectl(folder: &std::path::Path, object: &Value, body: &Value, patch_type: &str) -> Option<Value> {
    let file = folder.join("object.json");
    std::fs::write(&file, object.to_string()).unwrap();
    let mut command = Command::new("kubectl");
    command.args(["patch", "--local", "--type", patch_type, "-o", "json", "-p", &body.to_string(), "-f"]).arg(file);
    let output = command.env("KUBECONFIG", "/dev/null").output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

fn compare(patch_type: PatchType, name: &str, bodies: Vec<Value>) {
    if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        eprintln!("skipped: needs kubectl");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = vec![];
    for body in bodies {
        let expected = by_kubectl(folder.path(), &deployment(), &body, name);
        let ours = patch(kind("apps", "Deployment"), &deployment(), body.to_string().as_bytes(), patch_type).ok();
        if ours != expected {
            wrong.push(format!("{body}\nours:    {}\nkubectl: {}", json!(ours), json!(expected)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// A patch of the pod's spec.
fn spec(spec: Value) -> Value {
    json!({"spec": {"template": {"spec": spec}}})
}

#[test]
fn strategic() {
    compare(
        PatchType::Strategic,
        "strategic",
        vec![
            json!({"spec": {"replicas": 3, "paused": true}}),
            json!({"metadata": {"labels": {"a": null, "c": "3"}}}),
            json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}}}),
            json!({"metadata": {"labels": {"$patch": "delete"}}}),
            json!({"metadata": {"labels": null}}),
            json!({"metadata": {"finalizers": ["x/d", "x/a"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a", "x/z"]}}),
            json!({"metadata": {"finalizers": ["x/d"], "$setElementOrder/finalizers": ["x/d", "x/c", "x/b"]}}),
            json!({"metadata": {"ownerReferences": [{"uid": "u", "name": "m"}]}}),
            json!({"metadata": {"ownerReferences": [{"uid": "u", "$patch": "delete"}]}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {"maxSurge": 2}}}}),
            json!({"spec": {"selector": {"matchLabels": {"b": "1"}}}}),
            spec(json!({"containers": [{"name": "a", "image": "i:2"}]})),
            spec(json!({"containers": [{"name": "a", "args": ["z"], "env": [{"name": "F", "value": "2"}]}]})),
            spec(json!({"containers": [{"name": "a", "env": [{"name": "E", "$patch": "delete"}]}]})),
            spec(json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "web"}]}]})),
            spec(
                json!({"containers": [{"name": "a", "ports": null, "volumeMounts": [{"mountPath": "/v", "readOnly": true}]}]}),
            ),
            spec(json!({"containers": [{"name": "b", "resources": {"limits": {"memory": "1Gi"}}}]})),
            spec(json!({"containers": [{"name": "c", "image": "k"}]})),
            spec(json!({"containers": [{"name": "b", "$patch": "delete"}]})),
            spec(json!({"containers": [{"name": "c", "image": "k"}, {"$patch": "replace"}]})),
            spec(json!({"containers": [{"name": "b", "image": "k", "$patch": "replace"}]})),
            spec(
                json!({"containers": [{"name": "c"}], "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}]}),
            ),
            spec(json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]})),
            spec(json!({"$setElementOrder/containers": [{"name": "b"}]})),
            spec(json!({"containers": [{"name": "c"}], "$setElementOrder/containers": [{"name": "a"}, {"name": "c"}]})),
            spec(json!({"containers": [{"name": "b", "image": "z"}, {"name": "a", "image": "z"}]})),
            spec(json!({"containers": [{"name": "c"}], "$setElementOrder/containers": [{"name": "a"}]})),
            spec(json!({"containers": [{"image": "no name"}]})),
            spec(json!({"containers": null})),
            spec(json!({"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]})),
            spec(json!({"volumes": [{"name": "w", "configMap": {"defaultMode": 256}}]})),
            spec(json!({"tolerations": [{"key": "u"}]})),
            spec(json!({"nodeSelector": {"zone": "z"}})),
            spec(json!({"hostAliases": [{"ip": "192.0.2.1", "hostnames": ["i"]}, {"ip": "192.0.2.2"}]})),
            spec(json!({"imagePullSecrets": [{"name": "t"}]})),
            spec(json!({"securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}})),
            spec(json!({"securityContext": {"sysctls": [{"name": "a", "value": "1"}], "fsGroup": null}})),
            spec(json!({"$patch": "frob"})),
            json!({}),
        ],
    );
}

#[test]
fn merge() {
    compare(
        PatchType::Merge,
        "merge",
        vec![
            json!({"spec": {"replicas": 3}}),
            json!({"metadata": {"labels": {"a": null, "c": "3"}}}),
            spec(json!({"containers": [{"name": "a", "image": "i:2"}]})),
            spec(json!({"nodeSelector": null, "priority": 1})),
        ],
    );
}

#[test]
fn json() {
    compare(
        PatchType::Json,
        "json",
        vec![
            json!([{"op": "replace", "path": "/spec/replicas", "value": 4}]),
            json!([{"op": "add", "path": "/metadata/labels/x~1y", "value": "z"}]),
            json!([{"op": "remove", "path": "/spec/template/spec/containers/1"}]),
            json!([{"op": "remove", "path": "/spec/nothing"}]),
            json!([{"op": "replace", "path": "/spec/nothing", "value": 1}]),
            json!([{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "c"}}]),
            json!([{"op": "add", "path": "/spec/template/spec/containers/9", "value": {"name": "c"}}]),
            json!([{"op": "test", "path": "/spec/replicas", "value": 1}, {"op": "copy", "from": "/spec/replicas", "path": "/spec/minReadySeconds"}]),
            json!([{"op": "test", "path": "/spec/replicas", "value": 2}]),
            json!([{"op": "move", "from": "/metadata/labels/a", "path": "/metadata/labels/z"}]),
        ],
    );
}
