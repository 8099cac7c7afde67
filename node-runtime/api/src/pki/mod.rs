//! The node's own certificates: an authority made on first start, the
//! server's certificate, client certificates and kubeconfig files.
//!
//! A node may be offline for years and its clock may be wrong. So every
//! certificate is valid from 1970 on, the authority's never ends (RFC 5280
//! 4.1.2.5), and the others live ten years and are made anew at half of that,
//! while the server runs ([`renewal`]).
//!
//! ```text
//! ca.key      0600   made first
//! ca.crt      0600   made from it
//! server.pem  0600   certificate and key in one file: replaced as one
//! admin.pem   0600
//! ```

mod kubeconfig;
mod leaf;
mod subject;

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

pub use kubeconfig::kubeconfig;
pub use leaf::{Leaf, Record, Renewal, renewal};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use skerry_platform::durable::{self, DurableError};
pub use subject::{Subject, subject};

use self::leaf::fingerprint;

/// Years that server and client certificates are made for.
pub const LEAF_YEARS: i16 = 10;
/// Common name of the authority. Fixed, so that the issuer's name can be made
/// without reading it out of the certificate.
const CA_NAME: &str = "skerry node authority";

/// What went wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be written.
    #[error("cannot keep a certificate")]
    Write(#[from] DurableError),
    /// A file could not be read, or not be made private.
    #[error("cannot open {path}")]
    Read {
        /// File or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file has no such content.
    #[error("{path} holds no usable {what}; remove it and the node makes another")]
    Content {
        /// File.
        path: PathBuf,
        /// `certificate`, `key`.
        what: &'static str,
    },
    /// Making a certificate failed.
    #[error("cannot make the certificate of {name}")]
    Make {
        /// Common name.
        name: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> PkiError + '_ {
    move |source| PkiError::Read { path: path.into(), source }
}

fn making(name: &str) -> impl Fn(rcgen::Error) -> PkiError + '_ {
    move |source| PkiError::Make { name: name.into(), source }
}

/// The folder of certificates, and the authority that signs them.
pub struct Pki {
    dir: PathBuf,
    ca_pem: String,
    ca_der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// Open the folder; makes it and the authority on first start.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn open(dir: &Path) -> Result<Self, PkiError> {
        durable::create_dir_all(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(reading(dir))?;
        let key = authority_key(&dir.join("ca.key"))?;
        let params = authority_params();
        let path = dir.join("ca.crt");
        let ca_pem = match read(&path)? {
            Some(pem) => pem,
            None => {
                let made = params.self_signed(&key).map_err(making(CA_NAME))?.pem();
                durable::write_file_atomic_mode(&path, made.as_bytes(), 0o600)?;
                made
            }
        };
        let ca_der = CertificateDer::from_pem_slice(ca_pem.as_bytes())
            .map_err(|_| PkiError::Content { path, what: "certificate" })?;
        Ok(Self { dir: dir.into(), ca_pem, ca_der, issuer: Issuer::new(params, key) })
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The authority's certificate, DER.
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        &self.ca_der
    }

    /// SHA-256 of the authority's certificate, hex: what people compare.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.ca_der)
    }

    /// The server's certificate, made anew if [`renewal`] says so. Call it at
    /// the start, once a day, and when the node's addresses change.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn server(&self, names: &Names, now: jiff::Timestamp) -> Result<Leaf, PkiError> {
        let wanted = names.list();
        self.leaf("server.pem", wanted, now, || {
            let mut params = params(&names.node, None);
            params.subject_alt_names = names.san();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params
        })
    }

    /// The certificate of the administrator on the node itself.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn admin(&self, now: jiff::Timestamp) -> Result<Leaf, PkiError> {
        self.leaf("admin.pem", vec!["admin".into()], now, || client_params("admin", "system:masters"))
    }

    /// A certificate for a client elsewhere; it is not kept here.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn client(&self, user: &str, group: &str, now: jiff::Timestamp) -> Result<Leaf, PkiError> {
        self.issue(client_params(user, group), vec![user.into()], now)
    }

    fn leaf(
        &self,
        file: &str,
        wanted: Vec<String>,
        now: jiff::Timestamp,
        params: impl FnOnce() -> CertificateParams,
    ) -> Result<Leaf, PkiError> {
        let path = self.dir.join(file);
        // A damaged file is as good as none: it can always be made again.
        let kept = read(&path)?.and_then(|text| Leaf::parse(&text));
        let why = renewal(kept.as_ref().map(|l| &l.record), &wanted, &fingerprint(&self.ca_der), now);
        match (kept, why) {
            (Some(leaf), None) => Ok(leaf),
            (_, why) => {
                tracing::info!(file, ?why, "making a certificate");
                let leaf = self.issue(params(), wanted, now)?;
                durable::write_file_atomic_mode(&path, leaf.to_text().as_bytes(), 0o600)?;
                Ok(leaf)
            }
        }
    }

    fn issue(&self, mut params: CertificateParams, names: Vec<String>, now: jiff::Timestamp) -> Result<Leaf, PkiError> {
        let name = names.first().cloned().unwrap_or_default();
        let end = leaf::end_of(now);
        params.not_after = date_time_ymd(end.year().into(), end.month().unsigned_abs(), end.day().unsigned_abs());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(making(&name))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(making(&name))?;
        let record = Record { names, not_after: end.to_string(), ca: fingerprint(&self.ca_der) };
        Ok(Leaf { record, certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

/// Names and addresses under which the server is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Name of the node.
    pub node: String,
    /// More DNS names.
    pub dns: Vec<String>,
    /// Addresses; loopback is always among them.
    pub addresses: Vec<IpAddr>,
}

impl Names {
    fn san(&self) -> Vec<SanType> {
        let ours = [self.node.as_str(), "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let names = ours.into_iter().chain(self.dns.iter().map(String::as_str));
        // Names that are none (RFC 5280: IA5) are left out rather than keep
        // the server from starting.
        let names = names.filter_map(|n| Some(SanType::DnsName(n.try_into().ok()?)));
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)];
        names.chain(loopback.into_iter().chain(self.addresses.iter().copied()).map(SanType::IpAddress)).collect()
    }

    fn list(&self) -> Vec<String> {
        let text = |san: &SanType| match san {
            SanType::DnsName(name) => name.as_str().to_string(),
            SanType::IpAddress(address) => address.to_string(),
            other => format!("{other:?}"),
        };
        let mut list: Vec<String> = self.san().iter().map(text).collect();
        list.sort_unstable();
        list.dedup();
        list
    }
}

fn params(common_name: &str, organization: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    params.not_before = date_time_ymd(1970, 1, 1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn client_params(user: &str, group: &str) -> CertificateParams {
    let mut params = params(user, Some(group));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn authority_params() -> CertificateParams {
    let mut params = params(CA_NAME, None);
    params.use_authority_key_identifier_extension = false;
    params.not_after = date_time_ymd(9999, 12, 31);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn authority_key(path: &Path) -> Result<KeyPair, PkiError> {
    if let Some(pem) = read(path)? {
        return KeyPair::from_pem(&pem).map_err(|_| PkiError::Content { path: path.into(), what: "key" });
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(making(CA_NAME))?;
    durable::write_file_atomic_mode(path, key.serialize_pem().as_bytes(), 0o600)?;
    Ok(key)
}

fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(reading(path)(e)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn now() -> jiff::Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn made_once_private_and_kept() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("pki");
        let names = Names { node: "box-1".into(), ..Names::default() };
        let pki = Pki::open(&dir).unwrap();
        let first = pki.server(&names, now()).unwrap();
        let again = Pki::open(&dir).unwrap();
        assert_eq!(pki.ca_pem(), again.ca_pem());
        assert_eq!(again.server(&names, now()).unwrap(), first);
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        pki.admin(now()).unwrap();
        for entry in fs::read_dir(&dir).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn other_names_make_another_certificate_and_damage_too() {
        let tmp = tempfile::tempdir().unwrap();
        let pki = Pki::open(tmp.path()).unwrap();
        let mut names = Names { node: "box-1".into(), ..Names::default() };
        let first = pki.server(&names, now()).unwrap();
        names.addresses.push("10.0.0.7".parse().unwrap());
        let second = pki.server(&names, now()).unwrap();
        assert_ne!(first, second);
        fs::write(tmp.path().join("server.pem"), "half a fi").unwrap();
        let third = pki.server(&names, now()).unwrap();
        assert_ne!(second, third);
        assert_eq!(third.record.names, second.record.names);
    }

    #[test]
    fn a_power_cut_between_key_and_certificate_is_mended() {
        let tmp = tempfile::tempdir().unwrap();
        Pki::open(tmp.path()).unwrap();
        fs::remove_file(tmp.path().join("ca.crt")).unwrap();
        let pki = Pki::open(tmp.path()).unwrap();
        assert!(tmp.path().join("ca.crt").exists());
        assert!(pki.admin(now()).is_ok());
    }

    #[test]
    fn a_client_certificate_names_user_and_group() {
        let tmp = tempfile::tempdir().unwrap();
        let pki = Pki::open(tmp.path()).unwrap();
        let leaf = pki.client("ann", "skerry:view", now()).unwrap();
        let der = CertificateDer::from_pem_slice(leaf.certificate_pem.as_bytes()).unwrap();
        let subject = subject(&der).unwrap();
        assert_eq!((subject.common_name.as_str(), subject.organizations), ("ann", vec!["skerry:view".to_string()]));
    }
}
