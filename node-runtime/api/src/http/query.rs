//! The part of an address behind the `?`.

use skerry_machinery::ApiError;
use skerry_store::{FieldValidation, WriteOptions};

/// Parameters in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// Parameters of lists and watches (apimachinery `ListOptions`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// `labelSelector`.
    pub labels: String,
    /// `fieldSelector`.
    pub fields: String,
    /// `limit`; `None`: all.
    pub limit: Option<usize>,
    /// `continue`.
    pub cont: Option<String>,
    /// `resourceVersion`; empty and absent are the same.
    pub version: Option<u64>,
    /// `resourceVersionMatch`.
    pub version_match: Option<VersionMatch>,
    /// `watch`.
    pub watch: bool,
    /// `allowWatchBookmarks`.
    pub bookmarks: bool,
    /// `sendInitialEvents`.
    pub initial: Option<bool>,
    /// `timeoutSeconds`.
    pub timeout_secs: Option<u64>,
}

/// `resourceVersionMatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionMatch {
    /// `Exact`
    Exact,
    /// `NotOlderThan`
    NotOlderThan,
}

impl Query {
    /// Parse; broken escapes are taken as they are.
    pub fn parse(text: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        Self(pairs.map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
    }

    /// The first value of a parameter that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// All values.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// Is it there at all, even without value?
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(k, _)| k == name)
    }

    /// A switch: absent, or what Go's `strconv.ParseBool` and Kubernetes take.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.get(name) {
            None if self.has(name) => Ok(Some(true)),
            None => Ok(None),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
            Some(value) => Err(bad(name, value, "true or false")),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let number = |value: &str| value.parse().map_err(|_| bad(name, value, "a number that is not negative"));
        self.get(name).map(number).transpose()
    }

    /// Parameters of a list or a watch.
    ///
    /// # Errors
    /// 400, naming the parameter.
    pub fn list(&self) -> Result<ListQuery, ApiError> {
        let text = |name: &str| self.get(name).unwrap_or_default().to_string();
        let version_match = match self.get("resourceVersionMatch") {
            None => None,
            Some("Exact") => Some(VersionMatch::Exact),
            Some("NotOlderThan") => Some(VersionMatch::NotOlderThan),
            Some(value) => return Err(bad("resourceVersionMatch", value, "Exact or NotOlderThan")),
        };
        let list = ListQuery {
            labels: text("labelSelector"),
            fields: text("fieldSelector"),
            limit: self.number("limit")?.filter(|n| *n > 0).map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
            cont: self.get("continue").map(str::to_string),
            version: self.number("resourceVersion")?,
            version_match,
            watch: self.flag("watch")?.unwrap_or(false),
            bookmarks: self.flag("allowWatchBookmarks")?.unwrap_or(false),
            initial: self.flag("sendInitialEvents")?,
            timeout_secs: self.number("timeoutSeconds")?.filter(|n| *n > 0),
        };
        list.check()?;
        Ok(list)
    }

    /// Parameters of a write.
    ///
    /// # Errors
    /// 400, naming the parameter.
    pub fn write(&self, user: &str, agent: &str) -> Result<WriteOptions, ApiError> {
        let field_validation = match self.get("fieldValidation") {
            // Kubernetes' default.
            None | Some("Warn") => FieldValidation::Warn,
            Some("Strict") => FieldValidation::Strict,
            Some("Ignore") => FieldValidation::Ignore,
            Some(value) => return Err(bad("fieldValidation", value, "Strict, Warn or Ignore")),
        };
        // Without a name it is the program's (apiserver managerOrUserAgent).
        let program = agent.split(['/', ' ']).next().unwrap_or_default();
        let manager = self.get("fieldManager").unwrap_or(program);
        if manager.chars().count() > 128 || !manager.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
            return Err(bad("fieldManager", manager, "at most 128 printable characters"));
        }
        Ok(WriteOptions {
            dry_run: self.dry_run()?,
            field_manager: manager.to_string(),
            field_validation,
            user: user.to_string(),
        })
    }

    /// `dryRun=All`.
    ///
    /// # Errors
    /// 400 for another value.
    pub fn dry_run(&self) -> Result<bool, ApiError> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(value) => Err(bad("dryRun", value, "All")),
        }
    }
}

impl ListQuery {
    /// Combinations that make no sense (apimachinery ValidateListOptions).
    fn check(&self) -> Result<(), ApiError> {
        let refuse = |why: &str| Err(ApiError::bad_request(why));
        if self.initial.is_some() && !self.watch {
            return refuse("sendInitialEvents: is forbidden for list");
        }
        if self.initial.is_some() && self.version_match != Some(VersionMatch::NotOlderThan) {
            return refuse("resourceVersionMatch: must be NotOlderThan when sendInitialEvents is given");
        }
        if self.watch {
            if self.version_match.is_some() && self.initial.is_none() {
                return refuse("resourceVersionMatch: is forbidden for watch unless sendInitialEvents is provided");
            }
            return Ok(());
        }
        if self.cont.is_some() && self.version_match.is_some() {
            return refuse("resourceVersionMatch: is forbidden when continue is provided");
        }
        if self.cont.is_some() && self.version.is_some_and(|v| v != 0) {
            return refuse("resourceVersion: is forbidden when continue is provided");
        }
        match (self.version_match, self.version) {
            (Some(_), None) => refuse("resourceVersionMatch: is forbidden unless resourceVersion is provided"),
            (Some(VersionMatch::Exact), Some(0)) => {
                refuse("resourceVersionMatch: Exact is forbidden for resourceVersion 0")
            }
            _ => Ok(()),
        }
    }
}

fn bad(name: &str, value: &str, wanted: &str) -> ApiError {
    ApiError::bad_request(format!("{name}={value:?}: want {wanted}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lists() {
        for (query, ok) in [
            ("", true),
            ("limit=500&resourceVersion=0", true),
            ("limit=-1", false),
            ("resourceVersion=abc", false),
            ("watch=1&resourceVersion=7&allowWatchBookmarks=true", true),
            ("watch=maybe", false),
            ("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=", true),
            ("watch=1&sendInitialEvents=true", false),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", false),
            ("watch=1&resourceVersionMatch=Exact", false),
            ("resourceVersionMatch=Exact&resourceVersion=0", false),
            ("resourceVersionMatch=Exact&resourceVersion=5", true),
            ("resourceVersionMatch=Exact", false),
            ("continue=x&resourceVersion=5", false),
        ] {
            assert_eq!(Query::parse(Some(query)).list().is_ok(), ok, "{query}");
        }
    }

    #[test]
    fn writes() {
        let options = |q: &str| Query::parse(Some(q)).write("ann", "kubectl/v1.32.3 (linux/amd64)");
        assert_eq!(options("").unwrap().field_manager, "kubectl");
        assert_eq!(options("fieldManager=a%20b").unwrap().field_manager, "a b");
        assert_eq!(options("fieldValidation=Strict").unwrap().field_validation, FieldValidation::Strict);
        assert_eq!(options("").unwrap().field_validation, FieldValidation::Warn);
        assert!(options("dryRun=All").unwrap().dry_run);
        assert!(options("dryRun=Some").is_err());
        assert!(options("fieldValidation=strict").is_err());
        assert!(options("fieldManager=%00").is_err());
    }
}
