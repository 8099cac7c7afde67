//! Claims, volumes, classes.

use super::{META, volume::HOST_PATH};
use crate::shape::Shape::{self, *};

const STORAGE: Shape = Obj(&[("storage", Quantity)]);

pub(super) const CLAIM_SPEC: Shape = Named(
    "Claim spec",
    &Obj(&[
        ("accessModes", List(&OneOf(&["ReadWriteOnce"]))),
        ("storageClassName", OneOf(&["local-path"])),
        ("resources", Obj(&[("requests", STORAGE), ("limits", STORAGE)])),
        ("volumeMode", OneOf(&["Filesystem"])),
        ("volumeName", Str),
    ]),
);

pub(super) const CLAIM: Shape =
    Obj(&[("apiVersion", Str), ("kind", Str), ("metadata", META), ("spec", CLAIM_SPEC), ("status", Any)]);

pub(super) const VOLUME: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    (
        "spec",
        Obj(&[
            ("capacity", STORAGE),
            ("accessModes", List(&OneOf(&["ReadWriteOnce"]))),
            ("storageClassName", OneOf(&["local-path"])),
            ("persistentVolumeReclaimPolicy", OneOf(&["Delete", "Retain"])),
            ("volumeMode", OneOf(&["Filesystem"])),
            ("claimRef", Any),
            ("hostPath", HOST_PATH),
            ("local", Obj(&[("path", Str)])),
            ("nodeAffinity", Any),
        ]),
    ),
    ("status", Any),
]);

pub(super) const CLASS: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    ("provisioner", OneOf(&["skerry.dev/local-path", "rancher.io/local-path"])),
    ("reclaimPolicy", OneOf(&["Delete", "Retain"])),
    ("volumeBindingMode", OneOf(&["Immediate", "WaitForFirstConsumer"])),
    ("allowVolumeExpansion", Only(false)),
]);
