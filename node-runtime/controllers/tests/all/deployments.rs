//! Deployment → ReplicaSets.

use proptest::prelude::*;
use serde_json::{Value, json};
use skerry_machinery::Key;

use crate::cluster::{Cluster, condition, finished, going, is_ready, template, text};

fn deployment(replicas: i32, image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template("web", image),
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}})
}

fn started(replicas: i32, change: impl FnOnce(&mut Value)) -> (Cluster, Key) {
    let mut c = Cluster::new();
    let mut d = deployment(replicas, "ok");
    change(&mut d["spec"]);
    let key = c.create(d);
    c.settle();
    (c, key)
}

fn set_image(c: &mut Cluster, key: &Key, image: &str) {
    c.edit(key, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = image.into());
}

fn sets(c: &Cluster) -> Vec<(i64, i64)> {
    let mut sets: Vec<(i64, i64)> = c
        .all("apps", "ReplicaSet")
        .iter()
        .map(|s| {
            let revision = text(&s["metadata"]["annotations"]["deployment.kubernetes.io/revision"]);
            (revision.parse().unwrap(), s["spec"]["replicas"].as_i64().unwrap())
        })
        .collect();
    sets.sort_unstable();
    sets
}

/// Available pods, and pods that run or come.
fn counts(c: &Cluster) -> (usize, usize) {
    let pods = c.pods();
    (pods.iter().filter(|p| is_ready(p)).count(), pods.iter().filter(|p| !going(p) && !finished(p)).count())
}

