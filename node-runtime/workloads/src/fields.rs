//! The fields of Kubernetes objects that the orchestrator acts on.
//!
//! Add a field here only together with the code that obeys it.

use crate::shape::Shape::{self, *};

const INT32: Shape = Int(0, i32::MAX as i64);
const POSITIVE: Shape = Int(1, i32::MAX as i64);
const ID: Shape = Int(0, u32::MAX as i64 - 1);

const META: Shape = Obj(&[
    ("name", Str),
    ("namespace", Str),
    ("labels", StrMap),
    ("annotations", StrMap),
    ("creationTimestamp", Ignored),
]);

const TEMPLATE_META: Shape = Obj(&[("labels", StrMap), ("annotations", StrMap), ("creationTimestamp", Ignored)]);

const SECCOMP: Shape = Obj(&[("type", OneOf(&["RuntimeDefault", "Unconfined"]))]);

const PROBE: Shape = Obj(&[
    (
        "httpGet",
        Obj(&[
            ("path", Str),
            ("port", Port),
            ("scheme", OneOf(&["HTTP"])),
            ("httpHeaders", List(&Obj(&[("name", Str), ("value", Str)]))),
        ]),
    ),
    ("initialDelaySeconds", INT32),
    ("periodSeconds", POSITIVE),
    ("timeoutSeconds", POSITIVE),
    ("successThreshold", POSITIVE),
    ("failureThreshold", POSITIVE),
]);

const RESOURCES: Shape = Obj(&[("cpu", Quantity), ("memory", Quantity)]);

const CONTAINER: Shape = Obj(&[
    ("name", Str),
    ("image", Str),
    ("imagePullPolicy", OneOf(&["IfNotPresent", "Never"])),
    ("command", List(&Str)),
    ("args", List(&Str)),
    ("workingDir", Str),
    (
        "env",
        List(&Obj(&[
            ("name", Str),
            ("value", Str),
            ("valueFrom", Obj(&[("fieldRef", Obj(&[("apiVersion", OneOf(&["v1"])), ("fieldPath", Str)]))])),
        ])),
    ),
    ("ports", List(&Obj(&[("name", Str), ("containerPort", Int(1, 65535)), ("protocol", OneOf(&["TCP", "UDP"]))]))),
    ("resources", Obj(&[("limits", RESOURCES), ("requests", RESOURCES)])),
    (
        "securityContext",
        Obj(&[
            ("runAsUser", ID),
            ("runAsGroup", ID),
            ("runAsNonRoot", Bool),
            ("readOnlyRootFilesystem", Bool),
            ("allowPrivilegeEscalation", Bool),
            ("privileged", False),
            ("procMount", OneOf(&["Default"])),
            ("capabilities", Obj(&[("add", List(&Str)), ("drop", List(&Str))])),
            ("seccompProfile", SECCOMP),
        ]),
    ),
    ("readinessProbe", PROBE),
    ("livenessProbe", PROBE),
    ("volumeMounts", List(&Obj(&[("name", Str), ("mountPath", Str), ("readOnly", Bool)]))),
]);

const POD: Shape = Obj(&[
    ("containers", List(&CONTAINER)),
    (
        "volumes",
        List(&Obj(&[("name", Str), ("emptyDir", Obj(&[("medium", OneOf(&["", "Memory"])), ("sizeLimit", Quantity)]))])),
    ),
    (
        "securityContext",
        Obj(&[
            ("runAsUser", ID),
            ("runAsGroup", ID),
            ("runAsNonRoot", Bool),
            ("supplementalGroups", List(&ID)),
            ("fsGroup", ID),
            ("seccompProfile", SECCOMP),
        ]),
    ),
    ("terminationGracePeriodSeconds", INT32),
    ("restartPolicy", OneOf(&["Always"])),
    ("automountServiceAccountToken", False),
    ("enableServiceLinks", False),
    ("hostNetwork", False),
    ("hostPID", False),
    ("hostIPC", False),
]);

/// `apps/v1` Deployment.
pub(crate) const DEPLOYMENT: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    (
        "spec",
        Obj(&[
            ("replicas", Int(0, 100)),
            ("selector", Obj(&[("matchLabels", StrMap)])),
            ("strategy", Obj(&[("type", OneOf(&["Recreate", "RollingUpdate"]))])),
            ("template", Obj(&[("metadata", TEMPLATE_META), ("spec", POD)])),
        ]),
    ),
    ("status", Ignored),
]);

/// `v1` Service.
pub(crate) const SERVICE: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    (
        "spec",
        Obj(&[
            ("type", OneOf(&["ClusterIP", "NodePort"])),
            ("selector", StrMap),
            ("clusterIP", Str),
            (
                "ports",
                List(&Obj(&[
                    ("name", Str),
                    ("protocol", OneOf(&["TCP", "UDP"])),
                    ("port", Int(1, 65535)),
                    ("targetPort", Port),
                    ("nodePort", Int(30000, 32767)),
                ])),
            ),
        ]),
    ),
    ("status", Ignored),
]);

/// `v1` Namespace.
pub(crate) const NAMESPACE: Shape =
    Obj(&[("apiVersion", Str), ("kind", Str), ("metadata", META), ("spec", Obj(&[])), ("status", Ignored)]);
