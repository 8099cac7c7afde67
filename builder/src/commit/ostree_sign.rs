//! ed25519 signatures of OSTree commits, as `ostree sign` makes and checks
//! them: the commit object's bytes, signature in the detached metadata under
//! `ostree.sign.ed25519`.

use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use ostree_ext::{
    gio,
    glib::VariantDict,
    ostree::{ObjectType, Repo},
    prelude::*,
};

use super::{
    CommitError,
    ostree::{Checksum, failed},
};

const KEY: &str = "ostree.sign.ed25519";

/// Sign a commit. Replaces an earlier signature.
///
/// # Errors
/// The commit is not there, or the repository cannot be written.
pub fn sign(repo: &Repo, checksum: &Checksum, key: &SigningKey) -> Result<(), CommitError> {
    let signature = key.sign(&commit_bytes(repo, checksum)?);
    let meta = VariantDict::new(None);
    meta.insert_value(KEY, &vec![signature.to_bytes().to_vec()].to_variant());
    repo.write_commit_detached_metadata(&checksum.to_hex(), Some(&meta.end()), gio::Cancellable::NONE)
        .map_err(failed(|| format!("storing the signature of {checksum}")))
}

/// Check that one of `trusted` signed the commit.
///
/// # Errors
/// [`CommitError::Signature`] if none did.
pub fn verify(repo: &Repo, checksum: &Checksum, trusted: &[VerifyingKey]) -> Result<(), CommitError> {
    let bad = |detail: &str| CommitError::Signature { checksum: checksum.to_hex(), detail: detail.into() };
    let bytes = commit_bytes(repo, checksum)?;
    let meta = repo
        .read_commit_detached_metadata(&checksum.to_hex(), gio::Cancellable::NONE)
        .map_err(failed(|| format!("reading the signature of {checksum}")))?
        .ok_or_else(|| bad("it is not signed"))?;
    let signatures = VariantDict::new(Some(&meta))
        .lookup::<Vec<Vec<u8>>>(KEY)
        .map_err(|_| bad("its signature metadata has an unknown type"))?
        .ok_or_else(|| bad("it carries no ed25519 signature"))?;
    let fits = |s: &Vec<u8>| {
        let Ok(signature) = Signature::from_slice(s) else { return false };
        trusted.iter().any(|k| k.verify(&bytes, &signature).is_ok())
    };
    match signatures.iter().any(fits) {
        true => Ok(()),
        false => Err(bad("no trusted key signed these bytes")),
    }
}

/// Bytes of the commit object; their SHA-256 must be its checksum.
fn commit_bytes(repo: &Repo, checksum: &Checksum) -> Result<Vec<u8>, CommitError> {
    let commit = repo
        .load_variant(ObjectType::Commit, &checksum.to_hex())
        .map_err(failed(|| format!("loading commit {checksum}")))?;
    let bytes = commit.data().to_vec();
    if Checksum::of(&bytes) != *checksum {
        return Err(CommitError::Signature {
            checksum: checksum.to_hex(),
            detail: "its bytes do not have this checksum".into(),
        });
    }
    Ok(bytes)
}
