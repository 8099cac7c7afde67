//! Manifests in, objects or named problems out.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use skerry_workloads::{Object, check_restricted, images_used, parse_manifests};

const GOOD: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, creationTimestamp: null}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      volumes: [{name: scratch, emptyDir: {medium: Memory, sizeLimit: 8Mi}}]
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: web
          image: localhost/web:1
          ports: [{name: http, containerPort: 8080}]
          env: [{name: A, value: "1"}, {name: B, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}]
          readinessProbe: {httpGet: {path: /ready, port: http}}
          resources: {requests: {cpu: 0.1, memory: 8Mi}, limits: {cpu: "1", memory: 16Mi}}
          volumeMounts: [{name: scratch, mountPath: /tmp}]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
# nothing here
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: http, nodePort: 30080}]
---
apiVersion: v1
kind: Namespace
metadata: {name: default}
"#;

fn parse(text: &str) -> Result<Vec<skerry_workloads::Workload>, Vec<String>> {
    parse_manifests(&[("m.yaml".into(), text.into())]).map_err(|p| p.iter().map(ToString::to_string).collect())
}

fn problems(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the fixture has no {from}");
    parse(&GOOD.replacen(from, to, 1)).expect_err(&format!("accepted: {to}")).join("\n")
}

#[test]
fn a_good_file() {
    let w = parse(GOOD).unwrap();
    assert_eq!(
        w.iter().map(|w| w.object.title()).collect::<Vec<_>>(),
        ["Deployment default/web", "Service default/web", "Namespace default"]
    );
    let Object::Deployment(d) = &w[0].object else { panic!("{w:?}") };
    let spec = d.spec.clone().unwrap();
    assert_eq!(spec.replicas, Some(2));
    let uses = images_used(&w);
    assert_eq!(uses.len(), 1);
    assert_eq!(
        (uses[0].image.as_str(), uses[0].field.as_str()),
        ("localhost/web:1", "spec.template.spec.containers[0].image")
    );
    assert_eq!(check_restricted(&w), []);
}

#[test]
fn what_is_not_understood_is_refused_and_named() {
    for (from, to, field, says) in [
        ("replicas: 2", "replicsa: 2", "spec.replicsa", "did you mean \"replicas\"?"),
        ("replicas: 2", "replicas: '2'", "spec.replicas", "whole number"),
        ("kind: Deployment", "kind: Ingress", "kind", "not supported"),
        ("apps/v1", "apps/v1beta1", "kind", "supported are v1 Namespace"),
        ("image: localhost/web:1", "imag: x", "containers[0].imag", "did you mean \"image\"?"),
        ("image: localhost/web:1", "image: ''", "containers[0].image", "Required value"),
        ("image: localhost/web:1", "image: x\n          volumeDevices: [{}]", "volumeDevices", "not supported"),
        ("{app: web}}\n  template", "{app: other}}\n  template", "template.metadata.labels", "does not match"),
        ("value: \"1\"", "value: 1", "env[0].value", "quote it"),
        ("containerPort: 8080", "containerPort: 8080, protocol: SCTP", "ports[0].protocol", "Unsupported value"),
        ("type: NodePort", "type: LoadBalancer", "spec.type", "NodePort"),
        ("nodePort: 30080", "nodePort: 80", "nodePort", "30000"),
        ("metadata: {name: web}\nspec:\n  type", "metadata: {name: Web}\nspec:\n  type", "metadata.name", "DNS-1035"),
    ] {
        let p = problems(from, to);
        assert!(p.contains(field) && p.contains(says), "{to}\n→ {p}\nwanted {field}: {says}");
        assert!(p.starts_with("m.yaml, document "), "{p}");
    }
}

#[test]
fn syntax_errors_and_repeated_keys_name_the_line() {
    for bad in ["a: [1", "a: 1\na: 2", "{", "a: *nothing"] {
        let p = parse(bad).unwrap_err().join("\n");
        assert!(p.starts_with("m.yaml: not valid YAML"), "{bad} → {p}");
        assert!(p.contains("line"), "{bad} → {p}");
    }
    let not_utf8 = parse_manifests(&[("b.yaml".into(), vec![0xff, 0xfe, 0x80])]).unwrap_err();
    assert!(not_utf8[0].to_string().contains("UTF-8"));
    let large = parse_manifests(&[("b.yaml".into(), vec![b' '; skerry_workloads::FILE_BYTES_MAX + 1])]).unwrap_err();
    assert!(large[0].to_string().contains("larger"));
}

#[test]
fn all_problems_of_all_files_at_once() {
    let bad = GOOD.replace("replicas: 2", "replicas: x").replace("port: 80,", "port: 0,");
    let files = [("a.yaml".to_owned(), bad.into_bytes()), ("b.yaml".to_owned(), b"kind: Nope".to_vec())];
    let p: Vec<String> = parse_manifests(&files).unwrap_err().iter().map(|p| p.field.clone()).collect();
    assert_eq!(p, ["spec.replicas", "spec.ports[0].port", "kind"]);
}

#[test]
fn names_and_node_ports_are_taken_once() {
    let p = parse(&format!("{GOOD}---{GOOD}")).unwrap_err().join("\n");
    assert_eq!(p.matches("already defined in m.yaml").count(), 3, "{p}");
    let second = GOOD.replace("name: web", "name: other").replace("name: default", "name: x");
    let p = parse(&format!("{GOOD}---{second}")).unwrap_err().join("\n");
    assert!(p.contains("30080 is already taken by Service default/web"), "{p}");
}

/// Each control of the profile that the parser lets through, violated alone.
#[test]
fn restricted_profile() {
    for (from, to, field) in [
        ("runAsNonRoot: true, ", "", "securityContext.runAsNonRoot"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "securityContext.runAsNonRoot"),
        ("runAsUser: 65532", "runAsUser: 0", "spec.template.spec.securityContext.runAsUser"),
        ("{allowPriv", "{runAsUser: 0, allowPriv", "containers[0].securityContext.runAsUser"),
        ("allowPrivilegeEscalation: false, ", "", "allowPrivilegeEscalation"),
        ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation"),
        ("drop: [ALL]", "drop: [NET_RAW]", "capabilities.drop"),
        ("drop: [ALL]", "drop: [ALL], add: [SYS_TIME]", "capabilities.add[0]"),
        (", seccompProfile: {type: RuntimeDefault}", "", "seccompProfile.type"),
        ("type: RuntimeDefault", "type: Unconfined", "seccompProfile.type"),
    ] {
        let w = parse(&GOOD.replacen(from, to, 1)).unwrap();
        let p: Vec<String> = check_restricted(&w).iter().map(|p| p.field.clone()).collect();
        assert!(p.iter().any(|f| f.ends_with(field)), "{to}: {p:?}");
    }
    let bind = GOOD.replace("drop: [ALL]", "drop: [ALL], add: [NET_BIND_SERVICE]");
    assert_eq!(check_restricted(&parse(&bind).unwrap()), []);
}

proptest! {
    #[test]
    fn any_bytes_give_objects_or_problems(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_manifests(&[("f".into(), bytes)]);
    }

    #[test]
    fn a_damaged_manifest_never_panics(at in 0..GOOD.len(), with in "[ -~\n]{0,4}") {
        let mut text = GOOD.to_owned();
        text.insert_str(at, &with);
        let _ = parse_manifests(&[("f".into(), text.into_bytes())]);
    }
}
