//! Key files: made once by `skerry keys init`, read by build and publish.
//!
//! One folder holds the release key and one key per TUF role, all ed25519 in
//! PKCS#8 PEM, and `root.json`, the TUF root that names them. Private files are
//! mode 0600 and nothing is ever overwritten.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, spki::der::pem::LineEnding},
};
use jiff::{SignedDuration, Timestamp};
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256};
use skerry_formats::{FormatError, sign};
use tough::schema::RoleType;

use super::tuf_keys::{SignError, TufKey, root_metadata};

/// Private release key.
pub const RELEASE_KEY: &str = "release.key";
/// Public release key.
pub const RELEASE_PUB: &str = "release.pub";
/// TUF root metadata.
pub const ROOT_JSON: &str = "root.json";

/// The four TUF roles with their key files.
pub const ROLE_KEYS: [(RoleType, &str); 4] = [
    (RoleType::Root, "root.key"),
    (RoleType::Targets, "targets.key"),
    (RoleType::Snapshot, "snapshot.key"),
    (RoleType::Timestamp, "timestamp.key"),
];

/// What each file is for and where to keep it, in the order of importance.
pub const PURPOSES: [(&str, &str); 7] = [
    ("root.key", "names all other TUF keys; needed only to replace one. Keep it OFFLINE, with a copy"),
    (RELEASE_KEY, "signs releases; needed by `skerry build`. Keep it where releases are built"),
    ("targets.key", "says which release a channel offers; needed by `skerry publish`"),
    ("snapshot.key", "ties the metadata together; needed by `skerry publish` and `--refresh`"),
    ("timestamp.key", "says what is current; needed by `skerry publish` and `--refresh`"),
    (RELEASE_PUB, "public; baked into images, given to `skerry verify --key`"),
    (ROOT_JSON, "public; baked into images as `update.root`"),
];

/// Why keys could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// `init` found something already there.
    #[error("{} exists and is not overwritten; choose another folder or remove it yourself", .0.display())]
    Exists(PathBuf),
    /// A key file is missing.
    #[error("key file {} does not exist; make keys with `skerry keys init --dir {}`", .path.display(), .dir.display())]
    Missing {
        /// File that was looked for.
        path: PathBuf,
        /// Folder it should be in.
        dir: PathBuf,
    },
    /// A key file cannot be read or written.
    #[error("{operation} {} failed", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A private key file holds something else.
    #[error("{} is no ed25519 private key in PKCS#8 PEM ({detail}); restore it from a copy, or make new keys with `skerry keys init` in another folder", .path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        detail: String,
    },
    /// A public key file holds something else.
    #[error("{} is no public key file; it should hold the 64 hex characters that `skerry keys init` wrote", .path.display())]
    NotPublic {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: FormatError,
    },
    /// `release.pub` does not belong to `release.key`.
    #[error("{} and {} do not belong together; restore one of them from a copy", .private.display(), .public.display())]
    Mismatch {
        /// Private key file.
        private: PathBuf,
        /// Public key file.
        public: PathBuf,
    },
    /// The TUF root could not be signed.
    #[error(transparent)]
    Root(#[from] SignError),
    /// Key material could not be encoded.
    #[error("encoding a private key failed: {0}")]
    Encode(String),
}

/// The release key pair.
#[derive(Clone)]
pub struct ReleaseKeys {
    /// Signs `release.json` and `SHA256SUMS`.
    pub signing: SigningKey,
    /// Its public half.
    pub public: VerifyingKey,
    /// What a person should know, such as modes that are too open.
    pub warnings: Vec<String>,
}

