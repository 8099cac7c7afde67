//! Reads the archive's index files. Pure; apt has verified them before.

use std::collections::{BTreeMap, BTreeSet};

use jiff::fmt::rfc2822;
use skerry_plan::lock::{Archive, LockedPackage};

use super::{ResolveError, apt::Selected};

/// A `Packages` file.
pub(super) struct PackageIndex {
    pub(super) suite: String,
    pub(super) archive: Archive,
    pub(super) text: String,
}

/// What is needed of a `Release` file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Release {
    /// `Date:` in Unix seconds.
    pub(super) date: u64,
}

impl Release {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let date = text.lines().find_map(|l| l.strip_prefix("Date: ")).ok_or("the Release file has no Date")?;
        let zoned = rfc2822::parse(&date.trim().replace("UTC", "+0000"))
            .map_err(|e| format!("the Date {date:?} of the Release file cannot be read: {e}"))?;
        let date =
            u64::try_from(zoned.timestamp().as_second()).map_err(|_| "the Date of the Release file is before 1970")?;
        Ok(Self { date })
    }
}

/// Look chosen packages up; of equal ones in several suites the first counts,
/// so that packages come from the archive that keeps them longest.
pub(super) fn find_packages(
    indexes: &[PackageIndex],
    selected: &[Selected],
) -> Result<Vec<LockedPackage>, ResolveError> {
    let mut missing: BTreeMap<(&str, &str, &str), ()> =
        selected.iter().map(|s| ((s.name.as_str(), s.version.as_str(), s.arch.as_str()), ())).collect();
    let names: BTreeSet<&str> = selected.iter().map(|s| s.name.as_str()).collect();
    let mut out = Vec::new();
    for index in indexes {
        for stanza in index.text.split("\n\n") {
            // The name comes first: most stanzas are done with here.
            if stanza
                .strip_prefix("Package: ")
                .and_then(|s| s.lines().next())
                .is_some_and(|n| !names.contains(n.trim()))
            {
                continue;
            }
            let field = |name: &str| field(stanza, name);
            let (Some(name), Some(version), Some(arch)) = (field("Package"), field("Version"), field("Architecture"))
            else {
                continue;
            };
            if missing.remove(&(name, version, arch)).is_some() {
                out.push(locked(index, stanza).map_err(|what| {
                    ResolveError::Unexpected(format!("the index of {} has no {what} for {name}", index.suite))
                })?);
            }
        }
    }
    if missing.is_empty() {
        return Ok(out);
    }
    let names: Vec<String> = missing.keys().map(|(n, v, _)| format!("{n} {v}")).collect();
    Err(ResolveError::Unexpected(format!("apt chose packages that stand in no index: {}", names.join(", "))))
}

fn locked(index: &PackageIndex, stanza: &str) -> Result<LockedPackage, &'static str> {
    let must = |name: &'static str| field(stanza, name).ok_or(name);
    let (name, version) = (must("Package")?, must("Version")?);
    Ok(LockedPackage {
        name: name.into(),
        version: version.into(),
        arch: must("Architecture")?.into(),
        source: source(field(stanza, "Source"), name, version),
        size: must("Size")?.parse().map_err(|_| "readable Size")?,
        sha256: must("SHA256")?.parse().map_err(|_| "readable SHA256")?,
        path: must("Filename")?.into(),
        suite: index.suite.clone(),
        archive: index.archive,
        boards: Vec::new(),
    })
}

/// `Source: NAME` or `Source: NAME (VERSION)`; absent if equal to the package.
fn source(field: Option<&str>, name: &str, version: &str) -> String {
    match field.map(|f| f.split_once(" (")) {
        None => format!("{name}={version}"),
        Some(None) => format!("{}={version}", field.unwrap_or(name)),
        Some(Some((source, v))) => format!("{source}={}", v.trim_end_matches(')')),
    }
}

fn field<'t>(stanza: &'t str, name: &str) -> Option<&'t str> {
    stanza.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).map(str::trim)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PACKAGES: &str = "\
Package: crun
Source: crun-src (1.20)
Version: 1.21-1
Architecture: amd64
Filename: pool/main/c/crun/crun_1.21-1_amd64.deb
Size: 368640
SHA256: 1111111111111111111111111111111111111111111111111111111111111111

Package: crun
Version: 1.21-2
Architecture: amd64
Filename: pool/main/c/crun/crun_1.21-2_amd64.deb
Size: 368641
SHA256: 2222222222222222222222222222222222222222222222222222222222222222
";

    fn selected(version: &str) -> Vec<Selected> {
        vec![Selected { name: "crun".into(), version: version.into(), arch: "amd64".into() }]
    }

    fn index(suite: &str, archive: Archive) -> PackageIndex {
        PackageIndex { suite: suite.into(), archive, text: PACKAGES.into() }
    }

    #[test]
    fn the_exact_version_is_found_in_the_first_suite() {
        let indexes = [index("trixie", Archive::Main), index("trixie-security", Archive::Security)];
        let found = find_packages(&indexes, &selected("1.21-1")).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].size, found[0].suite.as_str(), found[0].source.as_str()),
            (368_640, "trixie", "crun-src=1.20")
        );
        assert_eq!(find_packages(&indexes, &selected("1.21-2")).unwrap()[0].source, "crun=1.21-2");
        assert!(find_packages(&indexes, &selected("9")).is_err());
    }

    #[test]
    fn release_dates() {
        let release =
            Release::parse("-----BEGIN PGP SIGNED MESSAGE-----\nOrigin: Debian\nDate: Sat, 12 Sep 2026 07:55:41 UTC\n")
                .unwrap();
        assert_eq!(release.date, 1_789_199_741);
        assert!(Release::parse("Origin: Debian\n").is_err());
        assert!(Release::parse("Date: yesterday\n").is_err());
    }
}
