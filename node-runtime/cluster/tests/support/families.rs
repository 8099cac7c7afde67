//! Services of both address families, asked over both.
#![allow(clippy::unwrap_used)]

use std::{
    net::{IpAddr, UdpSocket},
    thread::sleep,
    time::Duration,
};

use super::{bench::Bench, get};

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: both}\nspec:\n  \
    ipFamilyPolicy: RequireDualStack\n  selector: {app: web}\n  ports: [{port: 80, targetPort: http}]\n";

pub fn both(b: &Bench) {
    if std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6").ok().as_deref() != Some("0\n") {
        println!("real_kubectl: the kernel has no IPv6, Services of both families are not tested");
        return;
    }
    let field = |object: &str, path: &str| b.kubectl(&["get", object, "-o", &format!("jsonpath={{{path}}}")]);
    let ips = || -> Vec<IpAddr> {
        field("service/both", ".spec.clusterIPs[*]").split(' ').map(|ip| ip.parse().unwrap()).collect()
    };
    b.with_input(&["apply", "-f", "-"], SERVICE);
    let given = ips();
    assert!(given.len() == 2 && given[0].is_ipv4() && given[1].is_ipv6(), "{given:?}");
    assert_eq!(field("service/both", ".spec.ipFamilies"), "[\"IPv4\",\"IPv6\"]");
    let pods = field("pods", ".items[0].status.podIPs[*].ip");
    assert_eq!(pods.split(' ').count(), 2, "{pods}");
    assert!(field("nodes", ".items[0].spec.podCIDRs").contains("::/64"));
    for family in ["IPv4", "IPv6"] {
        let at = "jsonpath={.items[*].addressType}";
        b.until(&["get", "endpointslices", "-l", "kubernetes.io/service-name=both", "-o", at], |t| t.contains(family));
    }
    given.iter().for_each(|ip| answers(b, *ip, true));
    let named = (0..50).find(|_| resolves(given[1]) || !pause());
    assert!(named.is_some(), "no AAAA record of the Service has {}", given[1]);
    // One family less, and more: the address follows from the name.
    let patch = |spec: &str| b.try_kubectl(&["patch", "service", "both", "-p", &format!("{{\"spec\":{spec}}}")], "");
    patch(r#"{"ipFamilyPolicy":"SingleStack"}"#).unwrap();
    assert_eq!(ips(), given[..1]);
    answers(b, given[1], false);
    patch(r#"{"ipFamilyPolicy":"PreferDualStack"}"#).unwrap();
    assert_eq!(ips(), given);
    given.iter().for_each(|ip| answers(b, *ip, true));
    let refused = patch(r#"{"ipFamilies":["IPv6","IPv4"]}"#).unwrap_err();
    assert!(refused.contains("spec.clusterIPs[0]") && refused.contains("expected an IPv6 value"), "{refused}");
    b.kubectl(&["delete", "service", "both"]);
}

/// Wait until it does, or does not.
fn answers(b: &Bench, ip: IpAddr, wanted: bool) {
    let at = if ip.is_ipv6() { format!("[{ip}]:80") } else { format!("{ip}:80") };
    let done = (0..50).any(|_| get(&at, "/").is_ok_and(|t| t.contains("ok")) == wanted || !pause());
    assert!(done, "{at}: answers shall be {wanted}\n{}", b.kubectl(&["get", "svc,endpointslices,pods", "-o", "wide"]));
}

fn pause() -> bool {
    sleep(Duration::from_millis(100));
    true
}

/// Has the name of the Service this address of IPv6, says the pods' name
/// server?
fn resolves(ip: IpAddr) -> bool {
    let IpAddr::V6(ip) = ip else { return false };
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in "both.default.svc.cluster.local.".split('.') {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend(label.as_bytes());
    }
    // AAAA, IN.
    question.extend([0, 28, 0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = [0; 512];
    let asked = socket.send_to(&question, "10.244.0.1:53").and_then(|_| socket.recv(&mut answer));
    asked.is_ok_and(|n| answer[..n].windows(16).any(|w| w == ip.octets()))
}
