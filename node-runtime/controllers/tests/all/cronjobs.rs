//! CronJob → Jobs.

use serde_json::{Value, json};
use skerry_machinery::Key;

use crate::{
    cluster::{Cluster, text},
    jobs::job_spec,
};

fn started(schedule: &str, image: &str, change: Value) -> (Cluster, Key) {
    let mut c = Cluster::new();
    let mut spec = json!({"schedule": schedule, "concurrencyPolicy": "Allow",
        "jobTemplate": {"spec": job_spec(image, json!({}))}});
    for (k, v) in change.as_object().unwrap() {
        spec[k] = v.clone();
    }
    let key =
        c.create(json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"}, "spec": spec}));
    (c, key)
}

fn jobs(c: &Cluster) -> Vec<String> {
    c.all("batch", "Job").iter().map(|j| text(&j["metadata"]["name"])).collect()
}

/// Minutes of 2026-01-01T00:00:00Z.
const START: i64 = 29_453_760;

#[test]
fn starts_at_its_times_and_keeps_three() {
    let (mut c, key) = started("*/10 * * * *", "done", json!({}));
    c.settle();
    assert!(jobs(&c).is_empty());
    assert_eq!(c.wake_at.unwrap().to_string(), "2026-01-01T00:10:00Z");
    c.pass(600);
    assert_eq!(jobs(&c), [format!("tick-{}", START + 10)]);
    c.pass(3000);
    assert_eq!(jobs(&c), [40, 50, 60].map(|m| format!("tick-{}", START + m)));
    let status = c.get(&key).unwrap()["status"].clone();
    assert_eq!(status["lastScheduleTime"], "2026-01-01T01:00:00Z");
    assert_eq!(status["lastSuccessfulTime"], "2026-01-01T01:00:00Z");
    assert!(c.has_event("SawCompletedJob"));
}

#[test]
fn forbid_waits_replace_ends_allow_adds() {
    for (policy, want) in [("Forbid", vec![10]), ("Replace", vec![20]), ("Allow", vec![10, 20])] {
        let (mut c, key) = started("*/10 * * * *", "ok", json!({"concurrencyPolicy": policy}));
        c.pass(1200);
        let want: Vec<String> = want.into_iter().map(|m| format!("tick-{}", START + m)).collect();
        assert_eq!(jobs(&c), want, "{policy}");
        assert_eq!(c.get(&key).unwrap()["status"]["active"].as_array().unwrap().len(), want.len());
    }
}

#[test]
fn after_a_time_off_only_the_latest_is_started() {
    let (mut c, _) = started("*/10 * * * *", "done", json!({}));
    c.settle();
    c.now += jiff::SignedDuration::from_secs(3 * 3600 + 300);
    c.settle();
    assert_eq!(jobs(&c), [format!("tick-{}", START + 180)]);
    assert!(!c.has_event("TooManyMissedTimes"));
}

#[test]
fn very_many_missed_times_are_said() {
    let (mut c, _) = started("* * * * *", "done", json!({}));
    c.settle();
    c.now += jiff::SignedDuration::from_hours(24 * 400);
    c.settle();
    assert_eq!(jobs(&c).len(), 1);
    assert!(c.has_event("Warning TooManyMissedTimes"));
}

#[test]
fn too_late_for_the_deadline_is_not_started() {
    let (mut c, _) = started("0 * * * *", "done", json!({"startingDeadlineSeconds": 100}));
    c.settle();
    c.now += jiff::SignedDuration::from_secs(3600 + 200);
    c.settle();
    assert!(jobs(&c).is_empty());
    c.now += jiff::SignedDuration::from_secs(3600 - 200 + 99);
    c.settle();
    assert_eq!(jobs(&c), [format!("tick-{}", START + 120)]);
}

#[test]
fn suspended_starts_nothing() {
    let (mut c, _) = started("* * * * *", "done", json!({"suspend": true}));
    c.pass(600);
    assert!(jobs(&c).is_empty());
    assert_eq!(c.wake_at, None);
}

#[test]
fn time_zone_counts() {
    let (mut c, _) = started("0 9 * * *", "done", json!({"timeZone": "Asia/Tokyo"}));
    c.settle();
    assert_eq!(c.wake_at.unwrap().to_string(), "2026-01-02T00:00:00Z");
    let (mut c, _) = started("0 9 * * *", "done", json!({"timeZone": "Mars/Base"}));
    c.settle();
    assert!(c.has_event("UnknownTimeZone"));
}
