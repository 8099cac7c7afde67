//! A registry over HTTP (OCI distribution-spec v1.1, pull only).

use std::{net::IpAddr, time::Duration};

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header};
use skerry_formats::Sha256Digest;
use tokio::sync::Mutex;

use crate::{
    auth::{Challenge, TokenAnswer, challenge},
    credentials::{Keyring, Login},
    document::{DOCUMENT_BYTES_MAX, MANIFEST_TYPES},
    reference::Reference,
};

/// Time to get a connection.
const CONNECT_SECS_MAX: u64 = 20;
/// Time without a single byte after which an answer counts as lost.
const SILENCE_SECS_MAX: u64 = 30;
/// Redirects that are followed: blobs often lie in another store.
const REDIRECTS_MAX: usize = 5;
/// Largest answer of a token server.
const TOKEN_BYTES_MAX: u64 = 1 << 20;

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    /// Registries beside those on this machine that are spoken to without TLS,
    /// `HOST[:PORT]`. They never get a password.
    pub plain_http: Vec<String>,
    /// Certificates in PEM that are trusted beside the system's.
    pub extra_roots: Vec<u8>,
}

/// Why a registry gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No HTTP client can be made.
    #[error("cannot set up TLS")]
    Setup(#[source] reqwest::Error),
    /// No connection, a broken or a silent one.
    #[error("{host} cannot be reached")]
    Network {
        /// Registry.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It wants a login and there is none.
    #[error("{host} asks for a login; name a secret for it in imagePullSecrets")]
    LoginNeeded {
        /// Registry.
        host: String,
    },
    /// It does not accept the login.
    #[error("{host} refuses user {user:?}; check the password in the secret and the right to pull {repository}")]
    LoginRefused {
        /// Registry.
        host: String,
        /// User.
        user: String,
        /// Repository.
        repository: String,
    },
    /// A login would go over the network in the clear.
    #[error(
        "there is a password for {host}, which is spoken to without TLS; it is not sent. Give {host} TLS or remove the password"
    )]
    InTheClear {
        /// Registry or token server.
        host: String,
    },
    /// It asks for a login in a way that is not supported.
    #[error("{host} asks for a login in a way that is not supported: {detail}")]
    Challenge {
        /// Registry.
        host: String,
        /// What it said.
        detail: String,
    },
    /// There is no such image, or not for this user.
    #[error("{what} is not there, or not for us")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// Some other status.
    #[error("{host} answered {status}")]
    Status {
        /// Registry.
        host: String,
        /// Its answer.
        status: StatusCode,
    },
    /// A web page.
    #[error("{host} answered with a web page; is there a captive portal in between?")]
    Html {
        /// Registry.
        host: String,
    },
    /// More bytes than allowed or said.
    #[error("{what} is longer than {allowed} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// Bytes allowed.
        allowed: u64,
    },
    /// The answers end too early, again and again.
    #[error("{what} broke off after {have} of {expected} bytes")]
    Short {
        /// What.
        what: String,
        /// Bytes that are here.
        have: u64,
        /// Bytes that it has.
        expected: u64,
    },
    /// Other content than asked for.
    #[error("{what} has other content than its digest says")]
    Digest {
        /// What.
        what: String,
    },
}

impl RegistryError {
    /// Is the link or the server away, rather than its content wrong?
    pub fn is_network(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Html { .. } | Self::Short { .. } => true,
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            _ => false,
        }
    }
}

/// Clients for registries; cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Never leaves TLS, not by a redirect either.
    secure: Client,
    plain: Client,
    plain_http: Vec<String>,
}

impl Registry {
    /// Make the clients.
    ///
    /// # Errors
    /// [`RegistryError::Setup`]: certificates that are none.
    pub fn new(options: &RegistryOptions) -> Result<Self, RegistryError> {
        let roots = reqwest::Certificate::from_pem_bundle(&options.extra_roots).map_err(RegistryError::Setup)?;
        let builder = || {
            Client::builder()
                .user_agent(concat!("skerry/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(Duration::from_secs(CONNECT_SECS_MAX))
                .read_timeout(Duration::from_secs(SILENCE_SECS_MAX))
                .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
                .pool_max_idle_per_host(1)
                .pool_idle_timeout(Duration::from_secs(30))
                .tls_certs_merge(roots.clone())
        };
        let plain = builder().build().map_err(RegistryError::Setup)?;
        let secure = builder().https_only(true).build().map_err(RegistryError::Setup)?;
        Ok(Self { secure, plain, plain_http: options.plain_http.clone() })
    }

    /// Begin to pull an image with the login that the keyring has for it.
    pub fn session<'a>(&'a self, image: &'a Reference, keyring: &'a Keyring) -> Session<'a> {
        Session { registry: self, image, login: keyring.login(image), authorization: Mutex::new(None) }
    }

