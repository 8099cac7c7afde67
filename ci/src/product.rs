//! Releases of the demo product: copies of its image spec with other values,
//! built and published by the real `skerry`.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};
use skerry_formats::{Release, layout};
use toml::{Table, Value};

use crate::tools::{EXIT_NETWORK, Failed, Tools};

/// Board of all releases.
pub const BOARD: &str = "x86_64-uefi";
/// Channel of all releases.
pub const CHANNEL: &str = "stable";

/// Port of the registry of a site whose update server is on `port`.
pub fn registry_port(port: u16) -> u16 {
    port + 1
}

/// Option of `skerry lock` that its error names for mirrors that stand still.
const ALLOW_EXPIRED: &str = "--allow-expired";

/// What a release differs in.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Name of its folder.
    pub name: &'static str,
    /// Version for people, also told by the app.
    pub version: &'static str,
    /// Sequence.
    pub sequence: u32,
    /// Which of the built apps.
    pub app: &'static str,
    /// Environment packed into the app image.
    pub app_env: &'static [&'static str],
    /// Kernel arguments.
    pub kernel_args: &'static [&'static str],
    /// Seconds that the health gate waits.
    pub health_timeout_secs: u64,
    /// Does it need a disk image?
    pub parts: Parts,
}

/// What is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Everything.
    All,
    /// Without the disk image: enough to publish.
    ReleaseOnly,
}

/// Time in which a healthy release is blessed; emulated machines on a busy host
/// are slow.
const HEALTH_SECS: u64 = 900;
/// Time after which a broken one is given up: long enough for the orchestrator
/// to say which app it is.
const BROKEN_SECS: u64 = 240;

impl Variant {
    /// The first release.
    pub const V1: Variant = Variant {
        name: "v1",
        version: "1.0.0",
        sequence: 1,
        app: "1.0.0",
        app_env: &[],
        kernel_args: &[],
        health_timeout_secs: HEALTH_SECS,
        parts: Parts::All,
    };
    /// A good second one.
    pub const V2: Variant =
        Variant { name: "v2", version: "2.0.0", sequence: 2, app: "2.0.0", parts: Parts::ReleaseOnly, ..Variant::V1 };
    /// A third one whose app never becomes Ready.
    pub const V3_BROKEN: Variant = Variant {
        name: "v3-broken",
        version: "3.0.0",
        sequence: 3,
        app_env: &["APP_VERSION=3.0.0", "BROKEN=1"],
        health_timeout_secs: BROKEN_SECS,
        ..Variant::V2
    };
    /// A third one whose kernel does not unpack its initrd, finds no root file
    /// system and panics.
    pub const V3_PANIC: Variant = Variant {
        name: "v3-panic",
        version: "3.0.0",
        sequence: 3,
        app_env: &["APP_VERSION=3.0.0"],
        kernel_args: &["initcall_blacklist=populate_rootfs"],
        ..Variant::V2
    };
    /// A second one whose systemd wants a SELinux policy, finds none and freezes.
    pub const V2_FROZEN: Variant =
        Variant { name: "v2-frozen", kernel_args: &["security=selinux", "selinux=1", "enforcing=1"], ..Variant::V2 };
    /// A good second one whose kernel panics at an interrupt and then stays as
    /// it is.
    pub const V2_HANGING: Variant =
        Variant { name: "v2-hanging", kernel_args: &["unknown_nmi_panic", "sysctl.kernel.panic=0"], ..Variant::V2 };
}

/// A product in a folder of its own: keys, lock, releases.
#[derive(Debug, Clone)]
pub struct Product {
    tools: Tools,
    dir: PathBuf,
    port: u16,
}

/// A built release.
#[derive(Debug, Clone)]
pub struct Built {
    /// Output folder of `skerry build`.
    pub dir: PathBuf,
    /// How long the build took.
    pub took: Duration,
    /// Remarks for people, such as that the lock had to be refreshed.
    pub notes: Vec<String>,
}

