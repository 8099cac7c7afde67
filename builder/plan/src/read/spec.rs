//! Image specs.

use std::collections::BTreeSet;

use toml::de::DeTable;

use super::{
    check,
    problem::{Problem, Reporter},
    schema::{Field, Type, may, must, read, span_of},
};
use crate::spec::{AppSpec, ImageSpec};

const FIELDS: &[Field] = &[
    must("product", Type::Str(check::name40)),
    must("version", Type::Str(check::version)),
    must("sequence", Type::Int(1, u32::MAX as i64)),
    may("base", Type::Str(check::suite)),
    must("boards", Type::List(check::board)),
    may("manifests", Type::Str(check::path)),
    may("packages", Type::Table(PACKAGES)),
    may("app", Type::Tables(APP)),
    may("update", Type::Table(UPDATE)),
    may("health", Type::Table(HEALTH)),
    may("node", Type::Table(NODE)),
    may("api", Type::Table(API)),
    may("images", Type::Table(IMAGES)),
    may("limits", Type::Table(LIMITS)),
    may("kernel", Type::Table(KERNEL)),
];

const PACKAGES: &[Field] = &[
    may("extra", Type::List(check::package)),
    may("files", Type::List(check::glob)),
    may("from", Type::Lists(check::suite, check::package)),
];

const APP: &[Field] = &[
    must("name", Type::Str(check::name63)),
    must("image", Type::Str(check::image)),
    may("layout", Type::Str(check::path)),
    may("archive", Type::Str(check::path)),
];

const UPDATE: &[Field] = &[
    must("url", Type::Str(check::http_url)),
    must("channel", Type::Str(check::name40)),
    must("root", Type::Str(check::path)),
    may("check_interval_secs", Type::Int(1, 31_536_000)),
];

const HEALTH: &[Field] = &[
    may("timeout_secs", Type::Int(1, 86_400)),
    may("stable_secs", Type::Int(0, 86_400)),
    may("check", Type::Tables(CHECK)),
];

const CHECK: &[Field] = &[
    must("name", Type::Str(check::name63)),
    must("url", Type::Str(check::check_url)),
    may("expect_status", Type::Int(100, 599)),
    may("timeout_secs", Type::Int(1, 600)),
];

const NODE: &[Field] = &[
    may("status_listen", Type::Str(check::listen)),
    may("reserved_memory_mib", Type::Int(0, 1 << 20)),
    may("reserved_cpu_millis", Type::Int(0, 1_000_000)),
];

const API: &[Field] = &[must("listen", Type::Str(check::listen)), may("token", Type::Tables(TOKEN))];

const TOKEN: &[Field] = &[
    must("user", Type::Str(check::name63)),
    must("role", Type::Str(check::role)),
    must("sha256", Type::Str(check::sha256)),
];

const IMAGES: &[Field] = &[may("plain_http", Type::List(check::registry))];

const LIMITS: &[Field] =
    &[may("image_mib_max", Type::Int(1, 1 << 20)), may("installed_mib_max", Type::Int(1, 1 << 20))];

const KERNEL: &[Field] = &[may("args", Type::List(check::kernel_arg)), may("modules", Type::List(check::glob))];

/// Parse an image spec; `file` stands in the problems.
///
/// # Errors
/// All problems found, in the order of the file.
pub fn parse(file: &str, text: &str) -> Result<ImageSpec, Vec<Problem>> {
    read(file, text, FIELDS, |spec: &ImageSpec, doc, report| {
        boards(spec, doc, report);
        packages(spec, doc, report);
        for (i, app) in spec.apps.iter().enumerate() {
            let i = i.to_string();
            self::app(app, &i, doc, report);
        }
        unique(spec.apps.iter().map(|a| a.name.as_str()), "app", "name", doc, report);
        unique(spec.apps.iter().map(|a| a.image.as_str()), "app", "image", doc, report);
        health(spec, doc, report);
        doubled(&spec.images.plain_http, &["images", "plain_http"], doc, report);
    })
}

fn boards(spec: &ImageSpec, doc: &DeTable<'_>, report: &mut Reporter<'_>) {
    if spec.boards.is_empty() {
        report.at(span_of(doc, &["boards"]), "boards is empty; name at least one, `skerry boards` lists them");
    }
    doubled(&spec.boards, &["boards"], doc, report);
}

fn packages(spec: &ImageSpec, doc: &DeTable<'_>, report: &mut Reporter<'_>) {
    doubled(&spec.packages.extra, &["packages", "extra"], doc, report);
    for (suite, names) in &spec.packages.from {
        doubled(names, &["packages", "from", suite], doc, report);
        if *suite == spec.base {
            report.at(
                span_of(doc, &["packages", "from", suite]),
                format!("packages.from.{suite} is the base suite itself; put these packages into packages.extra"),
            );
        }
        let others = spec.packages.from.iter().filter(|(s, _)| *s < suite);
        for name in others.flat_map(|(_, n)| n).filter(|n| names.contains(n)) {
            report.at(span_of(doc, &["packages", "from", suite]), format!("{name} is taken from two suites; keep one"));
        }
    }
}

