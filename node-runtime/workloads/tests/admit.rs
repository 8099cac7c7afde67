//! Single objects: what is refused, and how it is said.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use skerry_machinery::{Cause, Kind, kind};
use skerry_workloads::{FieldValidation, PODS_MAX, admit, admit_status, refusal};

fn pod(spec: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": "p"},
        "spec": {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [{"name": "c", "image": "i:1", "ports": [{"name": "http", "containerPort": 80}]}],
        },
    });
    merge(&mut pod["spec"], spec);
    pod
}

fn container(fields: Value) -> Value {
    let mut pod = pod(json!({}));
    merge(&mut pod["spec"]["containers"][0], fields);
    pod
}

/// RFC 7396, except that `null` stays.
fn merge(into: &mut Value, from: Value) {
    match from {
        Value::Object(map) if into.is_object() => map.into_iter().for_each(|(k, v)| merge(&mut into[k], v)),
        from => *into = from,
    }
}

fn deployment(spec: Value) -> Value {
    let mut d = json!({
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
        },
    });
    merge(&mut d["spec"], spec);
    d
}

fn causes(kind: &'static Kind, mut object: Value) -> Vec<Cause> {
    admit(kind, &mut object, None, FieldValidation::Strict).err().unwrap_or_default()
}

/// Each object has exactly this one cause, whose message contains the words.
fn refused(kind: &'static Kind, table: Vec<(Value, &str, &str)>) {
    for (object, field, says) in table {
        let found = causes(kind, object.clone());
        let [one] = found.as_slice() else { panic!("{field}: {says}: found {found:?} in {object}") };
        assert!(one.field == field && one.message.contains(says), "{found:?}\nwanted {field}: {says}");
    }
}

fn accepted(kind: &'static Kind, object: Value) {
    assert_eq!(causes(kind, object.clone()), [], "{object}");
}

