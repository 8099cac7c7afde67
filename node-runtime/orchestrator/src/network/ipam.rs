//! Which pod has which address. Pure; the caller stores it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use serde::{Deserialize, Serialize};

/// Addresses of pods by uid: last octet in the /24.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipam {
    /// Last octet by pod uid.
    pub pods: BTreeMap<String, u8>,
    /// Octet that was given out last; the next one comes after it, so that an
    /// address is not reused while others may still send to its last owner.
    pub last: u8,
    /// Pods that use the node's own network.
    #[serde(default)]
    pub host: BTreeSet<String>,
}

/// First octet given to a pod; .1 is the gateway.
const FIRST: u8 = 2;
/// Last octet given to a pod.
const LAST: u8 = 254;

impl Ipam {
    /// Address of a pod, a new one if it has none; `None`: all are taken.
    pub fn assign(&mut self, uid: &str) -> Option<u8> {
        if let Some(have) = self.pods.get(uid) {
            return Some(*have);
        }
        let taken: BTreeSet<u8> = self.pods.values().copied().collect();
        let after = self.last.clamp(FIRST - 1, LAST);
        let octet = (after + 1..=LAST).chain(FIRST..=after).find(|o| !taken.contains(o))?;
        self.pods.insert(uid.into(), octet);
        self.last = octet;
        Some(octet)
    }

    /// The pod is gone.
    pub fn release(&mut self, uid: &str) {
        self.pods.remove(uid);
        self.host.remove(uid);
    }

    /// Full address of a last octet.
    pub fn address([a, b, c]: [u8; 3], octet: u8) -> Ipv4Addr {
        Ipv4Addr::new(a, b, c, octet)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn same_pod_same_address_and_no_early_reuse() {
        let mut i = Ipam::default();
        assert_eq!(i.assign("a"), Some(2));
        assert_eq!(i.assign("b"), Some(3));
        assert_eq!(i.assign("a"), Some(2));
        i.release("a");
        assert_eq!(i.assign("c"), Some(4));
    }

    #[test]
    fn all_253_and_no_more() {
        let mut i = Ipam::default();
        for n in 0..253 {
            assert!(i.assign(&n.to_string()).is_some(), "{n}");
        }
        assert_eq!(i.assign("one more"), None);
        i.release("17");
        assert!(i.assign("one more").is_some());
    }

    proptest! {
        #[test]
        fn never_two_pods_with_one_address(steps in prop::collection::vec((0u8..40, any::<bool>()), 0..300)) {
            let mut i = Ipam::default();
            for (pod, add) in steps {
                if add { prop_assert!(i.assign(&pod.to_string()).is_some()) } else { i.release(&pod.to_string()) }
                let set: BTreeSet<u8> = i.pods.values().copied().collect();
                prop_assert_eq!(set.len(), i.pods.len());
                prop_assert!(set.iter().all(|o| (FIRST..=LAST).contains(o)));
            }
        }
    }
}
