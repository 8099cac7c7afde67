//! Who a client certificate is for.
//!
//! Reads just the subject out of X.509 DER. TLS has checked before that our
//! own authority signed these bytes, so this is no gate; it must only not
//! panic, and give `None` for what it does not understand.

/// Subject of a certificate, as far as Kubernetes uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// `CN`: the user.
    pub common_name: String,
    /// `O`: the groups.
    pub organizations: Vec<String>,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const VERSION: u8 = 0xa0;
/// 2.5.4.3 and 2.5.4.10.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// The subject of a certificate; `None`: not a certificate, or without CN.
pub fn subject(der: &[u8]) -> Option<Subject> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (tbs, _) = expect(certificate, SEQUENCE)?;
    // version, serialNumber, signature, issuer, validity, subject
    let rest = match element(tbs)? {
        (VERSION, _, rest) => rest,
        _ => tbs,
    };
    let rest = (0..4).try_fold(rest, |rest, _| element(rest).map(|(_, _, rest)| rest))?;
    let (mut names, _) = expect(rest, SEQUENCE)?;
    let mut subject = Subject::default();
    while !names.is_empty() {
        let (mut set, rest) = expect(names, SET)?;
        names = rest;
        while !set.is_empty() {
            let (attribute, rest) = expect(set, SEQUENCE)?;
            set = rest;
            subject.take(attribute)?;
        }
    }
    (!subject.common_name.is_empty()).then_some(subject)
}

impl Subject {
    fn take(&mut self, attribute: &[u8]) -> Option<()> {
        let (oid, value) = expect(attribute, OID)?;
        let (_, value, _) = element(value)?;
        let text = || std::str::from_utf8(value).ok().map(str::to_string);
        match oid {
            COMMON_NAME => self.common_name = text()?,
            ORGANIZATION => self.organizations.push(text()?),
            _ => {}
        }
        Some(())
    }
}

fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    element(der).and_then(|(found, content, rest)| (found == tag).then_some((content, rest)))
}

/// Tag, content and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_certificate_is_nobody() {
        for bad in [&b""[..], &[0x30], &[0x30, 0x80], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0], &[0x30, 2, 0x30, 0]] {
            assert_eq!(subject(bad), None, "{bad:02x?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = subject(&bytes);
        }
    }
}
