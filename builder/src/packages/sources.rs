//! Reads apt's source lists, to find the mirror that this host already trusts
//! with its own packages. Pure: text in, entries out.
//!
//! Source: sources.list(5), one-line and deb822 forms.

/// One archive of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// URI as written, without a trailing slash.
    pub uri: String,
    /// Suites.
    pub suites: Vec<String>,
    /// Components.
    pub components: Vec<String>,
    /// `Signed-By`, if it is given.
    pub signed_by: Option<String>,
}

/// Entries for binary packages in the one-line form (`*.list`).
pub fn parse_one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(one_line).collect()
}

fn one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb").filter(|r| r.starts_with(char::is_whitespace))?.trim_start();
    let mut signed_by = None;
    if let Some(options) = rest.strip_prefix('[') {
        let (options, after) = options.split_once(']')?;
        signed_by = options.split_whitespace().find_map(|o| o.strip_prefix("signed-by=")).map(Into::into);
        rest = after;
    }
    let mut words = rest.split_whitespace();
    let uri = words.next()?.trim_end_matches('/').to_string();
    let suites = vec![words.next()?.to_string()];
    Some(Source { uri, suites, components: words.map(Into::into).collect(), signed_by })
}

/// Entries for binary packages in the deb822 form (`*.sources`).
pub fn parse_deb822(text: &str) -> Vec<Source> {
    let text: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    text.split(|l| l.trim().is_empty()).flat_map(stanza).collect()
}

fn stanza(lines: &[&str]) -> Vec<Source> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        match (line.starts_with([' ', '\t']), line.split_once(':')) {
            (true, _) => {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            }
            (false, Some((key, value))) => fields.push((key.trim().to_ascii_lowercase(), value.trim().into())),
            (false, None) => {}
        }
    }
    let get = |name: &str| fields.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    let words = |name: &str| -> Vec<String> { get(name).unwrap_or("").split_whitespace().map(Into::into).collect() };
    let off = get("enabled").is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "no" | "false" | "0" | "off"));
    if off || !words("types").iter().any(|t| t == "deb") {
        return Vec::new();
    }
    let source = |uri: String| Source {
        uri: uri.trim_end_matches('/').into(),
        suites: words("suites"),
        components: words("components"),
        signed_by: get("signed-by").map(Into::into),
    };
    words("uris").into_iter().map(source).collect()
}

impl Source {
    /// Is this the Debian archive whose folder on mirrors is called `folder`
    /// (`debian` or `debian-security`)? Archives of others, whose paths often
    /// end in `/debian` too, are told apart by their key and component; a wrong
    /// guess fails later at the signature.
    pub fn is_debian(&self, folder: &str) -> bool {
        let key = self.signed_by.as_deref().map(|k| k.rsplit('/').next().unwrap_or(k));
        self.components.iter().any(|c| c == "main")
            && self.uri.split('/').any(|part| part == folder)
            && key.is_none_or(|k| k.starts_with("debian-archive"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_forms() {
        let text = "\
# a comment
deb http://mirror.example/debian/ bookworm main contrib # trailing
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/other.gpg] https://other.example/linux/debian bookworm main
deb [ signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] http://mirror.example/debian-security bookworm-security main
deb cdrom:[Debian]/ bookworm main
debx nonsense
";
        let found = parse_one_line(text);
        assert_eq!(found.len(), 4);
        assert_eq!(found[0].uri, "http://mirror.example/debian");
        assert_eq!(found[0].components, ["main", "contrib"]);
        let main: Vec<bool> = found.iter().map(|s| s.is_debian("debian")).collect();
        assert_eq!(main, [true, false, false, false]);
        let security: Vec<bool> = found.iter().map(|s| s.is_debian("debian-security")).collect();
        assert_eq!(security, [false, false, true, false]);
    }

    #[test]
    fn deb822_forms() {
        let text = "\
Types: deb deb-src
# a comment inside
URIs: http://mirror.example/debian
  http://second.example/debian/
Suites: trixie trixie-updates
Components: main non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: trixie
Components: main

Types: deb-src
URIs: http://src.example/debian
Suites: trixie
Components: main

Types: deb
URIs: https://other.example/debian
Suites: stable
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
";
        let found = parse_deb822(text);
        let uris: Vec<&str> = found.iter().map(|s| s.uri.as_str()).collect();
        assert_eq!(
            uris,
            ["http://mirror.example/debian", "http://second.example/debian", "https://other.example/debian"]
        );
        assert_eq!(found[0].suites, ["trixie", "trixie-updates"]);
        let main: Vec<bool> = found.iter().map(|s| s.is_debian("debian")).collect();
        assert_eq!(main, [true, true, false]);
    }

    #[test]
    fn ubuntu_is_not_debian() {
        let found = parse_one_line("deb http://mirror.example/ubuntu noble main restricted");
        assert!(!found[0].is_debian("debian"));
    }
}
