//! Bodies as clients send them, and bodies that nobody should send.

#![allow(clippy::unwrap_used)]
use k8s_pb::{
    api::{
        apps::v1 as apps, autoscaling::v1 as autoscaling, batch::v1 as batch, core::v1 as core, policy::v1 as policy,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1 as meta,
        runtime::{RawExtension, TypeMeta, Unknown},
        util::intstr::IntOrString,
    },
};
use prost::Message as _;
use serde_json::json;

use super::*;

fn body(api_version: &str, kind: &str, message: &impl prost::Message) -> Vec<u8> {
    let unknown = Unknown {
        type_meta: Some(TypeMeta { api_version: Some(api_version.into()), kind: Some(kind.into()) }),
        raw: Some(message.encode_to_vec()),
        // as client-go writes them
        content_encoding: Some(String::new()),
        content_type: Some(String::new()),
    };
    [MAGIC, &unknown.encode_to_vec()].concat()
}

/// Encodes a message, decodes it, compares with the JSON.
fn check(api_version: &str, kind: &str, message: &impl prost::Message, expected: Value) {
    let mut expected = expected;
    expected["apiVersion"] = api_version.into();
    expected["kind"] = kind.into();
    assert_eq!(decode(&body(api_version, kind, message)).unwrap(), expected);
}

fn s(text: &str) -> Option<String> {
    Some(text.into())
}