#[test]
fn pods() {
    let p = kind("", "Pod");
    accepted(p, pod(json!({})));
    refused(
        p,
        vec![
            (pod(json!({"containers": []})), "spec.containers", "Required value"),
            (
                pod(json!({"ephemeralContainers": [{"name": "x"}]})),
                "spec.ephemeralContainers",
                "not supported on this node",
            ),
            (pod(json!({"shareProcessNamespace": true})), "spec.shareProcessNamespace", "only false"),
            (pod(json!({"priorityClassName": "high"})), "spec.priorityClassName", "not supported on this node"),
            (pod(json!({"runtimeClassName": "kata"})), "spec.runtimeClassName", "not supported on this node"),
            (pod(json!({"overhead": {"cpu": "1"}})), "spec.overhead", "not supported on this node"),
            (
                pod(
                    json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}}),
                ),
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
                "use nodeSelector",
            ),
            (
                pod(json!({"restartPolicy": "Sometimes"})),
                "spec.restartPolicy",
                "supported values: \"Always\", \"OnFailure\", \"Never\"",
            ),
            (pod(json!({"hostname": "A"})), "spec.hostname", "RFC 1123 label"),
            (pod(json!({"dnsPolicy": "None"})), "spec.dnsConfig.nameservers", "at least one DNS nameserver"),
            (pod(json!({"dnsConfig": {"nameservers": ["dns"]}})), "spec.dnsConfig.nameservers[0]", "valid IP address"),
            (pod(json!({"hostAliases": [{"ip": "x"}]})), "spec.hostAliases[0].ip", "valid IP address"),
            (
                pod(json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}})),
                "spec.securityContext.sysctls[0].name",
                "Unsupported value",
            ),
            (
                pod(json!({"securityContext": {"seLinuxOptions": {"type": "x"}}})),
                "spec.securityContext.seLinuxOptions",
                "SELinux",
            ),
            (
                pod(json!({"securityContext": {"seccompProfile": {"type": "Localhost"}}})),
                "spec.securityContext.seccompProfile.type",
                "supported values: \"RuntimeDefault\", \"Unconfined\"",
            ),
            (
                pod(json!({"securityContext": {"appArmorProfile": {"type": "Localhost"}}})),
                "spec.securityContext.appArmorProfile.localhostProfile",
                "must be set when AppArmor type is Localhost",
            ),
            (
                pod(json!({"securityContext": {"appArmorProfile": {"type": "Unconfined", "localhostProfile": "x"}}})),
                "spec.securityContext.appArmorProfile.localhostProfile",
                "can only be set when AppArmor type is Localhost",
            ),
            (
                pod(json!({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]})),
                "spec.volumes[0].nfs",
                "not supported on this node",
            ),
            (
                pod(json!({"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]})),
                "spec.volumes[0]",
                "more than 1 volume type",
            ),
            (pod(json!({"volumes": [{"name": "v"}, {"name": "v"}]})), "spec.volumes[1].name", "Duplicate value: \"v\""),
            (
                pod(json!({"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]})),
                "spec.volumes[0].hostPath.path",
                "'..'",
            ),
            (
                pod(json!({"volumes": [{"name": "v", "secret": {}}]})),
                "spec.volumes[0].secret.secretName",
                "Required value",
            ),
            (
                pod(
                    json!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
                ),
                "spec.volumes[0].projected.sources[0].serviceAccountToken",
                "no credentials",
            ),
            (
                pod(
                    json!({"volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}}]}),
                ),
                "spec.volumes[0].configMap.items[0].path",
                "'..'",
            ),
            (
                pod(json!({"initContainers": [{"name": "c", "image": "i"}]})),
                "spec.containers[0].name",
                "Duplicate value: \"c\"",
            ),
            (
                pod(
                    json!({"initContainers": [{"name": "i", "image": "i", "readinessProbe": {"exec": {"command": ["x"]}}}]}),
                ),
                "spec.initContainers[0].readinessProbe",
                "without restartPolicy=Always",
            ),
            (pod(json!({"volumes": {}})), "spec.volumes", "must be a list"),
            (pod(json!({"containers": [null]})), "spec.containers[0]", "must be an object"),
        ],
    );
}

#[test]
fn containers() {
    let p = kind("", "Pod");
    let at = |f: &str| -> &'static str { format!("spec.containers[0].{f}").leak() };
    refused(
        p,
        vec![
            (container(json!({"image": ""})), at("image"), "Required value"),
            (container(json!({"image": " x"})), at("image"), "whitespace"),
            (container(json!({"name": "C"})), at("name"), "RFC 1123 label"),
            (container(json!({"restartPolicy": "Always"})), at("restartPolicy"), "non-init"),
            (
                container(json!({"ports": [{"containerPort": 70000}]})),
                at("ports[0].containerPort"),
                "between 1 and 65535, inclusive",
            ),
            (
                container(json!({"ports": [{"containerPort": 1, "protocol": "SCTP"}]})),
                at("ports[0].protocol"),
                "\"TCP\", \"UDP\"",
            ),
            (container(json!({"ports": [{"containerPort": 1, "name": "a--b"}]})), at("ports[0].name"), "at most 15"),
            (
                container(json!({"ports": [{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}]})),
                at("ports[1].hostPort"),
                "Duplicate value: 5",
            ),
            (container(json!({"env": [{"name": "a=b"}]})), at("env[0].name"), "'='"),
            (container(json!({"env": [{"name": "A", "value": 1}]})), at("env[0].value"), "quote it"),
            (
                container(json!({"env": [{"name": "A", "valueFrom": {}}]})),
                at("env[0].valueFrom"),
                "must specify one of",
            ),
            (
                container(
                    json!({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
                ),
                at("env[0].valueFrom"),
                "may not be specified when `value`",
            ),
            (
                container(
                    json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.generation"}}}]}),
                ),
                at("env[0].valueFrom.fieldRef.fieldPath"),
                "supported values: \"metadata.name\"",
            ),
            (
                container(
                    json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}]}),
                ),
                at("env[0].valueFrom.resourceFieldRef.resource"),
                "limits.cpu",
            ),
            (
                container(json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]})),
                at("env[0].valueFrom.secretKeyRef.key"),
                "Required value",
            ),
            (container(json!({"envFrom": [{}]})), at("envFrom[0]"), "`configMapRef` or `secretRef`"),
            (
                container(json!({"resources": {"limits": {"nvidia.com/gpu": "1"}}})),
                at("resources.limits.nvidia.com/gpu"),
                "not supported on this node",
            ),
            (
                container(json!({"resources": {"limits": {"memory": "64Mb"}}})),
                at("resources.limits.memory"),
                "quantity",
            ),
            (
                container(json!({"resources": {"limits": {"memory": "1M"}}})),
                at("resources.limits.memory"),
                "less than 4M",
            ),
            (
                container(json!({"resources": {"limits": {"cpu": 1}, "requests": {"cpu": 2}}})),
                at("resources.requests"),
                "cpu limit of 1",
            ),
            (container(json!({"livenessProbe": {}})), at("livenessProbe"), "must specify a handler type"),
            (
                container(json!({"livenessProbe": {"exec": {"command": ["x"]}, "grpc": {"port": 1}}})),
                at("livenessProbe"),
                "more than 1 handler",
            ),
            (
                container(json!({"livenessProbe": {"successThreshold": 2, "exec": {"command": ["x"]}}})),
                at("livenessProbe.successThreshold"),
                "must be 1",
            ),
            (
                container(json!({"readinessProbe": {"exec": {"command": []}}})),
                at("readinessProbe.exec.command"),
                "Required value",
            ),
            (
                container(json!({"readinessProbe": {"httpGet": {"port": "web"}}})),
                at("readinessProbe.httpGet.port"),
                "no port of this name",
            ),
            (
                container(
                    json!({"readinessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}}}),
                ),
                at("readinessProbe.httpGet.httpHeaders[0].name"),
                "HTTP header",
            ),
            (
                container(json!({"lifecycle": {"preStop": {"tcpSocket": {"port": 1}}}})),
                at("lifecycle.preStop.tcpSocket"),
                "use exec",
            ),
            (
                container(json!({"volumeMounts": [{"name": "x", "mountPath": "/x"}]})),
                at("volumeMounts[0].name"),
                "no volume",
            ),
            (
                container(json!({"volumeMounts": [{"name": "v", "mountPath": "/"}]})),
                at("volumeMounts[0].mountPath"),
                "below /",
            ),
            (
                container(
                    json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]}),
                ),
                at("volumeMounts[1].mountPath"),
                "must be unique",
            ),
            (
                container(json!({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../b"}]})),
                at("volumeMounts[0].subPath"),
                "'..'",
            ),
            (
                container(
                    json!({"volumeMounts": [{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}]}),
                ),
                at("volumeMounts[0].mountPropagation"),
                "\"None\"",
            ),
            (
                container(json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false}})),
                at("securityContext"),
                "cannot set",
            ),
            (
                container(json!({"securityContext": {"capabilities": {"add": ["FLY"]}}})),
                at("securityContext.capabilities.add[0]"),
                "no capability",
            ),
            (
                container(json!({"volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]})),
                at("volumeDevices"),
                "not supported on this node",
            ),
            (container(json!({"workingDir": "x"})), at("workingDir"), "absolute"),
        ],
    );
}

#[test]
fn workloads() {
    let d = kind("apps", "Deployment");
    accepted(d, deployment(json!({})));
    refused(
        d,
        vec![
            (deployment(json!({"replicas": 1000})), "spec.replicas", "between 0 and 110"),
            (deployment(json!({"replicas": "3"})), "spec.replicas", "must be a whole number"),
            (
                deployment(json!({"selector": {"matchLabels": {"app": "x"}}})),
                "spec.template.metadata.labels",
                "`selector` does not match template `labels`",
            ),
            (
                deployment(json!({"selector": {"matchLabels": null}})),
                "spec.selector",
                "empty selector is invalid for deployment",
            ),
            (
                deployment(json!({"template": {"spec": {"restartPolicy": "Never"}}})),
                "spec.template.spec.restartPolicy",
                "supported values: \"Always\"",
            ),
            (
                deployment(json!({"strategy": {"type": "Recreate", "rollingUpdate": {}}})),
                "spec.strategy.rollingUpdate",
                "'Recreate'",
            ),
            (
                deployment(json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}})),
                "spec.strategy.rollingUpdate.maxUnavailable",
                "may not be 0 when `maxSurge` is 0",
            ),
            (
                deployment(json!({"strategy": {"rollingUpdate": {"maxSurge": "lots"}}})),
                "spec.strategy.rollingUpdate.maxSurge",
                "percentage",
            ),
            (
                deployment(json!({"minReadySeconds": 600})),
                "spec.progressDeadlineSeconds",
                "greater than minReadySeconds",
            ),
        ],
    );
    assert_eq!(PODS_MAX, 110);
    let stateful = |more| deployment(more);
    let s = kind("apps", "StatefulSet");
    accepted(s, stateful(json!({"serviceName": "d", "ordinals": {"start": 3}})));
    refused(
        s,
        vec![
            (
                stateful(
                    json!({"volumeClaimTemplates": [{"metadata": {"name": "x"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]}),
                ),
                "spec.volumeClaimTemplates[0].spec.resources.requests[storage]",
                "Required value",
            ),
            (
                stateful(json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}})),
                "spec.updateStrategy.rollingUpdate",
                "'OnDelete'",
            ),
            (
                stateful(json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 2}}})),
                "spec.updateStrategy.rollingUpdate.maxUnavailable",
                "not supported on this node",
            ),
        ],
    );
    let ds = kind("apps", "DaemonSet");
    accepted(ds, deployment(json!({"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}})));
    refused(
        ds,
        vec![(
            deployment(json!({"updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}})),
            "spec.updateStrategy.rollingUpdate.maxSurge",
            "non-zero",
        )],
    );
}

#[test]
fn jobs() {
    let job = |spec: Value| {
        let mut j = json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
        merge(&mut j["spec"], spec);
        j
    };
    let k = kind("batch", "Job");
    accepted(k, job(json!({})));
    refused(
        k,
        vec![
            (
                job(json!({"template": {"spec": {"restartPolicy": null}}})),
                "spec.template.spec.restartPolicy",
                "\"OnFailure\", \"Never\"",
            ),
            (job(json!({"completionMode": "Indexed", "parallelism": 1})), "spec.completions", "Indexed"),
            (job(json!({"podFailurePolicy": {"rules": []}})), "spec.podFailurePolicy", "use backoffLimit"),
            (job(json!({"selector": {"matchLabels": {"a": "b"}}})), "spec.selector", "not auto-generated"),
            (job(json!({"parallelism": 111})), "spec.parallelism", "between 0 and 110"),
        ],
    );
    let mut with_uid = job(json!({}));
    with_uid["metadata"]["uid"] = "u-1".into();
    admit(k, &mut with_uid, None, FieldValidation::Strict).unwrap();
    assert_eq!(with_uid["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}));
    assert_eq!(with_uid["spec"]["template"]["metadata"]["labels"]["job-name"], "j");

    let cron = |spec: Value| {
        let mut c = json!({"metadata": {"name": "c"}, "spec": {"schedule": "@daily", "jobTemplate": {"spec": job(json!({}))["spec"]}}});
        merge(&mut c["spec"], spec);
        c
    };
    let k = kind("batch", "CronJob");
    accepted(k, cron(json!({"timeZone": "Asia/Tokyo"})));
    refused(
        k,
        vec![
            (cron(json!({"schedule": "61 * * * *"})), "spec.schedule", "minute"),
            (cron(json!({"schedule": "CRON_TZ=UTC 1 * * * *"})), "spec.schedule", "timeZone field instead"),
            (cron(json!({"timeZone": "Mars/Olympus"})), "spec.timeZone", "unknown time zone"),
            (cron(json!({"concurrencyPolicy": "Maybe"})), "spec.concurrencyPolicy", "\"Allow\""),
        ],
    );
    let mut long = cron(json!({}));
    long["metadata"]["name"] = "x".repeat(53).into();
    refused(k, vec![(long, "metadata.name", "no more than 52")]);
}

#[test]
fn services_and_policies() {
    let service = |spec: Value| {
        let mut s = json!({"metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}});
        merge(&mut s["spec"], spec);
        s
    };
    let k = kind("", "Service");
    accepted(k, service(json!({"clusterIP": "10.96.3.4"})));
    refused(
        k,
        vec![
            (service(json!({"type": "LoadBalancer"})), "spec.type", "supported values: \"ClusterIP\", \"NodePort\""),
            (service(json!({"externalName": "x.org"})), "spec.externalName", "use them directly"),
            (service(json!({"ports": []})), "spec.ports", "Required value"),
            (
                service(json!({"ports": [{"port": 1}, {"port": 2, "name": "b"}]})),
                "spec.ports[0].name",
                "Required value",
            ),
            (service(json!({"ports": [{"port": 1, "nodePort": 30000}]})), "spec.ports[0].nodePort", "'ClusterIP'"),
            (
                service(json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 80}]})),
                "spec.ports[0].nodePort",
                "between 30000 and 32767",
            ),
            (service(json!({"type": "NodePort", "clusterIP": "None"})), "spec.clusterIPs[0]", "NodePort services"),
            (service(json!({"clusterIP": "10.0.0.1"})), "spec.clusterIPs[0]", "10.96.0.0/16"),
            (
                service(json!({"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}})),
                "spec.sessionAffinityConfig",
                "session affinity is None",
            ),
            (service(json!({"externalIPs": ["192.0.2.1"]})), "spec.externalIPs", "not supported on this node"),
        ],
    );
    let mut digit = service(json!({}));
    digit["metadata"]["name"] = "1s".into();
    refused(k, vec![(digit, "metadata.name", "DNS-1035")]);

    let policy = |ingress: Value| json!({"metadata": {"name": "n"}, "spec": {"podSelector": {}, "ingress": [ingress]}});
    refused(
        kind("networking.k8s.io", "NetworkPolicy"),
        vec![
            (policy(json!({"from": [{}]})), "spec.ingress[0].from[0]", "must specify a peer"),
            (
                policy(json!({"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]})),
                "spec.ingress[0].from[0]",
                "both ipBlock",
            ),
            (
                policy(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]})),
                "spec.ingress[0].from[0].ipBlock.cidr",
                "valid CIDR",
            ),
            (
                policy(json!({"from": [{"ipBlock": {"cidr": "fd00::"}}]})),
                "spec.ingress[0].from[0].ipBlock.cidr",
                "valid CIDR",
            ),
            (
                policy(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]})),
                "spec.ingress[0].from[0].ipBlock.except[0]",
                "strict subset",
            ),
            (policy(json!({"ports": [{"endPort": 5}]})), "spec.ingress[0].ports[0].endPort", "`port` is not specified"),
            (
                policy(json!({"ports": [{"port": 6, "endPort": 5}]})),
                "spec.ingress[0].ports[0].endPort",
                "greater than or equal",
            ),
            (
                policy(json!({"from": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}]})),
                "spec.ingress[0].from[0].podSelector.matchExpressions[0].values",
                "'In' or 'NotIn'",
            ),
        ],
    );
}

#[test]
fn metadata_and_data() {
    let map = |more: Value| {
        let mut m = json!({"metadata": {"name": "m"}});
        merge(&mut m, more);
        m
    };
    let k = kind("", "ConfigMap");
    refused(
        k,
        vec![
            (map(json!({"metadata": {"name": "M"}})), "metadata.name", "RFC 1123 subdomain"),
            (map(json!({"metadata": {"name": ""}})), "metadata.name", "name or generateName is required"),
            (map(json!({"metadata": {"labels": {"-": "x"}}})), "metadata.labels", "name part"),
            (map(json!({"metadata": {"labels": {"a": "b c"}}})), "metadata.labels[a]", "a valid label"),
            (map(json!({"metadata": {"labels": {"a": true}}})), "metadata.labels[a]", "quote it"),
            (map(json!({"metadata": {"annotations": {"a": "x".repeat(300_000)}}})), "metadata.annotations", "262144"),
            (map(json!({"data": {"a/b": ""}})), "data[a/b]", "valid config key"),
            (
                map(json!({"data": {"a": ""}, "binaryData": {"a": ""}})),
                "data[a]",
                "duplicate of key present in binaryData",
            ),
            (map(json!({"data": {"a": "x".repeat(1_100_000)}})), "", "1048576"),
            (map(json!({"kind": "Secret"})), "kind", "must be ConfigMap"),
        ],
    );
    refused(
        kind("", "Secret"),
        vec![
            (map(json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}})), "data[tls.key]", "Required value"),
            (map(json!({"data": {"a": "!"}})), "", "Invalid"),
        ],
    );
    refused(
        kind("", "Namespace"),
        vec![(json!({"metadata": {"name": "n", "namespace": "x"}}), "metadata.namespace", "not allowed")],
    );
    assert!(causes(kind("metrics.k8s.io", "NodeMetrics"), json!({}))[0].message.contains("cannot be written"));
}

#[test]
fn unknown_fields_as_the_client_wants() {
    let d = kind("apps", "Deployment");
    let object = || deployment(json!({"replicsa": 2, "template": {"spec": {"nonsense": {"a": [1]}}}}));
    let strict = causes(d, object());
    assert_eq!(
        strict.iter().map(|c| c.field.as_str()).collect::<Vec<_>>(),
        ["spec.template.spec.nonsense", "spec.replicsa"]
    );
    let said = refusal(d, "d", strict);
    assert_eq!(said.code(), 400);
    assert_eq!(
        said.message,
        "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \
         \"spec.template.spec.nonsense\", unknown field \"spec.replicsa\"; did you mean \"replicas\"?"
    );
    let mut warned = object();
    let warnings = admit(d, &mut warned, None, FieldValidation::Warn).unwrap();
    assert_eq!(warnings.len(), 2);
    assert!(warnings[1].contains("did you mean \"replicas\"?"), "{warnings:?}");
    assert_eq!(warned["spec"].get("replicsa"), None);
    let mut ignored = object();
    assert_eq!(admit(d, &mut ignored, None, FieldValidation::Ignore), Ok(vec![]));
    assert_eq!(ignored, warned);
    // Known to Kubernetes, not to the node: always refused.
    let mut overhead = deployment(json!({"template": {"spec": {"overhead": {}}}}));
    let found = admit(d, &mut overhead, None, FieldValidation::Ignore).unwrap_err();
    assert_eq!(found[0].message, "Forbidden: not supported on this node");
    assert_eq!(refusal(d, "d", found).code(), 422);
}

fn change(kind: &'static Kind, object: Value, change: Value) -> Vec<Cause> {
    let mut old = object;
    admit(kind, &mut old, None, FieldValidation::Strict).unwrap();
    let mut new = old.clone();
    merge(&mut new, change);
    admit(kind, &mut new, Some(&old), FieldValidation::Strict).err().unwrap_or_default()
}

#[test]
fn changes() {
    let spec = |v: Value| json!({"spec": v});
    let claim = || json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let d = kind("apps", "Deployment");
    let labels = json!({"selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}}});
    let frozen = || json!({"metadata": {"name": "m"}, "immutable": true, "data": {"a": "1"}});
    let (p, s, cm) = (kind("", "Pod"), kind("apps", "StatefulSet"), kind("", "ConfigMap"));
    for (k, object, changed, want) in [
        (d, deployment(json!({})), spec(json!({"replicas": 5, "paused": true})), ""),
        (d, deployment(json!({})), spec(labels), "spec.selector: field is immutable"),
        (s, deployment(json!({})), spec(json!({"replicas": 5})), ""),
        (
            s,
            deployment(json!({})),
            spec(json!({"podManagementPolicy": "Parallel"})),
            "spec: updates to statefulset spec",
        ),
        (p, pod(json!({})), spec(json!({"activeDeadlineSeconds": 5, "nodeName": "n"})), ""),
        (p, pod(json!({})), spec(json!({"hostname": "x"})), "spec: pod updates may not change fields"),
        (kind("", "PersistentVolumeClaim"), claim(), spec(json!({"volumeName": "v"})), ""),
        (
            kind("", "PersistentVolumeClaim"),
            claim(),
            spec(json!({"resources": {"requests": {"storage": "2Gi"}}})),
            "spec: spec is immutable",
        ),
        (cm, frozen(), json!({"metadata": {"labels": {"a": "b"}}}), ""),
        (cm, frozen(), json!({"data": {"a": "2"}}), "data: field is immutable when `immutable` is set"),
        (cm, frozen(), json!({"immutable": false}), "immutable: field is immutable when `immutable` is set"),
    ] {
        let found = change(k, object, changed.clone());
        match want.split_once(": ") {
            None => assert_eq!(found, [], "{changed}"),
            Some((field, says)) => {
                let one = found.first().unwrap_or_else(|| panic!("accepted {changed}"));
                assert!(one.field == field && one.message.contains(says), "{changed}: {found:?}");
            }
        }
    }
}

#[test]
fn what_the_node_gave_a_service_stays() {
    let k = kind("", "Service");
    let given = json!({
        "metadata": {"name": "s"},
        "spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30001}]},
    });
    let mut old = given;
    admit(k, &mut old, None, FieldValidation::Strict).unwrap();
    let written =
        json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "targetPort": 8080}]}});
    let mut new = written;
    admit(k, &mut new, Some(&old), FieldValidation::Strict).unwrap();
    assert_eq!(new["spec"]["clusterIPs"], json!(["10.96.0.9"]));
    assert_eq!(new["spec"]["ports"][0]["nodePort"], 30001);
    // The other type has no use for the node port.
    let mut inner = old.clone();
    inner["spec"]["type"] = "ClusterIP".into();
    admit(k, &mut inner, Some(&old), FieldValidation::Strict).unwrap();
    assert_eq!((inner["spec"]["ports"][0].get("nodePort"), inner["spec"].get("externalTrafficPolicy")), (None, None));
    // Another address cannot be had.
    let found = change(k, old, json!({"spec": {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"]}}));
    assert_eq!(found[0].field, "spec.clusterIPs[0]");
}

#[test]
fn status_has_the_form_of_its_type() {
    let p = kind("", "Pod");
    assert_eq!(admit_status(p, &json!({"status": {"phase": "Running"}})), Ok(()));
    assert!(admit_status(p, &json!({"status": {"phase": 1}})).is_err());
}

#[test]
fn a_huge_object_is_refused() {
    let big = |bytes: usize| container(json!({"args": ["x".repeat(bytes)]}));
    accepted(kind("", "Pod"), big(1_400_000));
    refused(kind("", "Pod"), vec![(big(1_500_000), "", "more than 1500000 bytes")]);
}

#[test]
fn many_mistakes_are_a_bounded_answer() {
    let fields: serde_json::Map<String, Value> = (0..5000).map(|i| (format!("x{i}"), json!(1))).collect();
    let d = kind("apps", "Deployment");
    let found = causes(d, deployment(fields.into()));
    assert!((50..300).contains(&found.len()), "{}", found.len());
}
