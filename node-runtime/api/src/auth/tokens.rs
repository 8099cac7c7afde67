//! Bearer tokens: a file with their hashes.
//!
//! A token is 256 random bits, so a plain SHA-256 of it is enough to keep. The
//! file is written by the command line tool and read again by the server when
//! it changed; a revoked token ends at the next request.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::SystemTime,
};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use skerry_platform::durable::{self, DurableError};

use super::{Identity, Role};

/// Start of every token, so that secret scanners find it.
const PREFIX: &str = "skerry_";
/// More tokens than this are not made; each costs one comparison a request.
pub const TOKENS_MAX: usize = 1000;

/// What went wrong with the file of tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It could not be read.
    #[error("cannot read {path}")]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It has another form.
    #[error("{path} is no file of tokens")]
    Content {
        /// File.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It could not be written.
    #[error("cannot keep the tokens")]
    Write(#[from] DurableError),
    /// No random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// Too many.
    #[error("there are {TOKENS_MAX} tokens already; revoke some")]
    TooMany,
}

/// One token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Whose it is.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// SHA-256 of the token, hex.
    pub sha256: String,
    /// Until when; `None`: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    tokens: Vec<Entry>,
}

/// All tokens of a file; a missing one has none.
///
/// # Errors
/// [`TokenError`].
pub fn list(path: &Path) -> Result<Vec<Entry>, TokenError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(source) => return Err(TokenError::Read { path: path.into(), source }),
    };
    let file: File =
        serde_json::from_slice(&text).map_err(|source| TokenError::Content { path: path.into(), source })?;
    Ok(file.tokens)
}

/// Make a token. It is returned this once and kept nowhere.
///
/// # Errors
/// [`TokenError`].
pub fn create(path: &Path, user: &str, role: Role, expires: Option<Timestamp>) -> Result<String, TokenError> {
    let mut tokens = list(path)?;
    if tokens.len() >= TOKENS_MAX {
        return Err(TokenError::TooMany);
    }
    let mut secret = [0; 32];
    rand::fill(&mut secret).map_err(|_| TokenError::Random)?;
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
    tokens.push(Entry { user: user.into(), role, sha256: hash(&token), expires });
    write(path, tokens)?;
    Ok(token)
}

/// Take all tokens of a user back; says how many.
///
/// # Errors
/// [`TokenError`].
pub fn revoke(path: &Path, user: &str) -> Result<usize, TokenError> {
    let mut tokens = list(path)?;
    let before = tokens.len();
    tokens.retain(|t| t.user != user);
    let gone = before - tokens.len();
    if gone > 0 {
        write(path, tokens)?;
    }
    Ok(gone)
}

fn write(path: &Path, tokens: Vec<Entry>) -> Result<(), TokenError> {
    let text = serde_json::to_vec_pretty(&File { version: 1, tokens }).expect("strings only");
    Ok(durable::write_file_atomic_mode(path, &text, 0o600)?)
}

fn hash(token: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, token.as_bytes()))
}

/// Whose token is it? Every entry is compared, in constant time.
fn find(tokens: &[Entry], token: &str, now: Timestamp) -> Option<Identity> {
    let wanted = hash(token);
    let same = |entry: &&Entry| verify_slices_are_equal(entry.sha256.as_bytes(), wanted.as_bytes()).is_ok();
    // `fold` and not `find`: the time does not tell which one it was.
    let found = tokens.iter().fold(None, |found, entry| if same(&entry) { Some(entry) } else { found })?;
    if found.expires.is_some_and(|end| end <= now) {
        return None;
    }
    Some(Identity::of_token(&found.user, found.role))
}

/// The tokens of a running server, read again when the file changes.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    read: Mutex<Read>,
}

/// What was last read, and from which state of the file.
#[derive(Debug, Default)]
struct Read {
    stamp: Option<(SystemTime, u64)>,
    tokens: Vec<Entry>,
}

impl Tokens {
    /// Tokens of this file, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read: Mutex::default() }
    }

    /// Whose token is it? `None`: nobody's.
    pub fn identify(&self, token: &str, now: Timestamp) -> Option<Identity> {
        let mut read = self.read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let stamp = fs::metadata(&self.path).ok().and_then(|m| Some((m.modified().ok()?, m.len())));
        if read.stamp != stamp {
            // An unreadable file lets nobody in.
            let tokens = list(&self.path).unwrap_or_else(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, "no token is accepted");
                vec![]
            });
            *read = Read { stamp, tokens };
        }
        find(&read.tokens, token, now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn made_used_expired_revoked() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("tokens.json");
        let at = |s: &str| s.parse::<Timestamp>().unwrap();
        let now = at("2026-11-24T00:00:00Z");
        let tokens = Tokens::new(&path);
        assert_eq!(tokens.identify("skerry_x", now), None);
        let ann = create(&path, "ann", Role::View, None).unwrap();
        let ci = create(&path, "ci", Role::Deploy, Some(at("2026-12-01T00:00:00Z"))).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(&path).unwrap().contains(&ann));
        assert_eq!(tokens.identify(&ann, now).unwrap().role(), Some(Role::View));
        assert_eq!(tokens.identify(&ci, now).unwrap().user, "ci");
        assert_eq!(tokens.identify(&ci, at("2026-12-01T00:00:00Z")), None);
        assert_eq!(tokens.identify(&ann[..ann.len() - 1], now), None);
        assert_eq!(tokens.identify("", now), None);
        assert_eq!(revoke(&path, "ann").unwrap(), 1);
        assert_eq!(tokens.identify(&ann, now), None);
        assert!(tokens.identify(&ci, now).is_some());
    }

    #[test]
    fn a_damaged_file_lets_nobody_in() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("tokens.json");
        let ann = create(&path, "ann", Role::Admin, None).unwrap();
        let tokens = Tokens::new(&path);
        assert!(tokens.identify(&ann, Timestamp::UNIX_EPOCH).is_some());
        fs::write(&path, "{").unwrap();
        assert_eq!(tokens.identify(&ann, Timestamp::UNIX_EPOCH), None);
    }
}
