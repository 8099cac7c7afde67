//! `apps/v1`.

use super::{INT32, LABEL_SELECTOR, META, POSITIVE, REPLICAS, pod::TEMPLATE, storage};
use crate::shape::Shape::{self, *};

pub(super) const DEPLOYMENT: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    (
        "spec",
        Obj(&[
            ("replicas", REPLICAS),
            ("selector", LABEL_SELECTOR),
            ("template", TEMPLATE),
            (
                "strategy",
                Obj(&[
                    ("type", OneOf(&["RollingUpdate", "Recreate"])),
                    ("rollingUpdate", Obj(&[("maxSurge", IntOrPercent), ("maxUnavailable", IntOrPercent)])),
                ]),
            ),
            ("minReadySeconds", INT32),
            ("revisionHistoryLimit", INT32),
            ("progressDeadlineSeconds", POSITIVE),
            ("paused", Bool),
        ]),
    ),
    ("status", Any),
]);

pub(super) const REPLICA_SET: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    (
        "spec",
        Obj(&[
            ("replicas", REPLICAS),
            ("selector", LABEL_SELECTOR),
            ("template", TEMPLATE),
            ("minReadySeconds", INT32),
        ]),
    ),
    ("status", Any),
]);

pub(super) const STATEFUL_SET: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    (
        "spec",
        Obj(&[
            ("replicas", REPLICAS),
            ("selector", LABEL_SELECTOR),
            ("template", TEMPLATE),
            ("serviceName", Str),
            ("podManagementPolicy", OneOf(&["OrderedReady", "Parallel"])),
            (
                "updateStrategy",
                Obj(&[
                    ("type", OneOf(&["RollingUpdate", "OnDelete"])),
                    ("rollingUpdate", Obj(&[("partition", INT32)])),
                ]),
            ),
            (
                "volumeClaimTemplates",
                List(&Obj(&[
                    ("apiVersion", OneOf(&["v1"])),
                    ("kind", OneOf(&["PersistentVolumeClaim"])),
                    ("metadata", META),
                    ("spec", storage::CLAIM_SPEC),
                    ("status", Any),
                ])),
            ),
            (
                "persistentVolumeClaimRetentionPolicy",
                Obj(&[("whenDeleted", OneOf(&["Retain", "Delete"])), ("whenScaled", OneOf(&["Retain", "Delete"]))]),
            ),
            ("ordinals", Obj(&[("start", INT32)])),
            ("minReadySeconds", INT32),
            ("revisionHistoryLimit", INT32),
        ]),
    ),
    ("status", Any),
]);

pub(super) const DAEMON_SET: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    (
        "spec",
        Obj(&[
            ("selector", LABEL_SELECTOR),
            ("template", TEMPLATE),
            (
                "updateStrategy",
                Obj(&[
                    ("type", OneOf(&["RollingUpdate", "OnDelete"])),
                    ("rollingUpdate", Obj(&[("maxSurge", IntOrPercent), ("maxUnavailable", IntOrPercent)])),
                ]),
            ),
            ("minReadySeconds", INT32),
            ("revisionHistoryLimit", INT32),
        ]),
    ),
    ("status", Any),
]);

pub(super) const CONTROLLER_REVISION: Shape =
    Obj(&[("apiVersion", Str), ("kind", Str), ("metadata", META), ("data", Any), ("revision", Int(0, i64::MAX))]);
