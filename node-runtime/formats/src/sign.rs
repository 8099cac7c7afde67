//! Detached ed25519 signatures over stored bytes (`*.sig`) and key files.
//!
//! Source: RFC 8032. The signed message is the domain string, a zero byte and
//! the file's bytes, so that a signature made for one kind of file is worth
//! nothing for another.

use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::{
    FormatError, Sha256Digest,
    versioned::{Document, Header},
};

/// Domain of `release.json.sig`.
pub const DOMAIN_RELEASE: &str = "skerry-release-v1";
/// Domain of `SHA256SUMS.sig`.
pub const DOMAIN_SUMS: &str = "skerry-sums-v1";

/// `*.sig`: who signed and what came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureFile {
    /// Name `skerry-signature`.
    pub format: Header,
    /// SHA-256 of the 32-byte public key.
    pub keyid: Sha256Digest,
    /// 64-byte ed25519 signature in hex.
    pub signature: String,
}

impl Document for SignatureFile {
    const NAME: &'static str = "skerry-signature";
    const VERSION: u32 = 1;
}

/// Public key text file (`*.pub`): 64 hex characters and a newline.
///
/// # Errors
/// [`FormatError::Signature`] if the text is no valid ed25519 point.
pub fn parse_public_key(text: &str) -> Result<VerifyingKey, FormatError> {
    let bad = |detail: &str| FormatError::Signature { what: "public key file", detail: detail.into() };
    let mut raw = [0u8; 32];
    hex::decode_to_slice(text.trim(), &mut raw).map_err(|_| bad("expected 64 hex characters"))?;
    VerifyingKey::from_bytes(&raw).map_err(|_| bad("the bytes are no ed25519 public key"))
}

/// Text of a public key file.
pub fn public_key_text(key: &VerifyingKey) -> String {
    format!("{}\n", hex::encode(key.as_bytes()))
}

/// Key id: SHA-256 of the raw public key.
pub fn key_id(key: &VerifyingKey) -> Sha256Digest {
    Sha256Digest::of(key.as_bytes())
}

fn message(domain: &str, bytes: &[u8]) -> Vec<u8> {
    [domain.as_bytes(), &[0], bytes].concat()
}

/// Sign stored bytes; returns the bytes of the `.sig` file.
pub fn sign_bytes(domain: &str, bytes: &[u8], key: &SigningKey) -> Vec<u8> {
    SignatureFile {
        format: SignatureFile::header(),
        keyid: key_id(&key.verifying_key()),
        signature: hex::encode(key.sign(&message(domain, bytes)).to_bytes()),
    }
    .to_bytes()
}

/// Check a `.sig` file over stored bytes against the trusted keys.
///
/// # Errors
/// [`FormatError::Signature`] if no trusted key made it over these bytes.
pub fn verify_bytes(
    what: &'static str,
    domain: &str,
    bytes: &[u8],
    sig_file: &[u8],
    trusted: &[VerifyingKey],
) -> Result<(), FormatError> {
    let bad = |detail: String| FormatError::Signature { what, detail };
    let sig = SignatureFile::parse(sig_file)?;
    let key = trusted
        .iter()
        .find(|k| key_id(k) == sig.keyid)
        .ok_or_else(|| bad(format!("signed by key {}, which is not trusted here", sig.keyid)))?;
    let mut raw = [0u8; 64];
    hex::decode_to_slice(&sig.signature, &mut raw).map_err(|_| bad("expected 128 hex characters".into()))?;
    key.verify(&message(domain, bytes), &Signature::from_bytes(&raw))
        .map_err(|_| bad("the content was changed after signing".into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn signature_binds_bytes_key_and_domain() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let other = SigningKey::from_bytes(&[8; 32]);
        let sig = sign_bytes(DOMAIN_RELEASE, b"abc", &key);
        let trusted = [other.verifying_key(), key.verifying_key()];
        assert_eq!(verify_bytes("x", DOMAIN_RELEASE, b"abc", &sig, &trusted), Ok(()));
        assert!(verify_bytes("x", DOMAIN_RELEASE, b"abd", &sig, &trusted).is_err());
        assert!(verify_bytes("x", DOMAIN_SUMS, b"abc", &sig, &trusted).is_err());
        assert!(verify_bytes("x", DOMAIN_RELEASE, b"abc", &sig, &trusted[..1]).is_err());
    }
}
