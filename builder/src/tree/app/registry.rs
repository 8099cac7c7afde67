//! How a registry is reached: protocol, credentials, and what its refusals mean.
//!
//! Credentials lie where container tools keep them: the file that
//! `$REGISTRY_AUTH_FILE` names, or else `auth.json` of podman and skopeo and
//! `config.json` of docker. Only passwords that stand in the file are read;
//! helper programs are not called.

use std::{collections::BTreeMap, error::Error as _, fs, io, net::IpAddr, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use oci_client::{
    client::{ClientConfig, ClientProtocol},
    errors::{OciDistributionError, OciErrorCode},
    secrets::RegistryAuth,
};
use serde::Deserialize;

/// Names registries without TLS, `HOST[:PORT]` separated by commas.
pub const HTTP_REGISTRIES: &str = "SKERRY_HTTP_REGISTRIES";

/// What the machine says about registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryAccess {
    /// The only file of credentials, which must exist.
    pub auth_file: Option<PathBuf>,
    /// Otherwise these, where they exist; the first that knows the registry counts.
    pub auth_files: Vec<PathBuf>,
    /// Registries beside those on this machine that are spoken to without TLS.
    pub http: Vec<String>,
}

impl RegistryAccess {
    /// From the environment.
    pub fn from_env() -> Self {
        Self::from_vars(|name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from))
    }

    fn from_vars(var: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let podman = var("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json"));
        let docker = var("DOCKER_CONFIG").or_else(|| var("HOME").map(|home| home.join(".docker")));
        let http = var(HTTP_REGISTRIES).unwrap_or_default();
        Self {
            auth_file: var("REGISTRY_AUTH_FILE"),
            auth_files: podman.into_iter().chain(docker.map(|dir| dir.join("config.json"))).collect(),
            http: http.to_string_lossy().split(',').map(|h| h.trim().to_string()).filter(|h| !h.is_empty()).collect(),
        }
    }

    /// HTTPS, except to registries on this machine and those named by hand.
    pub fn client_config(&self, registry: &str) -> ClientConfig {
        let plain = is_loopback(registry) || self.http.iter().any(|h| h == registry);
        let protocol = if plain { ClientProtocol::Http } else { ClientProtocol::Https };
        ClientConfig { protocol, ..ClientConfig::default() }
    }

    /// Credentials for a repository, and the file that they come from.
    ///
    /// # Errors
    /// A sentence that begins with the file: it cannot be read, or holds
    /// something for this registry that is not supported.
    pub fn credentials(&self, registry: &str, repository: &str) -> Result<Credentials, String> {
        let files = self.auth_file.as_ref().map_or(&self.auth_files[..], std::slice::from_ref);
        for file in files {
            let bytes = match fs::read(file) {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::NotFound && self.auth_file.is_none() => continue,
                Err(e) => return Err(format!("{}: cannot be read: {e}", file.display())),
            };
            let found = lookup(&bytes, registry, repository).map_err(|why| format!("{}: {why}", file.display()))?;
            let Some((user, password)) = found else { continue };
            if self.http.iter().any(|h| h == registry) && !is_loopback(registry) {
                return Err(format!(
                    "{}: has a password for {registry}, which would go over the network in the clear; \
                     take {registry} out of {HTTP_REGISTRIES} and give it TLS, or remove the password",
                    file.display()
                ));
            }
            return Ok(Credentials::Login { user, password, file: file.clone() });
        }
        Ok(Credentials::None)
    }
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    None,
    /// A user.
    Login {
        /// Name.
        user: String,
        /// Password or token.
        password: String,
        /// Where it stands.
        file: PathBuf,
    },
}

impl Credentials {
    /// As the client wants them.
    pub fn auth(&self) -> RegistryAuth {
        match self {
            Self::None => RegistryAuth::Anonymous,
            Self::Login { user, password, .. } => RegistryAuth::Basic(user.clone(), password.clone()),
        }
    }

    /// What an error of the registry means, and what to do.
    pub fn explain(&self, registry: &str, error: &OciDistributionError) -> String {
        use OciDistributionError as E;
        let unknown = |e: &OciErrorCode| {
            matches!(
                e,
                OciErrorCode::ManifestUnknown
                    | OciErrorCode::NameUnknown
                    | OciErrorCode::NotFound
                    | OciErrorCode::BlobUnknown
            )
        };
        match error {
            E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => self.refused(registry),
            E::RegistryError { envelope, .. }
                if envelope
                    .errors
                    .iter()
                    .any(|e| matches!(e.code, OciErrorCode::Unauthorized | OciErrorCode::Denied)) =>
            {
                self.refused(registry)
            }
            E::RegistryError { envelope, .. } if envelope.errors.iter().any(|e| unknown(&e.code)) => {
                format!("{registry} has nothing with this digest; push the image, or correct the digest in `image`")
            }
            E::ImageManifestNotFoundError(_) | E::ServerError { code: 404, .. } => {
                format!("{registry} has nothing with this digest; push the image, or correct the digest in `image`")
            }
            other => chain(other),
        }
    }

