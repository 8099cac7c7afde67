//! Documents are whole: every supported field is there, every reference leads
//! somewhere.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use skerry_machinery::KINDS;

use super::*;

fn v3(root: &str) -> Value {
    serde_json::from_slice(&OpenApi::of_kinds().v3(root).unwrap()).unwrap()
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_string));
            map.values().for_each(|v| references(v, found));
        }
        Value::Array(list) => list.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}

#[test]
fn every_supported_field_is_in_the_table() {
    with_table(|table| {
        let mut selection = select::Selection::new(table);
        KINDS.iter().for_each(|kind| selection.kind(kind));
        assert_eq!(selection.missing, Vec::<String>::new(), "run the example `schema` of machinery with --openapi");
    });
}

#[test]
fn every_reference_leads_somewhere() {
    let all = OpenApi::of_kinds();
    let index: Value = serde_json::from_slice(&all.index().unwrap()).unwrap();
    for (root, entry) in index["paths"].as_object().unwrap() {
        let bytes = all.v3(root).unwrap();
        let url = format!("/openapi/v3/{root}?hash={}", hash(&bytes));
        assert_eq!(entry["serverRelativeURL"], url.as_str());
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let name = reference.strip_prefix("#/components/schemas/").unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{root}: {name}");
        }
    }
    let v2: Value = serde_json::from_slice(&all.v2(Form::Json).unwrap()).unwrap();
    let mut found = BTreeSet::new();
    references(&v2, &mut found);
    for reference in found {
        assert!(v2["definitions"][reference.strip_prefix("#/definitions/").unwrap()].is_object(), "{reference}");
    }
    assert!(all.v3("apis/apps/v2").is_none());
    assert!(OpenApi::default().index().is_none() && OpenApi::default().v2(Form::Json).is_none());
}

#[test]
fn only_what_the_node_acts_on() {
    let apps = v3("apis/apps/v1");
    let of = |name: &str| apps["components"]["schemas"][format!("io.k8s.api.{name}")].clone();
    let spec = of("core.v1.PodSpec");
    let containers = &spec["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(spec["properties"]["volumes"]["x-kubernetes-patch-strategy"], "merge,retainKeys");
    assert_eq!(spec["required"], json!(["containers"]));
    assert!(spec["properties"]["ephemeralContainers"].is_null(), "refused");
    assert!(of("core.v1.Volume")["properties"]["azureDisk"].is_null(), "unsupported");
    assert_eq!(spec["properties"]["dnsPolicy"]["enum"][0], "ClusterFirst");
    assert_eq!(of("apps.v1.DeploymentSpec")["required"], json!(["selector", "template"]));
    assert!(of("apps.v1.DeploymentStatus")["properties"]["conditions"].is_object(), "statuses are whole");
    let deployment = of("apps.v1.Deployment");
    let gvk = json!([{"group": "apps", "kind": "Deployment", "version": "v1"}]);
    assert_eq!(deployment["x-kubernetes-group-version-kind"], gvk);
    assert!(deployment["required"].is_null(), "metadata may be left out");
    assert!(of("core.v1.Service").is_null(), "of another group");
    let patch = &apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert!(patch["requestBody"]["content"]["application/strategic-merge-patch+json"].is_object());
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
}

#[test]
fn small_enough_to_make_when_asked_for() {
    let all = OpenApi::of_kinds();
    let (json, protobuf) = (all.v2(Form::Json).unwrap(), all.v2(Form::Protobuf).unwrap());
    eprintln!(
        "v2: {} bytes of JSON, {} of protobuf; core: {}",
        json.len(),
        protobuf.len(),
        all.v3("api/v1").unwrap().len()
    );
    assert!(json.len() < 1 << 20 && protobuf.len() < 1 << 20);
}
