//! Server-side apply as Kubernetes is known to do it.

#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::*;
use crate::patch::track_update;

fn kind() -> &'static Kind {
    crate::kind("apps", "Deployment")
}

fn at(minute: u32) -> Timestamp {
    format!("2026-01-01T00:{minute:02}:00Z").parse().unwrap()
}

fn who(manager: &str) -> Writer<'_> {
    Writer { manager, subresource: "" }
}

fn config(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "n"}, "spec": spec})
}

fn run(live: Option<&Value>, spec: Value, manager: &str, minute: u32) -> Result<Value, ApiError> {
    apply(live, &config(spec), who(manager), false, at(minute), kind()).map(|a| a.object)
}

fn containers(list: Value) -> Value {
    json!({"template": {"spec": {"containers": list}}})
}

/// Managers and their fields.
fn owners(object: &Value) -> Value {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    list.iter().map(|m| json!([m["manager"], m["operation"], m["fieldsV1"]["f:spec"]])).collect()
}

#[test]
fn created() {
    let spec = json!({"replicas": 2, "template": {"spec": {"containers": [
        {"name": "a", "image": "i", "ports": [{"containerPort": 80}]}]}}});
    let object = run(None, spec.clone(), "me", 0).unwrap();
    assert_eq!(object["spec"], spec);
    let port = "k:{\"containerPort\":80,\"protocol\":\"TCP\"}";
    let expected = json!([{
        "manager": "me", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {
            "f:replicas": {},
            "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {
                ".": {}, "f:name": {}, "f:image": {}, "f:ports": {port: {".": {}, "f:containerPort": {}}},
            }}}},
        }},
    }]);
    assert_eq!(object["metadata"]["managedFields"], expected);
}

#[test]
fn applied_again_changes_nothing() {
    let object = run(None, json!({"replicas": 2}), "me", 0).unwrap();
    let again = apply(Some(&object), &config(json!({"replicas": 2})), who("me"), false, at(1), kind()).unwrap();
    assert_eq!(again, Applied { object: object.clone(), changed: false });
    let other = apply(Some(&object), &config(json!({"replicas": 3})), who("me"), false, at(1), kind()).unwrap();
    assert!(other.changed);
    assert_eq!(other.object["metadata"]["managedFields"][0]["time"], "2026-01-01T00:01:00Z");
}

#[test]
fn no_longer_applied_is_removed() {
    let first = containers(json!([{"name": "a", "image": "i", "args": ["x"]}, {"name": "b", "image": "j"}]));
    let object = run(None, first, "me", 0).unwrap();
    let object = run(Some(&object), containers(json!([{"name": "a", "image": "i"}])), "me", 1).unwrap();
    assert_eq!(object["spec"], containers(json!([{"name": "a", "image": "i"}])));
    let object = run(Some(&object), json!({"replicas": 1}), "me", 2).unwrap();
    assert_eq!(object["spec"], json!({"replicas": 1}));
    assert_eq!(owners(&object), json!([["me", "Apply", {"f:replicas": {}}]]));
}

#[test]
fn conflict_and_force() {
    let object = run(None, json!({"replicas": 2, "paused": true}), "me", 0).unwrap();
    let error = run(Some(&object), json!({"replicas": 3}), "you", 1).unwrap_err();
    assert_eq!(error.message, "Apply failed with 1 conflict: conflict with \"me\": .spec.replicas");
    let cause = json!({"reason": "FieldManagerConflict", "message": "conflict with \"me\"", "field": ".spec.replicas"});
    let status = error.to_status();
    assert_eq!(
        (&status["code"], &status["reason"], &status["details"]["causes"]),
        (&json!(409), &json!("Conflict"), &json!([cause]))
    );
    let error = run(Some(&object), json!({"replicas": 3, "paused": false}), "you", 1).unwrap_err();
    let expected = "Apply failed with 2 conflicts: conflicts with \"me\":\n- .spec.paused\n- .spec.replicas";
    assert_eq!(error.message, expected);
    let forced = apply(Some(&object), &config(json!({"replicas": 3})), who("you"), true, at(1), kind()).unwrap().object;
    assert_eq!(forced["spec"], json!({"replicas": 3, "paused": true}));
    assert_eq!(owners(&forced), json!([["me", "Apply", {"f:paused": {}}], ["you", "Apply", {"f:replicas": {}}]]));
}

#[test]
fn co_owned_stays() {
    let object = run(None, json!({"replicas": 2}), "me", 0).unwrap();
    let object = run(Some(&object), json!({"replicas": 2, "paused": true}), "you", 1).unwrap();
    let object = run(Some(&object), json!({}), "me", 2).unwrap();
    assert_eq!(object["spec"], json!({"replicas": 2, "paused": true}));
    let object = run(Some(&object), json!({"paused": true}), "you", 3).unwrap();
    assert_eq!(object["spec"], json!({"paused": true}));
}