    fn refused(&self, registry: &str) -> String {
        match self {
            Self::None => format!(
                "{registry} asks for a login; run `docker login {registry}`, or name a file with credentials in \
                 REGISTRY_AUTH_FILE"
            ),
            Self::Login { user, file, .. } => format!(
                "{registry} refuses user {user} with the password in {}; log in again, or ask for the right to pull",
                file.display()
            ),
        }
    }
}

/// An error with its causes; the client's messages leave them out.
fn chain(error: &OciDistributionError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let why = e.to_string();
        if !text.contains(&why) {
            text.push_str(": ");
            text.push_str(&why);
        }
        cause = e.source();
    }
    text
}

fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => registry,
    };
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The parts of `config.json` and `auth.json` that matter here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, AuthEntry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct AuthEntry {
    auth: Option<String>,
    identitytoken: Option<String>,
}

/// User and password for a repository: of all entries that match, the longest.
fn lookup(bytes: &[u8], registry: &str, repository: &str) -> Result<Option<(String, String)>, String> {
    let file: AuthFile = serde_json::from_slice(bytes).map_err(|e| format!("is no file of credentials: {e}"))?;
    let whole = format!("{}/{repository}", canonical(registry));
    let matches = |key: &str| {
        let key = canonical(key);
        whole.strip_prefix(&key).is_some_and(|rest| rest.starts_with('/') || rest.is_empty())
    };
    if let Some((_, helper)) = file.cred_helpers.iter().find(|(key, _)| matches(key)) {
        return Err(helper_problem(registry, helper));
    }
    let entry = file.auths.iter().filter(|(key, _)| matches(key)).max_by_key(|(key, _)| canonical(key).len());
    let Some((key, entry)) = entry else { return Ok(None) };
    match (entry.auth.as_deref().filter(|a| !a.is_empty()), &entry.identitytoken, &file.creds_store) {
        (_, Some(token), _) if !token.is_empty() => Err(format!(
            "has an identity token for {key}, which is not supported; use a user and a password or access token"
        )),
        (Some(auth), _, _) => decode(auth)
            .map(Some)
            .ok_or_else(|| format!("the `auth` of {key} is not USER:PASSWORD in base64; log in to it again")),
        // An entry without a password is how docker marks what its store keeps.
        (None, _, Some(store)) => Err(helper_problem(registry, store)),
        (None, _, None) => Ok(None),
    }
}

fn helper_problem(registry: &str, helper: &str) -> String {
    format!(
        "keeps the password for {registry} with the credential helper docker-credential-{helper}, and helpers are not \
         supported; write it into a file of its own (`skopeo login --authfile FILE {registry}`) and set \
         REGISTRY_AUTH_FILE=FILE"
    )
}

fn decode(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64_STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.trim_end_matches('\0').split_once(':')?;
    (!user.is_empty()).then(|| (user.into(), password.into()))
}

/// Without scheme and API version; one name for Docker Hub.
fn canonical(key: &str) -> String {
    let key = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    for alias in ["index.docker.io", "registry-1.docker.io"] {
        if let Some(rest) = key.strip_prefix(alias) {
            return format!("docker.io{rest}");
        }
    }
    key.into()
}