impl Built {
    /// `disk.img.zst`.
    pub fn image(&self) -> PathBuf {
        self.dir.join("disk.img.zst")
    }

    /// The release statement.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn release(&self) -> Result<Release> {
        release(&self.dir)
    }
}

/// The release statement in an output folder.
///
/// # Errors
/// If it cannot be read.
pub fn release(dir: &Path) -> Result<Release> {
    let path = dir.join(layout::RELEASE_FILE);
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))
}

impl Product {
    /// A product whose nodes ask `127.0.0.1:port` of the host for updates, and
    /// may pull from a registry at [`registry_port`]. Makes its keys.
    ///
    /// # Errors
    /// If the keys cannot be made.
    pub fn create(tools: &Tools, dir: &Path, port: u16) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let product = Product::open(tools, dir, port);
        product.tools.skerry(["keys".as_ref(), "init".as_ref(), "--dir".as_ref(), product.keys().as_os_str()])?;
        let token = product.token();
        let args = ["keys", "token", "--user", "ci", "--role", "admin", "--out"].map(AsRef::<OsStr>::as_ref);
        product.tools.skerry(args.into_iter().chain([token.as_os_str()]))?;
        Ok(product)
    }

    /// File with the token of an administrator of the nodes.
    pub fn token(&self) -> PathBuf {
        self.dir.join("api.token")
    }

    /// Folder with the keys.
    pub fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    /// Copy the spec, set the variant's values, pack its app.
    ///
    /// # Errors
    /// If a file cannot be read or written, or packing fails.
    pub fn prepare(&self, variant: &Variant) -> Result<PathBuf> {
        let source = self.tools.root.join("image-specs/demo");
        let dir = self.dir.join("specs").join(variant.name);
        copy_folder(&source.join("manifests"), &dir.join("manifests"))?;
        std::fs::copy(self.keys().join("root.json"), dir.join("root.json")).context("copying the TUF root")?;
        let text = std::fs::read_to_string(source.join("demo.toml")).context("reading the demo's image spec")?;
        let spec = dir.join("demo.toml");
        std::fs::write(&spec, rewrite(&text, variant, self.port, &self.token_sha256()?)?)
            .with_context(|| format!("writing {}", spec.display()))?;
        // A lock that was refreshed for one release serves the others too.
        let lock = [self.dir.join("demo.lock"), source.join("demo.lock")].into_iter().find(|l| l.is_file());
        if let Some(lock) = lock {
            std::fs::copy(lock, dir.join("demo.lock")).context("copying the lock")?;
        }
        self.pack_app(variant, &dir)?;
        Ok(spec)
    }

    fn token_sha256(&self) -> Result<String> {
        let path = self.token();
        let token = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(hex::encode(Sha256::digest(token.trim())))
    }

    fn pack_app(&self, variant: &Variant, dir: &Path) -> Result<()> {
        let program = self.tools.app(variant.app);
        let layout = dir.join("hello-layout");
        let mut args =
            vec!["app".into(), "pack".into(), program.into_os_string(), "--out".into(), layout.into_os_string()];
        args.extend(["--name", "hello", "--port", "8080"].map(Into::into));
        for env in variant.app_env {
            args.extend(["--env".into(), (*env).into()]);
        }
        self.tools.skerry(args).map(drop)
    }

    /// Build a variant. If packages of the lock have left the archive, or there
    /// is no lock, a fresh lock is made in the copy, and a note says so.
    ///
    /// # Errors
    /// If the build fails for another reason.
    pub fn build(&self, variant: &Variant) -> Result<Built> {
        let spec = self.prepare(variant)?;
        let lock = spec.with_extension("lock");
        let mut notes = Vec::new();
        if !lock.is_file() {
            notes.push("the demo has no lock yet: made one in the scratch copy".to_owned());
            self.refresh_lock(&spec, &mut notes)?;
        }
        let out = self.dir.join("builds").join(variant.name);
        if out.exists() {
            std::fs::remove_dir_all(&out).with_context(|| format!("removing {}", out.display()))?;
        }
        let mut started = Instant::now();
        if let Err(error) = self.run_build(&spec, &out, variant.parts) {
            if !lock_is_stale(&error) {
                return Err(error);
            }
            notes.push(
                "packages of the committed lock have left the archive: refreshed it in the scratch copy".to_owned(),
            );
            self.refresh_lock(&spec, &mut notes)?;
            started = Instant::now();
            self.run_build(&spec, &out, variant.parts)?;
        }
        Ok(Built { dir: out, took: started.elapsed(), notes })
    }

    fn refresh_lock(&self, spec: &Path, notes: &mut Vec<String>) -> Result<()> {
        match self.tools.skerry(["lock".as_ref(), spec.as_os_str()]) {
            Ok(_) => {}
            // A mirror that is frozen on purpose: signatures still hold, only
            // the date has passed. Fit for a demo, not for a product.
            Err(error) if error.downcast_ref::<Failed>().is_some_and(|f| f.output.contains(ALLOW_EXPIRED)) => {
                notes.push(format!(
                    "the mirror's metadata is out of date: used {ALLOW_EXPIRED}, for this scratch copy only"
                ));
                self.tools.skerry(["lock".as_ref(), ALLOW_EXPIRED.as_ref(), spec.as_os_str()])?;
            }
            Err(error) => return Err(error),
        }
        std::fs::copy(spec.with_extension("lock"), self.dir.join("demo.lock")).context("keeping the refreshed lock")?;
        Ok(())
    }

    /// Build a variant from its spec as [`prepare`](Self::prepare) made it and
    /// the caller changed it; the lock must be there. Gives the output folder.
    ///
    /// # Errors
    /// If the build fails.
    pub fn build_prepared(&self, spec: &Path, variant: &Variant) -> Result<PathBuf> {
        let out = self.built(variant);
        if out.exists() {
            std::fs::remove_dir_all(&out).with_context(|| format!("removing {}", out.display()))?;
        }
        self.run_build(spec, &out, variant.parts)?;
        Ok(out)
    }

    /// Build a variant once more: a copy of its spec in another folder, into
    /// another folder, with a cache that holds nothing but the packages.
    ///
    /// # Errors
    /// If a file cannot be copied or the build fails.
    pub fn rebuild_elsewhere(&self, variant: &Variant, dir: &Path) -> Result<PathBuf> {
        let spec = dir.join("another-place");
        copy_folder(&self.dir.join("specs").join(variant.name), &spec)?;
        let cache = dir.join("cache");
        copy_folder(&self.tools.cache_dir()?.join("debs"), &cache.join("debs"))?;
        let other = Self { tools: Tools { cache: Some(cache), ..self.tools.clone() }, ..self.clone() };
        let out = dir.join("out");
        other.run_build(&spec.join("demo.toml"), &out, variant.parts)?;
        Ok(out)
    }

    fn run_build(&self, spec: &Path, out: &Path, parts: Parts) -> Result<()> {
        let keys = self.keys();
        let mut args = vec!["build".as_ref(), spec.as_os_str(), "--board".as_ref(), BOARD.as_ref()];
        args.extend(["--out".as_ref(), out.as_os_str(), "--keys".as_ref(), keys.as_os_str()]);
        if parts == Parts::ReleaseOnly {
            args.extend([OsStr::new("--only"), "release".as_ref()]);
        }
        self.tools.skerry(args).map(drop)
    }

    /// Publish a release to the repository at `repo`, which is made if needed.
    ///
    /// # Errors
    /// If `skerry publish` fails.
    pub fn publish(&self, release_dir: &Path, repo: &Path) -> Result<()> {
        let keys = self.keys();
        let args = ["publish".as_ref(), release_dir.as_os_str(), "--repo".as_ref(), repo.as_os_str()];
        let more = ["--channel".as_ref(), CHANNEL.as_ref(), "--keys".as_ref(), keys.as_os_str()];
        self.tools.skerry(args.into_iter().chain(more)).map(drop)
    }

    /// OCI layout of the app of a variant that was built.
    pub fn layout(&self, variant: &Variant) -> PathBuf {
        self.dir.join("specs").join(variant.name).join("hello-layout")
    }

    /// Folder of a variant that was built.
    pub fn built(&self, variant: &Variant) -> PathBuf {
        self.dir.join("builds").join(variant.name)
    }

    /// A product that [`create`](Self::create) made before.
    pub fn open(tools: &Tools, dir: &Path, port: u16) -> Self {
        Product { tools: tools.clone(), dir: dir.to_owned(), port }
    }
}