fn map<V>(pairs: impl IntoIterator<Item = (&'static str, V)>) -> std::collections::BTreeMap<String, V> {
    pairs.into_iter().map(|(k, v)| (k.to_string(), v)).collect()
}

/// Metadata as a Go client sends it: all that is no pointer, empty or not.
fn metadata() -> Option<meta::ObjectMeta> {
    Some(meta::ObjectMeta {
        name: s("web"),
        generate_name: s(""),
        namespace: s("shop"),
        self_link: s(""),
        uid: s(""),
        resource_version: s(""),
        generation: Some(0),
        creation_timestamp: Some(meta::Time::default()),
        labels: map([("app", "web".to_string())]),
        ..Default::default()
    })
}

fn metadata_json() -> Value {
    json!({"name": "web", "namespace": "shop", "labels": {"app": "web"}})
}

fn quantity(text: &str) -> Quantity {
    Quantity { string: s(text) }
}

fn int(number: i32) -> Option<IntOrString> {
    Some(IntOrString { r#type: Some(0), int_val: Some(number), str_val: s("") })
}

fn percent(text: &str) -> Option<IntOrString> {
    Some(IntOrString { r#type: Some(1), int_val: Some(0), str_val: s(text) })
}

fn container() -> core::Container {
    core::Container {
        name: s("web"),
        image: s("registry.example/web:1"),
        command: vec!["web".into(), String::new()],
        working_dir: s(""),
        ports: vec![core::ContainerPort {
            name: s("http"),
            host_port: Some(0),
            container_port: Some(80),
            protocol: s("TCP"),
            host_ip: s(""),
        }],
        env: vec![
            core::EnvVar { name: s("A"), value: s("1"), value_from: None },
            core::EnvVar { name: s("B"), value: s(""), value_from: Some(value_from()) },
        ],
        resources: Some(core::ResourceRequirements {
            limits: map([("cpu", quantity("500m")), ("memory", quantity("64Mi"))]),
            ..Default::default()
        }),
        liveness_probe: Some(core::Probe {
            handler: Some(core::ProbeHandler {
                http_get: Some(core::HttpGetAction {
                    path: s("/"),
                    port: int(80),
                    host: s(""),
                    scheme: s("HTTP"),
                    http_headers: vec![],
                }),
                ..Default::default()
            }),
            initial_delay_seconds: Some(5),
            timeout_seconds: Some(0),
            termination_grace_period_seconds: Some(0),
            ..Default::default()
        }),
        security_context: Some(core::SecurityContext {
            run_as_user: Some(0),
            run_as_non_root: Some(false),
            capabilities: Some(core::Capabilities { add: vec![], drop: vec!["ALL".into()] }),
            ..Default::default()
        }),
        stdin: Some(false),
        tty: Some(true),
        ..Default::default()
    }
}

fn value_from() -> core::EnvVarSource {
    core::EnvVarSource {
        config_map_key_ref: Some(core::ConfigMapKeySelector {
            local_object_reference: Some(core::LocalObjectReference { name: s("m") }),
            key: s("k"),
            optional: Some(false),
        }),
        ..Default::default()
    }
}

fn container_json() -> Value {
    json!({
        "name": "web", "image": "registry.example/web:1", "command": ["web", ""],
        "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}],
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k", "optional": false}}},
        ],
        "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
        "livenessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "initialDelaySeconds": 5,
            "terminationGracePeriodSeconds": 0},
        "securityContext": {"runAsUser": 0, "runAsNonRoot": false, "capabilities": {"drop": ["ALL"]}},
        "tty": true,
    })
}

fn pod_spec() -> core::PodSpec {
    let source = |source| Some(source);
    core::PodSpec {
        containers: vec![container()],
        init_containers: vec![core::Container { name: s("init"), restart_policy: s("Always"), ..Default::default() }],
        volumes: vec![
            core::Volume {
                name: s("tmp"),
                volume_source: source(core::VolumeSource {
                    empty_dir: Some(core::EmptyDirVolumeSource { medium: s(""), size_limit: Some(quantity("1Gi")) }),
                    ..Default::default()
                }),
            },
            core::Volume {
                name: s("conf"),
                volume_source: source(core::VolumeSource {
                    config_map: Some(core::ConfigMapVolumeSource {
                        local_object_reference: Some(core::LocalObjectReference { name: s("m") }),
                        items: vec![core::KeyToPath { key: s("k"), path: s("p"), mode: Some(0) }],
                        default_mode: Some(420),
                        optional: None,
                    }),
                    ..Default::default()
                }),
            },
        ],
        restart_policy: s("Always"),
        termination_grace_period_seconds: Some(0),
        node_selector: map([("disk", "ssd".to_string())]),
        host_network: Some(false),
        enable_service_links: Some(false),
        security_context: Some(core::PodSecurityContext {
            supplemental_groups: vec![1, -1],
            fs_group: Some(0),
            ..Default::default()
        }),
        tolerations: vec![core::Toleration { key: s("k"), toleration_seconds: Some(0), ..Default::default() }],
        host_aliases: vec![core::HostAlias { ip: s("192.0.2.1"), hostnames: vec!["a".into()] }],
        ..Default::default()
    }
}

fn pod_spec_json() -> Value {
    json!({
        "containers": [container_json()],
        "initContainers": [{"name": "init", "restartPolicy": "Always"}],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "conf", "configMap": {"name": "m", "items": [{"key": "k", "path": "p", "mode": 0}], "defaultMode": 420}},
        ],
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 0, "nodeSelector": {"disk": "ssd"},
        "enableServiceLinks": false,
        "securityContext": {"supplementalGroups": [1, -1], "fsGroup": 0},
        "tolerations": [{"key": "k", "tolerationSeconds": 0}],
        "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a"]}],
    })
}

fn selector() -> Option<meta::LabelSelector> {
    Some(meta::LabelSelector { match_labels: map([("app", "web".to_string())]), ..Default::default() })
}

fn template() -> Option<core::PodTemplateSpec> {
    Some(core::PodTemplateSpec { metadata: Some(meta::ObjectMeta::default()), spec: Some(pod_spec()) })
}