/// Credentials in this file and nowhere else.
#[cfg(test)]
pub(super) fn only(file: &std::path::Path) -> RegistryAccess {
    RegistryAccess { auth_file: Some(file.into()), ..RegistryAccess::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `USER:PASSWORD` of the entry for example.org:5000/team/app, or the problem.
    fn find(json: &str) -> Result<Option<String>, String> {
        Ok(lookup(json.as_bytes(), "example.org:5000", "team/app")?.map(|(u, p)| format!("{u}={p}")))
    }

    #[test]
    fn the_longest_entry_that_matches_counts() {
        let (a, b) = (BASE64_STANDARD.encode("a:1"), BASE64_STANDARD.encode("b:2:3"));
        let cases = [
            (format!(r#"{{"auths":{{"example.org:5000":{{"auth":"{a}"}}}}}}"#), Some("a=1")),
            (format!(r#"{{"auths":{{"https://example.org:5000/v2/":{{"auth":"{a}"}}}}}}"#), Some("a=1")),
            (
                format!(
                    r#"{{"auths":{{"example.org:5000":{{"auth":"{a}"}},"example.org:5000/team":{{"auth":"{b}"}}}}}}"#
                ),
                Some("b=2:3"),
            ),
            (format!(r#"{{"auths":{{"example.org:5000/tea":{{"auth":"{a}"}}}}}}"#), None),
            (format!(r#"{{"auths":{{"example.org":{{"auth":"{a}"}}}}}}"#), None),
            (r#"{"auths":{"example.org:5000":{}}}"#.into(), None),
            (r#"{"credsStore":"desktop","auths":{"other.example":{}}}"#.into(), None),
            ("{}".into(), None),
        ];
        for (json, want) in cases {
            assert_eq!(find(&json).unwrap().as_deref(), want, "{json}");
        }
        let hub = format!(r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{a}"}}}}}}"#);
        assert!(lookup(hub.as_bytes(), "index.docker.io", "library/x").unwrap().is_some());
        assert!(lookup(hub.as_bytes(), "docker.io", "library/x").unwrap().is_some());
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let token = BASE64_STANDARD.encode("<token>:");
        let cases = [
            (r#"{"credHelpers":{"example.org:5000":"ecr-login"}}"#.into(), "docker-credential-ecr-login"),
            (r#"{"credsStore":"desktop","auths":{"example.org:5000":{}}}"#.into(), "docker-credential-desktop"),
            (
                format!(r#"{{"auths":{{"example.org:5000":{{"auth":"{token}","identitytoken":"x"}}}}}}"#),
                "identity token",
            ),
            (r#"{"auths":{"example.org:5000":{"auth":"%%%"}}}"#.into(), "USER:PASSWORD in base64"),
            (r#"{"auths":{"example.org:5000":{"auth":"c2VjcmV0"}}}"#.into(), "USER:PASSWORD in base64"),
            ("[]".into(), "is no file of credentials"),
            ("".into(), "is no file of credentials"),
        ];
        for (json, why) in cases {
            let said = find(&json).unwrap_err();
            assert!(said.contains(why), "{json}: {said}");
            assert!(!said.contains("c2VjcmV0"), "no secret in a message: {said}");
        }
    }

    #[test]
    fn files_are_looked_for_where_container_tools_keep_them() {
        let vars = |list: &'static [(&str, &str)]| {
            RegistryAccess::from_vars(move |n| list.iter().find(|(k, _)| *k == n).map(|(_, v)| v.into()))
        };
        assert_eq!(vars(&[]), RegistryAccess::default());
        assert_eq!(vars(&[("HOME", "/h")]).auth_files, [PathBuf::from("/h/.docker/config.json")]);
        let all = vars(&[
            ("HOME", "/h"),
            ("DOCKER_CONFIG", "/d"),
            ("XDG_RUNTIME_DIR", "/r"),
            ("REGISTRY_AUTH_FILE", "/a"),
            (HTTP_REGISTRIES, "one.lan:5000, two.lan"),
        ]);
        assert_eq!(all.auth_files, [PathBuf::from("/r/containers/auth.json"), PathBuf::from("/d/config.json")]);
        assert_eq!((all.auth_file, all.http), (Some("/a".into()), vec!["one.lan:5000".into(), "two.lan".into()]));
    }

    #[test]
    fn a_named_file_must_be_there_and_others_need_not() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none.json");
        let error = only(&missing).credentials("example.org", "x").err().unwrap();
        assert!(error.contains("none.json: cannot be read"), "{error}");
        let access = RegistryAccess { auth_files: vec![missing], ..RegistryAccess::default() };
        assert!(access.credentials("example.org", "x").unwrap() == Credentials::None);
    }

    #[test]
    fn without_tls_only_here_or_where_told_and_never_with_a_password() {
        let plain = |access: &RegistryAccess, r: &str| matches!(access.client_config(r).protocol, ClientProtocol::Http);
        let none = RegistryAccess::default();
        for (registry, want) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.8.8.8", true),
            ("[::1]:5000", true),
            ("localhost.example", false),
            ("127.0.0.1.example:5000", false),
            ("registry.lan:5000", false),
        ] {
            assert_eq!(plain(&none, registry), want, "{registry}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("auth.json");
        let auth = BASE64_STANDARD.encode("a:geheim");
        fs::write(&file, format!(r#"{{"auths":{{"registry.lan:5000":{{"auth":"{auth}"}}}}}}"#)).unwrap();
        let told = RegistryAccess { http: vec!["registry.lan:5000".into()], ..only(&file) };
        assert!(plain(&told, "registry.lan:5000") && !plain(&told, "registry.lan"));
        let error = told.credentials("registry.lan:5000", "x").err().unwrap();
        assert!(error.contains("in the clear") && !error.contains("geheim"), "{error}");
    }
}
