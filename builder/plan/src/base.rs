//! The packages every image is made from, and those that never enter one.

/// A package and why it is there.
pub type Reason = (&'static str, &'static str);

/// In every image, beside the board's kernel and firmware. Their dependencies
/// follow by themselves; which files enter the tree is the tree step's choice.
pub const BASE: &[Reason] = &[
    ("systemd", "init, journal, network set-up, service supervision"),
    ("systemd-timesyncd", "clock from the network's time servers"),
    ("udev", "devices and module loading by hardware id"),
    ("systemd-boot-efi", "boot loader and the UKI's EFI stub"),
    ("containerd", "runs the containers"),
    ("crun", "starts the containers' processes"),
    ("nftables", "pod and service networking, host firewall"),
    ("mount", "PID 1 mounts /tmp with it"),
    ("kmod", "loads modules that the orchestrator asks for"),
    ("ca-certificates", "trust for HTTPS"),
    ("e2fsprogs", "makes, checks and grows SYSTEM and DATA"),
    ("libc6", "loader and C library of everything above"),
];

/// Programs that shape the image and run on the build host; see the
/// architecture's part on the host.
pub const TOOLS: &[Reason] = &[
    ("e2fsprogs", "mkfs.ext4 and debugfs make SYSTEM"),
    ("libarchive13t64", "mkfs.ext4 loads it to read a tar archive"),
    ("kmod", "depmod indexes the kernel's modules"),
    ("systemd", "systemd-sysusers makes the users of the packages"),
    ("libc6", "loader and C library of everything above"),
];

/// Packages that others depend on and of which no file enters a tree. The
/// resolver takes them as given, so neither they nor what only they need is
/// locked or downloaded.
pub const EXCLUDED: &[Reason] = &[
    ("apt", "no package manager on the node"),
    ("bash", "no shell on the node"),
    ("coreutils", "only maintainer scripts use it"),
    ("cpio", "the builder writes the initrd itself"),
    ("dash", "no shell on the node"),
    ("debconf", "only maintainer scripts use it"),
    ("debianutils", "only maintainer scripts use it"),
    ("dmsetup", "no device mapper on the node"),
    ("dpkg", "no package manager on the node"),
    ("dracut", "the builder writes the initrd itself"),
    ("dracut-install", "the builder writes the initrd itself"),
    ("init-system-helpers", "only maintainer scripts use it"),
    ("initramfs-tools", "the builder writes the initrd itself"),
    ("initramfs-tools-bin", "the builder writes the initrd itself"),
    ("initramfs-tools-core", "the builder writes the initrd itself"),
    ("klibc-utils", "the builder writes the initrd itself"),
    ("linux-base", "only maintainer scripts use it"),
    ("login", "nobody logs in on the node"),
    ("logsave", "the journal keeps the output of e2fsck"),
    ("openssl", "only the maintainer script of ca-certificates uses it"),
    ("openssl-provider-legacy", "no legacy ciphers on the node"),
    ("passwd", "the builder makes the users"),
    ("perl", "no script interpreter on the node"),
    ("perl-base", "no script interpreter on the node"),
    ("python3", "no script interpreter on the node"),
    ("runc", "crun starts the containers"),
    ("sed", "only maintainer scripts use it"),
    ("sysvinit-utils", "only maintainer scripts use it"),
    ("tar", "only the package manager uses it"),
    ("ucf", "only maintainer scripts use it"),
];
