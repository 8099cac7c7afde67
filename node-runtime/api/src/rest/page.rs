//! Lists in pieces. All pieces show the same moment: a later state is turned
//! back with the store's history.
//!
//! The token of the next piece holds the moment and the last object sent; the
//! server keeps nothing between requests.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use skerry_machinery::{ApiError, Key, Reason, Stored};

use super::{objects, read::Filter};
use crate::{
    Api,
    http::{ListQuery, Place, VersionMatch},
};

/// A list, or a piece of one.
pub(super) struct Page {
    pub(super) items: Vec<Arc<Stored>>,
    /// `metadata` of the list.
    pub(super) metadata: Value,
}

/// Where the next piece begins.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    /// Revision of all pieces.
    #[serde(rename = "rv")]
    revision: u64,
    /// Namespace and name of the last object sent.
    after: (String, String),
}

impl Token {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("numbers and strings"))
    }

    fn decode(text: &str) -> Result<Self, ApiError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let token = bytes.and_then(|b| serde_json::from_slice(&b).ok());
        token.ok_or_else(|| ApiError::bad_request("continue key is not valid"))
    }
}

/// Read a list.
pub(super) fn read(api: &Api, place: &Place, query: &ListQuery, filter: &Filter) -> Result<Page, ApiError> {
    let token = query.cont.as_deref().map(Token::decode).transpose()?;
    let exact = match query.version_match {
        Some(VersionMatch::Exact) => query.version,
        _ => None,
    };
    let (items, revision) = match token.as_ref().map(|t| t.revision).or(exact) {
        Some(revision) => (at(api, place, revision)?, revision),
        None => {
            let (items, revision) = objects::list(api, place.kind, place.namespace());
            objects::not_newer(query.version, revision)?;
            (items, revision)
        }
    };
    let after = token.map(|t| Key::new(place.kind, t.after.0, t.after.1));
    let start = after.map_or(0, |after| items.partition_point(|o| o.key <= after));
    Ok(cut(&items[start..], revision, query.limit, filter))
}

fn cut(items: &[Arc<Stored>], revision: u64, limit: Option<usize>, filter: &Filter) -> Page {
    let limit = limit.unwrap_or(usize::MAX);
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    let mut wanted = items.iter().enumerate().filter(|(_, o)| filter.takes(o));
    let mut page = Vec::new();
    let mut end = 0;
    for (i, object) in wanted.by_ref().take(limit) {
        page.push(object.clone());
        end = i + 1;
    }
    if let (Some(_), Some(last)) = (wanted.next(), page.last()) {
        let after = (last.key.namespace.clone(), last.key.name.clone());
        metadata["continue"] = Token { revision, after }.encode().into();
        // With selectors the number is unknown, as in Kubernetes.
        if filter.is_everything() {
            metadata["remainingItemCount"] = (items.len() - end).into();
        }
    }
    Page { items: page, metadata }
}

/// The list as it was at a revision: what changed after it is turned back.
fn at(api: &Api, place: &Place, revision: u64) -> Result<Vec<Arc<Stored>>, ApiError> {
    let (items, now) = objects::list(api, place.kind, place.namespace());
    objects::not_newer(Some(revision), now)?;
    let mut state: BTreeMap<Key, Arc<Stored>> = items.into_iter().map(|o| (o.key.clone(), o)).collect();
    let mut turned = std::collections::BTreeSet::new();
    let mut changes = objects::watch(api, place, revision).map_err(too_old)?;
    while let Some(event) = changes.try_next().map_err(too_old)? {
        let key = event.object.key.clone();
        // Only the first change of an object tells what it was before.
        if !turned.insert(key.clone()) {
            continue;
        }
        match event.previous {
            Some(previous) => state.insert(key, previous),
            None => state.remove(&key),
        };
    }
    Ok(state.into_values().collect())
}

fn too_old(error: ApiError) -> ApiError {
    if error.reason != Reason::Expired {
        return error;
    }
    let why = "The provided continue parameter or resource version is too old to display a consistent list \
               result. You must start a new list without it.";
    ApiError::new(Reason::Expired, why)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tokens() {
        let token = Token { revision: 7, after: ("a".into(), "b".into()) };
        assert_eq!(Token::decode(&token.encode()).unwrap(), token);
        for bad in ["", "x", "e30", "%"] {
            assert_eq!(Token::decode(bad).unwrap_err().code(), 400, "{bad}");
        }
    }
}
