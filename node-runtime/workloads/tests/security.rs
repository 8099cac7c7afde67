//! Pod Security Standards: controls, and Kubernetes' words for them.
#![allow(clippy::unwrap_used, missing_docs)]

use k8s_openapi::{api::core::v1::PodSpec, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::{Value, json};
use skerry_workloads::{Level, check_manifests, check_security, parse_manifests, pod_security, pod_security_message};

fn good() -> Value {
    json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
    })
}

fn merge(into: &mut Value, from: &Value) {
    match from {
        Value::Object(map) if into.is_object() => map.iter().for_each(|(k, v)| merge(&mut into[k], v)),
        from => *into = from.clone(),
    }
}

fn message(level: Level, spec: &Value) -> String {
    let spec: PodSpec = serde_json::from_value(spec.clone()).unwrap();
    match pod_security(level, None, &spec) {
        v if v.is_empty() => String::new(),
        v => pod_security_message(level, &v),
    }
}

#[test]
fn a_bare_pod_as_kubernetes_says_it() {
    let bare = json!({"containers": [{"name": "nginx"}]});
    assert_eq!(
        message(Level::Restricted, &bare),
        "violates PodSecurity \"restricted:v1.34\": allowPrivilegeEscalation != false (container \"nginx\" must set \
         securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"nginx\" must set \
         securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"nginx\" must set \
         securityContext.runAsNonRoot=true), seccompProfile (pod or container \"nginx\" must set \
         securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    assert_eq!(message(Level::Baseline, &bare), "");
    assert_eq!(message(Level::Restricted, &good()), "");
}

/// Each control, violated alone: its words, and whether baseline has it too.
#[test]
fn every_control() {
    let c = |sc: Value| json!({"securityContext": sc});
    let in_container: Vec<(Value, &str, bool)> = vec![
        (
            c(json!({"privileged": true})),
            "privileged (container \"c\" must not set securityContext.privileged=true)",
            true,
        ),
        (c(json!({"procMount": "Unmasked"})), "procMount (container \"c\"", true),
        (
            c(json!({"capabilities": {"add": ["SYS_TIME"]}})),
            "container \"c\" must not include \"SYS_TIME\" in securityContext.capabilities.add",
            true,
        ),
        (
            c(json!({"capabilities": {"add": ["CHOWN"]}})),
            "unrestricted capabilities (container \"c\" must not include \"CHOWN\"",
            false,
        ),
        (
            c(json!({"capabilities": {"drop": ["NET_RAW"]}})),
            "must set securityContext.capabilities.drop=[\"ALL\"]",
            false,
        ),
        (c(json!({"seccompProfile": {"type": "Unconfined"}})), "seccompProfile (container \"c\" must not set", true),
        (c(json!({"seLinuxOptions": {"user": "root"}})), "seLinuxOptions (container \"c\" set forbidden", true),
        (c(json!({"appArmorProfile": {"type": "Unconfined"}})), "forbidden AppArmor profile (container \"c\"", true),
        (c(json!({"windowsOptions": {"hostProcess": true}})), "hostProcess (container \"c\"", true),
        (
            c(json!({"runAsNonRoot": false})),
            "runAsNonRoot != true (container \"c\" must not set securityContext.runAsNonRoot=false)",
            false,
        ),
        (c(json!({"runAsUser": 0})), "runAsUser=0 (container \"c\" must not set runAsUser=0)", false),
        (c(json!({"allowPrivilegeEscalation": true})), "allowPrivilegeEscalation != false", false),
        (json!({"ports": [{"containerPort": 1, "hostPort": 80}]}), "hostPort (container \"c\" uses hostPort 80)", true),
        (
            json!({"livenessProbe": {"httpGet": {"port": 1, "host": "192.0.2.1"}}}),
            "probe or lifecycle host (container \"c\"",
            true,
        ),
        (json!({"lifecycle": {"preStop": {"httpGet": {"port": 1, "host": "x"}}}}), "probe or lifecycle host", true),
    ];
    let pod = |sc: Value| json!({"securityContext": sc});
    let in_pod: Vec<(Value, &str, bool)> = vec![
        (json!({"hostNetwork": true, "hostPID": true}), "host namespaces (hostNetwork=true, hostPID=true)", true),
        (json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), "hostPath volumes (volume \"v\")", true),
        (
            json!({"volumes": [{"name": "v", "nfs": {"path": "/", "server": "s"}}]}),
            "volume \"v\" uses restricted volume type \"nfs\"",
            false,
        ),
        (pod(json!({"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})), "forbidden sysctls (kernel.msgmax)", true),
        (pod(json!({"runAsUser": 0})), "runAsUser=0 (pod must not set runAsUser=0)", false),
        (
            pod(json!({"seccompProfile": {"type": "Unconfined"}})),
            "pod must not set securityContext.seccompProfile.type to \"Unconfined\"",
            true,
        ),
        (
            pod(json!({"appArmorProfile": {"type": "Unconfined"}})),
            "pod must not set AppArmor profile type to \"Unconfined\"",
            true,
        ),
    ];
    let containers = in_container.into_iter().map(|(v, says, baseline)| {
        let mut spec = good();
        merge(&mut spec["containers"][0], &v);
        (spec, says, baseline)
    });
    let pods = in_pod.into_iter().map(|(v, says, baseline)| {
        let mut spec = good();
        merge(&mut spec, &v);
        (spec, says, baseline)
    });
    for (spec, says, baseline) in containers.chain(pods) {
        let said = message(Level::Restricted, &spec);
        assert!(said.contains(says), "{spec}\n{said}\nwanted {says}");
        assert_eq!(!message(Level::Baseline, &spec).is_empty(), baseline, "{spec}");
        assert_eq!(message(Level::Privileged, &spec), "");
    }
}

#[test]
fn init_containers_and_annotations_count() {
    let mut spec = good();
    spec["initContainers"] = json!([{"name": "i", "securityContext": {"privileged": true}}]);
    let said = message(Level::Restricted, &spec);
    assert!(said.contains("privileged (container \"i\"") && said.contains("(container \"i\" must set"), "{said}");
    let meta: ObjectMeta = serde_json::from_value(json!({
        "annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"},
    }))
    .unwrap();
    let found = pod_security(Level::Baseline, Some(&meta), &serde_json::from_value(good()).unwrap());
    assert_eq!(found[0].fields, ["metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]"]);
}

/// Labels of the Namespace in the same set decide; a lax pod is named by field.
#[test]
fn namespaces_of_the_set_choose_the_profile() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: ns}\nspec: {hostNetwork: true, containers: [{name: c, image: i}]}\n";
    let namespace =
        |labels: &str| format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: ns, labels: {{{labels}}}}}\n");
    let files = |labels: &str| vec![("m.yaml".to_owned(), format!("{pod}{}", namespace(labels)).into_bytes())];
    let enforce = |level: &str| format!("pod-security.kubernetes.io/enforce: {level}");
    for (labels, refused, warned) in
        [(String::new(), true, false), (enforce("baseline"), true, true), (enforce("privileged"), false, true)]
    {
        let verdicts = check_manifests(&files(&labels), Level::Restricted);
        assert_eq!(
            (verdicts[0].accepted, verdicts[0].warnings.is_empty()),
            (!refused, !warned),
            "{labels}: {verdicts:#?}"
        );
        let problems = check_security(&parse_manifests(&files(&labels)).unwrap(), Level::Restricted);
        assert_eq!(problems.iter().any(|p| p.field == "spec.hostNetwork"), refused, "{labels}");
    }
    let old = format!("{}, pod-security.kubernetes.io/enforce-version: v1.28", enforce("privileged"));
    let verdicts = check_manifests(&files(&old), Level::Restricted);
    assert!(verdicts[1].warnings[0].contains("v1.34"), "{verdicts:?}");
}