    fn is_plain(&self, host: &str) -> bool {
        is_loopback(host) || self.plain_http.iter().any(|h| h == host)
    }
}

/// One image of one registry, with what the registry wants to see.
#[derive(Debug)]
pub struct Session<'a> {
    registry: &'a Registry,
    image: &'a Reference,
    login: Option<&'a Login>,
    /// Value of the header `Authorization`, once it was asked for.
    authorization: Mutex<Option<header::HeaderValue>>,
}

impl Session<'_> {
    /// A manifest or index by tag or digest. What was asked for by digest is
    /// compared with it.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn manifest(&self, wanted: &str) -> Result<Vec<u8>, RegistryError> {
        let what = format!("{}:{wanted}", self.image.name());
        let request = |c: &Client, u: Url| c.get(u).header(header::ACCEPT, MANIFEST_TYPES);
        let response = self.get(&format!("manifests/{wanted}"), &what, request).await?;
        let is_html = |v: &header::HeaderValue| v.to_str().is_ok_and(|t| t.starts_with("text/html"));
        if response.headers().get(header::CONTENT_TYPE).is_some_and(is_html) {
            return Err(RegistryError::Html { host: self.host() });
        }
        let bytes = self.whole(response, &what, DOCUMENT_BYTES_MAX).await?;
        match wanted.strip_prefix("sha256:") {
            Some(hex) if Sha256Digest::of(&bytes).to_hex() != hex => Err(RegistryError::Digest { what }),
            _ => Ok(bytes),
        }
    }

    /// A small blob, compared with its digest.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn document(&self, digest: &Sha256Digest) -> Result<Vec<u8>, RegistryError> {
        let what = self.blob_name(digest);
        let response = self.get(&format!("blobs/sha256:{digest}"), &what, |c, u| c.get(u)).await?;
        let bytes = self.whole(response, &what, DOCUMENT_BYTES_MAX).await?;
        if Sha256Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(RegistryError::Digest { what }) }
    }

    /// Start to read a blob at a place. The status tells whether it is read from
    /// there (206), from its beginning (200), or not at all (416).
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn blob(&self, digest: &Sha256Digest, from: u64) -> Result<Response, RegistryError> {
        let request = |c: &Client, u: Url| match from {
            0 => c.get(u),
            _ => c.get(u).header(header::RANGE, format!("bytes={from}-")),
        };
        self.get(&format!("blobs/sha256:{digest}"), &self.blob_name(digest), request).await
    }

    /// For messages.
    pub fn blob_name(&self, digest: &Sha256Digest) -> String {
        format!("{}@sha256:{digest}", self.image.name())
    }

    /// A broken connection, as an error.
    pub fn broken(&self, source: reqwest::Error) -> RegistryError {
        RegistryError::Network { host: self.host(), source: source.without_url() }
    }

    fn host(&self) -> String {
        self.image.host().into()
    }

    async fn get(
        &self,
        path: &str,
        what: &str,
        request: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let plain = self.registry.is_plain(self.image.host());
        let (scheme, client) = if plain { ("http", &self.registry.plain) } else { ("https", &self.registry.secure) };
        let text = format!("{scheme}://{}/v2/{}/{path}", self.image.host(), self.image.repository);
        let url = Url::parse(&text).map_err(|_| RegistryError::NotFound { what: what.into() })?;
        let mut asked = false;
        loop {
            let mut request = request(client, url.clone());
            if let Some(value) = self.authorization.lock().await.clone() {
                request = request.header(header::AUTHORIZATION, value);
            }
            let response = request.send().await.map_err(|e| self.broken(e))?;
            match response.status() {
                StatusCode::UNAUTHORIZED if !asked => {
                    asked = true;
                    self.authorize(&response).await?;
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.refused()),
                StatusCode::NOT_FOUND => return Err(RegistryError::NotFound { what: what.into() }),
                s if s.is_success() || s == StatusCode::RANGE_NOT_SATISFIABLE => return Ok(response),
                status => return Err(RegistryError::Status { host: self.host(), status }),
            }
        }
    }

    fn refused(&self) -> RegistryError {
        match self.login {
            None => RegistryError::LoginNeeded { host: self.host() },
            Some(login) => RegistryError::LoginRefused {
                host: self.host(),
                user: login.user.clone(),
                repository: self.image.repository.clone(),
            },
        }
    }

    /// Do what the registry asks for.
    async fn authorize(&self, response: &Response) -> Result<(), RegistryError> {
        let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
        let headers: Vec<&str> = headers.iter().filter_map(|v| v.to_str().ok()).collect();
        let unsupported = |detail: String| RegistryError::Challenge { host: self.host(), detail };
        let value = match challenge(headers.iter().copied()) {
            None => return Err(unsupported(headers.join("; ").chars().take(200).collect())),
            Some(Challenge::Basic) => {
                let login = self.login.ok_or_else(|| self.refused())?;
                self.check_clear(self.image.host())?;
                basic(login)
            }
            Some(Challenge::Bearer { realm, service, scope }) => {
                let mut url = Url::parse(&realm).map_err(|_| unsupported(format!("realm {realm:?} is no URL")))?;
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.image.repository));
                url.query_pairs_mut().append_pair("scope", &scope);
                if let Some(service) = service {
                    url.query_pairs_mut().append_pair("service", &service);
                }
                format!("Bearer {}", self.token(url).await?)
            }
        };
        let mut value = header::HeaderValue::from_str(&value).map_err(|_| unsupported("unprintable token".into()))?;
        value.set_sensitive(true);
        *self.authorization.lock().await = Some(value);
        Ok(())
    }

    async fn token(&self, url: Url) -> Result<String, RegistryError> {
        let host = host_of(&url);
        let plain = url.scheme() == "http";
        if plain && !self.registry.is_plain(&host) {
            let detail = format!("its token server {host} has no TLS");
            return Err(RegistryError::Challenge { host: self.host(), detail });
        }
        let client = if plain { &self.registry.plain } else { &self.registry.secure };
        let mut request = client.get(url);
        if let Some(login) = self.login {
            if plain {
                self.check_clear(&host)?;
            }
            request = request.header(header::AUTHORIZATION, basic(login));
        }
        let response =
            request.send().await.map_err(|e| RegistryError::Network { host: host.clone(), source: e.without_url() })?;
        match response.status() {
            s if s.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.refused()),
            status => return Err(RegistryError::Status { host, status }),
        }
        let bytes = self.whole(response, "the answer of the token server", TOKEN_BYTES_MAX).await?;
        let answer: Option<TokenAnswer> = serde_json::from_slice(&bytes).ok();
        answer.and_then(TokenAnswer::token).ok_or_else(|| RegistryError::Challenge {
            host: self.host(),
            detail: format!("its token server {host} gave no token"),
        })
    }

    /// Refuse to send a password over the network in the clear.
    fn check_clear(&self, host: &str) -> Result<(), RegistryError> {
        let clear = self.registry.is_plain(host) && !is_loopback(host);
        if clear { Err(RegistryError::InTheClear { host: host.into() }) } else { Ok(()) }
    }

    async fn whole(&self, mut response: Response, what: &str, allowed: u64) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.broken(e))? {
            if (bytes.len() + chunk.len()) as u64 > allowed {
                return Err(RegistryError::TooLarge { what: what.into(), allowed });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

fn basic(login: &Login) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", login.user, login.password)))
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
}

/// Is `HOST[:PORT]` this machine?
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => registry,
    };
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        let registry = Registry::new(&RegistryOptions { plain_http: vec!["r.lan:5000".into()], ..Default::default() });
        let registry = registry.unwrap();
        for (host, want) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("[::1]:5000", true),
            ("r.lan:5000", true),
            ("r.lan", false),
            ("localhost.example", false),
            ("127.0.0.1.example:5000", false),
            ("registry-1.docker.io", false),
        ] {
            assert_eq!(registry.is_plain(host), want, "{host}");
        }
        let login = Login { user: "u".into(), password: "geheim".into() };
        for (image, clear) in [("r.lan:5000/a", true), ("localhost:5000/a", false), ("x.example/a", false)] {
            let (image, keyring) = (image.parse().unwrap(), Keyring::with(image, login.clone()));
            let session = registry.session(&image, &keyring);
            let refused = session.check_clear(image.host());
            assert_eq!(matches!(refused, Err(RegistryError::InTheClear { .. })), clear, "{image}");
            assert!(!format!("{refused:?}{session:?}").contains("geheim"));
        }
    }

    #[test]
    fn certificates_that_are_none_are_refused() {
        let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        assert!(Registry::new(&RegistryOptions { extra_roots: pem, ..Default::default() }).is_err());
    }
}
