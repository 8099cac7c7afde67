//! The output folder: written beside its final place, revealed by one rename.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::BuildError;
use crate::release::sums::SUMS;

/// A folder that becomes the output, or vanishes.
pub struct Output {
    work: tempfile::TempDir,
    target: PathBuf,
}

impl Output {
    /// Make the work folder beside `target`.
    ///
    /// # Errors
    /// `target` holds something that is not a build's output, or its parent
    /// cannot be written.
    pub fn create(target: &Path) -> Result<Self, BuildError> {
        if is_taken(target)? {
            return Err(BuildError::OutputTaken(target.into()));
        }
        let parent = match target.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(BuildError::io("making the folder", parent))?;
        let work = tempfile::Builder::new()
            .prefix(".skerry-build-")
            .tempdir_in(parent)
            .map_err(BuildError::io("making a work folder in", parent))?;
        fs::create_dir(work.path().join("out")).map_err(BuildError::io("making", work.path()))?;
        fs::create_dir(work.path().join("tmp")).map_err(BuildError::io("making", work.path()))?;
        Ok(Self { work, target: target.into() })
    }

    /// Folder that becomes the output.
    pub fn dir(&self) -> PathBuf {
        self.work.path().join("out")
    }

    /// Folder for files of the way.
    pub fn tmp(&self) -> PathBuf {
        self.work.path().join("tmp")
    }

    /// Put the folder in its place; an older output there is replaced.
    ///
    /// # Errors
    /// A rename failed; the older output is still there then.
    pub fn reveal(self) -> Result<(), BuildError> {
        let old = self.work.path().join("old");
        let had_old = self.target.exists();
        if had_old {
            fs::rename(&self.target, &old).map_err(BuildError::io("setting aside", &self.target))?;
        }
        let moved = fs::rename(self.dir(), &self.target);
        if moved.is_err() && had_old {
            // Best effort: the error below says what happened.
            let _ = fs::rename(&old, &self.target);
        }
        moved.map_err(BuildError::io("revealing", &self.target))
    }
}

/// Is something there that a build must not replace?
fn is_taken(target: &Path) -> Result<bool, BuildError> {
    if !target.exists() {
        return Ok(false);
    }
    let mut entries = fs::read_dir(target).map_err(BuildError::io("reading", target))?;
    Ok(entries.next().is_some() && !target.join(SUMS).is_file())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut v: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        v.sort();
        v
    }

    #[test]
    fn a_failed_build_leaves_nothing_and_a_finished_one_replaces_the_older() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let failed = Output::create(&target).unwrap();
        fs::write(failed.dir().join(SUMS), "").unwrap();
        drop(failed);
        assert!(names(dir.path()).is_empty());
        for content in ["one", "two"] {
            let o = Output::create(&target).unwrap();
            fs::write(o.dir().join(SUMS), content).unwrap();
            o.reveal().unwrap();
            assert_eq!(fs::read_to_string(target.join(SUMS)).unwrap(), content);
            assert_eq!(names(dir.path()), ["out"]);
        }
    }

    #[test]
    fn a_folder_with_other_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "").unwrap();
        assert!(matches!(Output::create(dir.path()), Err(BuildError::OutputTaken(_))));
        assert_eq!(names(dir.path()), ["thesis.txt"]);
    }
}
