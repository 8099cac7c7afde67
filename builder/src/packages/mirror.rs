//! Where the Debian archive is. No mirror stands in any spec, lock or source
//! file: it is given, or it is the one this host uses itself.

use std::{fmt, fs, path::Path};

use skerry_plan::lock::{Archive, LockedPackage};
use url::Url;

use super::sources::{Source, parse_deb822, parse_one_line};

/// Options of commands that talk to the archive.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MirrorArgs {
    /// Debian mirror, such as http://mirror.example/debian [default:
    /// SKERRY_MIRROR, then the one in this host's apt sources]
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// Mirror of the security archive [default: SKERRY_SECURITY_MIRROR, then
    /// derived from the mirror, or the host's apt sources]
    #[arg(long, value_name = "URL")]
    pub security_mirror: Option<String>,
}

/// A mirror and where its address came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Base URL, without a trailing slash.
    pub url: String,
    /// Such as `--mirror` or `/etc/apt/sources.list`.
    pub origin: String,
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (from {})", self.url, self.origin)
    }
}

/// Why there is no mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    /// Nobody named one.
    #[error("no Debian mirror known: this host's apt sources name none; give one with {option} URL or in {variable}")]
    Unknown {
        /// The option to give.
        option: &'static str,
        /// The variable to set.
        variable: &'static str,
    },
    /// It is no URL of a mirror.
    #[error("the mirror {url:?} from {origin} cannot be used: {detail}; give http://HOST/PATH or https://HOST/PATH")]
    Invalid {
        /// As given.
        url: String,
        /// Where it came from.
        origin: String,
        /// What is wrong.
        detail: String,
    },
}

/// The mirrors of both archives. A missing one is an error only when it is
/// needed: a build with a full cache needs none.
#[derive(Debug, Clone)]
pub struct Mirrors {
    main: Result<Mirror, MirrorError>,
    security: Result<Mirror, MirrorError>,
}

impl MirrorArgs {
    /// Find the mirrors: options, environment, the host's apt sources.
    pub fn find(&self) -> Mirrors {
        let env =
            |name: &'static str| std::env::var(name).ok().filter(|v| !v.is_empty()).map(|v| (v, name.to_string()));
        let option = |value: &Option<String>, name: &str| value.clone().map(|v| (v, name.to_string()));
        Mirrors::choose(
            option(&self.mirror, "--mirror").or_else(|| env("SKERRY_MIRROR")),
            option(&self.security_mirror, "--security-mirror").or_else(|| env("SKERRY_SECURITY_MIRROR")),
            &host_sources(Path::new("/etc/apt")),
        )
    }
}

impl Mirrors {
    /// Mirrors at these addresses, for tests and other programs.
    pub fn at(main: &str, security: &str) -> Self {
        let given = |url: &str| Some((url.to_string(), "the caller".to_string()));
        Self::choose(given(main), given(security), &[])
    }

    /// The mirror of an archive.
    ///
    /// # Errors
    /// If none is known or its address cannot be used.
    pub fn of(&self, archive: Archive) -> Result<&Mirror, MirrorError> {
        match archive {
            Archive::Main => self.main.as_ref(),
            Archive::Security => self.security.as_ref(),
        }
        .map_err(Clone::clone)
    }

    /// URL of a package.
    ///
    /// # Errors
    /// If the archive's mirror is not known.
    pub fn url_of(&self, package: &LockedPackage) -> Result<String, MirrorError> {
        let base = &self.of(package.archive)?.url;
        // As apt does: some servers read a plain + as a space.
        Ok(format!("{base}/{}", package.path.replace('+', "%2b")))
    }

    /// Pure choice between what was given and what the host has.
    fn choose(main: Option<(String, String)>, security: Option<(String, String)>, host: &[(Source, String)]) -> Self {
        let of_host = |folder: &str| {
            host.iter().find(|(s, _)| s.is_debian(folder)).map(|(s, file)| (s.uri.clone(), file.clone()))
        };
        let main_given = main.is_some();
        let main = main.or_else(|| of_host("debian"));
        // A given mirror is preferred over the host's other one, so that a build
        // against a local mirror does not talk to a second place unasked.
        let derived = || {
            let (url, origin) = main.as_ref()?;
            let stem = url.trim_end_matches('/').strip_suffix("/debian")?;
            Some((format!("{stem}/debian-security"), format!("{origin}, derived")))
        };
        let security = match (security, main_given) {
            (Some(given), _) => Some(given),
            (None, true) => derived().or_else(|| of_host("debian-security")),
            (None, false) => of_host("debian-security").or_else(derived),
        };
        Self {
            main: check(main, "--mirror", "SKERRY_MIRROR"),
            security: check(security, "--security-mirror", "SKERRY_SECURITY_MIRROR"),
        }
    }
}

