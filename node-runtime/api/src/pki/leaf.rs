//! A server or client certificate with its key, and when it is made anew.

use std::sync::Arc;

use aws_lc_rs::digest;
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use serde::{Deserialize, Serialize};

use super::LEAF_YEARS;

/// Starts the line that says what the certificate was made for.
const RECORD: &str = "# skerry certificate ";

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// What it was made for.
    pub record: Record,
    /// Certificate, PEM.
    pub certificate_pem: String,
    /// Key, PEM.
    pub key_pem: String,
}

/// What a certificate was made for: the first line of its file, so that
/// deciding about renewal needs no reading of X.509.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Names and addresses, sorted.
    pub names: Vec<String>,
    /// Last day, `2036-11-24`.
    pub not_after: String,
    /// SHA-256 of the authority's certificate, hex.
    pub ca: String,
}

/// Why a certificate is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// There is none that can be read.
    Missing,
    /// It is another authority's.
    OtherAuthority,
    /// The node has other names or addresses now.
    OtherNames,
    /// Half of its time is over.
    Old,
}

/// Is another certificate needed? A clock that went backwards never asks for
/// one: all of them are valid from 1970 on.
pub fn renewal(record: Option<&Record>, names: &[String], ca: &str, now: Timestamp) -> Option<Renewal> {
    let Some(record) = record else { return Some(Renewal::Missing) };
    let Ok(end) = record.not_after.parse::<Date>() else { return Some(Renewal::Missing) };
    let half = i32::from(LEAF_YEARS) / 2;
    if record.ca != ca {
        Some(Renewal::OtherAuthority)
    } else if record.names != names {
        Some(Renewal::OtherNames)
    } else if day_of(now).saturating_add(half.years()) >= end {
        Some(Renewal::Old)
    } else {
        None
    }
}

fn day_of(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}

/// Last day of a certificate that is made now.
pub(super) fn end_of(now: Timestamp) -> Date {
    day_of(now).saturating_add(i32::from(LEAF_YEARS).years())
}

/// SHA-256, hex.
pub(super) fn fingerprint(der: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, der))
}

impl Leaf {
    /// One file: the record, the certificate, the key.
    pub fn to_text(&self) -> String {
        let record = serde_json::to_string(&self.record).expect("strings only");
        format!("{RECORD}{record}\n{}{}", self.certificate_pem, self.key_pem)
    }

    /// Read the file again; `None`: it is damaged.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, rest) = text.split_once('\n')?;
        let record = serde_json::from_str(first.strip_prefix(RECORD)?).ok()?;
        let key_at = rest.find("-----BEGIN PRIVATE KEY")?;
        let (certificate_pem, key_pem) = rest.split_at(key_at);
        let leaf = Self { record, certificate_pem: certificate_pem.into(), key_pem: key_pem.into() };
        leaf.certified().ok()?;
        Some(leaf)
    }

    /// For rustls.
    ///
    /// # Errors
    /// If certificate or key cannot be read, or do not belong together.
    pub fn certified(&self) -> Result<Arc<CertifiedKey>, rustls::Error> {
        let general = |e: rustls::pki_types::pem::Error| rustls::Error::General(e.to_string());
        let certificate = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).map_err(general)?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(general)?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        Ok(Arc::new(CertifiedKey::from_der(vec![certificate], key, &provider)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn when_a_certificate_is_made() {
        let record = |end: &str| Record { names: vec!["a".into()], not_after: end.into(), ca: "ca".into() };
        let a = ["a".to_string()];
        let b = ["a".to_string(), "b".to_string()];
        let at = |year: i32| format!("{year}-11-24T00:00:00Z").parse().unwrap();
        let kept = record("2036-11-24");
        for (record, names, ca, now, expected) in [
            (None, &a[..], "ca", at(2026), Some(Renewal::Missing)),
            (Some(&kept), &a, "ca", at(2026), None),
            (Some(&kept), &b, "ca", at(2026), Some(Renewal::OtherNames)),
            (Some(&kept), &a, "x", at(2026), Some(Renewal::OtherAuthority)),
            (Some(&kept), &a, "ca", at(2030), None),
            (Some(&kept), &a, "ca", at(2031), Some(Renewal::Old)),
            (Some(&kept), &a, "ca", at(2099), Some(Renewal::Old)),
            // The clock lost its battery.
            (Some(&kept), &a, "ca", at(1970), None),
            (Some(&record("soon")), &a, "ca", at(2026), Some(Renewal::Missing)),
        ] {
            assert_eq!(renewal(record, names, ca, now), expected, "{record:?} {names:?} {ca} {now}");
        }
    }
}
