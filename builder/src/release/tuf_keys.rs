//! TUF signing with ed25519-dalek keys: the bridge to tough's traits, and the
//! root metadata that names the keys.

use std::{collections::HashMap, num::NonZeroU64};

use async_trait::async_trait;
use aws_lc_rs::rand::SecureRandom;
use ed25519_dalek::{Signer as _, SigningKey};
use jiff::Timestamp;
use serde::Serialize;
use tough::{
    editor::signed::SignedRole,
    key_source::KeySource,
    schema::{
        KeyHolder, Role, RoleKeys, RoleType, Root,
        key::{Ed25519Key, Ed25519Scheme, Key},
    },
    sign::Sign,
};

/// TUF specification version that all metadata carries.
pub const SPEC_VERSION: &str = "1.0.0";

/// Why TUF metadata could not be made.
#[derive(Debug, thiserror::Error)]
#[error("signing the TUF {role} metadata failed")]
pub struct SignError {
    /// Role in question.
    pub role: String,
    /// What tough said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// One ed25519 key as tough wants it.
#[derive(Clone)]
pub struct TufKey(pub SigningKey);

impl std::fmt::Debug for TufKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TufKey(…)")
    }
}

impl TufKey {
    /// The public half as TUF writes it.
    pub fn public(&self) -> Key {
        Key::Ed25519 {
            keyval: Ed25519Key { public: self.0.verifying_key().as_bytes().to_vec().into(), _extra: HashMap::new() },
            scheme: Ed25519Scheme::Ed25519,
            _extra: HashMap::new(),
        }
    }
}

#[async_trait]
impl Sign for TufKey {
    fn tuf_key(&self) -> Key {
        self.public()
    }

    async fn sign(
        &self,
        msg: &[u8],
        _rng: &(dyn SecureRandom + Sync),
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.0.sign(msg).to_bytes().to_vec())
    }
}

#[async_trait]
impl KeySource for TufKey {
    async fn as_sign(&self) -> Result<Box<dyn Sign>, Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(Box::new(self.clone()))
    }

    async fn write(&self, _: &str, _: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Err("keys are written by `skerry keys init` only".into())
    }
}

/// A signed metadata file, ready to be written.
#[derive(Debug, Clone)]
pub struct SignedFile {
    /// File name in the metadata folder.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Version inside.
    pub version: NonZeroU64,
}

/// Sign a role with those of `keys` that `root` names for it.
///
/// The bytes are JSON with sorted keys: the same input gives the same file, and
/// metadata kept in git shows small differences.
///
/// # Errors
/// [`SignError`] if none of `keys` belongs to the role.
pub fn sign_role<T: Role + Serialize>(role: T, root: &Root, keys: &[TufKey]) -> Result<SignedFile, SignError> {
    let sources: Vec<Box<dyn KeySource>> = keys.iter().map(|k| Box::new(k.clone()) as Box<dyn KeySource>).collect();
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| SignError { role: T::TYPE.to_string(), source };
    let (name, version) = (role.filename(root.consistent_snapshot), role.version());
    let rng = aws_lc_rs::rand::SystemRandom::new();
    let signed = block_on(SignedRole::new(role, &KeyHolder::Root(root.clone()), &sources, &rng))
        .map_err(|e| failed(e.into()))?;
    let mut value = serde_json::to_value(signed.signed()).map_err(|e| failed(e.into()))?;
    value.sort_all_objects();
    let mut bytes = serde_json::to_vec_pretty(&value).map_err(|e| failed(e.into()))?;
    bytes.push(b'\n');
    Ok(SignedFile { name, bytes, version })
}

/// Root metadata, version 1, that gives each role its one key.
///
/// # Errors
/// [`SignError`] if tough does not sign.
pub fn root_metadata(keys: &[(RoleType, TufKey)], expires: Timestamp) -> Result<SignedFile, SignError> {
    let failed = |e: tough::schema::Error| SignError { role: "root".into(), source: e.into() };
    let mut root = Root {
        spec_version: SPEC_VERSION.into(),
        consistent_snapshot: true,
        version: NonZeroU64::MIN,
        expires,
        keys: HashMap::new(),
        roles: HashMap::new(),
        _extra: HashMap::new(),
    };
    for (role, key) in keys {
        let id = key.public().key_id().map_err(failed)?;
        let role_keys = RoleKeys { keyids: vec![id.clone()], threshold: NonZeroU64::MIN, _extra: HashMap::new() };
        root.keys.insert(id, key.public());
        root.roles.insert(*role, role_keys);
    }
    let all: Vec<TufKey> = keys.iter().map(|(_, k)| k.clone()).collect();
    sign_role(root.clone(), &root, &all)
}

/// Run a future of tough's to its end. None of them waits for anything but
/// files, so one thread is enough.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a current-thread runtime needs no resource that can be missing")
        .block_on(future)
}