fn check(found: Option<(String, String)>, option: &'static str, variable: &'static str) -> Result<Mirror, MirrorError> {
    let (url, origin) = found.ok_or(MirrorError::Unknown { option, variable })?;
    let invalid = |detail: String| MirrorError::Invalid { url: url.clone(), origin: origin.clone(), detail };
    let parsed = Url::parse(&url).map_err(|e| invalid(e.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(invalid("not an http or https address".into()));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() || url.contains(char::is_whitespace) {
        return Err(invalid("it has a query, a fragment or a space".into()));
    }
    Ok(Mirror { url: url.trim_end_matches('/').to_string(), origin })
}

/// The host's entries with the files they stand in. Unreadable files are as if
/// they were absent: without a mirror the error says what to do.
fn host_sources(etc_apt: &Path) -> Vec<(Source, String)> {
    let mut files = vec![etc_apt.join("sources.list")];
    if let Ok(entries) = fs::read_dir(etc_apt.join("sources.list.d")) {
        let mut found: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        found.sort();
        files.extend(found);
    }
    let mut out = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let sources = match file.extension().and_then(|e| e.to_str()) {
            Some("list") => parse_one_line(&text),
            Some("sources") => parse_deb822(&text),
            _ => continue,
        };
        let name = file.display().to_string();
        out.extend(sources.into_iter().map(|s| (without_indirection(s), name.clone())));
    }
    out
}

/// `mirror+file:PATH` names a file with mirrors, one per line (apt-transport-
/// mirror(1)); cloud images use it.
fn without_indirection(mut source: Source) -> Source {
    if let Some(path) = source.uri.strip_prefix("mirror+file:") {
        let path = format!("/{}", path.trim_start_matches('/'));
        let first = fs::read_to_string(path).ok().and_then(|text| {
            let lines = text.lines().filter_map(|l| l.split_whitespace().next());
            lines.filter(|l| !l.starts_with('#')).map(Into::into).next()
        });
        source.uri = first.unwrap_or(source.uri);
    }
    source
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn host(text: &str) -> Vec<(Source, String)> {
        parse_one_line(text).into_iter().map(|s| (s, "sources.list".to_string())).collect()
    }

    fn given(url: &str) -> Option<(String, String)> {
        Some((url.into(), "--mirror".into()))
    }

    #[test]
    fn a_given_mirror_wins_and_gives_the_security_mirror() {
        let host = host(
            "deb http://host.example/debian trixie main\ndeb http://host.example/debian-security trixie-security main",
        );
        let m = Mirrors::choose(given("http://mirror.example/debian/"), None, &host);
        assert_eq!(m.of(Archive::Main).unwrap().url, "http://mirror.example/debian");
        assert_eq!(
            m.of(Archive::Security).unwrap().to_string(),
            "http://mirror.example/debian-security (from --mirror, derived)"
        );
    }

    #[test]
    fn a_mirror_without_the_usual_path_leaves_security_to_the_host() {
        let host = host("deb http://host.example/debian-security trixie-security main");
        let m = Mirrors::choose(given("http://mirror.example/archive"), None, &host);
        assert_eq!(m.of(Archive::Security).unwrap().url, "http://host.example/debian-security");
        let m = Mirrors::choose(given("http://mirror.example/archive"), None, &[]);
        assert!(m.of(Archive::Security).unwrap_err().to_string().contains("--security-mirror"));
    }

    #[test]
    fn the_host_is_used_and_named() {
        let host = host("deb http://other.example/ubuntu noble main\ndeb http://host.example/debian trixie main");
        let m = Mirrors::choose(None, None, &host);
        assert_eq!(m.of(Archive::Main).unwrap().to_string(), "http://host.example/debian (from sources.list)");
        assert_eq!(m.of(Archive::Security).unwrap().url, "http://host.example/debian-security");
    }

    #[test]
    fn without_any_the_error_says_what_to_give() {
        let m = Mirrors::choose(None, None, &host("deb http://other.example/ubuntu noble main"));
        let text = m.of(Archive::Main).unwrap_err().to_string();
        assert!(text.contains("--mirror") && text.contains("SKERRY_MIRROR"), "{text}");
    }

    #[test]
    fn addresses_that_are_no_mirrors_are_refused() {
        for bad in [
            "mirror.example/debian",
            "ftp://mirror.example/debian",
            "http://",
            "http://mirror.example/debian?x=1",
            "http://mirror.example/deb ian",
        ] {
            assert!(Mirrors::choose(given(bad), None, &[]).of(Archive::Main).is_err(), "{bad}");
        }
    }

    #[test]
    fn mirror_files_of_cloud_images_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("debian.list");
        fs::write(&list, "# comment\nhttp://cloud.example/debian\tpriority:1\n").unwrap();
        fs::create_dir(dir.path().join("sources.list.d")).unwrap();
        let text = format!("Types: deb\nURIs: mirror+file://{}\nSuites: trixie\nComponents: main\n", list.display());
        fs::write(dir.path().join("sources.list.d/debian.sources"), text).unwrap();
        let m = Mirrors::choose(None, None, &host_sources(dir.path()));
        assert_eq!(m.of(Archive::Main).unwrap().url, "http://cloud.example/debian");
    }
}