/// Keys of TUF roles.
#[derive(Debug, Clone)]
pub struct TufKeys {
    /// One key per role that was asked for.
    pub keys: Vec<TufKey>,
    /// Trusted root metadata.
    pub root: Vec<u8>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Make all keys in `dir`.
///
/// Everything is written to a folder beside it first, so that a failure leaves
/// no half-made set.
///
/// # Errors
/// [`KeysError::Exists`] if any of the files is there already.
pub fn init(dir: &Path, root_days: u32, now: Timestamp, rng: &mut impl CryptoRngCore) -> Result<(), KeysError> {
    if let Some(there) = PURPOSES.iter().map(|(name, _)| dir.join(name)).find(|p| p.symlink_metadata().is_ok()) {
        return Err(KeysError::Exists(there));
    }
    let absolute = std::path::absolute(dir).map_err(|source| io("resolving", dir, source))?;
    let parent = absolute.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(|source| io("creating", parent, source))?;
    let temp = tempfile::Builder::new()
        .prefix(".skerry-keys-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(|source| io("creating a folder in", parent, source))?;
    for (name, mode, bytes) in contents(root_days, now, rng)? {
        write_new(&temp.path().join(name), mode, &bytes)?;
    }
    move_into_place(temp.path(), &absolute)
}

/// A token for the Kubernetes API of nodes, and its SHA-256, hex. 256 random
/// bits, so that a plain hash of it may be known to everybody.
pub fn token(rng: &mut impl CryptoRngCore) -> (String, String) {
    let mut secret = [0; 32];
    rng.fill_bytes(&mut secret);
    // The start lets secret scanners find it.
    let token = format!("skerry_{}", URL_SAFE_NO_PAD.encode(secret));
    let sha256 = hex::encode(Sha256::digest(&token));
    (token, sha256)
}

/// Write a token; a file that is there stays.
///
/// # Errors
/// [`KeysError::Exists`], or it cannot be written.
pub fn write_token(path: &Path, token: &str) -> Result<(), KeysError> {
    if path.symlink_metadata().is_ok() {
        return Err(KeysError::Exists(path.into()));
    }
    write_new(path, 0o600, format!("{token}\n").as_bytes())
}

/// Name, mode and content of a file to write.
type KeyFile = (&'static str, u32, Vec<u8>);

/// Names, modes and bytes of a fresh set of keys.
fn contents(root_days: u32, now: Timestamp, rng: &mut impl CryptoRngCore) -> Result<Vec<KeyFile>, KeysError> {
    let release = generate(rng);
    let public = sign::public_key_text(&release.verifying_key()).into_bytes();
    let mut files = vec![(RELEASE_KEY, 0o600, pem(&release)?), (RELEASE_PUB, 0o644, public)];
    let mut roles = vec![];
    for (role, name) in ROLE_KEYS {
        let key = generate(rng);
        files.push((name, 0o600, pem(&key)?));
        roles.push((role, TufKey(key)));
    }
    let expires = whole_seconds(now) + SignedDuration::from_hours(24 * i64::from(root_days));
    files.push((ROOT_JSON, 0o644, root_metadata(&roles, expires)?.bytes));
    Ok(files)
}

fn generate(rng: &mut impl CryptoRngCore) -> SigningKey {
    let mut secret = [0; 32];
    rng.fill_bytes(&mut secret);
    SigningKey::from_bytes(&secret)
}

/// TUF dates have no fractions of a second.
pub(crate) fn whole_seconds(t: Timestamp) -> Timestamp {
    Timestamp::from_second(t.as_second()).unwrap_or(t)
}

fn pem(key: &SigningKey) -> Result<Vec<u8>, KeysError> {
    let text = key.to_pkcs8_pem(LineEnding::LF).map_err(|e| KeysError::Encode(e.to_string()))?;
    Ok(text.as_bytes().to_vec())
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), KeysError> {
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        // The umask may have taken bits away from public files.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| io("writing", path, source))
}

/// One rename if the folder is new or empty, else a hard link per file, which
/// never replaces anything.
fn move_into_place(temp: &Path, dir: &Path) -> Result<(), KeysError> {
    match fs::rename(temp, dir) {
        Ok(()) => return Ok(()),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists) => {}
        Err(source) => return Err(io("moving the new keys to", dir, source)),
    }
    let mut made: Vec<PathBuf> = vec![];
    for (name, _) in PURPOSES {
        let to = dir.join(name);
        if let Err(source) = fs::hard_link(temp.join(name), &to) {
            for path in &made {
                // Only what this call has made a moment ago.
                let _ = fs::remove_file(path);
            }
            return Err(match source.kind() {
                std::io::ErrorKind::AlreadyExists => KeysError::Exists(to),
                _ => io("writing", &to, source),
            });
        }
        made.push(to);
    }
    Ok(())
}

impl ReleaseKeys {
    /// Read `release.key` and `release.pub` from a key folder.
    ///
    /// # Errors
    /// [`KeysError`] names the file and what to do.
    pub fn load(dir: &Path) -> Result<Self, KeysError> {
        let (private, public_path) = (dir.join(RELEASE_KEY), dir.join(RELEASE_PUB));
        let signing = read_private(&private, dir)?;
        let public = read_public(&public_path)?;
        if signing.verifying_key() != public {
            return Err(KeysError::Mismatch { private, public: public_path });
        }
        Ok(Self { signing, public, warnings: mode_warning(&private).into_iter().collect() })
    }
}

impl TufKeys {
    /// Read the keys of `roles` and `root.json` from a key folder.
    ///
    /// # Errors
    /// [`KeysError`] names the file and what to do.
    pub fn load(dir: &Path, roles: &[RoleType]) -> Result<Self, KeysError> {
        let root_path = dir.join(ROOT_JSON);
        let root = read(&root_path, dir)?;
        let mut out = Self { keys: vec![], root, warnings: vec![] };
        for (_, name) in ROLE_KEYS.iter().filter(|(role, _)| roles.contains(role)) {
            let path = dir.join(name);
            out.keys.push(TufKey(read_private(&path, dir)?));
            out.warnings.extend(mode_warning(&path));
        }
        Ok(out)
    }
}

/// Read a public key file.
///
/// # Errors
/// [`KeysError`] names the file.
pub fn read_public(path: &Path) -> Result<VerifyingKey, KeysError> {
    let bytes = read(path, path.parent().unwrap_or(Path::new(".")))?;
    sign::parse_public_key(&String::from_utf8_lossy(&bytes))
        .map_err(|source| KeysError::NotPublic { path: path.into(), source })
}

fn read_private(path: &Path, dir: &Path) -> Result<SigningKey, KeysError> {
    let bytes = read(path, dir)?;
    SigningKey::from_pkcs8_pem(&String::from_utf8_lossy(&bytes))
        .map_err(|e| KeysError::NotPrivate { path: path.into(), detail: e.to_string() })
}

fn read(path: &Path, dir: &Path) -> Result<Vec<u8>, KeysError> {
    fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => KeysError::Missing { path: path.into(), dir: dir.into() },
        _ => io("reading", path, source),
    })
}

