//! Users and groups of every image.
//!
//! Numbers are fixed here and never change: files on `/var` outlive releases
//! and keep their owners. Nobody can log in: no password, no shell in the tree.

use super::model::{Entry, Origin, Tree};

/// Login shell of every user; not in the tree.
const NO_SHELL: &str = "/usr/sbin/nologin";

/// Name, uid = gid, description, home.
const USERS: &[(&str, u32, &str, &str)] = &[
    ("root", 0, "root", "/root"),
    ("systemd-network", 998, "Network Management", "/"),
    ("systemd-timesync", 997, "Time Synchronization", "/"),
    ("nobody", 65534, "Kernel Overflow User", "/"),
];

/// Groups without a user: those that journald and the udev rules name.
const GROUPS: &[(&str, u32)] = &[
    ("adm", 4),
    ("tty", 5),
    ("disk", 6),
    ("lp", 7),
    ("kmem", 15),
    ("dialout", 20),
    ("cdrom", 24),
    ("tape", 26),
    ("audio", 29),
    ("video", 44),
    ("systemd-journal", 999),
    ("input", 996),
    ("kvm", 995),
    ("render", 994),
    ("sgx", 993),
    ("clock", 992),
];

/// Write `/etc/passwd`, `/etc/group` and their shadows.
pub fn install(tree: &mut Tree) {
    let origin = || Origin::Builder { step: "users".into() };
    let passwd = USERS.iter().map(|(name, id, text, home)| format!("{name}:x:{id}:{id}:{text}:{home}:{NO_SHELL}\n"));
    let group_name = |name: &str| if name == "nobody" { "nogroup".to_string() } else { name.to_string() };
    let mut groups: Vec<(u32, String)> = USERS.iter().map(|(name, id, ..)| (*id, group_name(name))).collect();
    groups.extend(GROUPS.iter().map(|(name, id)| (*id, (*name).to_string())));
    groups.sort();
    let group = groups.iter().map(|(id, name)| format!("{name}:x:{id}:\n"));
    let shadow = USERS.iter().map(|(name, ..)| format!("{name}:!*:::::::\n"));
    let gshadow = groups.iter().map(|(_, name)| format!("{name}:!*::\n"));
    tree.insert("etc/passwd", Entry::bytes(0o644, passwd.collect::<String>(), origin()));
    tree.insert("etc/group", Entry::bytes(0o644, group.collect::<String>(), origin()));
    tree.insert("etc/shadow", Entry::bytes(0o600, shadow.collect::<String>(), origin()));
    tree.insert("etc/gshadow", Entry::bytes(0o600, gshadow.collect::<String>(), origin()));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_and_names_are_unique() {
        let ids: BTreeSet<u32> = USERS.iter().map(|u| u.1).chain(GROUPS.iter().map(|g| g.1)).collect();
        let names: BTreeSet<&str> = USERS.iter().map(|u| u.0).chain(GROUPS.iter().map(|g| g.0)).collect();
        assert_eq!((ids.len(), names.len()), (USERS.len() + GROUPS.len(), USERS.len() + GROUPS.len()));
    }

    #[test]
    fn no_password_and_no_shell() {
        let mut tree = Tree::new(Origin::Builder { step: "test".into() });
        install(&mut tree);
        let text = |path: &str| match &tree.get(path).unwrap().kind {
            super::super::model::Kind::File(c) => String::from_utf8(c.read().unwrap().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        assert!(text("etc/passwd").lines().all(|l| l.ends_with(":/usr/sbin/nologin")));
        assert!(text("etc/shadow").lines().all(|l| l.split(':').nth(1) == Some("!*")));
        assert!(text("etc/group").lines().any(|l| l == "nogroup:x:65534:"));
    }
}
