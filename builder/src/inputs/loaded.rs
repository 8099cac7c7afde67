//! Reads spec, boards and lock from disk for the commands that need them.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use skerry_plan::{
    Problem, Problems,
    board::{self, BoardSpec},
    lock::{self, Lock},
    spec::{self, Found, ImageSpec},
};

use crate::cli::exit::Code;

/// A spec and where it is.
#[derive(Debug, Clone)]
pub struct LoadedSpec {
    /// The file, as given.
    pub path: PathBuf,
    /// Its folder; paths in the spec are relative to it.
    pub dir: PathBuf,
    /// Its text.
    pub text: String,
    /// The spec.
    pub spec: ImageSpec,
}

impl LoadedSpec {
    /// Read and check a spec. Files it names are not looked at; see
    /// [`LoadedSpec::check_files`].
    ///
    /// # Errors
    /// All problems, with exit code 3.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = read_text(path, "image spec")?;
        let spec = spec::parse(&path.display().to_string(), &text).map_err(invalid)?;
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
        Ok(Self { path: path.into(), dir, text, spec })
    }

    /// Check that the files that the spec names are there.
    ///
    /// # Errors
    /// All problems, with exit code 3.
    pub fn check_files(&self) -> anyhow::Result<()> {
        let found = |path: &str| match std::fs::metadata(self.dir.join(path)) {
            Ok(m) if m.is_dir() => Found::Folder,
            Ok(_) => Found::File,
            Err(_) => Found::Nothing,
        };
        let problems = spec::check_files(&self.path.display().to_string(), &self.text, &self.spec, found);
        if problems.is_empty() { Ok(()) } else { Err(invalid(problems)) }
    }

    /// The boards the spec names.
    ///
    /// # Errors
    /// As [`LoadedSpec::board`].
    pub fn boards(&self) -> anyhow::Result<Vec<BoardSpec>> {
        self.spec.boards.iter().map(|b| self.board(b)).collect()
    }

    /// A board: a name, or the path of a board file relative to the spec.
    ///
    /// # Errors
    /// If there is none of this name, or its file is not valid.
    pub fn board(&self, name: &str) -> anyhow::Result<BoardSpec> {
        if name.ends_with(".toml") {
            return board_file(&self.dir.join(name));
        }
        if let Some((file, text)) = board::BUILTIN.iter().find(|(n, _)| *n == name) {
            return board::parse(&format!("{file}.toml"), text).map_err(invalid);
        }
        // A board file that the spec names may be called by its name too.
        let own = self
            .spec
            .boards
            .iter()
            .find(|b| Path::new(b).file_stem().is_some_and(|s| s == name) && b.ends_with(".toml"));
        match own {
            Some(file) => board_file(&self.dir.join(file)),
            None => Err(Code::Invalid
                .wrap(anyhow!("no board {name:?}; built in: {}; or give the path of a board file", board_names()))),
        }
    }

    /// Path of the lock: `foo.toml` → `foo.lock`.
    pub fn lock_path(&self) -> PathBuf {
        self.path.with_extension("lock")
    }

    /// Read the lock.
    ///
    /// # Errors
    /// If it is missing or not valid, with exit code 3.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        let path = self.lock_path();
        if !path.exists() {
            let advice =
                anyhow!("there is no lock {}; make it with: skerry lock {}", path.display(), self.path.display());
            return Err(Code::Invalid.wrap(advice));
        }
        let text = read_text(&path, "lock")?;
        lock::parse(&path.display().to_string(), &text).map_err(invalid)
    }
}

fn board_file(path: &Path) -> anyhow::Result<BoardSpec> {
    let file = path.display().to_string();
    let board = board::parse(&file, &read_text(path, "board file")?).map_err(invalid)?;
    if path.file_stem().is_none_or(|stem| stem != board.name.as_str()) {
        return Err(invalid(vec![Problem::of_file(
            &file,
            format!("its name is {:?}, but the file is called otherwise; make them the same", board.name),
        )]));
    }
    Ok(board)
}

fn board_names() -> String {
    board::BUILTIN.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ")
}

fn read_text(path: &Path, what: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("reading the {what} {}", path.display()))
        .map_err(|e| Code::Invalid.wrap(e))
}

/// Problems as an error with exit code 3.
pub fn invalid(problems: Vec<Problem>) -> anyhow::Error {
    Code::Invalid.wrap(Problems(problems))
}
