//! The file that kubectl reads, with everything in it. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Authority, NodeAddress};

/// How the client says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A token of the image spec.
    Token(String),
    /// A client certificate with its key, both PEM.
    Certificate {
        /// Certificate.
        certificate: Vec<u8>,
        /// Key.
        key: Vec<u8>,
    },
}

/// A kubeconfig for one node, called `name` in it. It holds a secret: keep it
/// 0600.
pub fn kubeconfig(name: &str, node: &NodeAddress, authority: &Authority, who: &Credentials) -> String {
    let quoted = |s: &str| serde_json::Value::from(s).to_string();
    let (name, server) = (quoted(name), quoted(&format!("https://{node}")));
    let ca = STANDARD.encode(&authority.certificate_pem);
    let other_name = authority.server_name.as_deref();
    let other_name = other_name.map_or(String::new(), |n| format!("    tls-server-name: {}\n", quoted(n)));
    let user = match who {
        Credentials::Token(token) => format!("    token: {}\n", quoted(token)),
        Credentials::Certificate { certificate, key } => format!(
            "    client-certificate-data: {}\n    client-key-data: {}\n",
            STANDARD.encode(certificate),
            STANDARD.encode(key)
        ),
    };
    format!(
        "apiVersion: v1\nkind: Config\n\
         clusters:\n- name: {name}\n  cluster:\n    server: {server}\n    certificate-authority-data: {ca}\n{other_name}\
         users:\n- name: {name}\n  user:\n{user}\
         contexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: {name}\n    namespace: default\n\
         current-context: {name}\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::connect::Fingerprint;

    #[test]
    fn token_or_certificate() {
        let node: NodeAddress = "[fd00::7]:6443".parse().unwrap();
        let authority = |server_name: Option<&str>| Authority {
            certificate_pem: "ca".into(),
            fingerprint: Fingerprint([0; 32]),
            server_name: server_name.map(Into::into),
        };
        let token = Credentials::Token("a: b".into());
        let text = kubeconfig("box: 1", &node, &authority(None), &token);
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let cluster = serde_json::json!({"server": "https://[fd00::7]:6443", "certificate-authority-data": "Y2E="});
        assert_eq!(value["clusters"][0], serde_json::json!({"name": "box: 1", "cluster": cluster}));
        assert_eq!(value["users"][0]["user"], serde_json::json!({"token": "a: b"}));
        assert_eq!((&value["current-context"], &value["contexts"][0]["name"]), (&"box: 1".into(), &"box: 1".into()));

        let pair = Credentials::Certificate { certificate: b"c".into(), key: b"k".into() };
        let text = kubeconfig("box", &node, &authority(Some("kubernetes")), &pair);
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(value["clusters"][0]["cluster"]["tls-server-name"], "kubernetes");
        let user = serde_json::json!({"client-certificate-data": "Yw==", "client-key-data": "aw=="});
        assert_eq!(value["users"][0]["user"], user);
    }
}
