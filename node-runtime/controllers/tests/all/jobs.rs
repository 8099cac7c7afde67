//! Job → pods that end.

use proptest::prelude::*;
use serde_json::{Value, json};
use skerry_machinery::Key;

use crate::cluster::{Cluster, condition, finished, going, template, text};

pub fn job_spec(image: &str, change: Value) -> Value {
    let mut spec = json!({"completions": 1, "parallelism": 1, "backoffLimit": 6, "template": template("job", image)});
    spec["template"]["spec"]["restartPolicy"] = "Never".into();
    for (k, v) in change.as_object().unwrap() {
        spec[k] = v.clone();
    }
    spec
}

fn started(image: &str, change: Value) -> (Cluster, Key) {
    let mut c = Cluster::new();
    let key = c.create(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "calc"},
        "spec": job_spec(image, change)}));
    (c, key)
}

fn running(c: &Cluster) -> usize {
    c.pods().iter().filter(|p| !finished(p) && !going(p)).count()
}

#[test]
fn completes() {
    let (mut c, key) = started("done", json!({"completions": 5, "parallelism": 2}));
    c.settle_watching(|c| assert!(running(c) <= 2));
    let job = c.get(&key).unwrap();
    assert_eq!(job["status"]["succeeded"], 5);
    assert_eq!(condition(&job, "Complete")["reason"], "CompletionsReached");
    assert!(job["status"]["completionTime"].is_string());
    assert_eq!(c.pods().len(), 5);
    let labels = &c.pods()[0]["metadata"]["labels"];
    for label in ["job-name", "batch.kubernetes.io/job-name"] {
        assert_eq!(labels[label], "calc");
    }
    assert!(c.pods().iter().all(|p| p["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)));
    assert!(c.has_event("Normal Completed: Job completed"));
}

#[test]
fn failures_are_retried_with_growing_pauses_up_to_the_limit() {
    let (mut c, key) = started("broken", json!({"backoffLimit": 3}));
    c.settle();
    for (pause, pods) in [(9, 1), (1, 2), (19, 2), (1, 3), (39, 3), (1, 4)] {
        c.pass(pause);
        assert_eq!(c.pods().len(), pods, "after {pause}");
    }
    let job = c.get(&key).unwrap();
    assert_eq!(job["status"]["failed"], 4);
    assert_eq!(condition(&job, "Failed")["reason"], "BackoffLimitExceeded");
    assert_eq!(condition(&job, "Failed")["message"], "Job has reached the specified backoff limit");
    assert!(c.has_event("Warning BackoffLimitExceeded"));
}

#[test]
fn active_deadline_ends_it() {
    let (mut c, key) = started("ok", json!({"activeDeadlineSeconds": 30}));
    c.pass(29);
    assert_eq!(running(&c), 1);
    c.pass(1);
    assert_eq!(condition(&c.get(&key).unwrap(), "Failed")["reason"], "DeadlineExceeded");
    assert_eq!(running(&c), 0);
}

#[test]
fn ttl_removes_it_with_its_pods() {
    let (mut c, key) = started("done", json!({"ttlSecondsAfterFinished": 60}));
    c.pass(59);
    assert!(c.get(&key).is_some());
    c.pass(1);
    assert!(c.get(&key).is_none());
    assert!(c.pods().is_empty());
}

#[test]
fn suspended_has_no_pods_and_resumed_ones() {
    let (mut c, key) = started("ok", json!({"suspend": true}));
    c.settle();
    assert!(c.pods().is_empty());
    assert_eq!(condition(&c.get(&key).unwrap(), "Suspended")["status"], "True");
    c.edit(&key, |j| j["spec"]["suspend"] = false.into());
    c.settle();
    assert_eq!(running(&c), 1);
    c.edit(&key, |j| j["spec"]["suspend"] = true.into());
    c.settle();
    assert!(c.pods().is_empty());
    assert_eq!(c.get(&key).unwrap()["status"]["failed"], Value::Null, "not a failure");
}

#[test]
fn indexed_pods_know_their_index() {
    let (mut c, key) = started("done", json!({"completions": 4, "parallelism": 2, "completionMode": "Indexed"}));
    c.settle();
    let job = c.get(&key).unwrap();
    assert_eq!(job["status"]["completedIndexes"], "0-3");
    let mut seen: Vec<(String, String)> = c
        .pods()
        .iter()
        .map(|p| (text(&p["spec"]["hostname"]), text(&p["spec"]["containers"][0]["env"][0]["value"])))
        .collect();
    seen.sort();
    assert_eq!(seen[3], ("calc-3".to_owned(), "3".to_owned()));
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_work_queue_is_done_with_the_first_success() {
    let (mut c, key) = started("ok", json!({"completions": null, "parallelism": 3}));
    c.settle();
    assert_eq!(running(&c), 3);
    for (i, key) in c.pod_keys().into_iter().enumerate() {
        c.end(&key, "Succeeded", 0);
        c.settle();
        assert_eq!(running(&c), 2 - i);
    }
    assert_eq!(condition(&c.get(&key).unwrap(), "Complete")["status"], "True");
    assert_eq!(c.get(&key).unwrap()["status"]["succeeded"], 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn never_more_than_parallelism_and_counted_exactly(
        completions in 1i32..6, parallelism in 1i32..4,
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..80),
    ) {
        let (mut c, key) = started("ok", json!({"completions": completions, "parallelism": parallelism, "backoffLimit": 1000}));
        let (mut good, mut bad) = (0, 0);
        for (which, what) in steps {
            let keys = c.pod_keys();
            let pod = (!keys.is_empty()).then(|| which.get(&keys).clone());
            match (what, pod) {
                (0..=3, _) => { c.step(); }
                (4, Some(pod)) if !finished(&c.get(&pod).unwrap()) && !going(&c.get(&pod).unwrap()) => {
                    c.end(&pod, "Failed", 1);
                    bad += 1;
                }
                (5, Some(pod)) if !finished(&c.get(&pod).unwrap()) && !going(&c.get(&pod).unwrap()) => {
                    c.end(&pod, "Succeeded", 0);
                    good += 1;
                }
                (_, Some(pod)) => { c.kubelet(&pod); }
                _ => {}
            }
            prop_assert!(running(&c) <= usize::try_from(parallelism).unwrap());
        }
        c.settle();
        let status = c.get(&key).unwrap()["status"].clone();
        prop_assert_eq!(status["succeeded"].as_i64().unwrap_or(0), good);
        prop_assert_eq!(status["failed"].as_i64().unwrap_or(0), bad);
        prop_assert_eq!(c.controllers().changes, vec![]);
    }
}
