//! Files that Skerry itself puts into the OS tree: folders and links, units and
//! settings from `assets/`, and what follows from the image spec and board.

use skerry_formats::{
    Sequence, baked,
    baked::{
        ApiConfig, ApiToken, BakedApp, HealthCheck, HealthConfig, ImagesConfig, NodeConfig, Reserved, UpdateConfig,
    },
    layout,
    versioned::Document as _,
};
use skerry_plan::{
    board::{Arch, BoardSpec},
    spec::{ApiSpec, ImageSpec, TokenSpec},
};

use super::model::{Entry, Origin, Tree};

/// Path in the tree, content.
const ASSETS: &[(&str, &str)] = &[
    ("etc/containerd/config.toml", include_str!("assets/containerd-config.toml")),
    ("usr/lib/systemd/system/containerd.service", include_str!("assets/containerd.service")),
    ("usr/lib/systemd/system/skerry-orchestrator.service", include_str!("assets/skerry-orchestrator.service")),
    ("usr/lib/systemd/system/skerry-updater.service", include_str!("assets/skerry-updater.service")),
    ("usr/lib/systemd/system/emergency.target", include_str!("assets/emergency.target")),
    ("usr/lib/systemd/system/emergency.service", include_str!("assets/emergency.service")),
    ("usr/lib/systemd/system/multi-user.target.d/10-skerry.conf", include_str!("assets/multi-user-skerry.conf")),
    ("usr/lib/systemd/journald.conf.d/10-skerry.conf", include_str!("assets/10-skerry-journald.conf")),
    ("usr/lib/systemd/networkd.conf.d/10-skerry.conf", include_str!("assets/10-skerry-networkd.conf")),
    ("usr/lib/systemd/timesyncd.conf.d/10-skerry.conf", include_str!("assets/10-skerry-timesyncd.conf")),
    ("usr/lib/systemd/network/80-skerry-ethernet.network", include_str!("assets/80-skerry-ethernet.network")),
    ("usr/lib/sysctl.d/50-skerry.conf", include_str!("assets/50-skerry-sysctl.conf")),
    ("usr/lib/tmpfiles.d/skerry.conf", include_str!("assets/skerry-tmpfiles.conf")),
];

/// Which unit pulls which in: target, units. Presets of Debian are not used.
const WANTS: &[(&str, &[&str])] = &[
    (
        "sysinit.target",
        &[
            "systemd-journald.service",
            "systemd-modules-load.service",
            "systemd-random-seed.service",
            "systemd-sysctl.service",
            "systemd-timesyncd.service",
            "systemd-tmpfiles-setup.service",
            "systemd-udevd.service",
            "systemd-udev-trigger.service",
        ],
    ),
    ("local-fs.target", &["tmp.mount"]),
    (
        "sockets.target",
        &[
            "systemd-journald.socket",
            "systemd-journald-dev-log.socket",
            "systemd-networkd.socket",
            "systemd-udevd-control.socket",
            "systemd-udevd-kernel.socket",
        ],
    ),
    (
        "multi-user.target",
        &["containerd.service", "skerry-orchestrator.service", "skerry-updater.service", "systemd-networkd.service"],
    ),
];

/// Folders that are mount points or empty at build time, with their modes.
const FOLDERS: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("efi", 0o755),
    ("etc", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o755),
    ("sysroot", 0o755),
    ("tmp", 0o1777),
    ("var", 0o755),
];

/// Symbolic links: path, target.
const LINKS: &[(&str, &str)] = &[
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    ("etc/mtab", "../proc/self/mounts"),
    ("etc/os-release", "../usr/lib/os-release"),
    // Written at run time from the name servers that DHCP gave.
    ("etc/resolv.conf", "../run/skerry/resolv.conf"),
    ("usr/sbin/init", "../lib/systemd/systemd"),
    ("usr/lib/systemd/system/default.target", "multi-user.target"),
];

/// Small fixed files: path, content.
const FILES: &[(&str, &str)] = &[
    ("etc/hostname", ""),
    ("etc/machine-id", ""),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"),
];

/// The node's configuration, from the image spec and board.
pub fn node_config(spec: &ImageSpec, board: &BoardSpec, apps: Vec<BakedApp>) -> NodeConfig {
    let checks = spec.health.checks.iter().map(|c| HealthCheck {
        name: c.name.clone(),
        url: c.url.clone(),
        expect_status: c.expect_status,
        timeout_secs: c.timeout_secs,
    });
    NodeConfig {
        format: NodeConfig::header(),
        product: spec.product.clone(),
        board: board.name.clone(),
        version: spec.version.clone(),
        sequence: Sequence(spec.sequence),
        update: spec.update.as_ref().map(|u| UpdateConfig {
            url: u.url.clone(),
            channel: u.channel.clone(),
            check_interval_secs: u.check_interval_secs,
        }),
        health: HealthConfig {
            timeout_secs: spec.health.timeout_secs,
            stable_secs: spec.health.stable_secs,
            checks: checks.collect(),
        },
        status_listen: spec.node.status_listen.clone(),
        api: spec.api.as_ref().map(api_config),
        images: ImagesConfig { plain_http: spec.images.plain_http.clone() },
        reserved: Reserved {
            memory_bytes: spec.node.reserved_memory_mib << 20,
            cpu_millis: spec.node.reserved_cpu_millis,
        },
        apps,
    }
}

fn api_config(api: &ApiSpec) -> ApiConfig {
    let token = |t: &TokenSpec| ApiToken { user: t.user.clone(), role: t.role.clone(), sha256: t.sha256.clone() };
    ApiConfig { listen: api.listen.clone(), tokens: api.tokens.iter().map(token).collect() }
}

