//! The peer of the builds: mkosi, as Debian packages it, with an image of the
//! same packages. It needs root and loop devices; where the host cannot do all
//! that it asks for, it is asked for less, and the entry says so.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use skerry::packages::mirror::MirrorArgs;
use skerry_plan::lock::Archive;
use toml::{Table, Value};

use super::bed::timed;
use crate::tools::run;

/// The major version whose options this module speaks: that of Debian 12.
const VERSION: &str = "mkosi 14";
/// Where the manifest lies in mkosi's image.
const MANIFESTS: &str = "extra/etc/kubernetes/manifests";
/// mkosi adds no suffix to a name that it is given, compressed or not.
const OUTPUT: &str = "image";

/// How much of our image mkosi is asked for, most first.
const SHAPES: [Shape; 3] = [
    Shape { format: "gpt_ext4", bootable: true, text: "a GPT disk with ESP, kernel image and ext4" },
    Shape {
        format: "gpt_ext4",
        bootable: false,
        text: "a GPT disk with ext4, but without ESP, initrd and kernel image",
    },
    Shape { format: "tar", bootable: false, text: "a tar of the root file system" },
];

#[derive(Debug, Clone, Copy)]
struct Shape {
    format: &'static str,
    bootable: bool,
    text: &'static str,
}

/// What mkosi makes of the tree that it installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A compressed image.
    Compressed,
    /// The image as it is.
    Raw,
}

/// A mkosi that builds here.
#[derive(Debug)]
pub struct Mkosi {
    dir: PathBuf,
    shape: Shape,
    /// Time of the first build, downloads included, nothing compressed.
    pub cold_secs: f64,
    /// What it builds, for people.
    pub what: String,
}

impl Mkosi {
    /// Set it up in the empty folder `dir` with the packages of `lock`, and
    /// build once.
    ///
    /// # Errors
    /// If mkosi is missing, has another version, or cannot build here at all.
    pub fn set_up(dir: &Path, lock: &str, manifests: &Path) -> Result<Self> {
        let version = run(Command::new("mkosi").arg("--version")).context("mkosi is not to be had")?;
        if !version.starts_with(VERSION) {
            bail!("this is {}; only the options of {VERSION} are known", version.trim());
        }
        let mut why = String::new();
        for shape in SHAPES {
            let mut mkosi = Mkosi {
                dir: dir.join(format!("{}-{}", shape.format, shape.bootable)),
                shape,
                cold_secs: 0.0,
                what: String::new(),
            };
            crate::product::copy_folder(manifests, &mkosi.dir.join(MANIFESTS))?;
            std::fs::create_dir_all(mkosi.dir.join("cache")).context("making mkosi's cache")?;
            mkosi.configure(lock)?;
            match mkosi.build(Output::Raw) {
                Ok(secs) => {
                    mkosi.cold_secs = secs;
                    mkosi.what = format!("{} of Debian 12 builds {}{why}", version.trim(), shape.text);
                    return Ok(mkosi);
                }
                Err(error) => {
                    let reason = last_line(&format!("{error:#}"));
                    println!("  mkosi cannot build {}: {reason}", shape.text);
                    why = format!("; more is not possible on this host ({})", host_lacks(shape));
                }
            }
        }
        bail!("mkosi cannot build here; its output was shown above")
    }

    /// Change the manifest.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put_manifest(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(MANIFESTS).join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// Build, with everything that mkosi can reuse: downloaded packages and,
    /// by `--incremental`, the tree installed from them. Gives the seconds it
    /// took.
    ///
    /// # Errors
    /// If mkosi fails.
    pub fn build(&self, output: Output) -> Result<f64> {
        let mut command = Command::new("mkosi");
        command.arg("-C").arg(&self.dir).args(["--force", "--workspace-dir"]).arg(&self.dir);
        command.arg("--incremental=yes");
        if output == Output::Compressed {
            command.arg("--compress-output=zstd");
        }
        // Without systemd on the host there is nobody to ask for a scope.
        if !Path::new("/run/systemd/system").is_dir() {
            command.arg("--nspawn-keep-unit=yes");
        }
        Ok(timed(|| run(&mut command))?.0)
    }

    /// Size of the image that the last build made.
    pub fn image_bytes(&self) -> Option<u64> {
        std::fs::metadata(self.dir.join(OUTPUT)).ok().map(|m| m.len())
    }

    fn configure(&self, lock: &str) -> Result<()> {
        let mirrors = MirrorArgs::default().find();
        let mirror = mirrors.of(Archive::Main).context("finding the mirror for mkosi")?;
        let (suite, packages) = packages(lock)?;
        let mut text = format!("[Distribution]\nDistribution=debian\nRelease={suite}\nMirror={}\n", mirror.url);
        let _ = write!(
            text,
            "\n[Output]\nFormat={}\nBootable={}\nOutput={OUTPUT}\nManifestFormat=\n",
            self.shape.format,
            yes(self.shape.bootable)
        );
        // The debs that our tree is cut from carry documentation too, and we
        // leave it out.
        let _ =
            write!(text, "\n[Content]\nPackages={}\nCache=cache\nExtraTrees=extra\nWithDocs=no\n", packages.join(","));
        text.push_str("\n[Partitions]\nRootSize=2G\n");
        let path = self.dir.join("mkosi.conf");
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn last_line(text: &str) -> String {
    text.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
}

/// What a shape needs that this host does not have.
fn host_lacks(shape: Shape) -> &'static str {
    let systems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    match shape.bootable && !systems.lines().any(|l| l.trim() == "vfat") {
        true => "its kernel has no FAT, which mkosi mounts to write the ESP",
        false => "mkosi failed",
    }
}

/// Base suite of a lock and the names of its packages. A kernel with its
/// version in the name comes by its meta package, in the version of the mirror.
fn packages(lock: &str) -> Result<(String, Vec<String>)> {
    let lock: Table = lock.parse().context("reading the lock")?;
    let list = |key: &str| lock.get(key).and_then(Value::as_array).with_context(|| format!("the lock has no {key}"));
    let name = |v: &Value| v.get("name").and_then(Value::as_str).map(str::to_owned);
    let suite = list("suite")?.iter().find_map(name).context("the lock names no suite")?;
    let names = list("package")?.iter().filter_map(name);
    let versioned_kernel =
        |n: &str| n.strip_prefix("linux-image-").is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
    Ok((suite, names.filter(|n| !versioned_kernel(n)).collect()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_demo_lock_gives_suite_and_packages() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let lock = std::fs::read_to_string(root.join("image-specs/demo/demo.lock")).unwrap();
        let (suite, names) = packages(&lock).unwrap();
        assert_eq!(suite, "trixie");
        for name in ["containerd", "systemd", "linux-image-amd64", "libc6"] {
            assert!(names.iter().any(|n| n == name), "{name}");
        }
        assert!(names.iter().filter(|n| n.starts_with("linux-image")).count() == 1, "{names:?}");
        assert!(packages("version = 1").is_err());
    }

    #[test]
    fn what_failed_last_is_the_reason() {
        assert_eq!(last_line("a\nb\n\n"), "b");
    }
}