fn mode_warning(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then(|| {
        format!(
            "{} has mode {mode:04o}: others can read the private key; run `chmod 600 {}`",
            path.display(),
            path.display()
        )
    })
}

fn io(operation: &'static str, path: &Path, source: std::io::Error) -> KeysError {
    KeysError::Io { operation, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05.6Z".parse().unwrap()
    }

    fn made() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("keys");
        init(&dir, 3650, now(), &mut rand_core::OsRng).unwrap();
        (temp, dir)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn files_and_modes() {
        let (_temp, dir) = made();
        assert_eq!(mode(&dir), 0o700);
        for (name, _) in PURPOSES {
            let want = if name.ends_with(".key") { 0o600 } else { 0o644 };
            assert_eq!(mode(&dir.join(name)), want, "{name}");
        }
        assert_eq!(fs::read_dir(&dir).unwrap().count(), PURPOSES.len());
        let siblings: Vec<_> = fs::read_dir(dir.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(siblings, ["keys"], "no temporary folder stays behind");
    }

    #[test]
    fn loaded_keys_sign_what_the_public_file_verifies() {
        let (_temp, dir) = made();
        let keys = ReleaseKeys::load(&dir).unwrap();
        assert_eq!(keys.warnings, Vec::<String>::new());
        let sig = sign::sign_bytes(sign::DOMAIN_RELEASE, b"x", &keys.signing);
        let public = read_public(&dir.join(RELEASE_PUB)).unwrap();
        sign::verify_bytes("x", sign::DOMAIN_RELEASE, b"x", &sig, &[public]).unwrap();
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_half_made() {
        let (_temp, dir) = made();
        let before = fs::read(dir.join(RELEASE_KEY)).unwrap();
        let err = init(&dir, 1, now(), &mut rand_core::OsRng).unwrap_err();
        assert!(matches!(&err, KeysError::Exists(p) if p.starts_with(&dir)), "{err}");
        assert_eq!(fs::read(dir.join(RELEASE_KEY)).unwrap(), before);

        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("timestamp.key"), "mine").unwrap();
        let err = init(other.path(), 1, now(), &mut rand_core::OsRng).unwrap_err();
        assert!(err.to_string().contains("timestamp.key"), "{err}");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_with_other_files_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".gitignore"), "*\n").unwrap();
        init(dir.path(), 1, now(), &mut rand_core::OsRng).unwrap();
        ReleaseKeys::load(dir.path()).unwrap();
        assert!(dir.path().join(".gitignore").exists());
    }

    #[test]
    fn errors_name_the_file_and_the_command() {
        let (_temp, dir) = made();
        fs::remove_file(dir.join("targets.key")).unwrap();
        let err = TufKeys::load(&dir, &[RoleType::Targets]).unwrap_err().to_string();
        assert!(err.contains("targets.key") && err.contains("skerry keys init"), "{err}");
        fs::write(dir.join(RELEASE_KEY), "garbage").unwrap();
        let err = ReleaseKeys::load(&dir).map(|_| ()).unwrap_err().to_string();
        assert!(err.contains(RELEASE_KEY), "{err}");
    }

    #[test]
    fn foreign_public_key_is_noticed() {
        let ((_a, dir), (_b, other)) = (made(), made());
        fs::copy(other.join(RELEASE_PUB), dir.join(RELEASE_PUB)).unwrap();
        assert!(matches!(ReleaseKeys::load(&dir), Err(KeysError::Mismatch { .. })));
    }

    #[test]
    fn open_modes_give_a_warning() {
        let (_temp, dir) = made();
        fs::set_permissions(dir.join(RELEASE_KEY), fs::Permissions::from_mode(0o640)).unwrap();
        let warnings = ReleaseKeys::load(&dir).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("0640"), "{warnings:?}");
    }

    #[test]
    fn root_names_one_key_per_role_and_verifies_itself() {
        let (_temp, dir) = made();
        let signed: tough::schema::Signed<tough::schema::Root> =
            serde_json::from_slice(&fs::read(dir.join(ROOT_JSON)).unwrap()).unwrap();
        signed.signed.verify_role(&signed).unwrap();
        assert!(signed.signed.consistent_snapshot);
        assert_eq!(signed.signed.keys.len(), 4);
        assert_eq!(signed.signed.expires, "2035-12-31T03:04:05Z".parse::<Timestamp>().unwrap());
    }
}
