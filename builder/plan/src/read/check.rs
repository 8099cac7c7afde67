//! Checks of single strings.

use std::net::SocketAddr;

/// A line of text that is not empty.
pub(crate) fn line(s: &str) -> Result<(), String> {
    if s.trim().is_empty() || s.contains(char::is_control) {
        Err("must be one line that is not empty".into())
    } else {
        Ok(())
    }
}

fn name_up_to(s: &str, max: usize) -> Result<(), String> {
    let good = s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let ends = |s: &str| !s.starts_with('-') && !s.ends_with('-');
    if s.is_empty() || s.len() > max || !good || !ends(s) {
        return Err(format!("must be 1 to {max} characters of a-z, 0-9 and -, not beginning or ending with -"));
    }
    Ok(())
}

/// Product, channel and board names.
pub(crate) fn name40(s: &str) -> Result<(), String> {
    name_up_to(s, 40)
}

/// App and check names: DNS labels.
pub(crate) fn name63(s: &str) -> Result<(), String> {
    name_up_to(s, 63)
}

/// A version for people.
pub(crate) fn version(s: &str) -> Result<(), String> {
    let good = s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~-".contains(&b));
    if s.is_empty() || s.len() > 40 || !good {
        return Err("must be 1 to 40 characters of A-Z, a-z, 0-9 and ._+~-".into());
    }
    Ok(())
}

/// A Debian suite: a codename or `CODENAME-backports` and the like.
pub(crate) fn suite(s: &str) -> Result<(), String> {
    name_up_to(s, 40).map_err(|_| "must be the name of a Debian suite, such as trixie".into())
}

/// A Debian package name (Debian policy 5.6.1).
pub(crate) fn package(s: &str) -> Result<(), String> {
    let good = s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    let first = s.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if s.len() < 2 || !good || !first {
        return Err("must be the name of a Debian package: a-z, 0-9 and +-.".into());
    }
    Ok(())
}

/// A path that stays below the spec's folder or is absolute.
pub(crate) fn path(s: &str) -> Result<(), String> {
    if s.is_empty() || s.contains('\0') { Err("must be a path".into()) } else { Ok(()) }
}

/// A board: its name or the path of its file.
pub(crate) fn board(s: &str) -> Result<(), String> {
    if s.ends_with(".toml") {
        return path(s);
    }
    // Debian writes x86_64, so board names may carry an underscore.
    name_up_to(&s.replace('_', "-"), 40)
        .map_err(|_| "must be the name of a board, or the path of a board file ending in .toml".into())
}

/// A glob over relative paths.
pub(crate) fn glob(s: &str) -> Result<(), String> {
    if s.is_empty() || s.starts_with('/') || s.split('/').any(|p| p == "..") {
        return Err("must be a pattern relative to the root, such as usr/bin/ethtool".into());
    }
    globset::GlobBuilder::new(s)
        .literal_separator(true)
        .build()
        .map(|_| ())
        .map_err(|e| format!("not a valid pattern: {}", e.kind()))
}

/// Base URL of an update repository.
pub(crate) fn http_url(s: &str) -> Result<(), String> {
    let url = url::Url::parse(s).map_err(|e| format!("not a URL: {e}; write http://HOST/PATH or https://HOST/PATH"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("must begin with http:// or https:// and name a host".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or fragment".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not carry credentials: everyone with the image could read them".into());
    }
    Ok(())
}

/// URL of a health check.
pub(crate) fn check_url(s: &str) -> Result<(), String> {
    match url::Url::parse(s) {
        Ok(url) if url.scheme() == "http" && url.host_str().is_some() => Ok(()),
        Ok(_) => Err("must begin with http:// and name a host".into()),
        Err(e) => Err(format!("not a URL: {e}; write http://HOST:PORT/PATH")),
    }
}

/// `ADDRESS:PORT`.
pub(crate) fn listen(s: &str) -> Result<(), String> {
    s.parse::<SocketAddr>().map(|_| ()).map_err(|_| "must be ADDRESS:PORT, such as 0.0.0.0:9180 or [::]:9180".into())
}

/// Role of a user of the node's Kubernetes API.
pub(crate) fn role(s: &str) -> Result<(), String> {
    match s {
        "admin" | "deploy" | "view" => Ok(()),
        _ => Err("must be admin, deploy or view".into()),
    }
}

/// One kernel argument; those that the builder sets itself are refused.
pub(crate) fn kernel_arg(s: &str) -> Result<(), String> {
    if s.is_empty() || s.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("must be one kernel argument without spaces".into());
    }
    let key = s.split('=').next().unwrap_or(s);
    if matches!(key, "composefs" | "root" | "init" | "rdinit" | "panic" | "gpt") || key.starts_with("skerry.") {
        return Err(format!("{key} is set by the builder; remove it"));
    }
    Ok(())
}

/// An image reference; digests are looked at where the whole app is known.
pub(crate) fn image(s: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    if s.is_empty() || s.len() > 255 || !s.bytes().all(allowed) || s.starts_with(['/', ':', '@']) {
        return Err("must be an image reference, such as registry.example/app@sha256:…".into());
    }
    Ok(())
}

/// A registry, as image references name it.
pub(crate) fn registry(s: &str) -> Result<(), String> {
    let host = match s.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => s,
    };
    if url::Url::parse(&format!("http://{host}/")).is_ok_and(|u| u.host_str() == Some(host)) {
        Ok(())
    } else {
        Err("must be HOST or HOST:PORT, such as registry.lan:5000, in lower case".into())
    }
}

/// `x86_64` or `aarch64`.
pub(crate) fn arch(s: &str) -> Result<(), String> {
    if matches!(s, "x86_64" | "aarch64") { Ok(()) } else { Err("must be x86_64 or aarch64".into()) }
}

/// `main` or `security`.
pub(crate) fn archive(s: &str) -> Result<(), String> {
    if matches!(s, "main" | "security") { Ok(()) } else { Err("must be main or security".into()) }
}

/// 64 lower-case hex characters.
pub(crate) fn sha256(s: &str) -> Result<(), String> {
    s.parse::<skerry_formats::Sha256Digest>().map(|_| ()).map_err(|_| "must be 64 lower-case hex characters".into())
}

/// Path of a package below the archive's root.
pub(crate) fn pool_path(s: &str) -> Result<(), String> {
    let plain = s.split('/').all(|p| !p.is_empty() && p != "." && p != "..") && !s.contains(['\\', '?', '#', ' ']);
    if s.starts_with("pool/") && s.ends_with(".deb") && plain {
        return Ok(());
    }
    Err("must be a path of the form pool/….deb".into())
}