/// Did the build fail because packages are no longer to be had?
fn lock_is_stale(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failed>().is_some_and(|f| f.code == Some(EXIT_NETWORK) && f.output.contains("skerry lock"))
}

fn rewrite(text: &str, variant: &Variant, port: u16, token_sha256: &str) -> Result<String> {
    let mut spec: Table = text.parse().context("reading the demo's image spec")?;
    spec.insert("version".into(), variant.version.into());
    spec.insert("sequence".into(), i64::from(variant.sequence).into());
    let section = |spec: &mut Table, name: &str, key: &str, value: Value| {
        if let Some(table) = spec.entry(name).or_insert_with(|| Value::Table(Table::new())).as_table_mut() {
            table.insert(key.into(), value);
        }
    };
    let host = skerry::deliver::vm::HOST_FROM_GUEST;
    section(&mut spec, "update", "url", format!("http://{host}:{port}/").into());
    let registry = format!("{host}:{}", registry_port(port));
    section(&mut spec, "images", "plain_http", Value::Array(vec![registry.into()]));
    section(&mut spec, "update", "root", "root.json".into());
    section(&mut spec, "health", "timeout_secs", Value::Integer(variant.health_timeout_secs as i64));
    let token = [("user", "ci"), ("role", "admin"), ("sha256", token_sha256)];
    let token: Table = token.into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect();
    section(&mut spec, "api", "token", Value::Array(vec![Value::Table(token)]));
    if !variant.kernel_args.is_empty() {
        let args = variant.kernel_args.iter().map(|a| Value::from(*a)).collect();
        section(&mut spec, "kernel", "args", Value::Array(args));
    }
    toml::to_string(&spec).context("writing the image spec")
}

