//! `batch/v1`.

use super::{INT32, INT64, LABEL_SELECTOR, META, PODS_MAX, pod::TEMPLATE};
use crate::shape::Shape::{self, *};

pub(super) const JOB_SPEC: Shape = Named(
    "Job spec",
    &Obj(&[
        ("parallelism", Int(0, PODS_MAX)),
        ("completions", INT32),
        ("completionMode", OneOf(&["NonIndexed", "Indexed"])),
        ("backoffLimit", INT32),
        ("activeDeadlineSeconds", Int(1, i64::MAX)),
        ("ttlSecondsAfterFinished", INT32),
        ("suspend", Bool),
        ("selector", LABEL_SELECTOR),
        ("manualSelector", Bool),
        ("podReplacementPolicy", OneOf(&["TerminatingOrFailed"])),
        ("template", TEMPLATE),
        ("podFailurePolicy", Refused("use backoffLimit and restartPolicy")),
    ]),
);

pub(super) const JOB: Shape =
    Obj(&[("apiVersion", Str), ("kind", Str), ("metadata", META), ("spec", JOB_SPEC), ("status", Any)]);

pub(super) const CRON_JOB: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    (
        "spec",
        Obj(&[
            ("schedule", Str),
            ("timeZone", Str),
            ("concurrencyPolicy", OneOf(&["Allow", "Forbid", "Replace"])),
            ("startingDeadlineSeconds", INT64),
            ("successfulJobsHistoryLimit", INT32),
            ("failedJobsHistoryLimit", INT32),
            ("suspend", Bool),
            ("jobTemplate", Obj(&[("metadata", META), ("spec", JOB_SPEC)])),
        ]),
    ),
    ("status", Any),
]);
