//! kubeconfig files with everything in them.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::Leaf;

/// A kubeconfig for `server` (`https://10.0.0.7:6443`) with the authority's
/// certificate and a client certificate in it. It holds a key: keep it 0600.
pub fn kubeconfig(cluster: &str, server: &str, ca_pem: &str, user: &str, leaf: &Leaf) -> String {
    let quoted = |s: &str| serde_json::Value::from(s).to_string();
    let context = quoted(&format!("{user}@{cluster}"));
    let (cluster, server, user) = (quoted(cluster), quoted(server), quoted(user));
    let [ca, certificate, key] = [ca_pem, &leaf.certificate_pem, &leaf.key_pem].map(|pem| STANDARD.encode(pem));
    format!(
        "apiVersion: v1\nkind: Config\n\
         clusters:\n- name: {cluster}\n  cluster:\n    server: {server}\n    certificate-authority-data: {ca}\n\
         users:\n- name: {user}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n\
         contexts:\n- name: {context}\n  context:\n    cluster: {cluster}\n    user: {user}\n    namespace: default\n\
         current-context: {context}\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pki::Record;

    #[test]
    fn names_are_quoted() {
        let record = Record { names: vec![], not_after: String::new(), ca: String::new() };
        let leaf = Leaf { record, certificate_pem: "c".into(), key_pem: "k".into() };
        let text = kubeconfig("box: 1", "https://x", "a", "ann", &leaf);
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(value["clusters"][0]["name"], "box: 1");
        assert_eq!(value["contexts"][0]["context"]["cluster"], "box: 1");
        assert_eq!(value["users"][0]["user"]["client-key-data"], "aw==");
    }
}
