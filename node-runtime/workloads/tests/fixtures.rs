//! Manifests as they are found in the world.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use serde_json::{Value, json};
use skerry_workloads::{FieldValidation, Level, admit, check_manifests, parse_manifests};

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap()))
        .collect();
    files.sort();
    files
}

fn one(name: &str) -> Vec<(String, Vec<u8>)> {
    fixtures().into_iter().filter(|(n, _)| n == name).collect()
}

#[test]
fn every_fixture_is_taken_and_passes_the_profile_it_is_made_for() {
    assert_eq!(fixtures().len(), 10);
    for (name, bytes) in fixtures() {
        let lax = name == "postgres.yaml";
        let profile = if lax { Level::Baseline } else { Level::Restricted };
        for v in check_manifests(&[(name.clone(), bytes.clone())], profile) {
            assert!(v.accepted, "{name}: {}: {:?}", v.title(), v.problems);
        }
        if lax {
            let strict = check_manifests(&[(name, bytes)], Level::Restricted);
            let fields: Vec<&str> = strict[0].problems.iter().map(|p| p.field.as_str()).collect();
            let container = "spec.template.spec.containers[0].securityContext";
            let want = ["allowPrivilegeEscalation", "capabilities.drop", "runAsNonRoot", "seccompProfile.type"];
            assert_eq!(fields, want.map(|f| format!("{container}.{f}")));
        }
    }
}

#[test]
fn admitting_what_was_admitted_changes_nothing() {
    for w in parse_manifests(&fixtures()).unwrap() {
        let mut again = w.value.clone();
        let old = w.value.clone();
        assert_eq!(admit(w.kind, &mut again, Some(&old), FieldValidation::Strict), Ok(vec![]), "{}", w.object.title());
        assert_eq!(again, w.value, "{}", w.object.title());
    }
}

fn values(name: &str) -> Vec<Value> {
    parse_manifests(&one(name)).unwrap().into_iter().map(|w| w.value).collect()
}

/// What a Kubernetes 1.34 API server makes of the same manifest.
#[test]
fn defaults_of_a_deployment() {
    let d = &values("nginx.yaml")[0];
    let spec = &d["spec"];
    assert_eq!(
        (&spec["revisionHistoryLimit"], &spec["progressDeadlineSeconds"], &spec["strategy"]),
        (
            &json!(10),
            &json!(600),
            &json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
        )
    );
    let pod = &spec["template"]["spec"];
    assert_eq!(
        (&pod["restartPolicy"], &pod["dnsPolicy"], &pod["schedulerName"], &pod["terminationGracePeriodSeconds"]),
        (&json!("Always"), &json!("ClusterFirst"), &json!("default-scheduler"), &json!(30))
    );
    assert_eq!(pod.get("enableServiceLinks"), None);
    let c = &pod["containers"][0];
    assert_eq!(c["imagePullPolicy"], "IfNotPresent");
    assert_eq!(c["terminationMessagePath"], "/dev/termination-log");
    assert_eq!(c["terminationMessagePolicy"], "File");
    assert_eq!(c["ports"], json!([{"name": "http", "containerPort": 8080, "protocol": "TCP"}]));
    assert_eq!(
        c["readinessProbe"],
        json!({
            "httpGet": {"path": "/", "port": "http", "scheme": "HTTP"},
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        })
    );
    assert_eq!(pod["volumes"][0]["configMap"]["defaultMode"], 420);
}

#[test]
fn defaults_of_the_other_kinds() {
    let redis = values("redis.yaml");
    let sts = &redis[2]["spec"];
    assert_eq!(sts["persistentVolumeClaimRetentionPolicy"], json!({"whenScaled": "Delete", "whenDeleted": "Retain"}));
    assert_eq!(sts["updateStrategy"], json!({"rollingUpdate": {"partition": 1}, "type": "RollingUpdate"}));
    let claim = &sts["volumeClaimTemplates"][0];
    assert_eq!((&claim["spec"]["volumeMode"], &claim["kind"]), (&json!("Filesystem"), &json!("PersistentVolumeClaim")));
    assert_eq!(redis[0]["spec"]["clusterIPs"], json!(["None"]));
    assert_eq!(redis[1]["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "data"}));

    let cron = values("cronjob.yaml");
    let spec = &cron[0]["spec"];
    assert_eq!(
        (&spec["suspend"], &spec["successfulJobsHistoryLimit"], &spec["failedJobsHistoryLimit"]),
        (&json!(false), &json!(3), &json!(1))
    );
    assert_eq!(cron[1]["data"], json!({"target": "c2Z0cDovL2JhY2t1cC5leGFtcGxlLmNvbQ==", "KEY": "c2VjcmV0"}));
    assert_eq!((cron[1].get("stringData"), &cron[1]["type"]), (None, &json!("Opaque")));

    let job = &values("migration-job.yaml")[0]["spec"];
    assert_eq!((&job["backoffLimit"], &job["suspend"]), (&json!(6), &json!(false)));

    let mqtt = values("mosquitto.json");
    let service = &mqtt[0]["spec"];
    assert_eq!(service["sessionAffinityConfig"], json!({"clientIP": {"timeoutSeconds": 10800}}));
    assert_eq!(service["ports"][1], json!({"name": "coap", "port": 5683, "protocol": "UDP", "targetPort": 5683}));
    assert_eq!(
        (&service["internalTrafficPolicy"], &service["externalTrafficPolicy"], &service["ipFamilies"]),
        (&json!("Cluster"), &json!("Cluster"), &json!(["IPv4"]))
    );
    let pod = &mqtt[1]["spec"];
    assert_eq!((&pod["enableServiceLinks"], &pod["serviceAccountName"]), (&json!(true), &json!("default")));

    let policies = values("network-policies.yaml");
    assert_eq!(policies[1]["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(policies[1]["spec"]["egress"][0]["ports"][1]["protocol"], "TCP");

    let agent = &values("projected.yaml")[0]["spec"]["template"]["spec"];
    assert_eq!(agent["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(agent["serviceAccount"], "agent");
    let exporter = &values("node-exporter.yaml")[1]["spec"]["template"]["spec"];
    assert_eq!(exporter["containers"][0]["ports"][0]["hostPort"], 9100);
}
