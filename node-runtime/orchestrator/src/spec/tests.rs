//! The whole spec of a restricted pod, and that it is one by the OCI's own
//! types.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::desired;

const RESTRICTED: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, tier: demo}, annotations: {note: hi}}
    spec:
      securityContext: {runAsNonRoot: true, fsGroup: 2000, seccompProfile: {type: RuntimeDefault}}
      volumes: [{name: scratch, emptyDir: {}}]
      containers:
        - name: main
          image: localhost/hello:1
          args: [--port, "8080"]
          env:
            - {name: A, value: "1"}
            - {name: B, value: "$(A)$(NOPE)$$(A)"}
            - {name: TIER, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}}
            - {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['note']"}}}
            - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
            - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
            - {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
          resources: {requests: {cpu: 50m, memory: 16Mi}, limits: {cpu: 500m, memory: 32Mi}}
          volumeMounts: [{name: scratch, mountPath: /tmp}]
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
"#;

fn spec_of(yaml: &str, arch: &str) -> Value {
    let d = desired(yaml);
    let pod = d.pods.values().next().unwrap();
    let place = Place {
        node_name: "node-1",
        pod_ip: Ipv4Addr::new(10, 244, 0, 2),
        pod_ip6: None,
        node: NodeAddresses { ip: Ipv4Addr::new(192, 0, 2, 1), ip6: None },
        netns: Path::new("/run/skerry/netns/U"),
        files: Path::new("/run/skerry/pods/U"),
        mounts: &[PathBuf::from("/var/lib/skerry/pods/U/volumes/scratch")],
        termination: Path::new("/run/skerry/pods/U/main-0.end"),
        node_memory_bytes: 1 << 30,
        oom_score_least: -1000,
        cgroup_parent: "/pods",
        apparmor: None,
        cgroup_v2: true,
        arch,
    };
    build(pod, &pod.containers[0], &place)
}

#[test]
fn a_restricted_container() {
    let mut spec = spec_of(RESTRICTED, "x86_64");
    let seccomp = spec["linux"]["seccomp"]["syscalls"][0]["names"].take();
    assert!(seccomp.as_array().unwrap().len() > 250);
    insta::assert_snapshot!(serde_json::to_string_pretty(&spec).unwrap());
}

#[test]
fn it_is_a_spec_by_the_oci_types() {
    for arch in ["x86_64", "aarch64"] {
        let spec = spec_of(RESTRICTED, arch);
        let typed: oci_spec::runtime::Spec = serde_json::from_value(spec).unwrap();
        let process = typed.process().clone().unwrap();
        assert_eq!(process.no_new_privileges(), Some(true));
        assert_eq!(process.user().uid(), 65532);
        assert!(process.capabilities().clone().unwrap().bounding().clone().unwrap().is_empty());
        let resources = typed.linux().clone().unwrap().resources().clone().unwrap();
        assert_eq!(resources.memory().as_ref().unwrap().limit(), Some(32 << 20));
        assert!(typed.linux().clone().unwrap().seccomp().is_some());
    }
}

#[test]
fn the_filter_never_allows_what_administers_the_machine() {
    let spec = spec_of(RESTRICTED, "x86_64");
    let names = spec["linux"]["seccomp"]["syscalls"][0]["names"].to_string();
    for call in [
        "mount",
        "umount2",
        "reboot",
        "init_module",
        "kexec_load",
        "setns",
        "unshare",
        "ptrace",
        "bpf",
        "io_uring_setup",
        "clone3",
        "clone",
        "socket",
        "personality",
        "add_key",
        "keyctl",
        "userfaultfd",
        "perf_event_open",
        "swapon",
    ] {
        assert!(!names.contains(&format!("\"{call}\"")), "{call}");
    }
}

#[test]
fn capabilities_and_seccomp_follow_the_manifest() {
    let with = |security: &str| spec_of(&RESTRICTED.replace("capabilities: {drop: [ALL]}", security), "x86_64");
    let bind = with("capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}");
    assert_eq!(bind["process"]["capabilities"]["ambient"], json!(["CAP_NET_BIND_SERVICE"]));
    let open = with("seccompProfile: {type: Unconfined}");
    assert!(open["linux"].get("seccomp").is_none());
    assert_eq!(open["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 14);
}
