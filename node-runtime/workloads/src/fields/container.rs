//! Containers.

use super::{ID, INT32, INT64, PORT, POSITIVE, volume};
use crate::shape::Shape::{self, *};

pub(super) const SECCOMP: Shape = Obj(&[
    ("type", OneOf(&["RuntimeDefault", "Unconfined"])),
    ("localhostProfile", Refused("profiles cannot be put on the node; use type RuntimeDefault")),
]);
pub(super) const APPARMOR: Shape =
    Obj(&[("type", OneOf(&["RuntimeDefault", "Localhost", "Unconfined"])), ("localhostProfile", Str)]);
pub(super) const SELINUX: Shape = Refused("the node's kernel runs without SELinux");
pub(super) const WINDOWS: Shape = Refused("the node runs Linux");

const EXEC: Shape = Obj(&[("command", List(&Str))]);

const HTTP_GET: Shape = Obj(&[
    ("path", Str),
    ("port", Port),
    ("host", Str),
    ("scheme", OneOf(&["HTTP", "HTTPS"])),
    ("httpHeaders", List(&Obj(&[("name", Str), ("value", Str)]))),
]);

pub(super) const PROBE: Shape = Named(
    "Probe",
    &Obj(&[
        ("httpGet", HTTP_GET),
        ("tcpSocket", Obj(&[("port", Port), ("host", Str)])),
        ("exec", EXEC),
        ("grpc", Obj(&[("port", PORT), ("service", Str)])),
        ("initialDelaySeconds", INT32),
        ("periodSeconds", POSITIVE),
        ("timeoutSeconds", POSITIVE),
        ("successThreshold", POSITIVE),
        ("failureThreshold", POSITIVE),
        ("terminationGracePeriodSeconds", Int(1, i64::MAX)),
    ]),
);

pub(super) const HANDLER: Shape = Named(
    "Lifecycle handler",
    &Obj(&[
        ("exec", EXEC),
        ("httpGet", HTTP_GET),
        ("sleep", Obj(&[("seconds", INT64)])),
        ("tcpSocket", Refused("Kubernetes itself does not act on it; use exec, httpGet or sleep")),
    ]),
);

const RESOURCES: Shape = Obj(&[("cpu", Quantity), ("memory", Quantity), ("ephemeral-storage", Quantity)]);

const SECURITY: Shape = Obj(&[
    ("runAsUser", ID),
    ("runAsGroup", ID),
    ("runAsNonRoot", Bool),
    ("readOnlyRootFilesystem", Bool),
    ("allowPrivilegeEscalation", Bool),
    ("privileged", Bool),
    ("procMount", OneOf(&["Default", "Unmasked"])),
    ("capabilities", Obj(&[("add", List(&Str)), ("drop", List(&Str))])),
    ("seccompProfile", SECCOMP),
    ("appArmorProfile", APPARMOR),
    ("seLinuxOptions", SELINUX),
    ("windowsOptions", WINDOWS),
]);

const KEY_REF: Shape = Obj(&[("name", Str), ("key", Str), ("optional", Bool)]);
const OBJECT_REF: Shape = Obj(&[("name", Str), ("optional", Bool)]);

const ENV: Shape = Obj(&[
    ("name", Str),
    ("value", Str),
    (
        "valueFrom",
        Obj(&[
            ("fieldRef", volume::FIELD_REF),
            ("resourceFieldRef", volume::RESOURCE_REF),
            ("configMapKeyRef", KEY_REF),
            ("secretKeyRef", KEY_REF),
        ]),
    ),
]);

pub(super) const CONTAINER: Shape = Named(
    "Container",
    &Obj(&[
        ("name", Str),
        ("image", Str),
        ("imagePullPolicy", OneOf(&["Always", "IfNotPresent", "Never"])),
        ("command", List(&Str)),
        ("args", List(&Str)),
        ("workingDir", Str),
        ("env", List(&ENV)),
        ("envFrom", List(&Obj(&[("prefix", Str), ("configMapRef", OBJECT_REF), ("secretRef", OBJECT_REF)]))),
        (
            "ports",
            List(&Obj(&[
                ("name", Str),
                ("containerPort", PORT),
                ("hostPort", PORT),
                ("hostIP", Str),
                ("protocol", OneOf(&["TCP", "UDP"])),
            ])),
        ),
        ("resources", Obj(&[("limits", RESOURCES), ("requests", RESOURCES)])),
        ("securityContext", SECURITY),
        ("startupProbe", PROBE),
        ("livenessProbe", PROBE),
        ("readinessProbe", PROBE),
        ("lifecycle", Obj(&[("postStart", HANDLER), ("preStop", HANDLER)])),
        ("restartPolicy", OneOf(&["Always"])),
        ("stdin", Bool),
        ("stdinOnce", Bool),
        ("tty", Bool),
        ("terminationMessagePath", Str),
        ("terminationMessagePolicy", OneOf(&["File", "FallbackToLogsOnError"])),
        (
            "volumeMounts",
            List(&Obj(&[
                ("name", Str),
                ("mountPath", Str),
                ("readOnly", Bool),
                ("subPath", Str),
                ("mountPropagation", OneOf(&["None"])),
                ("recursiveReadOnly", OneOf(&["Disabled"])),
            ])),
        ),
    ]),
);
