//! Reviews in protobuf, as Go programs send them. Their fields are only texts
//! and messages, so that a few lines read them; the table of `machinery` has
//! the kinds that are stored.

use serde_json::{Map, Value, json};
use skerry_machinery::ApiError;

use crate::http::Review;

const MAGIC: &[u8] = b"k8s\0";
/// Wire type of texts and messages.
const LENGTH: u64 = 2;

/// Fields of `ResourceAttributes` and `NonResourceAttributes`.
const RESOURCE: &[(u64, &str)] =
    &[(1, "namespace"), (2, "verb"), (3, "group"), (4, "version"), (5, "resource"), (6, "subresource"), (7, "name")];
const NON_RESOURCE: &[(u64, &str)] = &[(1, "path"), (2, "verb")];
const RULES: &[(u64, &str)] = &[(1, "namespace")];

/// A review as JSON.
///
/// # Errors
/// 400 if it is not such a message.
pub fn decode(review: Review, body: &[u8]) -> Result<Value, ApiError> {
    read(review, body).ok_or_else(|| ApiError::bad_request(format!("the body is no {} in protobuf", review.kind())))
}

fn read(review: Review, body: &[u8]) -> Option<Value> {
    // `runtime.Unknown`: field 2 is the object; there, field 2 is its spec.
    let object = field(body.strip_prefix(MAGIC)?, 2)?.unwrap_or_default();
    let spec = field(object, 2)?.unwrap_or_default();
    let spec = match review {
        Review::Subject => json!({}),
        Review::Rules => texts(spec, RULES)?,
        Review::Access => {
            let mut attributes = Map::new();
            if let Some(resource) = field(spec, 1)? {
                attributes.insert("resourceAttributes".into(), texts(resource, RESOURCE)?);
            }
            if let Some(other) = field(spec, 2)? {
                attributes.insert("nonResourceAttributes".into(), texts(other, NON_RESOURCE)?);
            }
            attributes.into()
        }
    };
    Some(json!({"metadata": {}, "spec": spec}))
}

fn texts(message: &[u8], names: &[(u64, &str)]) -> Option<Value> {
    let mut fields = Map::new();
    for (number, name) in names {
        let text = field(message, *number)?.unwrap_or_default();
        fields.insert((*name).into(), std::str::from_utf8(text).ok()?.into());
    }
    Some(fields.into())
}

/// The content of a field; the last one counts. `None`: not a message of
/// texts and messages.
fn field(mut message: &[u8], wanted: u64) -> Option<Option<&[u8]>> {
    let mut found = None;
    while !message.is_empty() {
        let (key, rest) = number(message)?;
        let (length, rest) = number(rest).filter(|_| key & 7 == LENGTH)?;
        let (content, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        message = rest;
        if key >> 3 == wanted {
            found = Some(content);
        }
    }
    Some(found)
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().take(10).position(|b| b & 0x80 == 0)?;
    let value = bytes[..=end].iter().rev().fold(0u64, |n, b| n << 7 | u64::from(b & 0x7f));
    Some((value, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
        let one = |(number, content): &(u8, &[u8])| [&[number << 3 | 2, content.len() as u8], *content].concat();
        fields.iter().flat_map(one).collect()
    }

    #[test]
    fn what_a_review_asks() {
        let resource = message(&[(1, b"default"), (2, b"get"), (5, b"pods")]);
        let object = message(&[(1, b""), (2, &message(&[(1, &resource)])), (3, b"")]);
        let kind = message(&[(1, b"authorization.k8s.io/v1"), (2, b"SelfSubjectAccessReview")]);
        let body = [MAGIC, &message(&[(1, &kind), (2, &object), (3, b""), (4, b"")])].concat();
        let got = decode(Review::Access, &body).unwrap();
        let asked = &got["spec"]["resourceAttributes"];
        assert_eq!((&asked["verb"], &asked["resource"], &asked["group"]), (&json!("get"), &json!("pods"), &json!("")));
        for bad in [&b""[..], b"k8s", b"k8s\0\x12\xff", b"k8s\0\x08\x01", &body[..body.len() - 20]] {
            assert_eq!(decode(Review::Access, bad).unwrap_err().code(), 400, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(Review::Access, &[MAGIC, &bytes].concat());
        }
    }
}
