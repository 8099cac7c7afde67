//! What becomes of a Pod object.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::*;
use crate::{input::baked_images, testing::node_config};

fn input() -> Input {
    let map = json!({"metadata": {"name": "conf", "namespace": "shop"},
        "data": {"a": "1", "b": "$(A)"}, "binaryData": {"raw": "AAE="}});
    let secret = json!({"metadata": {"name": "key", "namespace": "shop"}, "data": {"token": "czNjcmV0"}});
    let name = |n: &str| ("shop".to_owned(), n.to_owned());
    Input {
        images: baked_images(&node_config().apps),
        config_maps: [(name("conf"), Arc::new(serde_json::from_value(map).unwrap()))].into(),
        secrets: [(name("key"), Arc::new(serde_json::from_value(secret).unwrap()))].into(),
        claims: [(name("disk"), "/claims/disk".into())].into(),
        ..Input::default()
    }
}

fn pod(spec: Value) -> Pod {
    let object =
        json!({"metadata": {"name": "p", "namespace": "shop", "uid": "u", "labels": {"x": "y"}}, "spec": spec});
    let object: core::Pod = serde_json::from_value(object).unwrap();
    let input = input();
    from_object(&object, &Sources::of(&input))
}

fn main(more: Value) -> Pod {
    let mut c = json!({"name": "main", "image": "localhost/hello:1"});
    c.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    pod(json!({"containers": [c]}))
}

#[test]
fn what_is_missing_makes_a_container_wait_with_a_reason() {
    for (more, reason, text) in [
        (json!({"image": "no:1"}), "ImagePullBackOff", "is not part of this release"),
        (json!({"image": "no:1", "imagePullPolicy": "Never"}), "ErrImageNeverPull", "pull policy of Never"),
        (
            json!({"envFrom": [{"configMapRef": {"name": "no"}}]}),
            "CreateContainerConfigError",
            "configmap \"no\" not found",
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "key", "key": "no"}}}]}),
            "CreateContainerConfigError",
            "couldn't find key no in Secret shop/key",
        ),
        (
            json!({"securityContext": {"runAsNonRoot": true, "runAsUser": 0}}),
            "CreateContainerConfigError",
            "container's runAsUser breaks non-root policy (pod: \"p_shop(u)\", container: main)",
        ),
    ] {
        let waiting = main(more).containers[0].waiting.clone().unwrap();
        assert_eq!(waiting.reason, reason);
        assert!(waiting.message.contains(text), "{}", waiting.message);
    }
    let optional = json!({"env": [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "a", "optional": true}}},
    ], "envFrom": [{"secretRef": {"name": "no", "optional": true}}]});
    let c = main(optional).containers.remove(0);
    assert_eq!((c.waiting, c.env.len()), (None, 2), "the image's own two");
}

#[test]
fn variables_from_everywhere() {
    let c = main(json!({
        "envFrom": [{"prefix": "C_", "configMapRef": {"name": "conf"}}, {"secretRef": {"name": "key"}}],
        "env": [
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "b"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "MIB", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
        ],
        "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}},
    }))
    .containers
    .remove(0);
    assert_eq!(c.waiting, None);
    let value = |n: &str| c.env.iter().find(|e| e.name == n).map(|e| e.value.clone());
    for (name, want) in [("C_a", "1"), ("token", "s3cret"), ("B", "$(A)"), ("CPU", "2"), ("MIB", "64")] {
        assert_eq!(value(name), Some(EnvSource::Literal(want.into())), "{name}");
    }
}

#[test]
fn roles_restarts_and_quality_of_service() {
    let p = pod(json!({
        "restartPolicy": "OnFailure",
        "initContainers": [
            {"name": "one", "image": "localhost/hello:1"},
            {"name": "proxy", "image": "localhost/hello:1", "restartPolicy": "Always"},
        ],
        "containers": [{"name": "main", "image": "localhost/hello:1"}],
    }));
    let roles: Vec<(&str, Role)> = p.containers.iter().map(|c| (c.name.as_str(), c.role)).collect();
    assert_eq!(roles, [("one", Role::Init), ("proxy", Role::Sidecar), ("main", Role::Main)]);
    assert_eq!((p.restart, p.qos, p.grace_secs), (RestartPolicy::OnFailure, Qos::BestEffort, 30));
    for (resources, want) in [
        (json!({"limits": {"cpu": "1", "memory": "1Gi"}}), Qos::Guaranteed),
        (json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}), Qos::Burstable),
        (json!({"requests": {"cpu": "500m"}}), Qos::Burstable),
        (json!({}), Qos::BestEffort),
    ] {
        assert_eq!(main(json!({"resources": resources})).qos, want);
    }
}

#[test]
fn volumes_of_every_kind() {
    let p = pod(json!({
        "containers": [{"name": "main", "image": "localhost/hello:1"}],
        "volumes": [
            {"name": "conf", "configMap": {"name": "conf", "items": [{"key": "a", "path": "sub/a", "mode": 256}]}},
            {"name": "all", "projected": {"defaultMode": 288, "sources": [
                {"configMap": {"name": "conf"}},
                {"secret": {"name": "key", "items": [{"key": "token", "path": "t"}]}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ]}},
            {"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}},
            {"name": "node", "hostPath": {"path": "/x", "type": "Directory"}},
        ],
    }));
    assert_eq!(p.volumes_missing, None);
    let files = |n: &str| match &p.volumes[n] {
        Volume::Files(f) => f.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(files("conf"), [("sub/a".to_owned(), VolumeFile { data: b"1".into(), mode: 256 })].into());
    let all: BTreeMap<String, Vec<u8>> = files("all").into_iter().map(|(k, f)| (k, f.data)).collect();
    let want = [("a", &b"1"[..]), ("b", b"$(A)"), ("labels", b"x=\"y\""), ("raw", &[0, 1]), ("t", b"s3cret")];
    assert_eq!(all, want.map(|(k, v)| (k.to_owned(), v.to_vec())).into());
    assert_eq!(p.volumes["disk"], Volume::Claim { path: "/claims/disk".into(), read_only: false });
    let missing = |v: Value| pod(json!({"containers": [], "volumes": [v]})).volumes_missing.unwrap();
    assert!(
        missing(json!({"name": "v", "persistentVolumeClaim": {"claimName": "no"}})).contains("\"no\" is not bound")
    );
    assert!(missing(json!({"name": "v", "secret": {"secretName": "no"}})).contains("secret \"no\" not found"));
    let out = json!({"name": "v", "configMap": {"name": "conf", "items": [{"key": "a", "path": "../a"}]}});
    assert!(missing(out).contains("not a path inside"));
}
