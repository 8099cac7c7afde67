//! Service → EndpointSlices.

use serde_json::{Value, json};

use crate::cluster::{Cluster, text};

fn pod(name: &str, image: &str, port: i32) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": image, "ports": [{"name": "http", "containerPort": port}]}]}})
}

fn service(change: Value) -> Value {
    let mut s = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "labels": {"team": "a"}},
        "spec": {"selector": {"app": "web"}, "ipFamilies": ["IPv4"], "clusterIP": "10.96.0.5",
            "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]}});
    for (k, v) in change.as_object().unwrap() {
        s["spec"][k] = v.clone();
    }
    s
}

fn slices(c: &Cluster) -> Vec<Value> {
    c.all("discovery.k8s.io", "EndpointSlice")
}

#[test]
fn endpoints_follow_readiness() {
    let mut c = Cluster::new();
    c.create(service(json!({})));
    let a = c.create(pod("a", "ok", 8080));
    c.create(pod("b", "slow", 8080));
    c.settle();
    let slice = slices(&c)[0].clone();
    assert_eq!(slices(&c).len(), 1);
    assert_eq!(slice["ports"], json!([{"name": "", "port": 8080, "protocol": "TCP"}]));
    let labels = &slice["metadata"]["labels"];
    assert_eq!(labels["kubernetes.io/service-name"], "web");
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "endpointslice-controller.k8s.io");
    assert_eq!(labels["team"], "a");
    let ready = |c: &Cluster| -> Vec<Value> {
        slices(c)[0]["endpoints"].as_array().unwrap().iter().map(|e| e["conditions"].clone()).collect()
    };
    let on = json!({"ready": true, "serving": true, "terminating": false});
    let off = json!({"ready": false, "serving": false, "terminating": false});
    assert_eq!(ready(&c), [on, off.clone()]);
    let first = &slice["endpoints"][0];
    assert_eq!((&first["nodeName"], &first["targetRef"]["name"]), (&json!("box"), &json!("a")));
    c.set_ready(&a, false);
    c.step();
    assert_eq!(ready(&c)[0], off.clone());
    c.set_ready(&a, true);
    c.delete(&a);
    c.step();
    assert_eq!(ready(&c)[0], json!({"ready": false, "serving": true, "terminating": true}));
    c.settle();
    assert_eq!(ready(&c), [off]);
}

#[test]
fn one_slice_per_family_and_port_set() {
    let mut c = Cluster::new();
    c.create(service(json!({"ipFamilies": ["IPv4", "IPv6"]})));
    c.create(pod("a", "ok", 8080));
    c.create(pod("b", "ok", 9090));
    c.settle();
    let mut all: Vec<(String, i64)> =
        slices(&c).iter().map(|s| (text(&s["addressType"]), s["ports"][0]["port"].as_i64().unwrap())).collect();
    all.sort();
    let want = [("IPv4", 8080), ("IPv4", 9090), ("IPv6", 8080), ("IPv6", 9090)].map(|(f, p)| (f.to_owned(), p));
    assert_eq!(all, want);
}

#[test]
fn a_service_without_pods_has_an_empty_slice_and_one_without_selector_none() {
    let mut c = Cluster::new();
    c.create(service(json!({})));
    let mut other = service(json!({"selector": null}));
    other["metadata"]["name"] = "other".into();
    c.create(other);
    c.settle();
    assert_eq!(slices(&c).len(), 1);
    assert_eq!(slices(&c)[0]["endpoints"], json!([]));
}

#[test]
fn headless_slices_have_hostnames_and_unready_addresses_when_asked() {
    let mut c = Cluster::new();
    c.create(service(json!({"clusterIP": "None", "publishNotReadyAddresses": true})));
    let mut p = pod("a", "slow", 8080);
    p["spec"]["hostname"] = "a".into();
    p["spec"]["subdomain"] = "web".into();
    c.create(p);
    c.settle();
    let slice = slices(&c)[0].clone();
    assert_eq!(slice["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    assert_eq!(slice["endpoints"][0]["hostname"], "a");
    assert_eq!(slice["endpoints"][0]["conditions"]["ready"], true);
}

#[test]
fn at_most_a_hundred_endpoints_a_slice() {
    let mut c = Cluster::new();
    c.create(service(json!({})));
    for i in 0..105 {
        c.create(pod(&format!("p{i:03}"), "ok", 8080));
    }
    c.settle();
    let mut sizes: Vec<usize> = slices(&c).iter().map(|s| s["endpoints"].as_array().unwrap().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 100]);
}
