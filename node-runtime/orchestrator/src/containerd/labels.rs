//! What is written on a container, so that it can be recognised later by a
//! process that knows nothing.

use std::collections::{BTreeMap, HashMap};

use crate::observed::Labels;

const POD_UID: &str = "skerry.io/pod-uid";
const POD: &str = "skerry.io/pod";
const NAMESPACE: &str = "skerry.io/namespace";
const DEPLOYMENT: &str = "skerry.io/deployment";
const CONTAINER: &str = "skerry.io/container";
const ATTEMPT: &str = "skerry.io/attempt";
const BACKOFF: &str = "skerry.io/backoff-secs";
const GRACE: &str = "skerry.io/grace-secs";

/// As containerd labels.
pub fn to_map(l: &Labels) -> BTreeMap<String, String> {
    [
        (POD_UID, l.pod_uid.clone()),
        (POD, l.pod.clone()),
        (NAMESPACE, l.namespace.clone()),
        (DEPLOYMENT, l.deployment.clone()),
        (CONTAINER, l.container.clone()),
        (ATTEMPT, l.attempt.to_string()),
        (BACKOFF, l.backoff_secs.to_string()),
        (GRACE, l.grace_secs.to_string()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into()
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
        };
        assert_eq!(from_map(&to_map(&l).into_iter().collect()), l);
    }
}