#[test]
fn comes_up_and_says_so() {
    let (c, key) = started(3, |_| {});
    let d = c.get(&key).unwrap();
    assert_eq!(d["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    for (field, n) in [("replicas", 3), ("updatedReplicas", 3), ("readyReplicas", 3), ("availableReplicas", 3)] {
        assert_eq!(d["status"][field], n, "{field}");
    }
    assert_eq!(d["status"]["observedGeneration"], 1);
    assert_eq!(condition(&d, "Available")["reason"], "MinimumReplicasAvailable");
    let set = c.all("apps", "ReplicaSet")[0].clone();
    let name = text(&set["metadata"]["name"]);
    assert_eq!(condition(&d, "Progressing")["reason"], "NewReplicaSetAvailable");
    assert_eq!(condition(&d, "Progressing")["message"], format!("ReplicaSet \"{name}\" has successfully progressed."));
    let hash = name.strip_prefix("web-").unwrap();
    for at in ["/spec/selector/matchLabels", "/spec/template/metadata/labels", "/metadata/labels"] {
        assert_eq!(set.pointer(at).unwrap()["pod-template-hash"], hash, "{at}");
    }
    assert!(c.has_event(&format!("ScalingReplicaSet: Scaled up replica set {name} from 0 to 3")));
}

#[test]
fn rolling_update_keeps_max_unavailable_and_max_surge() {
    for (surge, unavailable, replicas) in [("1", "0", 3), ("0", "1", 3), ("25%", "25%", 8), ("100%", "0", 2)] {
        let number = |v: &str| v.parse::<i32>().map_or(json!(v), |n| json!(n));
        let (mut c, key) = started(replicas, |s| {
            s["strategy"]["rollingUpdate"] = json!({"maxSurge": number(surge), "maxUnavailable": number(unavailable)});
        });
        let percent = |v: &str, up: bool| match v.strip_suffix('%') {
            Some(p) => (p.parse::<i32>().unwrap() * replicas + if up { 99 } else { 0 }) / 100,
            None => v.parse().unwrap(),
        };
        let min = usize::try_from(replicas - percent(unavailable, false)).unwrap();
        let max = usize::try_from(replicas + percent(surge, true)).unwrap();
        set_image(&mut c, &key, "ok2");
        c.settle_watching(|c| {
            let (available, all) = counts(c);
            assert!(available >= min && all <= max, "{surge} {unavailable}: {available} of {all}");
        });
        assert_eq!(sets(&c), [(1, 0), (2, replicas.into())]);
    }
}

#[test]
fn a_broken_image_stops_the_rollout_and_times_out() {
    let (mut c, key) = started(4, |_| {});
    set_image(&mut c, &key, "slow");
    c.settle();
    assert_eq!(counts(&c), (3, 5));
    c.pass(602);
    let progress = condition(&c.get(&key).unwrap(), "Progressing");
    assert_eq!((&progress["status"], &progress["reason"]), (&json!("False"), &json!("ProgressDeadlineExceeded")));
    assert!(text(&progress["message"]).ends_with("has timed out progressing."));
    // And a fixed one goes through, dead pods first.
    set_image(&mut c, &key, "ok3");
    c.settle_watching(|c| assert!(counts(c).0 >= 3));
    assert_eq!(sets(&c), [(1, 0), (2, 0), (3, 4)]);
    assert_eq!(condition(&c.get(&key).unwrap(), "Progressing")["reason"], "NewReplicaSetAvailable");
}

#[test]
fn undo_reuses_the_old_replica_set_as_a_new_revision() {
    let (mut c, key) = started(2, |_| {});
    c.edit(&key, |d| d["metadata"]["annotations"]["kubernetes.io/change-cause"] = "second".into());
    set_image(&mut c, &key, "ok2");
    c.settle();
    set_image(&mut c, &key, "ok");
    c.settle();
    assert_eq!(sets(&c), [(2, 0), (3, 2)]);
    let d = c.get(&key).unwrap();
    assert_eq!(d["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    let sets = c.all("apps", "ReplicaSet");
    let back = sets.iter().find(|s| s["spec"]["replicas"] == 2).unwrap();
    assert_eq!(back["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(back["metadata"]["annotations"]["kubernetes.io/change-cause"], "second");
}

#[test]
fn recreate_ends_all_old_pods_before_the_first_new_one() {
    let (mut c, key) = started(3, |s| s["strategy"] = json!({"type": "Recreate"}));
    set_image(&mut c, &key, "ok2");
    c.settle_watching(|c| {
        let pods = c.pods();
        let images: std::collections::BTreeSet<String> =
            pods.iter().filter(|p| !finished(p)).map(|p| text(&p["spec"]["containers"][0]["image"])).collect();
        assert!(images.len() <= 1, "{images:?}");
    });
    assert_eq!(sets(&c), [(1, 0), (2, 3)]);
}

#[test]
fn paused_does_not_roll_but_scales() {
    let (mut c, key) = started(2, |_| {});
    c.edit(&key, |d| d["spec"]["paused"] = true.into());
    set_image(&mut c, &key, "ok2");
    c.settle();
    assert_eq!(sets(&c), [(1, 2)]);
    assert_eq!(condition(&c.get(&key).unwrap(), "Progressing")["reason"], "DeploymentPaused");
    c.edit(&key, |d| d["spec"]["replicas"] = 3.into());
    c.settle();
    assert_eq!(sets(&c), [(1, 3)]);
    c.edit(&key, |d| d["spec"]["paused"] = false.into());
    c.settle();
    assert_eq!(sets(&c), [(1, 0), (2, 3)]);
    assert_eq!(condition(&c.get(&key).unwrap(), "Progressing")["reason"], "NewReplicaSetAvailable");
}

#[test]
fn scaling_in_the_middle_of_a_rollout_stays_in_proportion() {
    let (mut c, key) = started(8, |_| {});
    set_image(&mut c, &key, "slow");
    c.settle();
    assert_eq!(sets(&c), [(1, 6), (2, 4)]);
    c.edit(&key, |d| d["spec"]["replicas"] = 16.into());
    c.step();
    let (old, new) = (sets(&c)[0].1, sets(&c)[1].1);
    assert_eq!((old, new), (12, 8));
    c.settle();
    assert!(counts(&c).0 >= 12);
}

#[test]
fn history_is_limited() {
    let (mut c, key) = started(1, |s| s["revisionHistoryLimit"] = 2.into());
    for i in 0..5 {
        set_image(&mut c, &key, &format!("ok{i}"));
        c.settle();
    }
    assert_eq!(sets(&c), [(4, 0), (5, 0), (6, 1)]);
}

#[test]
fn min_ready_seconds_paces_the_rollout() {
    let (mut c, key) = started(2, |s| {
        s["minReadySeconds"] = 10.into();
        s["strategy"]["rollingUpdate"] = json!({"maxSurge": 1, "maxUnavailable": 0});
    });
    c.pass(10);
    set_image(&mut c, &key, "ok2");
    c.settle();
    assert_eq!(sets(&c), [(1, 2), (2, 1)]);
    c.pass(10);
    assert_eq!(sets(&c), [(1, 1), (2, 2)]);
    c.pass(10);
    assert_eq!(sets(&c), [(1, 0), (2, 2)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever the order in which pods come up, and whoever restarts the
    /// rollout in between: the bounds hold and it ends.
    #[test]
    fn any_interleaving_keeps_the_bounds(
        replicas in 1i32..7, surge in 0i32..3, unavailable in 0i32..3,
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0u8..12), 0..120),
    ) {
        let (mut c, key) = started(replicas, |s| {
            s["strategy"]["rollingUpdate"] = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        });
        let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
        let min = usize::try_from(replicas - unavailable).unwrap_or(0);
        let max = usize::try_from(replicas + surge).unwrap();
        set_image(&mut c, &key, "ok2");
        let check = |c: &Cluster| {
            let (available, all) = counts(c);
            assert!(available >= min, "{available} available of {min}");
            assert!(all <= max, "{all} pods of {max}");
        };
        let mut next = 3;
        for (which, what) in steps {
            match what {
                0 => { set_image(&mut c, &key, &format!("ok{next}")); next += 1; }
                1..=5 => { c.step(); }
                _ => {
                    let keys = c.pod_keys();
                    if !keys.is_empty() { c.kubelet(which.get(&keys)); }
                }
            }
            check(&c);
        }
        c.settle_watching(check);
        let total: i64 = sets(&c).iter().map(|s| s.1).sum();
        prop_assert_eq!(total, i64::from(replicas));
        prop_assert_eq!(sets(&c).last().unwrap().1, i64::from(replicas));
        prop_assert_eq!(c.controllers().changes, vec![]);
    }

    /// Pods may fail at any time; it comes to rest once they stop.
    #[test]
    fn failures_are_made_good(fail in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..30)) {
        let (mut c, key) = started(4, |_| {});
        set_image(&mut c, &key, "ok2");
        for (which, bad) in fail {
            let keys = c.pod_keys();
            if !keys.is_empty() {
                let pod = which.get(&keys);
                if bad { c.end(pod, "Failed", 1); } else { c.kubelet(pod); }
            }
            c.step();
            prop_assert!(counts(&c).1 <= 5);
        }
        c.settle();
        prop_assert_eq!(counts(&c), (4, 4));
    }
}