#[test]
fn items_of_others_stay() {
    let object = run(None, containers(json!([{"name": "a", "image": "i"}])), "me", 0).unwrap();
    let both = run(Some(&object), containers(json!([{"name": "s", "image": "k"}])), "you", 1).unwrap();
    let names = |o: &Value| {
        o["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].clone())
            .collect::<Value>()
    };
    assert_eq!(names(&both), json!(["a", "s"]));
    let left = run(Some(&both), json!({"replicas": 1}), "me", 2).unwrap();
    assert_eq!(names(&left), json!(["s"]));
    // a field of an item that another manager still has
    let shared = run(Some(&object), containers(json!([{"name": "a", "args": ["x"]}])), "you", 1).unwrap();
    let left = run(Some(&shared), json!({"replicas": 1}), "me", 2).unwrap();
    assert_eq!(left["spec"]["template"]["spec"]["containers"], json!([{"name": "a", "args": ["x"]}]));
}

#[test]
fn updates_are_tracked() {
    let mut object = config(json!({"replicas": 1, "selector": {"matchLabels": {"a": "b"}}}));
    object["metadata"]["labels"] = json!({"x": "y"});
    track_update(&Value::Null, &mut object, who("kubectl-create"), at(0), kind());
    let fields = &object["metadata"]["managedFields"][0]["fieldsV1"];
    let expected =
        json!({"f:metadata": {"f:labels": {".": {}, "f:x": {}}}, "f:spec": {"f:replicas": {}, "f:selector": {}}});
    assert_eq!(fields, &expected);

    let error = run(Some(&object), json!({"replicas": 3}), "me", 1).unwrap_err();
    let expected = "Apply failed with 1 conflict: conflict with \"kubectl-create\" using apps/v1 at 2026-01-01T00:00:00Z: .spec.replicas";
    assert_eq!(error.message, expected);

    let mut scaled = object.clone();
    scaled["spec"]["replicas"] = 5.into();
    track_update(&object, &mut scaled, Writer { manager: "kubectl", subresource: "scale" }, at(2), kind());
    let managers = scaled["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(managers[1]["subresource"], "scale");
    assert_eq!(managers[1]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(managers[0]["fieldsV1"]["f:spec"], json!({"f:selector": {}}));

    let mut with_status = scaled.clone();
    with_status["status"] = json!({"replicas": 5, "conditions": [{"type": "Available", "status": "True"}]});
    track_update(&scaled, &mut with_status, Writer { manager: "skerry", subresource: "status" }, at(3), kind());
    let status = &with_status["metadata"]["managedFields"][2];
    let condition = json!({".": {}, "f:type": {}, "f:status": {}});
    let expected =
        json!({"f:status": {"f:replicas": {}, "f:conditions": {".": {}, "k:{\"type\":\"Available\"}": condition}}});
    assert_eq!(status["fieldsV1"], expected);

    let mut same = with_status.clone();
    track_update(&with_status, &mut same, who("other"), at(4), kind());
    assert_eq!(same, with_status);
}

#[test]
fn client_side_apply_moves_over() {
    let mut object = config(json!({"replicas": 1, "paused": true}));
    object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
    track_update(&Value::Null, &mut object, who("kubectl-client-side-apply"), at(0), kind());
    // kubectl renames its entry with a patch, then applies
    let mut moved = object.clone();
    let entry = &mut moved["metadata"]["managedFields"][0];
    entry["manager"] = "kubectl".into();
    entry["operation"] = "Apply".into();
    entry["fieldsV1"]["f:metadata"]["f:annotations"].as_object_mut().unwrap().shift_remove(".");
    track_update(&object, &mut moved, who("kubectl"), at(1), kind());
    let object = run(Some(&moved), json!({"replicas": 2}), "kubectl", 2).unwrap();
    assert_eq!(object["spec"], json!({"replicas": 2}));
    assert_eq!(object["metadata"].get("annotations"), None);
    assert_eq!(owners(&object), json!([["kubectl", "Apply", {"f:replicas": {}}]]));
}

#[test]
fn managed_fields_are_bounded() {
    let mut object = config(json!({}));
    for i in 0..20 {
        let old = object.clone();
        object["metadata"]["labels"][format!("l{i}")] = "x".into();
        track_update(&old, &mut object, who(&format!("m{i:02}")), at(i), kind());
    }
    let managers = object["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!((managers.len(), &managers[0]["manager"]), (10, &json!("ancient-changes")));
    let forget = object.clone();
    object["metadata"]["managedFields"] = json!([{}]);
    track_update(&forget, &mut object, who("x"), at(30), kind());
    assert_eq!(object["metadata"].get("managedFields"), None);
}

#[test]
fn refused() {
    let live = run(None, json!({"replicas": 2}), "me", 0).unwrap();
    let with = |change: fn(&mut Value)| {
        let mut config = config(json!({}));
        change(&mut config);
        config
    };
    for wrong in [
        with(|c| c["kind"] = "Pod".into()),
        with(|c| c["apiVersion"] = "v1".into()),
        with(|c| c["metadata"]["name"] = "other".into()),
        with(|c| c["metadata"]["managedFields"] = json!([{"manager": "x"}])),
        with(|c| c["spec"] = containers(json!([{"name": "a"}, {"name": "a"}]))),
        with(|c| c["spec"] = containers(json!([{"image": "a"}]))),
        json!("x"),
    ] {
        assert_eq!(apply(Some(&live), &wrong, who("me"), false, at(1), kind()).unwrap_err().code(), 400, "{wrong}");
    }
    assert_eq!(run(None, json!({}), "", 0).unwrap_err().code(), 400);
}

#[test]
fn status_is_not_applied_through_the_object() {
    let mut both = config(json!({"replicas": 1}));
    both["status"] = json!({"replicas": 7});
    let applied = apply(None, &both, who("me"), false, at(0), kind()).unwrap().object;
    assert_eq!(applied.get("status"), None);
    let status = Writer { manager: "c", subresource: "status" };
    let applied = apply(Some(&applied), &both, status, false, at(0), kind()).unwrap().object;
    assert_eq!(applied["status"], json!({"replicas": 7}));
    assert_eq!(owners(&applied)[0], json!(["c", "Apply", null]));
}
