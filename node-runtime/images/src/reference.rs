//! Image references as people write them: `nginx`, `ghcr.io/team/app:1.2`,
//! `registry.lan:5000/app@sha256:…`. Grammar and defaults are those of the
//! distribution project, as Kubernetes uses them.

use std::{fmt, str::FromStr};

use skerry_formats::Sha256Digest;

/// Registry of references that name none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Where that registry really answers.
const DEFAULT_REGISTRY_HOST: &str = "registry-1.docker.io";
/// Longest name of a repository with its registry.
const NAME_BYTES_MAX: usize = 255;

/// A reference with its defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// `HOST[:PORT]`, as people write it.
    pub registry: String,
    /// Path of the repository.
    pub repository: String,
    /// `latest` if there is neither tag nor digest.
    pub tag: Option<String>,
    /// Digest of the manifest or index; wins over the tag.
    pub digest: Option<Sha256Digest>,
}

/// Text that is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("couldn't parse image name {text:?}: {why}")]
pub struct ReferenceError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Reference {
    /// Host to connect to.
    pub fn host(&self) -> &str {
        if self.registry == DEFAULT_REGISTRY { DEFAULT_REGISTRY_HOST } else { &self.registry }
    }

    /// What to ask the registry for: the digest, or else the tag.
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("sha256:{digest}"),
            (None, tag) => tag.clone().unwrap_or_else(|| "latest".into()),
        }
    }

    /// Repository with its registry, as credentials are looked up.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl fmt::Display for Reference {
    /// The canonical text: two references that mean the same have the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |d| write!(f, "@sha256:{d}"))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let bad = |why| ReferenceError { text: text.chars().take(300).collect(), why };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(parse_digest(digest).map_err(bad)?)),
            None => (text, None),
        };
        // A colon after the last slash begins the tag; others are ports.
        let (name, tag) = match name.rfind(':').filter(|at| !name[*at..].contains('/')) {
            Some(at) => (&name[..at], Some(name[at + 1..].to_string())),
            None => (name, None),
        };
        if tag.as_deref().is_some_and(|t| !is_tag(t)) {
            return Err(bad("the tag may have letters, digits, `_`, `.` and `-`, 128 at most"));
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_string()),
            Some(_) => (DEFAULT_REGISTRY, name.to_string()),
            None if name.is_empty() => return Err(bad("it is empty")),
            None => (DEFAULT_REGISTRY, format!("library/{name}")),
        };
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        let repository = match repository.split_once('/') {
            None if registry == DEFAULT_REGISTRY => format!("library/{repository}"),
            _ => repository,
        };
        if !is_host(registry) {
            return Err(bad("the registry is no host name with an optional port"));
        }
        if !repository.split('/').all(is_component) {
            return Err(bad(
                "the repository must be lower-case letters and digits, separated by `.`, `_`, `-` and `/`",
            ));
        }
        if registry.len() + repository.len() >= NAME_BYTES_MAX {
            return Err(bad("it is too long"));
        }
        let tag = if tag.is_none() && digest.is_none() { Some("latest".into()) } else { tag };
        Ok(Self { registry: registry.into(), repository, tag, digest })
    }
}

fn parse_digest(text: &str) -> Result<Sha256Digest, &'static str> {
    let hex = text.strip_prefix("sha256:").ok_or("only sha256 digests are supported")?;
    hex.parse().map_err(|_| "the digest is not 64 lower-case hexadecimal digits")
}

fn is_tag(tag: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !tag.is_empty()
        && tag.len() <= 128
        && tag.bytes().enumerate().all(|(i, b)| plain(b) || (i > 0 && matches!(b, b'.' | b'-')))
}

fn is_host(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !registry.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let port_ok = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n > 0) && !p.starts_with('+'));
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_ok = match literal {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        }),
    };
    port_ok && host_ok
}

/// `[a-z0-9]+` parts separated by one `.`, one or two `_`, or some `-`.
fn is_component(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators = text.split(|c: char| c.is_ascii() && plain(c as u8)).filter(|s| !s.is_empty());
    let separators_ok = |s: &str| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-');
    let ends = |b: Option<u8>| b.is_some_and(plain);
    ends(text.bytes().next()) && ends(text.bytes().last()) && separators.into_iter().all(separators_ok)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn defaults_are_filled_in() {
        let d = "a".repeat(64);
        for (text, want) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("team/app", "docker.io/team/app:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/team/app:1", "docker.io/team/app:1"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app:1", "localhost:5000/app:1"),
            ("registry.lan:5000/a/b/c", "registry.lan:5000/a/b/c:latest"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
            ("[::1]/app", "[::1]/app:latest"),
            ("ghcr.io/x/y_z/a__b/c--d:V1.0-x", "ghcr.io/x/y_z/a__b/c--d:V1.0-x"),
            (&format!("app@sha256:{d}"), &format!("docker.io/library/app@sha256:{d}")),
            (&format!("app:1@sha256:{d}"), &format!("docker.io/library/app:1@sha256:{d}")),
        ] {
            let parsed: Reference = text.parse().unwrap();
            assert_eq!(parsed.to_string(), want, "{text}");
            assert_eq!(want.parse::<Reference>().unwrap(), parsed, "canonical text means the same");
        }
        assert_eq!("nginx".parse::<Reference>().unwrap().host(), "registry-1.docker.io");
        assert_eq!(format!("a:1@sha256:{d}").parse::<Reference>().unwrap().wanted(), format!("sha256:{d}"));
    }

    #[test]
    fn what_is_no_reference() {
        for text in [
            "",
            ":",
            "@",
            "/",
            "a:",
            "a:-x",
            "A",
            "a/B",
            "a//b",
            "a/",
            "/a",
            "../a",
            "a/../b",
            "a b",
            "a:b:c",
            "-a",
            "a-",
            "a.",
            "a..b",
            "a___b",
            "http://a.b/c",
            "a.b:0/c",
            "a.b:x/c",
            "a.b:99999/c",
            "-a.b/c",
            "a@sha256:12",
            "a@md5:0",
            "[::g]/a",
            "x.y/",
            "a\n",
            "a%2fb",
            "a?b",
            "a#b",
            "user@host.x/a",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
        assert!("a".repeat(300).parse::<Reference>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_has_one_canonical_form(text in "[a-zA-Z0-9./:@_\\[\\]-]{0,40}") {
            if let Ok(parsed) = text.parse::<Reference>() {
                prop_assert_eq!(parsed.to_string().parse::<Reference>().unwrap(), parsed);
            }
        }
    }
}
