//! Kernel modules: those a board names, those they depend on, decompressed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::TreeError,
    model::Origin,
    select::{PackageIndex, glob, package_origin},
};

/// A module with its decompressed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Name with underscores, as the kernel knows it.
    pub name: String,
    /// Path below `kernel/`, such as `fs/ext4/ext4.ko`.
    pub path: String,
    /// Decompressed file.
    pub bytes: Arc<[u8]>,
    /// Package it comes from.
    pub origin: Origin,
}

/// Modules of one kernel, decompressed when asked for.
pub struct ModuleStore {
    /// Kernel version, such as `6.12.107+deb13-amd64`.
    pub version: String,
    available: BTreeMap<String, Available>,
    builtin: BTreeSet<String>,
    loaded: BTreeMap<String, Loaded>,
}

struct Available {
    pattern_path: String,
    stored: PathBuf,
    origin: Origin,
}

#[derive(Clone)]
struct Loaded {
    module: Module,
    depends: Vec<String>,
    soft_before: Vec<String>,
    soft_after: Vec<String>,
}

/// Name as the kernel knows it: no folder, no suffix, underscores.
pub fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}

impl ModuleStore {
    /// Index the one kernel that the packages hold.
    ///
    /// # Errors
    /// None or several kernels, or an unreadable `modules.builtin`.
    pub fn open(index: &PackageIndex<'_>, kernel_package: &str) -> Result<Self, TreeError> {
        const BASE: &str = "usr/lib/modules/";
        let bad = |detail: String| TreeError::Kernel { package: kernel_package.into(), detail };
        let versions: BTreeSet<&str> = index
            .below(BASE)
            .filter_map(|(path, ..)| path[BASE.len()..].split_once('/').map(|(version, _)| version))
            .collect();
        let version = match versions.len() {
            1 => versions.into_iter().next().unwrap_or_default().to_string(),
            0 => return Err(bad("no kernel modules in the packages of the lock; run `skerry lock`".into())),
            _ => {
                return Err(bad(format!(
                    "several kernels in the lock: {}",
                    versions.into_iter().collect::<Vec<_>>().join(", ")
                )));
            }
        };
        let base = format!("{BASE}{version}/");
        let kernel = format!("{base}kernel/");
        let mut available = BTreeMap::new();
        for (path, package, _) in index.below(&kernel) {
            let inner = &path[kernel.len()..];
            let (Some((pattern_path, _)), Some(stored)) = (inner.split_once(".ko"), index.stored(path)) else {
                continue;
            };
            let entry = Available { pattern_path: pattern_path.into(), stored, origin: package_origin(package) };
            available.insert(module_name(inner), entry);
        }
        let builtin_file =
            index.stored(&format!("{base}modules.builtin")).ok_or_else(|| bad("modules.builtin is missing".into()))?;
        let text = std::fs::read_to_string(&builtin_file).map_err(TreeError::io("reading", &builtin_file))?;
        Ok(Self { version, available, builtin: text.lines().map(module_name).collect(), loaded: BTreeMap::new() })
    }

