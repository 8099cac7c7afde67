//! Services of two address families, as Kubernetes has them.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use skerry_machinery::{Kind, kind};
use skerry_workloads::{FieldValidation, admit};

fn service() -> &'static Kind {
    kind("", "Service")
}

const FOUR: &str = "10.96.3.4";
const SIX: &str = "fd73:6b79:7200:96::34";

fn object(fields: Value) -> Value {
    let mut spec = json!({"selector": {"a": "b"}, "ports": [{"port": 80}]});
    for (k, v) in fields.as_object().unwrap() {
        spec[k] = v.clone();
    }
    json!({"metadata": {"name": "s"}, "spec": spec})
}

/// Policy, families and addresses as the node completes them, or the first
/// cause.
fn said(mut new: Value, old: Option<&Value>) -> Result<Value, String> {
    match admit(service(), &mut new, old, FieldValidation::Strict) {
        Ok(_) => {
            let spec = &new["spec"];
            let none = json!([]);
            Ok(json!([spec["ipFamilyPolicy"], spec["ipFamilies"], spec.get("clusterIPs").unwrap_or(&none)]))
        }
        Err(causes) => Err(format!("{}: {}", causes[0].field, causes[0].message)),
    }
}

fn assert_said(found: Result<Value, String>, want: Result<Value, &str>, title: &str) {
    match (found, want) {
        (Ok(found), Ok(want)) => assert_eq!(found, want, "{title}"),
        (Err(found), Err(want)) => {
            let (field, says) = want.split_once(": ").unwrap();
            assert!(found.starts_with(&format!("{field}: ")) && found.contains(says), "{title}: {found}");
        }
        (found, want) => panic!("{title}: {found:?}, not {want:?}"),
    }
}

#[test]
fn new_services() {
    for (fields, want) in [
        (json!({}), Ok(json!(["SingleStack", ["IPv4"], []]))),
        (json!({"ipFamilies": ["IPv6"]}), Ok(json!(["SingleStack", ["IPv6"], []]))),
        (json!({"ipFamilyPolicy": "RequireDualStack"}), Ok(json!(["RequireDualStack", ["IPv4", "IPv6"], []]))),
        (
            json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}),
            Ok(json!(["RequireDualStack", ["IPv6", "IPv4"], []])),
        ),
        // Only a node knows whether there will be two.
        (json!({"ipFamilyPolicy": "PreferDualStack"}), Ok(json!(["PreferDualStack", ["IPv4"], []]))),
        (json!({"clusterIP": SIX}), Ok(json!(["SingleStack", ["IPv6"], [SIX]]))),
        (
            json!({"clusterIP": SIX, "clusterIPs": [SIX, FOUR], "ipFamilyPolicy": "PreferDualStack"}),
            Ok(json!(["PreferDualStack", ["IPv6", "IPv4"], [SIX, FOUR]])),
        ),
        (json!({"clusterIP": "None"}), Ok(json!(["SingleStack", ["IPv4"], ["None"]]))),
        (json!({"clusterIP": "None", "selector": {}}), Ok(json!(["RequireDualStack", ["IPv4", "IPv6"], ["None"]]))),
        (
            json!({"clusterIP": "None", "selector": {}, "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6"]}),
            Ok(json!(["PreferDualStack", ["IPv6", "IPv4"], ["None"]])),
        ),
        (
            json!({"clusterIP": "None", "selector": {}, "ipFamilyPolicy": "SingleStack"}),
            Ok(json!(["SingleStack", ["IPv4"], ["None"]])),
        ),
        (json!({"ipFamilies": ["IPv5"]}), Err("spec.ipFamilies[0]: supported values: \"IPv4\", \"IPv6\"")),
        (json!({"ipFamilies": ["IPv4", "IPv4"]}), Err("spec.ipFamilies[1]: Duplicate")),
        (json!({"ipFamilies": ["IPv4", "IPv6"]}), Err("spec.ipFamilyPolicy: when multiple IP families")),
        (
            json!({"clusterIP": FOUR, "clusterIPs": [FOUR, SIX]}),
            Err("spec.ipFamilyPolicy: when multiple cluster IPs are specified"),
        ),
        (json!({"clusterIPs": [FOUR]}), Err("spec.clusterIPs: must be empty when `clusterIP` is not specified")),
        (json!({"clusterIP": FOUR, "clusterIPs": [SIX]}), Err("spec.clusterIPs: first value must match `clusterIP`")),
        (
            json!({"clusterIP": FOUR, "clusterIPs": [FOUR, "10.96.3.5"], "ipFamilyPolicy": "RequireDualStack"}),
            Err("spec.clusterIPs: no more than one IP for each IP family"),
        ),
        (
            json!({"clusterIP": FOUR, "clusterIPs": [FOUR, "None"], "ipFamilyPolicy": "RequireDualStack"}),
            Err("spec.clusterIPs: 'None' must be the first and only value"),
        ),
        (json!({"clusterIP": FOUR, "clusterIPs": [FOUR, SIX, SIX]}), Err("spec.clusterIPs: up to 2 values")),
        (
            json!({"clusterIP": FOUR, "ipFamilies": ["IPv6"]}),
            Err("spec.clusterIPs[0]: expected an IPv6 value as indicated by `ipFamilies[0]`"),
        ),
        (json!({"clusterIP": "fd00::1"}), Err("spec.clusterIPs[0]: 10.96.0.0/16 or fd73:6b79:7200:96::/112")),
    ] {
        assert_said(said(object(fields.clone()), None), want, &fields.to_string());
    }
}

