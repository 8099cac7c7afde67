//! Services, network policies, endpoints.

use super::{LABEL_SELECTOR, META, PORT};
use crate::shape::Shape::{self, *};

/// Node ports that a Service may take.
const NODE_PORT: Shape = Int(30000, 32767);

pub(super) const SERVICE: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    (
        "spec",
        Obj(&[
            ("type", OneOf(&["ClusterIP", "NodePort"])),
            ("selector", StrMap),
            ("clusterIP", Str),
            ("clusterIPs", List(&Str)),
            (
                "ports",
                List(&Obj(&[
                    ("name", Str),
                    ("protocol", OneOf(&["TCP", "UDP"])),
                    ("port", PORT),
                    ("targetPort", Port),
                    ("nodePort", NODE_PORT),
                    ("appProtocol", Str),
                ])),
            ),
            ("sessionAffinity", OneOf(&["None", "ClientIP"])),
            ("sessionAffinityConfig", Obj(&[("clientIP", Obj(&[("timeoutSeconds", Int(1, 86400))]))])),
            ("ipFamilies", List(&OneOf(&["IPv4", "IPv6"]))),
            ("ipFamilyPolicy", OneOf(&["SingleStack", "PreferDualStack", "RequireDualStack"])),
            ("internalTrafficPolicy", OneOf(&["Cluster", "Local"])),
            ("externalTrafficPolicy", OneOf(&["Cluster", "Local"])),
            ("publishNotReadyAddresses", Bool),
            ("externalName", Refused("names of other hosts are not served; use them directly")),
            ("loadBalancerIP", Refused("the node has no load balancer; use type NodePort")),
            ("loadBalancerClass", Refused("the node has no load balancer; use type NodePort")),
        ]),
    ),
    ("status", Any),
]);

const POLICY_PORTS: Shape = List(&Obj(&[("protocol", OneOf(&["TCP", "UDP"])), ("port", Port), ("endPort", PORT)]));

const PEERS: Shape = List(&Obj(&[
    ("podSelector", LABEL_SELECTOR),
    ("namespaceSelector", LABEL_SELECTOR),
    ("ipBlock", Obj(&[("cidr", Str), ("except", List(&Str))])),
]));

pub(super) const NETWORK_POLICY: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    (
        "spec",
        Obj(&[
            ("podSelector", LABEL_SELECTOR),
            ("policyTypes", List(&OneOf(&["Ingress", "Egress"]))),
            ("ingress", List(&Obj(&[("from", PEERS), ("ports", POLICY_PORTS)]))),
            ("egress", List(&Obj(&[("to", PEERS), ("ports", POLICY_PORTS)]))),
        ]),
    ),
]);

pub(super) const ENDPOINT_SLICE: Shape = Obj(&[
    ("apiVersion", Str),
    ("kind", Str),
    ("metadata", META),
    ("addressType", OneOf(&["IPv4", "IPv6"])),
    ("endpoints", Any),
    ("ports", Any),
]);