/// Copy a folder of plain files and folders.
///
/// # Errors
/// If something cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).with_context(|| format!("copying {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_demo_spec_takes_every_value_and_stays_valid() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = std::fs::read_to_string(root.join("image-specs/demo/demo.toml")).unwrap();
        let good = [Variant::V1, Variant::V2];
        let bad = [Variant::V3_BROKEN, Variant::V3_PANIC, Variant::V2_FROZEN, Variant::V2_HANGING];
        for variant in good.into_iter().chain(bad) {
            let out = rewrite(&text, &variant, 1234, &"0".repeat(64)).unwrap();
            let spec: Table = out.parse().unwrap();
            assert_eq!(spec["sequence"].as_integer(), Some(i64::from(variant.sequence)));
            assert_eq!(spec["update"]["url"].as_str(), Some("http://10.0.2.2:1234/"));
            assert_eq!(spec["images"]["plain_http"][0].as_str(), Some("10.0.2.2:1235"));
            assert_eq!(spec["update"]["root"].as_str(), Some("root.json"));
            let args = spec.get("kernel").map_or(0, |k| k["args"].as_array().unwrap().len());
            assert_eq!(args, variant.kernel_args.len());
        }
    }

    #[test]
    fn only_packages_that_are_gone_make_a_lock_stale() {
        let failed = |code, output: &str| {
            anyhow::Error::from(Failed { command: String::new(), code: Some(code), output: output.into() })
        };
        assert!(lock_is_stale(&failed(4, "gone from the archive; run: skerry lock demo.toml")));
        assert!(!lock_is_stale(&failed(4, "connection refused")));
        assert!(!lock_is_stale(&failed(3, "skerry lock")));
    }
}