#[test]
fn pod() {
    let time = Some(meta::Time { seconds: Some(1_767_225_600), nanos: Some(0) });
    let status = core::PodStatus {
        phase: s("Running"),
        host_ip: s("192.0.2.7"),
        pod_ips: vec![core::PodIp { ip: s("10.0.0.1") }],
        start_time: time,
        container_statuses: vec![core::ContainerStatus {
            name: s("web"),
            ready: Some(false),
            restart_count: Some(0),
            started: Some(false),
            image: s(""),
            image_id: s(""),
            state: Some(core::ContainerState {
                running: Some(core::ContainerStateRunning { started_at: time }),
                ..Default::default()
            }),
            ..Default::default()
        }],
        ..Default::default()
    };
    let pod = core::Pod { metadata: metadata(), spec: Some(pod_spec()), status: Some(status) };
    let status = json!({
        "phase": "Running", "hostIP": "192.0.2.7", "podIPs": [{"ip": "10.0.0.1"}], "startTime": "2026-01-01T00:00:00Z",
        "containerStatuses": [{"name": "web", "ready": false, "restartCount": 0, "started": false, "image": "", "imageID": "",
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
    });
    check("v1", "Pod", &pod, json!({"metadata": metadata_json(), "spec": pod_spec_json(), "status": status}));
}

#[test]
fn workloads() {
    let template_json = json!({"metadata": {}, "spec": pod_spec_json()});
    let selector_json = json!({"matchLabels": {"app": "web"}});
    let strategy = apps::DeploymentStrategy {
        r#type: s("RollingUpdate"),
        rolling_update: Some(apps::RollingUpdateDeployment { max_unavailable: int(0), max_surge: percent("25%") }),
    };
    let spec = apps::DeploymentSpec {
        replicas: Some(0),
        selector: selector(),
        template: template(),
        strategy: Some(strategy),
        min_ready_seconds: Some(0),
        paused: Some(false),
        ..Default::default()
    };
    let deployment = apps::Deployment { metadata: metadata(), spec: Some(spec), status: Some(Default::default()) };
    let spec = json!({"replicas": 0, "selector": selector_json, "template": template_json,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}}});
    check("apps/v1", "Deployment", &deployment, json!({"metadata": metadata_json(), "spec": spec, "status": {}}));

    let claim = core::PersistentVolumeClaim {
        metadata: metadata(),
        spec: Some(core::PersistentVolumeClaimSpec {
            access_modes: vec!["ReadWriteOnce".into()],
            storage_class_name: s(""),
            resources: Some(core::VolumeResourceRequirements {
                requests: map([("storage", quantity("1Gi"))]),
                ..Default::default()
            }),
            ..Default::default()
        }),
        status: None,
    };
    let spec = apps::StatefulSetSpec {
        replicas: Some(1),
        selector: selector(),
        service_name: s("web"),
        volume_claim_templates: vec![claim],
        ..Default::default()
    };
    let set = apps::StatefulSet { metadata: metadata(), spec: Some(spec), status: None };
    let claim = json!({"metadata": metadata_json(), "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "",
        "resources": {"requests": {"storage": "1Gi"}}}});
    let spec = json!({"replicas": 1, "selector": selector_json, "serviceName": "web", "volumeClaimTemplates": [claim]});
    check("apps/v1", "StatefulSet", &set, json!({"metadata": metadata_json(), "spec": spec}));

    let job =
        batch::JobSpec { parallelism: Some(0), backoff_limit: Some(0), template: template(), ..Default::default() };
    let job_json = json!({"parallelism": 0, "backoffLimit": 0, "template": template_json});
    let object = batch::Job { metadata: metadata(), spec: Some(job.clone()), status: None };
    check("batch/v1", "Job", &object, json!({"metadata": metadata_json(), "spec": job_json}));
    let spec = batch::CronJobSpec {
        schedule: s("* * * * *"),
        suspend: Some(false),
        job_template: Some(batch::JobTemplateSpec { metadata: None, spec: Some(job) }),
        ..Default::default()
    };
    let object = batch::CronJob { metadata: metadata(), spec: Some(spec), status: None };
    let spec = json!({"schedule": "* * * * *", "suspend": false, "jobTemplate": {"spec": job_json}});
    check("batch/v1", "CronJob", &object, json!({"metadata": metadata_json(), "spec": spec}));

    let revision = apps::ControllerRevision {
        metadata: metadata(),
        data: Some(RawExtension { raw: Some(br#"{"spec": {"a": [1]}}"#.to_vec()) }),
        revision: Some(3),
    };
    let expected = json!({"metadata": metadata_json(), "data": {"spec": {"a": [1]}}, "revision": 3});
    check("apps/v1", "ControllerRevision", &revision, expected);
}

#[test]
fn service_and_data() {
    let port = |port, target, node| core::ServicePort {
        name: s("p"),
        protocol: s("TCP"),
        port: Some(port),
        target_port: target,
        node_port: Some(node),
        ..Default::default()
    };
    let spec = core::ServiceSpec {
        ports: vec![port(80, percent("http"), 0), port(81, int(0), 30081)],
        cluster_ip: s("None"),
        cluster_ips: vec!["None".into()],
        publish_not_ready_addresses: Some(false),
        allocate_load_balancer_node_ports: Some(false),
        ..Default::default()
    };
    let service = core::Service {
        metadata: metadata(),
        spec: Some(spec),
        status: Some(core::ServiceStatus { load_balancer: Some(Default::default()), conditions: vec![] }),
    };
    let spec = json!({
        "ports": [{"name": "p", "protocol": "TCP", "port": 80, "targetPort": "http"},
            {"name": "p", "protocol": "TCP", "port": 81, "nodePort": 30081}],
        "clusterIP": "None", "clusterIPs": ["None"], "allocateLoadBalancerNodePorts": false,
    });
    check(
        "v1",
        "Service",
        &service,
        json!({"metadata": metadata_json(), "spec": spec, "status": {"loadBalancer": {}}}),
    );

    let secret = core::Secret {
        metadata: metadata(),
        data: map([("a", b"\0\xff\x10".to_vec()), ("b", vec![])]),
        string_data: map([("c", "ä".to_string())]),
        r#type: s("Opaque"),
        immutable: Some(false),
    };
    let expected = json!({"metadata": metadata_json(), "data": {"a": "AP8Q", "b": ""}, "stringData": {"c": "ä"},
        "type": "Opaque", "immutable": false});
    check("v1", "Secret", &secret, expected);
    let config = core::ConfigMap {
        metadata: metadata(),
        data: map([("empty", String::new())]),
        binary_data: map([("x", vec![1])]),
        immutable: None,
    };
    check(
        "v1",
        "ConfigMap",
        &config,
        json!({"metadata": metadata_json(), "data": {"empty": ""}, "binaryData": {"x": "AQ=="}}),
    );
}

#[test]
fn requests_and_events() {
    let options = meta::DeleteOptions {
        grace_period_seconds: Some(0),
        preconditions: Some(meta::Preconditions { uid: s("u"), resource_version: None }),
        propagation_policy: s("Foreground"),
        ..Default::default()
    };
    let expected = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}, "propagationPolicy": "Foreground"});
    check("v1", "DeleteOptions", &options, expected.clone());
    check("apps/v1", "DeleteOptions", &options, expected);
    let eviction = policy::Eviction { metadata: metadata(), delete_options: None };
    check("policy/v1", "Eviction", &eviction, json!({"metadata": metadata_json()}));
    let scale = autoscaling::Scale {
        metadata: metadata(),
        spec: Some(autoscaling::ScaleSpec { replicas: Some(0) }),
        status: None,
    };
    check("autoscaling/v1", "Scale", &scale, json!({"metadata": metadata_json(), "spec": {"replicas": 0}}));

    let entry = meta::ManagedFieldsEntry {
        manager: s("m"),
        fields_v1: Some(meta::FieldsV1 { raw: Some(br#"{"f:a":{}}"#.to_vec()) }),
        ..Default::default()
    };
    let event = core::Event {
        metadata: Some(meta::ObjectMeta { name: s("e"), managed_fields: vec![entry], ..Default::default() }),
        involved_object: Some(core::ObjectReference { kind: s("Pod"), ..Default::default() }),
        event_time: Some(meta::MicroTime { seconds: Some(1_767_225_600), nanos: Some(1_500_000) }),
        first_timestamp: Some(meta::Time::default()),
        ..Default::default()
    };
    let expected = json!({
        "metadata": {"name": "e", "managedFields": [{"manager": "m", "fieldsV1": {"f:a": {}}}]},
        "involvedObject": {"kind": "Pod"}, "eventTime": "2026-01-01T00:00:00.001500Z",
    });
    check("v1", "Event", &event, expected);
}

#[test]
fn json_inside() {
    let unknown = Unknown {
        raw: Some(b"{\"kind\": \"Pod\"}".to_vec()),
        content_type: s("application/json"),
        ..Default::default()
    };
    let body = [MAGIC, &unknown.encode_to_vec()].concat();
    assert_eq!(decode(&body).unwrap(), json!({"kind": "Pod"}));
}

/// A body around bytes that no message made.
fn around(raw: &[u8]) -> Vec<u8> {
    body("v1", "Pod", &RawBytes(raw.to_vec()))
}

#[derive(Debug)]
struct RawBytes(Vec<u8>);

impl prost::Message for RawBytes {
    fn encode_raw(&self, buf: &mut impl prost::bytes::BufMut) {
        buf.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        _: u32,
        _: prost::encoding::WireType,
        _: &mut impl prost::bytes::Buf,
        _: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {}
}

#[test]
fn refused() {
    let wrong = |body: &[u8]| decode_body(body).unwrap_err();
    assert_eq!(wrong(b"{}"), Wrong::NoMagic);
    assert_eq!(wrong(b"k8s\0"), Wrong::Kind(String::new(), String::new()));
    assert_eq!(wrong(&body("v1", "Lease", &core::Pod::default())), Wrong::Kind("v1".into(), "Lease".into()));
    assert_eq!(wrong(&around(&[0x0a, 5, 0])), Wrong::Truncated);
    assert_eq!(wrong(&around(&[0xff; 11])), Wrong::LongNumber);
    assert_eq!(wrong(&around(&[0x0b])), Wrong::WireType(3));
    assert_eq!(wrong(&around(&[0x7a, 1, 0])), Wrong::UnknownField("core.v1.Pod", 15));
    assert_eq!(
        decode_body(&around(&[0x7a, 0])).map(|v| v["kind"].clone()),
        Ok("Pod".into()),
        "gone fields may be empty"
    );
    assert_eq!(wrong(&around(&[0x08, 1])), Wrong::FieldType("core.v1.Pod", "metadata"));
    let name = [0x0a, 3, 0x0a, 1, 0xff];
    assert_eq!(wrong(&around(&name)), Wrong::NotUtf8("apimachinery.pkg.apis.meta.v1.ObjectMeta", "name"));
    let time = meta::Time { seconds: Some(i64::MAX), nanos: None };
    let pod = core::Pod {
        metadata: Some(meta::ObjectMeta { deletion_timestamp: Some(time), ..Default::default() }),
        ..Default::default()
    };
    assert!(matches!(wrong(&body("v1", "Pod", &pod)), Wrong::Time(_, "deletionTimestamp")));
    let error = decode(&around(&[0x0a, 5, 0])).unwrap_err();
    assert_eq!((error.code(), error.message.as_str()), (400, "protobuf body: it ends in the middle of a value"));
    assert_eq!(decode(&vec![0; BODY_SIZE_BYTES_MAX + 1]).unwrap_err().code(), 413);
}

#[test]
fn number_of_values_is_limited() {
    // spec with very many empty containers: two bytes each
    let containers = [0x12, 0].repeat(VALUES_MAX + 1);
    let spec = core::Pod { spec: Some(core::PodSpec::default()), ..Default::default() };
    assert!(decode(&body("v1", "Pod", &spec)).is_ok());
    let mut raw = vec![0x12];
    prost::encoding::encode_varint(containers.len() as u64, &mut raw);
    raw.extend(containers);
    assert_eq!(decode_body(&around(&raw)).unwrap_err(), Wrong::TooMany);
}

proptest::proptest! {
    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let _ = decode(&bytes);
        let _ = decode(&[MAGIC, &bytes].concat());
        let _ = decode(&around(&bytes));
    }

    #[test]
    fn damage_never_panics(at: usize, byte: u8, cut: usize) {
        let mut good = body("v1", "Pod", &core::Pod { metadata: metadata(), spec: Some(pod_spec()), status: None });
        let length = good.len();
        good[at % length] = byte;
        let _ = decode(&good);
        let _ = decode(&good[..cut % length]);
    }
}