/// Text of `os-release`. systemd-boot sorts by its `VERSION_ID`, so the same
/// text belongs into the UKI.
pub fn os_release(spec: &ImageSpec) -> String {
    let ImageSpec { product, version, sequence, .. } = spec;
    format!(
        "ID=skerry\nNAME=\"Skerry\"\nPRETTY_NAME=\"Skerry {product} {version}\"\nVERSION_ID={sequence}\n\
         IMAGE_ID=\"{product}\"\nIMAGE_VERSION=\"{version}\"\n"
    )
}

/// A Kubernetes manifest to bake in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// File name.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Folders, links, assets and units that every image has.
pub fn install_fixed(tree: &mut Tree, arch: Arch) {
    let origin = |step: &str| Origin::Builder { step: step.into() };
    for (path, mode) in FOLDERS {
        tree.insert(*path, Entry { mode: *mode, ..Entry::dir(origin("layout")) });
    }
    for (path, target) in LINKS {
        tree.insert(*path, Entry::symlink(*target, origin("layout")));
    }
    if arch == Arch::X86_64 {
        tree.insert("lib64", Entry::symlink("usr/lib64", origin("layout")));
    }
    for (path, content) in FILES {
        tree.insert(*path, Entry::bytes(0o644, *content, origin("layout")));
    }
    for (path, content) in ASSETS {
        tree.insert(*path, Entry::bytes(0o644, *content, origin("assets")));
    }
    for (target, units) in WANTS {
        for unit in *units {
            let path = format!("usr/lib/systemd/system/{target}.wants/{unit}");
            tree.insert(path, Entry::symlink(format!("../{unit}"), origin("units")));
        }
    }
}

/// What follows from the image spec.
pub fn install_spec(
    tree: &mut Tree,
    spec: &ImageSpec,
    config: &NodeConfig,
    manifests: &[Manifest],
    tuf_root: Option<&[u8]>,
    release_key: &str,
) {
    let origin = |key: &str| Origin::Spec { key: key.into() };
    tree.insert("usr/lib/os-release", Entry::bytes(0o644, os_release(spec), origin("version")));
    tree.insert(layout::BAKED_NODE_CONFIG, Entry::bytes(0o644, baked_bytes(config), origin("spec")));
    tree.insert(layout::BAKED_RELEASE_KEY, Entry::bytes(0o644, release_key, origin("keys")));
    if let Some(root) = tuf_root {
        tree.insert(layout::BAKED_TUF_ROOT, Entry::bytes(0o644, root, origin("update.root")));
    }
    tree.insert(layout::BAKED_MANIFESTS_DIR, Entry::dir(origin("manifests")));
    for manifest in manifests {
        let path = format!("{}/{}", layout::BAKED_MANIFESTS_DIR, manifest.name);
        tree.insert(path, Entry::bytes(0o644, manifest.bytes.clone(), origin("manifests")));
    }
}

fn baked_bytes(config: &baked::NodeConfig) -> Vec<u8> {
    config.to_bytes()
}

/// What follows from the board: the watchdog.
pub fn install_board(tree: &mut Tree, board: &BoardSpec) {
    let origin = |key: &str| Origin::Spec { key: format!("board {}: {key}", board.name) };
    let watchdog = match board.watchdog.timeout_secs {
        0 => "RuntimeWatchdogSec=off\nRebootWatchdogSec=off\n".to_string(),
        secs => format!("RuntimeWatchdogSec={secs}s\nRebootWatchdogSec=10min\n"),
    };
    let manager = format!(
        "[Manager]\n{watchdog}DefaultTimeoutStartSec=90s\nDefaultTimeoutStopSec=15s\nCrashAction=reboot\nCtrlAltDelBurstAction=none\n"
    );
    tree.insert("usr/lib/systemd/system.conf.d/10-skerry.conf", Entry::bytes(0o644, manager, origin("watchdog")));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_wanted_asset_unit_is_installed() {
        let mut tree = Tree::new(Origin::Builder { step: "test".into() });
        install_fixed(&mut tree, Arch::X86_64);
        for unit in
            WANTS.iter().flat_map(|(_, units)| *units).filter(|u| !u.starts_with("systemd-") && **u != "tmp.mount")
        {
            assert!(tree.get(&format!("usr/lib/systemd/system/{unit}")).is_some(), "{unit}");
        }
    }

    /// Value of a setting in an asset, in seconds if it is a time.
    fn setting(asset: &str, key: &str) -> u64 {
        let text = ASSETS.iter().find(|(path, _)| path.ends_with(asset)).unwrap().1;
        let value = text
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_else(|| panic!("{asset}: {key}"));
        match value.strip_suffix('h') {
            Some(hours) => hours.parse::<u64>().unwrap() * 3600,
            None => value.parse().unwrap(),
        }
    }

    #[test]
    fn a_node_program_that_hangs_again_and_again_reboots_the_box() {
        for unit in ["skerry-updater.service", "skerry-orchestrator.service"] {
            let stop_secs = if unit == "skerry-orchestrator.service" { setting(unit, "TimeoutStopSec") } else { 15 };
            let one_hang = setting(unit, "WatchdogSec") + stop_secs + setting(unit, "RestartMaxDelaySec");
            let all = setting(unit, "StartLimitBurst") * one_hang;
            assert!(all < setting(unit, "StartLimitIntervalSec"), "{unit}: {all} s for all starts");
        }
    }
}
