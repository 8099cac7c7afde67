//! Desired states for tests, made the way the node makes them.
#![allow(clippy::unwrap_used)]

use skerry_formats::{
    ObjectDigest, Sequence, Sha256Digest,
    baked::{AppConfig, BakedApp, HealthConfig, NodeConfig, Reserved},
    versioned::Document,
};

use crate::desired::{self, Desired};

/// A node that has the image `localhost/hello:1`.
pub(crate) fn node_config() -> NodeConfig {
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
            name: "hello".into(),
            image: "localhost/hello:1".into(),
            manifest_digest: Sha256Digest([1; 32]),
            composefs: ObjectDigest([2; 32]),
            config: AppConfig {
                entrypoint: vec!["/hello".into()],
                cmd: vec!["--serve".into()],
                env: vec!["FROM_IMAGE=$(X)".into(), "PATH=/bin".into()],
                working_dir: String::new(),
                user: "65532:65532".into(),
            },
        }],
    }
}

/// The desired state of a manifest.
pub(crate) fn desired(yaml: &str) -> Desired {
    let workloads = skerry_workloads::parse_manifests(&[("test.yaml".into(), yaml.as_bytes().to_vec())]).unwrap();
    let (desired, problems) = desired::build(&desired::baked::input(&workloads, &node_config()));
    assert_eq!(problems, [""; 0]);
    desired
}

/// A Deployment with `replicas` pods; `version` goes into its environment.
pub(crate) fn deployment(name: &str, replicas: u32, strategy: &str, version: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  strategy: {{type: {strategy}}}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: main
          image: localhost/hello:1
          env: [{{name: VERSION, value: "{version}"}}]
          ports: [{{name: http, containerPort: 8080}}]
          readinessProbe: {{httpGet: {{path: /ready, port: http}}}}
        - name: side
          image: localhost/hello:1
"#
    )
}

/// A NodePort Service for a Deployment.
pub(crate) fn service(name: &str, node_port: u16) -> String {
    format!(
        r#"
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  type: NodePort
  selector: {{app: {name}}}
  ports: [{{port: 80, targetPort: http, nodePort: {node_port}}}]
"#
    )
}
