//! The pods that are measured: the demo's app with the demo's probes, with
//! requests that let fifty of them on a box of 1 GiB.

use serde_json::{Value, json};

/// Label of the pods.
pub const LABEL: &str = "bench";
/// Namespace in which pods may do anything.
pub const PRIVILEGED: &str = "probe";

/// Image of all pods.
const IMAGE: &str = "localhost/hello:demo";
/// Where the node's programs are in pods that use them.
const NODE: &str = "/node";

fn spec() -> Value {
    let probe = |path: &str, period: u32, timeout: u32| json!({"httpGet": {"path": path, "port": 8080}, "periodSeconds": period, "timeoutSeconds": timeout});
    json!({
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{
            "name": "hello",
            "image": IMAGE,
            "readinessProbe": probe("/ready", 1, 2),
            "livenessProbe": probe("/health", 10, 5),
            "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            },
        }],
    })
}

/// One pod.
pub fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": LABEL}}, "spec": spec()})
}

/// The same without probes, for programs that cannot ask them.
pub fn pod_without_probes(name: &str) -> Value {
    let mut pod = pod(name);
    if let Some(container) = pod["spec"]["containers"][0].as_object_mut() {
        container.retain(|field, _| !field.ends_with("Probe"));
    }
    pod
}

/// A Deployment of them, none yet.
pub fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": LABEL},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": LABEL}},
            "template": {"metadata": {"labels": {"app": LABEL}}, "spec": spec()},
        },
    })
}

/// A pod that sees all processes of the node, may look into their memory, and
/// has the node's programs. It counts as one of the pods: its app is the same.
pub fn probe() -> [Value; 2] {
    let labels = json!({"pod-security.kubernetes.io/enforce": "privileged"});
    let mut spec = with_node(json!({"securityContext": {"privileged": true, "runAsUser": 0}}));
    spec["hostPID"] = true.into();
    [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PRIVILEGED, "labels": labels}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "namespace": PRIVILEGED}, "spec": spec}),
    ]
}

/// A Job that ends at once.
pub fn job(number: u32) -> Value {
    let mut spec = with_node(json!({"command": [format!("{NODE}/skerry-node"), "--version"]}));
    spec["restartPolicy"] = "Never".into();
    let labels = json!({"app": "churn"});
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": format!("churn-{number}"), "namespace": PRIVILEGED, "labels": labels},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": spec}},
    })
}

/// Pod spec with the node's programs in it.
fn with_node(mut container: Value) -> Value {
    container["name"] = "hello".into();
    container["image"] = IMAGE.into();
    container["resources"] = json!({"requests": {"cpu": "5m", "memory": "8Mi"}});
    container["volumeMounts"] = json!([{"name": "node", "mountPath": NODE, "readOnly": true}]);
    json!({
        "terminationGracePeriodSeconds": 1,
        "volumes": [{"name": "node", "hostPath": {"path": "/usr/bin", "type": "Directory"}}],
        "containers": [container],
    })
}
