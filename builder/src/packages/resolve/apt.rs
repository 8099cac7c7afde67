//! apt in a private root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};
use skerry_plan::{board::Arch, lock::Archive, plan::Wanted};

use super::{Expired, ResolveError, ResolveInputs, index::PackageIndex, io_error};
use crate::host::{self, HostError};

/// Version that stands for packages taken as given: newer than any.
const GIVEN_VERSION: &str = "9999:9999";

/// A suite and the archive it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) name: String,
    pub(super) archive: Archive,
    /// Only for packages that name it.
    pub(super) on_demand: bool,
}

/// A package that apt chose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Selected {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) arch: String,
}

/// One private root.
pub(super) struct Apt {
    root: PathBuf,
    suites: Vec<Suite>,
    mirrors: String,
    keyring: PathBuf,
}

impl Apt {
    /// Set a root up, or the one of an earlier run with the same sources, whose
    /// indexes then need not be fetched again.
    pub(super) fn new(inputs: &ResolveInputs<'_>, arch: Arch, suites: &[Suite]) -> Result<Self, ResolveError> {
        let keyring = fs::canonicalize(inputs.keyring).map_err(|_| ResolveError::Keyring(inputs.keyring.into()))?;
        let mut sources = String::new();
        let mut mirrors: Vec<String> = Vec::new();
        let firmware = inputs.boards.iter().any(|b| !b.firmware.packages.is_empty());
        let components = if firmware { "main non-free-firmware" } else { "main" };
        for suite in suites {
            let url = inputs.mirrors.of(suite.archive)?.url.clone();
            sources += &format!(
                "deb [arch={} signed-by={}] {url} {} {components}\n",
                arch.debian(),
                keyring.display(),
                suite.name
            );
            if !mirrors.contains(&url) {
                mirrors.push(url);
            }
        }
        let cache_root = inputs.cache.apt();
        fs::create_dir_all(&cache_root).map_err(io_error("creating", &cache_root))?;
        let cache_root = fs::canonicalize(&cache_root).map_err(io_error("opening", &cache_root))?;
        let id = hex::encode(&Sha256::digest(&sources)[..8]);
        let apt = Self { root: cache_root.join(id), suites: suites.to_vec(), mirrors: mirrors.join(" and "), keyring };
        apt.write_settings(arch, &sources, inputs.expired)?;
        Ok(apt)
    }

    fn write_settings(&self, arch: Arch, sources: &str, expired: Expired) -> Result<(), ResolveError> {
        for folder in [
            "etc/apt/preferences.d",
            "etc/apt/apt.conf.d",
            "etc/apt/trusted.gpg.d",
            "state/lists/partial",
            "cache/archives/partial",
            "log",
        ] {
            let folder = self.root.join(folder);
            fs::create_dir_all(&folder).map_err(io_error("creating", &folder))?;
        }
        self.write("etc/apt/sources.list", sources)?;
        self.write("apt.conf", &self.settings(arch, expired))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), ResolveError> {
        let path = self.root.join(name);
        fs::write(&path, text).map_err(io_error("writing", &path))
    }

    /// Suites beside the base's own stand behind it, apart from the packages
    /// that are wanted from there.
    fn preferences(&self, wanted: &[Wanted]) -> String {
        let mut out = String::new();
        // A suite may be named by its codename or by its role (testing).
        let mut pin = |package: &str, suite: &str, priority: u32| {
            for key in ["n", "a"] {
                out += &format!("Package: {package}\nPin: release {key}={suite}\nPin-Priority: {priority}\n\n");
            }
        };
        self.suites.iter().filter(|s| s.on_demand).for_each(|s| pin("*", &s.name, 100));
        for (name, suite) in wanted.iter().filter_map(|w| Some((&w.name, w.suite.as_ref()?))) {
            pin(name, suite, 990);
        }
        out
    }

