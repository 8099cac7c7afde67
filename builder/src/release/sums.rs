//! `SHA256SUMS` and its signature over everything in an output folder.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};
use skerry_formats::{Sha256Digest, sign};

/// File with the sums, in the format of `sha256sum`.
pub const SUMS: &str = "SHA256SUMS";
/// Its signature.
pub const SUMS_SIG: &str = "SHA256SUMS.sig";

/// Files that stand outside the sums: the log tells times and paths, the rest
/// are locks and leavings of OSTree.
const LEFT_OUT: [&str; 4] = ["build.log", SUMS, SUMS_SIG, "ostree/.lock"];
const LEFT_OUT_DIRS: [&str; 1] = ["ostree/tmp"];

/// Why the sums could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum SumsError {
    /// The file system refused something.
    #[error("{operation} {}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file that sums cannot name.
    #[error("{} is no regular file with a plain name; an output folder holds nothing else", .0.display())]
    Unfit(PathBuf),
    /// A line that is no sum.
    #[error("line {line} of SHA256SUMS is not `64 hex characters, two spaces, path`")]
    Line {
        /// Line number from 1.
        line: usize,
    },
}

/// Sum every file below `dir`, sign, write both files.
///
/// # Errors
/// [`SumsError`] names the file.
pub fn write_sums(dir: &Path, key: &SigningKey) -> Result<(), SumsError> {
    let text = render(&sum_all(dir)?);
    for (name, bytes) in
        [(SUMS, text.as_bytes()), (SUMS_SIG, &sign::sign_bytes(sign::DOMAIN_SUMS, text.as_bytes(), key))]
    {
        let path = dir.join(name);
        fs::write(&path, bytes).map_err(|e| io_error("writing", &path, e))?;
    }
    Ok(())
}

/// Sums of all files below `dir` by relative path.
///
/// # Errors
/// [`SumsError`] names the file.
pub fn sum_all(dir: &Path) -> Result<BTreeMap<String, Sha256Digest>, SumsError> {
    use rayon::prelude::*;
    let files = list(dir)?;
    files.into_par_iter().map(|rel| Ok((rel.clone(), sum_file(&dir.join(rel))?))).collect()
}

/// Relative paths of all files that belong into the sums, sorted.
///
/// # Errors
/// [`SumsError`] names the folder, or the entry that is no regular file.
pub fn list(dir: &Path) -> Result<Vec<String>, SumsError> {
    let mut out = vec![];
    walk(dir, "", &mut out)?;
    out.sort();
    Ok(out)
}

fn walk(dir: &Path, prefix: &str, out: &mut Vec<String>) -> Result<(), SumsError> {
    let at = dir.join(prefix);
    for entry in fs::read_dir(&at).map_err(|e| io_error("reading the folder", &at, e))? {
        let entry = entry.map_err(|e| io_error("reading the folder", &at, e))?;
        let unfit = || SumsError::Unfit(entry.path());
        let name = entry.file_name().into_string().map_err(|_| unfit())?;
        let rel = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let kind = entry.file_type().map_err(|e| io_error("looking at", &entry.path(), e))?;
        if kind.is_dir() {
            if !LEFT_OUT_DIRS.contains(&rel.as_str()) {
                walk(dir, &rel, out)?;
            }
        } else if !kind.is_file() || rel.contains(['\n', '\\']) {
            return Err(unfit());
        } else if !LEFT_OUT.contains(&rel.as_str()) {
            out.push(rel);
        }
    }
    Ok(())
}

/// SHA-256 of a file.
///
/// # Errors
/// [`SumsError::Io`].
pub fn sum_file(path: &Path) -> Result<Sha256Digest, SumsError> {
    let hash = || {
        let mut hasher = Sha256::new();
        io::copy(&mut fs::File::open(path)?, &mut hasher)?;
        Ok(Sha256Digest(hasher.finalize().into()))
    };
    hash().map_err(|e| io_error("reading", path, e))
}

/// Text of `SHA256SUMS`.
pub fn render(sums: &BTreeMap<String, Sha256Digest>) -> String {
    sums.iter().map(|(path, sum)| format!("{sum}  {path}\n")).collect()
}

/// Parse `SHA256SUMS`. Absolute paths, `..` and doubled paths are refused.
///
/// # Errors
/// [`SumsError::Line`].
pub fn parse(text: &str) -> Result<BTreeMap<String, Sha256Digest>, SumsError> {
    let mut out = BTreeMap::new();
    for (i, line) in text.lines().enumerate() {
        let bad = || SumsError::Line { line: i + 1 };
        let (sum, path) = line.split_once("  ").ok_or_else(bad)?;
        let sum = sum.parse().map_err(|_| bad())?;
        let plain = !path.is_empty() && path.split('/').all(|p| !p.is_empty() && p != "." && p != "..");
        if !plain || out.insert(path.to_string(), sum).is_some() {
            return Err(bad());
        }
    }
    Ok(out)
}

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> SumsError {
    SumsError::Io { operation, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(map in prop::collection::btree_map("[a-z]{1,8}(/[a-z.]{0,3}[a-z]){0,2}", any::<[u8; 32]>().prop_map(Sha256Digest), 0..10)) {
            prop_assert_eq!(parse(&render(&map)).unwrap(), map);
        }

        #[test]
        fn any_text_never_panics(text in ".*") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        let sum = "0".repeat(64);
        for bad in ["../x", "/etc/passwd", "a/../../b", "a//b", "", "./a"] {
            assert!(parse(&format!("{sum}  {bad}\n")).is_err(), "{bad}");
        }
        assert!(parse(&format!("{sum}  a\n{sum}  a\n")).is_err(), "doubled path");
    }

    #[test]
    fn the_sha256sum_program_agrees() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/a"), "one").unwrap();
        fs::write(dir.path().join("b"), "two").unwrap();
        fs::write(dir.path().join("build.log"), "left out").unwrap();
        write_sums(dir.path(), &SigningKey::from_bytes(&[1; 32])).unwrap();
        let out = std::process::Command::new("sha256sum").args(["-c", SUMS]).current_dir(dir.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), "b: OK\nd/a: OK\n");
    }
}
