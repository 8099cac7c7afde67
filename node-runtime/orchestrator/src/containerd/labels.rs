//! What is written on a container, so that it can be recognised later by a
//! process that knows nothing.

use std::collections::{BTreeMap, HashMap};

use crate::observed::{Exit, Labels};

const POD_UID: &str = "skerry.io/pod-uid";
const POD: &str = "skerry.io/pod";
const NAMESPACE: &str = "skerry.io/namespace";
const DEPLOYMENT: &str = "skerry.io/deployment";
const CONTAINER: &str = "skerry.io/container";
const ATTEMPT: &str = "skerry.io/attempt";
const BACKOFF: &str = "skerry.io/backoff-secs";
const GRACE: &str = "skerry.io/grace-secs";
const IMAGE: &str = "skerry.io/image-id";
const EXIT: &str = "skerry.io/exit";

/// containerd takes 4096 bytes for key and value together.
const EXIT_BYTES_MAX: usize = 4000;

/// As containerd labels.
pub fn to_map(l: &Labels) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> = [
        (POD_UID, l.pod_uid.clone()),
        (POD, l.pod.clone()),
        (NAMESPACE, l.namespace.clone()),
        (DEPLOYMENT, l.deployment.clone()),
        (CONTAINER, l.container.clone()),
        (ATTEMPT, l.attempt.to_string()),
        (BACKOFF, l.backoff_secs.to_string()),
        (GRACE, l.grace_secs.to_string()),
        (IMAGE, l.image_id.clone()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into();
    map.extend(l.exit.as_ref().and_then(exit_text).map(|text| (EXIT.to_owned(), text)));
    map
}

/// The record of an end, its message cut so that it fits.
fn exit_text(exit: &Exit) -> Option<String> {
    let mut exit = exit.clone();
    loop {
        let text = serde_json::to_string(&exit).ok()?;
        if text.len() <= EXIT_BYTES_MAX {
            return Some(text);
        }
        if exit.message.is_empty() {
            return None;
        }
        // Escapes make the text longer than the message.
        let share = exit.message.len() * EXIT_BYTES_MAX / text.len();
        let mut keep = share.min(exit.message.len() - 1);
        while !exit.message.is_char_boundary(keep) {
            keep -= 1;
        }
        exit.message.truncate(keep);
    }
}

/// Read back. What is missing or unreadable gets its default: a container
/// without a known pod is one that nobody wants, and goes.
pub fn from_map(map: &HashMap<String, String>) -> Labels {
    let text = |k: &str| map.get(k).cloned().unwrap_or_default();
    let number = |k: &str| map.get(k).and_then(|v| v.parse().ok()).unwrap_or(0);
    Labels {
        pod_uid: text(POD_UID),
        pod: text(POD),
        namespace: text(NAMESPACE),
        deployment: text(DEPLOYMENT),
        container: text(CONTAINER),
        attempt: number(ATTEMPT),
        backoff_secs: number(BACKOFF),
        grace_secs: number(GRACE),
        image_id: text(IMAGE),
        exit: map.get(EXIT).and_then(|t| serde_json::from_str(t).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_round_trip() {
        let l = Labels {
            pod_uid: "u".into(),
            pod: "p".into(),
            namespace: "n".into(),
            deployment: "d".into(),
            container: "c".into(),
            attempt: 3,
            backoff_secs: 40,
            grace_secs: 30,
            image_id: "sha256:01".into(),
            exit: Some(Exit { code: 137, reason: "OOMKilled".into(), at: 1.5, ..Exit::default() }),
        };
        assert_eq!(from_map(&to_map(&l).into_iter().collect()), l);
    }

    #[test]
    fn last_words_fit_into_a_label() {
        for message in ["ä".repeat(4096), "\u{1}".repeat(4096), "short".into()] {
            let l = Labels { exit: Some(Exit { message, ..Exit::default() }), ..Labels::default() };
            let map = to_map(&l);
            assert!(map.iter().all(|(k, v)| k.len() + v.len() <= 4096));
            assert!(from_map(&map.into_iter().collect()).exit.is_some_and(|e| !e.message.is_empty()));
        }
    }
}