    fn settings(&self, arch: Arch, expired: Expired) -> String {
        let root = self.root.display();
        let check_dates = expired == Expired::Refuse;
        format!(
            "Dir \"{root}/\";\n\
             Dir::Etc \"{root}/etc/apt\";\n\
             Dir::State \"{root}/state\";\n\
             Dir::State::status \"{root}/status\";\n\
             Dir::State::extended_states \"{root}/extended_states\";\n\
             Dir::Cache \"{root}/cache\";\n\
             Dir::Log \"{root}/log\";\n\
             APT::Architecture \"{arch}\";\n\
             APT::Architectures {{ \"{arch}\"; }};\n\
             APT::Install-Recommends \"false\";\n\
             APT::Install-Suggests \"false\";\n\
             APT::Get::List-Cleanup \"true\";\n\
             APT::Sandbox::User \"root\";\n\
             APT::Update::Error-Mode \"any\";\n\
             APT::Color \"false\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::Retries \"3\";\n\
             Acquire::http::Timeout \"30\";\n\
             Acquire::https::Timeout \"30\";\n\
             Acquire::AllowInsecureRepositories \"false\";\n\
             Acquire::AllowDowngradeToInsecureRepositories \"false\";\n\
             Acquire::Check-Valid-Until \"{check_dates}\";\n\
             DPkg::Lock::Timeout \"120\";\n",
            arch = arch.debian()
        )
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        // Read before all other settings; its Dir keeps the host's out.
        command.env("APT_CONFIG", self.root.join("apt.conf"));
        command
    }

    /// Fetch the indexes; apt checks the signatures.
    pub(super) fn update(&self) -> Result<(), ResolveError> {
        self.write("status", "")?;
        let mut command = self.command();
        command.args(["update", "-q"]);
        host::run(command, "reading the package archive").map(|_| ()).map_err(|e| self.explain_update(e))
    }

    fn explain_update(&self, error: HostError) -> ResolveError {
        let mirrors = self.mirrors.clone();
        match error {
            HostError::Missing { .. } => ResolveError::NoApt,
            HostError::Failed { stderr, .. } => {
                let lines = stderr.lines().filter(|l| l.starts_with("E: ") || l.starts_with("W: "));
                let detail = lines.map(|l| format!("  {}", &l[3..])).collect::<Vec<_>>().join("\n");
                let says = |words: &[&str]| words.iter().any(|w| detail.contains(w));
                if says(&["is expired", "not valid yet"]) {
                    ResolveError::Expired { mirrors, detail }
                } else if says(&["NO_PUBKEY", "not signed", "signature", "Sub-process /usr/bin/sqv"]) {
                    ResolveError::Signature { mirrors, keyring: self.keyring.clone(), detail }
                } else {
                    ResolveError::Network { mirrors, detail }
                }
            }
            other => other.into(),
        }
    }

    /// Let apt choose: what is wanted and all it needs, apart from `given`.
    pub(super) fn select(&self, wanted: &[Wanted], given: &[&str], what: &str) -> Result<Vec<Selected>, ResolveError> {
        let status: String = given.iter().map(|name| given_package(name)).collect();
        self.write("status", &status)?;
        self.write("etc/apt/preferences", &self.preferences(wanted))?;
        // First with everything else from the base suite; if that does not fit,
        // with what the packages of other suites need from there too.
        let plain = wanted.iter().map(|w| w.name.clone()).collect();
        let output = match self.simulate(plain) {
            Err(HostError::Failed { .. }) if wanted.iter().any(|w| w.suite.is_some()) => self.simulate(
                wanted
                    .iter()
                    .map(|w| w.suite.as_ref().map_or_else(|| w.name.clone(), |suite| format!("{}/{suite}", w.name)))
                    .collect(),
            ),
            other => other,
        };
        match output {
            Ok(text) => parse_simulation(&text).map_err(ResolveError::Unexpected),
            Err(HostError::Failed { stderr, .. }) => {
                Err(ResolveError::Unsatisfiable { what: what.into(), detail: stderr })
            }
            Err(other) => Err(other.into()),
        }
    }

    fn simulate(&self, packages: Vec<String>) -> Result<String, HostError> {
        let mut command = self.command();
        command.args(["install", "--simulate", "-q", "-y", "--"]).args(packages);
        host::run(command, "choosing packages").map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
    }

