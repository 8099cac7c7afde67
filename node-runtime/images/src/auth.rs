//! What a registry wants to see before it gives anything: the challenge in
//! `WWW-Authenticate` (RFC 9110, 11.6.1) and the answers of token servers
//! (distribution project, "Token Authentication Specification").

use serde::Deserialize;

/// How to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token from somewhere.
    Bearer {
        /// URL of the token server.
        realm: String,
        /// Name of the registry there.
        service: Option<String>,
        /// What the token must allow.
        scope: Option<String>,
    },
}

/// The best challenge of some headers; `None`: none that is known.
pub fn challenge<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut found: Vec<_> = headers.filter_map(one).collect();
    found.sort_by_key(|c| *c == Challenge::Basic);
    found.into_iter().next()
}

fn one(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameters = parameters(rest);
    let get = |name: &str| parameters.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone());
    Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
}

/// `name=token` and `name="quoted string"`, separated by commas.
fn parameters(mut text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_string();
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => rest.split_once(',').map_or((rest.trim().to_string(), ""), |(v, r)| (v.trim().to_string(), r)),
        };
        found.push((name, value));
        text = rest;
    }
    found
}

fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// Answer of a token server.
#[derive(Deserialize)]
pub struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl TokenAnswer {
    /// The token, under either name.
    pub fn token(self) -> Option<String> {
        self.token.or(self.access_token).filter(|t| !t.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let own = |s: Option<&str>| s.map(String::from);
        Some(Challenge::Bearer { realm: realm.into(), service: own(service), scope: own(scope) })
    }

    #[test]
    fn challenges() {
        for (headers, want) in [
            (&["Basic realm=\"x\""][..], Some(Challenge::Basic)),
            (&["basic"], Some(Challenge::Basic)),
            (
                &["Bearer realm=\"https://a/t\",service=\"r\",scope=\"repository:a/b:pull,push\""],
                bearer("https://a/t", Some("r"), Some("repository:a/b:pull,push")),
            ),
            (&["bearer realm=https://a/t , service=r"], bearer("https://a/t", Some("r"), None)),
            (&["Bearer realm=\"a\\\"b\""], bearer("a\"b", None, None)),
            (&["Basic realm=x", "Bearer realm=\"y\""], bearer("y", None, None)),
            (&["Negotiate", "Bearer service=\"no realm\""], None),
            (&[], None),
        ] {
            assert_eq!(challenge(headers.iter().copied()), want, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(header in "[Bb]earer \\PC{0,60}") {
            let _ = challenge([header.as_str()].into_iter());
        }
    }
}
