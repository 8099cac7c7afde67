//! `apps/v1`.

use serde_json::{Value, json};

use super::{child, config, items, pod::template, set, text};

pub(super) fn deployment(spec: &mut Value) {
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "progressDeadlineSeconds", 600);
    let strategy = child(spec, "strategy");
    set(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = child(strategy, "rollingUpdate");
        set(rolling, "maxUnavailable", "25%");
        set(rolling, "maxSurge", "25%");
    }
    template(spec);
}

pub(super) fn replica_set(spec: &mut Value) {
    set(spec, "replicas", 1);
    template(spec);
}

pub(super) fn stateful_set(spec: &mut Value) {
    set(spec, "replicas", 1);
    set(spec, "podManagementPolicy", "OrderedReady");
    set(spec, "revisionHistoryLimit", 10);
    let strategy = child(spec, "updateStrategy");
    set(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        set(child(strategy, "rollingUpdate"), "partition", 0);
    }
    let retention = child(spec, "persistentVolumeClaimRetentionPolicy");
    set(retention, "whenDeleted", "Retain");
    set(retention, "whenScaled", "Retain");
    for claim in items(spec, "volumeClaimTemplates") {
        set(claim, "apiVersion", "v1");
        set(claim, "kind", "PersistentVolumeClaim");
        config::claim(child(claim, "spec"));
        set(claim, "status", json!({"phase": "Pending"}));
    }
    template(spec);
}

pub(super) fn daemon_set(spec: &mut Value) {
    set(spec, "revisionHistoryLimit", 10);
    let strategy = child(spec, "updateStrategy");
    set(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = child(strategy, "rollingUpdate");
        // With a surge, nothing needs to go first.
        let surge = rolling.get("maxSurge").is_some_and(|s| *s != 0 && *s != "0%");
        set(rolling, "maxUnavailable", if surge { 0 } else { 1 });
        set(rolling, "maxSurge", 0);
    }
    template(spec);
}
