//! Volumes of pods.

use crate::shape::Shape::{self, *};

pub(super) const FIELD_REF: Shape = Obj(&[("apiVersion", OneOf(&["v1"])), ("fieldPath", Str)]);
pub(super) const RESOURCE_REF: Shape = Obj(&[
    ("containerName", Str),
    (
        "resource",
        OneOf(&[
            "limits.cpu",
            "limits.memory",
            "limits.ephemeral-storage",
            "requests.cpu",
            "requests.memory",
            "requests.ephemeral-storage",
        ]),
    ),
    ("divisor", Quantity),
]);

const MODE: Shape = Int(0, 0o777);

const KEYS: Shape = List(&Obj(&[("key", Str), ("path", Str), ("mode", MODE)]));

const DOWNWARD_FILES: Shape =
    List(&Obj(&[("path", Str), ("mode", MODE), ("fieldRef", FIELD_REF), ("resourceFieldRef", RESOURCE_REF)]));

const PROJECTED: Shape = Obj(&[
    ("defaultMode", MODE),
    (
        "sources",
        List(&Obj(&[
            ("configMap", Obj(&[("name", Str), ("items", KEYS), ("optional", Bool)])),
            ("secret", Obj(&[("name", Str), ("items", KEYS), ("optional", Bool)])),
            ("downwardAPI", Obj(&[("items", DOWNWARD_FILES)])),
            ("serviceAccountToken", Refused("pods get no credentials for the node's API")),
        ])),
    ),
]);

pub(super) const VOLUME: Shape = Named(
    "Volume",
    &Obj(&[
        ("name", Str),
        ("emptyDir", Obj(&[("medium", OneOf(&["", "Memory"])), ("sizeLimit", Quantity)])),
        ("configMap", Obj(&[("name", Str), ("items", KEYS), ("defaultMode", MODE), ("optional", Bool)])),
        ("secret", Obj(&[("secretName", Str), ("items", KEYS), ("defaultMode", MODE), ("optional", Bool)])),
        ("downwardAPI", Obj(&[("items", DOWNWARD_FILES), ("defaultMode", MODE)])),
        ("projected", PROJECTED),
        ("hostPath", HOST_PATH),
        ("persistentVolumeClaim", Obj(&[("claimName", Str), ("readOnly", Bool)])),
    ]),
);

pub(super) const HOST_PATH: Shape = Obj(&[
    ("path", Str),
    (
        "type",
        OneOf(&["", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket", "CharDevice", "BlockDevice"]),
    ),
]);