    /// The package indexes, in the order of preference.
    pub(super) fn indexes(&self) -> Result<Vec<PackageIndex>, ResolveError> {
        let mut out = Vec::new();
        for (suite, path) in self.index_files()? {
            let text = fs::read_to_string(&path).map_err(io_error("reading", &path))?;
            out.push(PackageIndex { suite: suite.name, archive: suite.archive, text });
        }
        Ok(out)
    }

    /// Each suite with its `InRelease` file, as verified by apt.
    pub(super) fn releases(&self) -> Result<Vec<(Suite, PathBuf)>, ResolveError> {
        let mut out: Vec<(Suite, PathBuf)> = Vec::new();
        for (suite, path) in self.index_files()? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let stem = name.split("_dists_").next().unwrap_or_default();
            let release = path.with_file_name(format!("{stem}_dists_{}_InRelease", suite.name.replace('/', "_")));
            if !out.iter().any(|(s, _)| *s == suite) {
                out.push((suite, release));
            }
        }
        Ok(out)
    }

    fn index_files(&self) -> Result<Vec<(Suite, PathBuf)>, ResolveError> {
        let mut command = self.command();
        command.args(["indextargets", "--format", "$(RELEASE) $(FILENAME)", "Created-By: Packages"]);
        let output = host::run(command, "listing the package indexes")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let files: Vec<(&str, &Path)> =
            text.lines().filter_map(|l| l.split_once(' ')).map(|(s, f)| (s, Path::new(f))).collect();
        let mut out = Vec::new();
        for suite in &self.suites {
            let of_suite =
                files.iter().filter(|(s, _)| *s == suite.name).map(|(_, f)| (suite.clone(), f.to_path_buf()));
            let before = out.len();
            out.extend(of_suite);
            if out.len() == before {
                return Err(ResolveError::Unexpected(format!("the archive has no package index for {}", suite.name)));
            }
        }
        Ok(out)
    }
}

fn given_package(name: &str) -> String {
    format!(
        "Package: {name}\nStatus: install ok installed\nArchitecture: all\nMulti-Arch: allowed\nVersion: {GIVEN_VERSION}\n\
         Maintainer: none\nDescription: never enters an image\n\n"
    )
}

/// Lines of the form `Inst NAME (VERSION ORIGIN [ARCH])`.
fn parse_simulation(text: &str) -> Result<Vec<Selected>, String> {
    let mut out = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("Inst ") else { continue };
        let parsed = (|| {
            let (name, rest) = rest.split_once(' ')?;
            let inside = rest.split_once('(')?.1.split_once(')')?.0;
            let (version, rest) = inside.split_once(' ')?;
            let arch = rest.rsplit_once('[')?.1.strip_suffix(']')?;
            let name = name.split(':').next()?;
            Some(Selected { name: name.into(), version: version.into(), arch: arch.into() })
        })();
        out.push(parsed.ok_or_else(|| format!("apt said something unexpected: {line}"))?);
    }
    if out.is_empty() { Err("apt chose no packages".into()) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn simulations_parse() {
        let text = "\
Reading package lists...
Inst gcc-14-base (14.2.0-19 Debian:13.1/stable [amd64])
Inst libpcre2-8-0 (10.46-1~deb13u3 Debian-Security:13/stable-security [amd64]) []
Inst libaudit-common (1:4.0.2-2 Debian:13.1/stable, Debian:testing [all])
Conf gcc-14-base (14.2.0-19 Debian:13.1/stable [amd64])
";
        let got: Vec<_> = parse_simulation(text).unwrap().into_iter().map(|s| (s.name, s.version, s.arch)).collect();
        let want = [
            ("gcc-14-base", "14.2.0-19", "amd64"),
            ("libpcre2-8-0", "10.46-1~deb13u3", "amd64"),
            ("libaudit-common", "1:4.0.2-2", "all"),
        ];
        assert_eq!(got, want.map(|(a, b, c)| (a.to_string(), b.to_string(), c.to_string())));
    }

    #[test]
    fn simulations_that_say_nothing_or_nonsense_are_errors() {
        for bad in ["", "Reading package lists...\n", "Inst broken\n", "Inst broken (1.0)\n"] {
            assert!(parse_simulation(bad).is_err(), "{bad}");
        }
    }
}
