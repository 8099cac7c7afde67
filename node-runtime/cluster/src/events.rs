//! Events: what happened to objects, for people. The same thing again counts
//! one up.

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use skerry_controllers::EventKind;
use skerry_machinery::{Key, kind};
use skerry_store::{Part, Registry, WriteOptions};

/// Length of messages; the API allows no more.
const MESSAGE_CHARS_MAX: usize = 1024;

/// What is told.
#[derive(Debug, Clone)]
pub(crate) struct Note<'a> {
    /// About which object.
    pub about: &'a Key,
    /// Its uid.
    pub uid: &'a str,
    /// `spec.containers{main}`; empty: the object.
    pub field_path: &'a str,
    /// Normal or warning.
    pub kind: EventKind,
    /// One word.
    pub reason: &'a str,
    /// One line.
    pub message: &'a str,
    /// Who tells it: `kubelet`, `deployment-controller`.
    pub source: &'a str,
}

/// Write it. An event that cannot be written is only logged: its object may
/// be gone with its namespace.
pub(crate) fn write(registry: &Registry, node: &str, now: Timestamp, note: &Note<'_>) {
    let options = WriteOptions { field_manager: note.source.into(), ..WriteOptions::default() };
    let namespace = if note.about.namespace.is_empty() { "default" } else { &note.about.namespace };
    let key = Key::new(kind("", "Event"), namespace, name(note));
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let again = registry.update_with(&key, Part::Main, &options, |was| {
        let mut event = was.clone();
        event["count"] = json!(was["count"].as_i64().unwrap_or(1) + 1);
        event["lastTimestamp"] = json!(time);
        Ok(event)
    });
    let written = match again {
        Err(e) if e.code() == 404 => {
            let object = object(&key, note, node, &time);
            registry.create(key.kind, namespace, object, &options)
        }
        other => other,
    };
    if let Err(e) = written {
        tracing::debug!("event {} about {}: {}", note.reason, note.about, e.message);
    }
}

/// The same thing has the same name.
fn name(note: &Note<'_>) -> String {
    let text = [note.uid, note.field_path, note.reason, note.message].join("\n");
    let hash = hex::encode(&Sha256::digest(text)[..8]);
    format!("{}.{hash}", note.about.name)
}

fn object(key: &Key, note: &Note<'_>, node: &str, time: &str) -> Value {
    let about = note.about;
    let mut involved = json!({
        "apiVersion": about.kind.api_version(), "kind": about.kind.kind, "name": about.name, "uid": note.uid,
    });
    for (field, value) in [("namespace", about.namespace.as_str()), ("fieldPath", note.field_path)] {
        if !value.is_empty() {
            involved[field] = value.into();
        }
    }
    let message: String = note.message.chars().take(MESSAGE_CHARS_MAX).collect();
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": key.name, "namespace": key.namespace},
        "involvedObject": involved, "reason": note.reason, "message": message,
        "type": match note.kind { EventKind::Normal => "Normal", EventKind::Warning => "Warning" },
        "source": {"component": note.source, "host": node},
        "firstTimestamp": time, "lastTimestamp": time, "count": 1,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::admission::registry_in_memory;

    #[test]
    fn the_same_again_counts_up() {
        let registry = registry_in_memory();
        let namespace = json!({"metadata": {"name": "default"}});
        registry.create(kind("", "Namespace"), "", namespace, &WriteOptions::default()).unwrap();
        let about = Key::new(kind("", "Node"), "", "box");
        let note = |message| Note {
            about: &about,
            uid: "u",
            field_path: "",
            kind: EventKind::Warning,
            reason: "Full",
            message,
            source: "kubelet",
        };
        for message in ["a", "b", "a", "a"] {
            write(&registry, "box", Timestamp::UNIX_EPOCH, &note(message));
        }
        let mut counts: Vec<_> = registry.store().list(kind("", "Event"), None).1.iter().map(|e| e.value()).collect();
        counts.sort_by_key(|e| e["message"].as_str().unwrap().to_owned());
        assert_eq!(counts.len(), 2);
        assert_eq!(counts[0]["count"], 3);
        assert_eq!(counts[0]["involvedObject"]["name"], "box");
        assert_eq!(counts[0]["metadata"]["namespace"], "default");
    }
}