fn doubled(names: &[String], path: &[&str], doc: &DeTable<'_>, report: &mut Reporter<'_>) {
    let mut seen = BTreeSet::new();
    for (i, name) in names.iter().enumerate() {
        if !seen.insert(name) {
            let i = i.to_string();
            let full: Vec<&str> = path.iter().copied().chain([i.as_str()]).collect();
            report.at(span_of(doc, &full), format!("{name:?} stands twice in {}", path.join(".")));
        }
    }
}

fn unique<'s>(
    values: impl Iterator<Item = &'s str>,
    table: &str,
    key: &str,
    doc: &DeTable<'_>,
    report: &mut Reporter<'_>,
) {
    let mut seen = BTreeSet::new();
    for (i, value) in values.enumerate() {
        if !seen.insert(value) {
            report.at(
                span_of(doc, &[table, &i.to_string(), key]),
                format!("two [[{table}]] have the {key} {value:?}; each needs its own"),
            );
        }
    }
}

fn app(app: &AppSpec, index: &str, doc: &DeTable<'_>, report: &mut Reporter<'_>) {
    if app.layout.is_some() && app.archive.is_some() {
        report.at(
            span_of(doc, &["app", index, "archive"]),
            format!("app {:?} has both a layout and an archive; keep one", app.name),
        );
    }
    let digest = app.image.split_once('@').map(|(_, d)| d);
    let span = || span_of(doc, &["app", index, "image"]);
    match digest {
        Some(d) if d.strip_prefix("sha256:").is_none_or(|hex| check::sha256(hex).is_err()) => {
            report.at(
                span(),
                format!(
                    "app.image = {:?}: the part after @ must be sha256: and 64 lower-case hex characters",
                    app.image
                ),
            );
        }
        None if app.layout.is_none() && app.archive.is_none() => report.at(
            span(),
            format!(
                "app.image = {:?} is neither pinned nor local; add @sha256:… so that every build takes the same image, \
                 or give `layout` or `archive`",
                app.image
            ),
        ),
        _ => {}
    }
}

fn health(spec: &ImageSpec, doc: &DeTable<'_>, report: &mut Reporter<'_>) {
    let health = &spec.health;
    if health.stable_secs >= health.timeout_secs {
        report.at(
            span_of(doc, &["health"]),
            format!(
                "health.stable_secs ({}) must be less than health.timeout_secs ({})",
                health.stable_secs, health.timeout_secs
            ),
        );
    }
    let mut seen = BTreeSet::new();
    for (i, check) in health.checks.iter().enumerate().filter(|(_, c)| !seen.insert(&c.name)) {
        report.at(
            span_of(doc, &["health", "check", &i.to_string(), "name"]),
            format!("two health checks have the name {:?}", check.name),
        );
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A folder.
    Folder,
    /// Anything else.
    File,
}

/// Problems with the files that a spec names, at the places where it does;
/// `found` tells what stands at a path as written in the spec.
pub fn check_files(file: &str, text: &str, spec: &ImageSpec, found: impl Fn(&str) -> Found) -> Vec<Problem> {
    let mut report = Reporter::new(file, text);
    let (doc, _) = DeTable::parse_recoverable(text);
    let mut need = |path: &str, want: Found, key: &[&str], advice: &str| {
        let name: Vec<&str> = key.iter().copied().filter(|k| k.parse::<usize>().is_err()).collect();
        let name = name.join(".");
        let message = match (found(path), want) {
            (Found::Nothing, _) => format!(
                "{name} = {path:?}: no such {}; {advice}",
                if want == Found::Folder { "folder" } else { "file" }
            ),
            (Found::File, Found::Folder) => format!("{name} = {path:?} is not a folder"),
            (Found::Folder, Found::File) => format!("{name} = {path:?} is a folder, not a file"),
            _ => return,
        };
        report.at(span_of(doc.get_ref(), key), message);
    };
    if let Some(path) = &spec.manifests {
        need(path, Found::Folder, &["manifests"], "make it or remove the key");
    }
    for (i, board) in spec.boards.iter().enumerate().filter(|(_, b)| b.ends_with(".toml")) {
        need(board, Found::File, &["boards", &i.to_string()], "give the path of a board file, relative to the spec");
    }
    for (i, app) in spec.apps.iter().enumerate() {
        let i = i.to_string();
        if let Some(path) = &app.layout {
            need(path, Found::Folder, &["app", &i, "layout"], "build the app's image first");
        }
        if let Some(path) = &app.archive {
            need(path, Found::File, &["app", &i, "archive"], "build the app's image first");
        }
    }
    if let Some(update) = &spec.update {
        need(&update.root, Found::File, &["update", "root"], "`skerry keys init` writes it");
    }
    report.finish()
}
