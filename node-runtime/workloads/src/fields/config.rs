//! Namespaces, configuration, accounts.

use super::META;
use crate::shape::Shape::{self, *};

pub(super) const NAMESPACE: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    ("spec", Obj(&[("finalizers", List(&Str))])),
    ("status", Any),
]);

pub(super) const CONFIG_MAP: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    ("data", StrMap),
    ("binaryData", BytesMap),
    ("immutable", Bool),
]);

pub(super) const SECRET: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    ("data", BytesMap),
    ("stringData", StrMap),
    ("type", Str),
    ("immutable", Bool),
]);

pub(super) const SERVICE_ACCOUNT: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    ("automountServiceAccountToken", Bool),
    ("imagePullSecrets", List(&Obj(&[("name", Str)]))),
]);