    /// Modules that the patterns match and everything they depend on, each
    /// after its dependencies, patterns in the given order.
    ///
    /// # Errors
    /// All patterns that match nothing and all missing dependencies.
    pub fn closure(&mut self, patterns: &[String]) -> Result<Vec<Module>, TreeError> {
        let mut problems = Vec::new();
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for pattern in patterns {
            match self.matching(pattern) {
                Ok(names) if names.is_empty() && !self.builtin.contains(&module_name(pattern)) => {
                    problems.push(format!("{pattern} matches no module of kernel {}", self.version));
                }
                Ok(names) => {
                    for name in names {
                        self.visit(&name, &mut seen, &mut order, &mut problems)?;
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(TreeError::Modules(problems));
        }
        Ok(order.iter().map(|name: &String| self.loaded[name].module.clone()).collect())
    }

    fn matching(&self, pattern: &str) -> Result<Vec<String>, String> {
        let matcher = glob(pattern)?;
        let hits = self.available.iter().filter(|(_, a)| matcher.is_match(&a.pattern_path));
        Ok(hits.map(|(name, _)| name.clone()).collect())
    }

    fn visit(
        &mut self,
        name: &str,
        seen: &mut BTreeSet<String>,
        order: &mut Vec<String>,
        problems: &mut Vec<String>,
    ) -> Result<(), TreeError> {
        if self.builtin.contains(name) || !seen.insert(name.to_string()) {
            return Ok(());
        }
        if !self.available.contains_key(name) {
            problems.push(format!("{name} is needed by another module, but the kernel package does not have it"));
            return Ok(());
        }
        let loaded = self.load(name)?.clone();
        // A soft dependency that this kernel does not have is no error.
        for soft in loaded.soft_before.iter().filter(|s| self.available.contains_key(*s)).cloned().collect::<Vec<_>>() {
            self.visit(&soft, seen, order, problems)?;
        }
        for hard in &loaded.depends {
            self.visit(hard, seen, order, problems)?;
        }
        order.push(name.to_string());
        for soft in loaded.soft_after.iter().filter(|s| self.available.contains_key(*s)).cloned().collect::<Vec<_>>() {
            self.visit(&soft, seen, order, problems)?;
        }
        Ok(())
    }

    fn load(&mut self, name: &str) -> Result<&Loaded, TreeError> {
        if !self.loaded.contains_key(name) {
            let available = &self.available[name];
            let bytes = decompress(&available.stored)?;
            let info =
                modinfo(&bytes).map_err(|detail| TreeError::Elf { path: available.pattern_path.clone(), detail })?;
            let (soft_before, soft_after) = soft_dependencies(&info);
            let depends = info.iter().filter(|(k, _)| k == "depends").flat_map(|(_, v)| v.split(','));
            let depends = depends.filter(|d| !d.is_empty()).map(module_name).collect();
            let path = format!("{}.ko", available.pattern_path);
            let module = Module { name: name.into(), path, bytes: bytes.into(), origin: available.origin.clone() };
            self.loaded.insert(name.into(), Loaded { module, depends, soft_before, soft_after });
        }
        Ok(&self.loaded[name])
    }
}

fn decompress(path: &Path) -> Result<Vec<u8>, TreeError> {
    let raw = std::fs::read(path).map_err(TreeError::io("reading", path))?;
    let mut out = Vec::new();
    let decompressed = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => xz2::read::XzDecoder::new_multi_decoder(raw.as_slice()).read_to_end(&mut out),
        Some("zst") => zstd::stream::read::Decoder::new(raw.as_slice()).and_then(|mut d| d.read_to_end(&mut out)),
        Some("gz") => flate2::read::MultiGzDecoder::new(raw.as_slice()).read_to_end(&mut out),
        _ => return Ok(raw),
    };
    decompressed.map_err(TreeError::io("decompressing", path))?;
    Ok(out)
}

/// `key=value` strings of a module's `.modinfo` section.
fn modinfo(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    use object::{Object as _, ObjectSection as _};
    let file = object::File::parse(bytes).map_err(|e| e.to_string())?;
    let section = file.section_by_name(".modinfo").ok_or("no .modinfo section")?;
    let data = section.data().map_err(|e| e.to_string())?;
    let pairs = data.split(|b| *b == 0).filter_map(|s| std::str::from_utf8(s).ok()?.split_once('='));
    Ok(pairs.map(|(k, v)| (k.to_string(), v.to_string())).collect())
}

/// `softdep=pre: a b post: c` → names before, names after.
fn soft_dependencies(info: &[(String, String)]) -> (Vec<String>, Vec<String>) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (_, value) in info.iter().filter(|(k, _)| k == "softdep") {
        let mut list = None;
        for word in value.split_ascii_whitespace() {
            match word {
                "pre:" => list = Some(&mut before),
                "post:" => list = Some(&mut after),
                name => {
                    if let Some(l) = list.as_mut() {
                        l.push(module_name(name));
                    }
                }
            }
        }
    }
    (before, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (path, want) in [
            ("fs/ext4/ext4.ko.xz", "ext4"),
            ("kernel/crypto/sha256-generic.ko", "sha256_generic"),
            ("nf-tables", "nf_tables"),
        ] {
            assert_eq!(module_name(path), want);
        }
    }

    #[test]
    fn soft_dependencies_split_before_and_after() {
        let info = vec![("softdep".into(), "pre: crypto-sha256 b post: c".into()), ("softdep".into(), "pre: d".into())];
        let want = (vec!["crypto_sha256".to_string(), "b".into(), "d".into()], vec!["c".to_string()]);
        assert_eq!(soft_dependencies(&info), want);
    }
}
