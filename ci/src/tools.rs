//! Where the programs under test are, and how they are run.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// Exit code of `skerry` when a download or the archive failed.
pub const EXIT_NETWORK: i32 = 4;

/// The programs.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Root of the source tree.
    pub root: PathBuf,
    /// The `skerry` program.
    pub skerry: PathBuf,
    /// Folder of the node programs.
    pub runtime: PathBuf,
    /// Folder with one `hello-VERSION` per version of the demo app.
    pub apps: PathBuf,
    /// `Some`: cache folder for `skerry`; `None`: its own default.
    pub cache: Option<PathBuf>,
    /// Let `skerry` write to this terminal; else its output is shown only with
    /// a failure.
    pub verbose: bool,
}

/// What a program that failed said.
#[derive(Debug, thiserror::Error)]
#[error("{command} ended with {code:?}:\n{output}")]
pub struct Failed {
    /// The command line.
    pub command: String,
    /// Its exit code.
    pub code: Option<i32>,
    /// What it wrote.
    pub output: String,
}

impl Tools {
    /// As `ci/build-node` and cargo leave them; `SKERRY_BIN`, `SKERRY_RUNTIME`
    /// and `SKERRY_APPS` name other places.
    ///
    /// # Errors
    /// If something is missing, with the command that makes it.
    pub fn locate() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the ci folder has a parent")?.to_owned();
        let out = var("OUT").unwrap_or_else(|| root.join("out"));
        let tools = Tools {
            skerry: var("SKERRY_BIN").map_or_else(beside_self, Ok)?,
            runtime: var("SKERRY_RUNTIME").unwrap_or_else(|| out.join("runtime/x86_64")),
            apps: var("SKERRY_APPS").unwrap_or_else(|| out.join("apps")),
            cache: None,
            verbose: false,
            root,
        };
        ensure!(tools.skerry.is_file(), "{} is missing; make it with: cargo build -p skerry", tools.skerry.display());
        for file in [tools.runtime.join("skerry-node"), tools.runtime.join("skerry-init"), tools.app("1.0.0")] {
            ensure!(file.is_file(), "{} is missing; make it with: ci/build-node", file.display());
        }
        Ok(tools)
    }

    /// The demo app of a version.
    pub fn app(&self, version: &str) -> PathBuf {
        self.apps.join(format!("hello-{version}"))
    }

    /// Cache that `skerry` uses: the one set here, else its default.
    ///
    /// # Errors
    /// If neither `SKERRY_CACHE` nor `HOME` says where it is.
    pub fn cache_dir(&self) -> Result<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let default = || {
            let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|h| h.join(".cache")));
            base.map(|b| b.join("skerry"))
        };
        self.cache.clone().or_else(|| set("SKERRY_CACHE")).or_else(default).context("HOME is not set")
    }

    /// Run `skerry`; gives its standard output.
    ///
    /// # Errors
    /// [`Failed`] if it fails.
    pub fn skerry<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<String> {
        let mut command = Command::new(&self.skerry);
        command.args(args).env("SKERRY_RUNTIME", &self.runtime).stdin(Stdio::null());
        if let Some(cache) = &self.cache {
            command.env("SKERRY_CACHE", cache);
        }
        if self.verbose {
            println!("  $ {}", shown(&command));
            let output = shown_live(&mut command)?;
            return finish(&command, &output);
        }
        let output = command.output().with_context(|| format!("starting {}", self.skerry.display()))?;
        finish(&command, &output)
    }
}

/// Run any program; gives its standard output.
///
/// # Errors
/// [`Failed`] if it fails.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {}", shown(command)))?;
    finish(command, &output)
}

/// Run with standard error on this terminal as it comes, and keep it.
fn shown_live(command: &mut Command) -> Result<std::process::Output> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", shown(command)))?;
    let mut stderr = child.stderr.take().context("standard error is a pipe")?;
    let reader = std::thread::spawn(move || {
        let (mut kept, mut buffer) = (Vec::new(), [0u8; 4096]);
        while let Ok(n @ 1..) = stderr.read(&mut buffer) {
            // A closed terminal is no reason to stop.
            let _ = std::io::stderr().write_all(&buffer[..n]);
            kept.extend_from_slice(&buffer[..n]);
        }
        kept
    });
    let mut output = child.wait_with_output().context("waiting for skerry")?;
    output.stderr = reader.join().unwrap_or_default();
    Ok(output)
}

fn finish(command: &Command, output: &std::process::Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let output_text = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    bail!(Failed { command: shown(command), code: output.status.code(), output: output_text })
}

fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    command.get_args().fold(name, |text, arg| format!("{text} {}", arg.to_string_lossy()))
}

fn var(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// `skerry` in the folder of this program, or of the tests' parent folder.
fn beside_self() -> Result<PathBuf> {
    let me = std::env::current_exe().context("finding this program")?;
    let dirs = me.ancestors().skip(1).take(2);
    let found = dirs.map(|d| d.join("skerry")).find(|p| p.is_file());
    found.with_context(|| format!("no skerry beside {}; make it with: cargo build -p skerry", me.display()))
}
