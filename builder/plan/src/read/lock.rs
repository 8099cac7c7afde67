//! Lock files.

use super::{
    check,
    problem::Problem,
    schema::{Field, Type, may, must, read, span_of},
};
use crate::lock::Lock;

const FIELDS: &[Field] = &[
    must("version", Type::Int(0, u32::MAX as i64)),
    must("epoch", Type::Int(1, i64::MAX)),
    must("suite", Type::Tables(SUITE)),
    must("package", Type::Tables(PACKAGE)),
    may("tool", Type::Tables(PACKAGE)),
];

const SUITE: &[Field] = &[
    must("name", Type::Str(check::suite)),
    must("archive", Type::Str(check::archive)),
    must("date", Type::Int(1, i64::MAX)),
    must("inrelease_sha256", Type::Str(check::sha256)),
];

const PACKAGE: &[Field] = &[
    must("name", Type::Str(check::package)),
    must("version", Type::Str(check::line)),
    must("arch", Type::Str(check::line)),
    must("source", Type::Str(check::line)),
    must("size", Type::Int(1, i64::MAX)),
    must("sha256", Type::Str(check::sha256)),
    must("path", Type::Str(check::pool_path)),
    must("suite", Type::Str(check::suite)),
    must("archive", Type::Str(check::archive)),
    may("boards", Type::List(check::board)),
];

/// Parse a lock; `file` stands in the problems.
///
/// # Errors
/// All problems found, in the order of the file.
pub fn parse(file: &str, text: &str) -> Result<Lock, Vec<Problem>> {
    read(file, text, FIELDS, |lock: &Lock, doc, report| {
        if lock.version != crate::lock::VERSION {
            report.at(
                span_of(doc, &["version"]),
                format!(
                    "version {} of the lock is not known here (known: {}); run `skerry lock` again",
                    lock.version,
                    crate::lock::VERSION
                ),
            );
        }
    })
}