/// A Service as it is in the store of a node with both families.
fn stored(policy: &str, ips: &[&str]) -> Value {
    let families: Vec<&str> = ips.iter().map(|ip| if ip.contains(':') { "IPv6" } else { "IPv4" }).collect();
    object(json!({"clusterIP": ips[0], "clusterIPs": ips, "ipFamilyPolicy": policy, "ipFamilies": families}))
}

#[test]
fn changed_services() {
    let (single, dual) = (stored("SingleStack", &[FOUR]), stored("RequireDualStack", &[FOUR, SIX]));
    let prefer = stored("PreferDualStack", &[FOUR]);
    let as_it_was = json!(["RequireDualStack", ["IPv4", "IPv6"], [FOUR, SIX]]);
    for (old, fields, want) in [
        // Not mentioned: it stays.
        (&dual, json!({}), Ok(as_it_was.clone())),
        (&dual, json!({"clusterIP": FOUR}), Ok(as_it_was)),
        (&prefer, json!({}), Ok(json!(["PreferDualStack", ["IPv4"], [FOUR]]))),
        // One more; its address is the node's to give.
        (
            &single,
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            Ok(json!(["RequireDualStack", ["IPv4", "IPv6"], [FOUR]])),
        ),
        (&single, json!({"ipFamilyPolicy": "PreferDualStack"}), Ok(json!(["PreferDualStack", ["IPv4"], [FOUR]]))),
        (
            &single,
            json!({"ipFamilyPolicy": "PreferDualStack", "clusterIP": FOUR, "clusterIPs": [FOUR, SIX]}),
            Ok(json!(["PreferDualStack", ["IPv4", "IPv6"], [FOUR, SIX]])),
        ),
        // One less.
        (&dual, json!({"ipFamilyPolicy": "SingleStack"}), Ok(json!(["SingleStack", ["IPv4"], [FOUR]]))),
        (
            &dual,
            json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"], "clusterIP": FOUR, "clusterIPs": [FOUR]}),
            Ok(json!(["SingleStack", ["IPv4"], [FOUR]])),
        ),
        (&dual, json!({"ipFamilies": ["IPv4"]}), Err("spec.ipFamilyPolicy: to release the secondary IP family")),
        (
            &dual,
            json!({"clusterIP": FOUR, "clusterIPs": [FOUR]}),
            Err("spec.ipFamilyPolicy: to release the secondary cluster IP"),
        ),
        // The first ones are for good.
        (&single, json!({"clusterIP": "10.96.9.9"}), Err("spec.clusterIPs[0]: may not change once set")),
        (&single, json!({"clusterIP": "None"}), Err("spec.clusterIPs[0]: may not change once set")),
        (&dual, json!({"ipFamilies": ["IPv6", "IPv4"]}), Err("spec.clusterIPs[0]: expected an IPv6 value")),
        (
            &dual,
            json!({"clusterIP": FOUR, "clusterIPs": [FOUR, "fd73:6b79:7200:96::1"]}),
            Err("spec.clusterIPs[1]: may not change once set"),
        ),
    ] {
        let title = format!("{fields} after {}", old["spec"]);
        assert_said(said(object(fields), Some(old)), want, &title);
    }
    let headless = stored("SingleStack", &["None"]);
    assert_said(
        said(object(json!({"ipFamilies": ["IPv6"]})), Some(&headless)),
        Err("spec.ipFamilies[0]: may not change once set"),
        "the family of a headless Service",
    );
}

#[test]
fn traffic_policies_and_slices() {
    for fields in [
        json!({"internalTrafficPolicy": "Local"}),
        json!({"type": "NodePort", "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"}),
    ] {
        assert!(said(object(fields), None).is_ok());
    }
    let slice = |family: &str| json!({"metadata": {"name": "s"}, "addressType": family, "endpoints": []});
    for (family, ok) in [("IPv4", true), ("IPv6", true), ("FQDN", false)] {
        let kind = kind("discovery.k8s.io", "EndpointSlice");
        assert_eq!(admit(kind, &mut slice(family), None, FieldValidation::Strict).is_ok(), ok, "{family}");
    }
}

#[test]
fn blocks_of_both_families() {
    let policy = |cidr: &str, except: &str| {
        json!({"metadata": {"name": "n"}, "spec": {"podSelector": {}, "egress": [
            {"to": [{"ipBlock": {"cidr": cidr, "except": [except]}}]}]}})
    };
    for (cidr, except, ok) in [
        ("fd00::/8", "fd12::/16", true),
        ("::/0", "2001:db8::1/128", true),
        ("fd00::/8", "fe80::/16", false),
        ("fd00::/8", "fd00::/8", false),
        ("::/0", "10.0.0.0/8", false),
        ("0.0.0.0/0", "10.0.0.0/8", true),
        ("fd00::/129", "fd00::/130", false),
    ] {
        let kind = kind("networking.k8s.io", "NetworkPolicy");
        let found = admit(kind, &mut policy(cidr, except), None, FieldValidation::Strict);
        assert_eq!(found.is_ok(), ok, "{cidr} {except}: {found:?}");
    }
}
