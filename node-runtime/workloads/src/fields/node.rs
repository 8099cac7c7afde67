//! What the node writes about itself.

use super::META;
use crate::shape::Shape::{self, *};

pub(super) const NODE: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    (
        "spec",
        Obj(&[
            ("podCIDR", Str),
            ("podCIDRs", List(&Str)),
            ("providerID", Str),
            ("unschedulable", Bool),
            ("taints", Any),
        ]),
    ),
    ("status", Any),
]);

pub(super) const EVENT: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    ("involvedObject", Any),
    ("related", Any),
    ("reason", Str),
    ("message", Str),
    ("action", Str),
    ("type", Str),
    ("count", Any),
    ("series", Any),
    ("source", Any),
    ("eventTime", Any),
    ("firstTimestamp", Any),
    ("lastTimestamp", Any),
    ("reportingComponent", Str),
    ("reportingInstance", Str),
]);
