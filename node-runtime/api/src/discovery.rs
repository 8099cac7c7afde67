//! Which kinds there are, as clients ask for it: everything in one document
//! (`apidiscovery.k8s.io/v2`), and group by group as of old.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use skerry_machinery::{KINDS, Kind, Source, Subresource};

use crate::http::Review;

const READ_VERBS: &[&str] = &["get", "list"];
const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Groups and their versions; the core group is empty.
fn groups() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    let kinds = KINDS.iter().map(|k| (k.group, k.version));
    for (group, version) in kinds.chain(Review::ALL.iter().map(|r| (r.group(), "v1"))) {
        match groups.iter_mut().find(|(g, _)| *g == group) {
            None => groups.push((group, vec![version])),
            Some((_, versions)) if !versions.contains(&version) => versions.push(version),
            Some(_) => {}
        }
    }
    groups
}

fn kinds_of(group: &str, version: &str) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |k| (k.group, k.version) == (group, version))
}

fn reviews_of(group: &str, version: &str) -> impl Iterator<Item = Review> {
    let wanted = version == "v1";
    Review::ALL.into_iter().filter(move |r| wanted && r.group() == group)
}

fn verbs(kind: &Kind) -> &'static [&'static str] {
    match kind.source {
        Source::Stored => ALL_VERBS,
        Source::View => READ_VERBS,
    }
}

/// Verbs of a subresource, and the kind that is written and read there.
fn sub(kind: &'static Kind, sub: Subresource) -> (&'static [&'static str], [&'static str; 3]) {
    let own = [kind.group, kind.version, kind.kind];
    match sub {
        Subresource::Status => (&["get", "patch", "update"], own),
        Subresource::Scale => (&["get", "patch", "update"], ["autoscaling", "v1", "Scale"]),
        Subresource::Log => (&["get"], own),
        Subresource::Exec => (&["create", "get"], ["", "v1", "PodExecOptions"]),
        Subresource::Attach => (&["create", "get"], ["", "v1", "PodAttachOptions"]),
        Subresource::PortForward => (&["create", "get"], ["", "v1", "PodPortForwardOptions"]),
        Subresource::Eviction => (&["create"], ["policy", "v1", "Eviction"]),
    }
}

/// The aggregated document of `/api` (`core`) or `/apis`.
pub fn aggregated(core: bool) -> Value {
    let groups = groups().into_iter().filter(|(group, _)| group.is_empty() == core);
    let items = groups.map(|(group, versions)| {
        let versions = versions.iter().map(|version| {
            let kinds = kinds_of(group, version).map(aggregated_kind);
            let reviews = reviews_of(group, version).map(aggregated_review);
            let resources: Vec<Value> = kinds.chain(reviews).collect();
            json!({"version": version, "freshness": "Current", "resources": resources})
        });
        let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
        json!({"metadata": metadata, "versions": versions.collect::<Vec<_>>()})
    });
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items.collect::<Vec<_>>(),
    })
}

fn response_kind([group, version, kind]: [&str; 3]) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

fn aggregated_kind(kind: &'static Kind) -> Value {
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": response_kind([kind.group, kind.version, kind.kind]),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": verbs(kind),
    });
    if !kind.short_names.is_empty() {
        resource["shortNames"] = json!(kind.short_names);
    }
    if kind.in_all {
        resource["categories"] = json!(["all"]);
    }
    if !kind.subresources.is_empty() {
        let subs = kind.subresources.iter().map(|s| {
            let (verbs, response) = sub(kind, *s);
            json!({"subresource": s.name(), "responseKind": response_kind(response), "verbs": verbs})
        });
        resource["subresources"] = subs.collect();
    }
    resource
}

fn aggregated_review(review: Review) -> Value {
    json!({
        "resource": review.plural(), "responseKind": response_kind([review.group(), "v1", review.kind()]),
        "scope": "Cluster", "singularResource": review.kind().to_lowercase(), "verbs": ["create"],
    })
}

/// `/api` of old.
pub fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `/apis` of old.
pub fn group_list() -> Value {
    let groups = groups().into_iter().filter(|(group, _)| !group.is_empty());
    let groups: Vec<Value> = groups.map(|(group, versions)| group_value(group, &versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP` of old; `None`: no such group.
pub fn group(name: &str) -> Option<Value> {
    let (group, versions) = groups().into_iter().find(|(group, _)| *group == name && !group.is_empty())?;
    let mut value = group_value(group, &versions);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    Some(value)
}

fn group_value(group: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> =
        versions.iter().map(|v| json!({"groupVersion": format!("{group}/{v}"), "version": v})).collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions[0]})
}

/// `/api/v1` and `/apis/GROUP/VERSION` of old; `None`: no such version.
pub fn resources(group: &str, version: &str) -> Option<Value> {
    let mut list: Vec<Value> = Vec::new();
    for kind in kinds_of(group, version) {
        let mut entry = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": verbs(kind),
        });
        if !kind.short_names.is_empty() {
            entry["shortNames"] = json!(kind.short_names);
        }
        if kind.in_all {
            entry["categories"] = json!(["all"]);
        }
        list.push(entry);
        list.extend(kind.subresources.iter().map(|s| {
            let (verbs, [group, version, name]) = sub(kind, *s);
            let name_of_sub = format!("{}/{}", kind.plural, s.name());
            json!({
                "name": name_of_sub, "singularName": "", "namespaced": kind.namespaced,
                "group": group, "version": version, "kind": name, "verbs": verbs,
            })
        }));
    }
    list.extend(reviews_of(group, version).map(|r| {
        json!({
            "name": r.plural(), "singularName": r.kind().to_lowercase(), "namespaced": false,
            "kind": r.kind(), "verbs": ["create"],
        })
    }));
    let group_version = if group.is_empty() { version.into() } else { format!("{group}/{version}") };
    (!list.is_empty()).then(
        || json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list}),
    )
}

/// `/`: what there is to ask for.
pub fn paths() -> Value {
    let mut paths = BTreeMap::new();
    for path in ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz"]
    {
        paths.insert(path.to_string(), ());
    }
    paths.insert("/version".into(), ());
    for (group, versions) in groups().into_iter().filter(|(group, _)| !group.is_empty()) {
        paths.insert(format!("/apis/{group}"), ());
        paths.extend(versions.iter().map(|v| (format!("/apis/{group}/{v}"), ())));
    }
    json!({"paths": paths.into_keys().collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_ways_name_the_same_resources() {
        let mut aggregated_names = Vec::new();
        for document in [aggregated(true), aggregated(false)] {
            for item in document["items"].as_array().unwrap() {
                let group = item["metadata"]["name"].as_str().unwrap_or_default();
                for version in item["versions"].as_array().unwrap() {
                    for r in version["resources"].as_array().unwrap() {
                        let name = r["resource"].as_str().unwrap();
                        aggregated_names.push(format!("{group}/{name}"));
                        let subs = r["subresources"].as_array().into_iter().flatten();
                        aggregated_names
                            .extend(subs.map(|s| format!("{group}/{name}/{}", s["subresource"].as_str().unwrap())));
                    }
                }
            }
        }
        let mut old = Vec::new();
        for (group, versions) in groups() {
            for version in versions {
                for r in resources(group, version).unwrap()["resources"].as_array().unwrap() {
                    old.push(format!("{group}/{}", r["name"].as_str().unwrap()));
                }
            }
        }
        aggregated_names.sort();
        old.sort();
        assert_eq!(aggregated_names, old);
        assert!(old.contains(&"/pods/portforward".to_string()));
        assert!(resources("apps", "v2").is_none());
        assert!(group("").is_none() && group("apps").is_some());
    }
}
