//! Board files.

use super::{
    check,
    problem::Problem,
    schema::{Field, Type, may, must, read, span_of},
};
use crate::board::BoardSpec;

const FIELDS: &[Field] = &[
    must("name", Type::Str(check::board)),
    must("description", Type::Str(check::line)),
    must("arch", Type::Str(check::arch)),
    must(
        "kernel",
        Type::Table(&[must("package", Type::Str(check::package)), may("args", Type::List(check::kernel_arg))]),
    ),
    must("modules", Type::Table(&[must("initrd", Type::List(check::glob)), must("system", Type::List(check::glob))])),
    may("firmware", Type::Table(&[may("packages", Type::List(check::package)), may("files", Type::List(check::glob))])),
    must(
        "partitions",
        Type::Table(&[
            // A FAT32 file system has at least 65525 clusters.
            must("esp_mib", Type::Int(40, 1 << 20)),
            must("system_image_mib", Type::Int(32, 1 << 20)),
            must("system_mib", Type::Int(32, 1 << 24)),
        ]),
    ),
    may("watchdog", Type::Table(&[may("module", Type::Str(check::line)), may("timeout_secs", Type::Int(0, 600))])),
];

/// Parse a board file; `file` stands in the problems.
///
/// # Errors
/// All problems found, in the order of the file.
pub fn parse(file: &str, text: &str) -> Result<BoardSpec, Vec<Problem>> {
    read(file, text, FIELDS, |board: &BoardSpec, doc, report| {
        if board.name.ends_with(".toml") {
            report.at(span_of(doc, &["name"]), "name must be a name, not a file");
        }
        if board.partitions.system_mib < board.partitions.system_image_mib {
            report.at(
                span_of(doc, &["partitions", "system_mib"]),
                format!(
                    "partitions.system_mib = {} is smaller than system_image_mib = {}; SYSTEM only grows",
                    board.partitions.system_mib, board.partitions.system_image_mib
                ),
            );
        }
    })
}
