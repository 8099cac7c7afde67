//! Passwords for registries, from the secrets that `imagePullSecrets` name:
//! `kubernetes.io/dockerconfigjson` and the older `kubernetes.io/dockercfg`.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

use crate::reference::Reference;

/// User and password.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Login {
    /// Name.
    pub user: String,
    /// Password or token.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login {{ user: {:?} }}", self.user)
    }
}

/// Why a secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// It is no such document.
    #[error("the secret is not in the form that its type says: {0}")]
    Malformed(String),
    /// It has a kind of password that is not supported.
    #[error(
        "the entry for {0} has an identity token, which is not supported; use a user and a password or access token"
    )]
    IdentityToken(String),
    /// Its `auth` cannot be read.
    #[error("the `auth` of {0} is not USER:PASSWORD in base64")]
    Auth(String),
}

/// Logins by registry or repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keyring {
    /// Most specific entry wins; of equal ones the first.
    entries: Vec<(String, Login)>,
}

#[derive(Deserialize)]
struct ConfigJson {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl Keyring {
    /// One login for everything below `registry` (`HOST[:PORT][/PATH]`).
    pub fn with(registry: &str, login: Login) -> Self {
        Self { entries: vec![(canonical(registry), login)] }
    }

    /// Add `.dockerconfigjson` of a secret.
    ///
    /// # Errors
    /// [`CredentialsError`]; the keyring is as before.
    pub fn add_config_json(&mut self, bytes: &[u8]) -> Result<(), CredentialsError> {
        let config: ConfigJson = parse(bytes)?;
        self.add(config.auths)
    }

    /// Add `.dockercfg` of a secret.
    ///
    /// # Errors
    /// [`CredentialsError`]; the keyring is as before.
    pub fn add_cfg(&mut self, bytes: &[u8]) -> Result<(), CredentialsError> {
        self.add(parse(bytes)?)
    }

    fn add(&mut self, entries: BTreeMap<String, Entry>) -> Result<(), CredentialsError> {
        let mut found = Vec::new();
        for (registry, entry) in entries {
            if let Some(login) = entry.login(&registry)? {
                found.push((canonical(&registry), login));
            }
        }
        self.entries.extend(found);
        Ok(())
    }

    /// Login for an image.
    pub fn login(&self, image: &Reference) -> Option<&Login> {
        let name = canonical(&image.name());
        let mut best: Option<&(String, Login)> = None;
        for entry in self.entries.iter().filter(|(key, _)| covers(key, &name)) {
            if best.is_none_or(|b| entry.0.len() > b.0.len()) {
                best = Some(entry);
            }
        }
        best.map(|(_, login)| login)
    }
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CredentialsError> {
    // The line and column only: the message could quote a password.
    serde_json::from_slice(bytes)
        .map_err(|e| CredentialsError::Malformed(format!("line {} column {}", e.line(), e.column())))
}

impl Entry {
    fn login(self, registry: &str) -> Result<Option<Login>, CredentialsError> {
        if self.identitytoken.is_some_and(|t| !t.is_empty()) {
            return Err(CredentialsError::IdentityToken(registry.into()));
        }
        match (self.username.filter(|u| !u.is_empty()), self.password, self.auth.filter(|a| !a.is_empty())) {
            // As in Kubernetes: `auth` wins.
            (_, _, Some(auth)) => decode(&auth).map(Some).ok_or_else(|| CredentialsError::Auth(registry.into())),
            (Some(user), Some(password), None) => Ok(Some(Login { user, password })),
            _ => Ok(None),
        }
    }
}

fn decode(auth: &str) -> Option<Login> {
    let text = String::from_utf8(BASE64_STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.trim_end_matches('\0').split_once(':')?;
    (!user.is_empty()).then(|| Login { user: user.into(), password: password.into() })
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

/// Is `key` the registry of `name` or a folder above it? A leading `*.` of the
/// key stands for one label of the host, as in Kubernetes.
fn covers(key: &str, name: &str) -> bool {
    let below = |key: &str, name: &str| name.strip_prefix(key).is_some_and(|r| r.is_empty() || r.starts_with('/'));
    match key.strip_prefix("*.") {
        Some(rest) => name.split_once('.').is_some_and(|(label, name)| !label.contains('/') && below(rest, name)),
        None => below(key, name),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn find(keyring: &Keyring, image: &str) -> Option<String> {
        keyring.login(&image.parse().unwrap()).map(|l| format!("{}={}", l.user, l.password))
    }

    #[test]
    fn the_most_specific_entry_counts() {
        let (a, b) = (BASE64_STANDARD.encode("a:1"), BASE64_STANDARD.encode("b:2:3"));
        let mut keyring = Keyring::default();
        let json = format!(
            r#"{{"auths":{{"https://r.lan:5000/v2/":{{"auth":"{a}"}},"r.lan:5000/team":{{"auth":"{b}"}},
                "https://index.docker.io/v1/":{{"username":"hub","password":"p"}},"*.cloud.example":{{"auth":"{a}"}},
                "empty.example":{{}}}}}}"#
        );
        keyring.add_config_json(json.as_bytes()).unwrap();
        for (image, want) in [
            ("r.lan:5000/x", Some("a=1")),
            ("r.lan:5000/team/x", Some("b=2:3")),
            ("r.lan:5000/teamx", Some("a=1")),
            ("r.lan/x", None),
            ("nginx", Some("hub=p")),
            ("eu.cloud.example/x", Some("a=1")),
            ("cloud.example/x", None),
            ("a.b.cloud.example/x", None),
            ("empty.example/x", None),
        ] {
            assert_eq!(find(&keyring, image).as_deref(), want, "{image}");
        }
    }

    #[test]
    fn the_older_form() {
        let mut keyring = Keyring::default();
        keyring.add_cfg(br#"{"r.lan":{"username":"u","password":"p","email":"x@y"}}"#).unwrap();
        assert_eq!(find(&keyring, "r.lan/x").as_deref(), Some("u=p"));
    }

    #[test]
    fn what_cannot_be_used_is_named_and_no_password_is_shown() {
        let mut keyring = Keyring::default();
        for (json, want) in [
            (r#"{"auths":{"r.lan":{"auth":"%geheim%"}}}"#, "`auth` of r.lan"),
            (r#"{"auths":{"r.lan":{"identitytoken":"geheim"}}}"#, "identity token"),
            (r#"{"auths":{"r.lan":{"password":["geheim"]}}}"#, "line 1 column"),
            ("geheim", "line 1 column"),
        ] {
            let said = keyring.add_config_json(json.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(want) && !said.contains("geheim"), "{said}");
        }
        assert_eq!(keyring, Keyring::default());
        let shown = format!("{:?}", Keyring::with("r", Login { user: "u".into(), password: "geheim".into() }));
        assert!(!shown.contains("geheim"), "{shown}");
    }
}
