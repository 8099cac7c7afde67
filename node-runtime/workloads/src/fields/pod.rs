//! Pods and pod templates.

use super::{ID, INT64, META, POSITIVE, container, volume};
use crate::shape::Shape::{self, *};

const SYSCTLS: Shape = List(&Obj(&[("name", Str), ("value", Str)]));

const SECURITY: Shape = Obj(&[
    ("runAsUser", ID),
    ("runAsGroup", ID),
    ("runAsNonRoot", Bool),
    ("supplementalGroups", List(&ID)),
    ("supplementalGroupsPolicy", OneOf(&["Merge"])),
    ("fsGroup", ID),
    ("fsGroupChangePolicy", OneOf(&["Always", "OnRootMismatch"])),
    ("seccompProfile", container::SECCOMP),
    ("appArmorProfile", container::APPARMOR),
    ("sysctls", SYSCTLS),
    ("seLinuxOptions", container::SELINUX),
    ("seLinuxChangePolicy", container::SELINUX),
    ("windowsOptions", container::WINDOWS),
]);

const PREFERRED: &str = "required rules have no meaning on one node; use nodeSelector, or a preferred rule";

const AFFINITY: Shape = Obj(&[
    (
        "nodeAffinity",
        Obj(&[
            ("preferredDuringSchedulingIgnoredDuringExecution", Any),
            ("requiredDuringSchedulingIgnoredDuringExecution", Refused(PREFERRED)),
        ]),
    ),
    (
        "podAffinity",
        Obj(&[
            ("preferredDuringSchedulingIgnoredDuringExecution", Any),
            ("requiredDuringSchedulingIgnoredDuringExecution", Refused(PREFERRED)),
        ]),
    ),
    (
        "podAntiAffinity",
        Obj(&[
            ("preferredDuringSchedulingIgnoredDuringExecution", Any),
            ("requiredDuringSchedulingIgnoredDuringExecution", Refused(PREFERRED)),
        ]),
    ),
]);

pub(super) const SPEC: Shape = Named(
    "Pod spec",
    &Obj(&[
        ("containers", List(&container::CONTAINER)),
        ("initContainers", List(&container::CONTAINER)),
        ("ephemeralContainers", Refused("images of the node carry what they need; use kubectl exec")),
        ("volumes", List(&volume::VOLUME)),
        ("restartPolicy", OneOf(&["Always", "OnFailure", "Never"])),
        ("terminationGracePeriodSeconds", INT64),
        ("activeDeadlineSeconds", POSITIVE),
        ("hostname", Str),
        ("subdomain", Str),
        ("setHostnameAsFQDN", Only(false)),
        ("hostAliases", List(&Obj(&[("ip", Str), ("hostnames", List(&Str))]))),
        ("dnsPolicy", OneOf(&["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"])),
        (
            "dnsConfig",
            Obj(&[
                ("nameservers", List(&Str)),
                ("searches", List(&Str)),
                ("options", List(&Obj(&[("name", Str), ("value", Str)]))),
            ]),
        ),
        ("nodeName", Str),
        ("nodeSelector", StrMap),
        ("schedulerName", OneOf(&["default-scheduler"])),
        ("serviceAccountName", Str),
        ("serviceAccount", Str),
        ("automountServiceAccountToken", Bool),
        ("enableServiceLinks", Bool),
        ("imagePullSecrets", List(&Obj(&[("name", Str)]))),
        ("securityContext", SECURITY),
        ("hostNetwork", Bool),
        ("hostPID", Bool),
        ("hostIPC", Bool),
        ("hostUsers", Only(true)),
        ("shareProcessNamespace", Only(false)),
        ("os", Obj(&[("name", OneOf(&["linux"]))])),
        ("tolerations", Any),
        ("affinity", AFFINITY),
        (
            "topologySpreadConstraints",
            List(&Obj(&[
                ("maxSkew", POSITIVE),
                ("topologyKey", Str),
                ("whenUnsatisfiable", OneOf(&["ScheduleAnyway"])),
                ("labelSelector", super::LABEL_SELECTOR),
                ("matchLabelKeys", List(&Str)),
                ("nodeAffinityPolicy", Any),
                ("nodeTaintsPolicy", Any),
            ])),
        ),
        ("priority", Int(0, 0)),
        ("preemptionPolicy", OneOf(&["PreemptLowerPriority", "Never"])),
        ("priorityClassName", Refused("pods of one node do not displace each other; leave it out")),
        ("runtimeClassName", Refused("the node has one runtime; leave it out")),
    ]),
);

pub(super) const TEMPLATE: Shape = Named("Pod template", &Obj(&[("metadata", META), ("spec", SPEC)]));

pub(super) const POD: Shape =
    Obj(&[("apiVersion", Str), ("kind", Str), ("metadata", META), ("spec", SPEC), ("status", Any)]);
