//! Decisions about DATA, pure.
//!
//! A file system is made under the label `skerry-making` and gets its real
//! label from the kernel only when it is mounted and complete. So a cut-off
//! mkfs is recognised by what it left: no superblock, or one with the label of
//! the making. mke2fs writes the primary superblock last, the backups before.
//!
//! An unreadable primary superblock next to a good backup is damage, not a
//! blank disk, and is repaired.

use skerry_formats::layout::PART_DATA;
use skerry_platform::block::Ext4Super;

/// Label while the file system is not complete yet.
pub const LABEL_MAKING: &str = "skerry-making";
/// Label of a complete one.
pub const LABEL_READY: &str = PART_DATA;

/// Options of mke2fs. `verity`: pulled images are sealed like those on SYSTEM.
/// `project,quota`: volumes have a size that holds.
pub const MAKE: [&str; 9] =
    ["-F", "-q", "-b4096", "-m1", "-O", "verity,project,quota", "-E", "nodiscard,quotatype=prjquota", "-L"];

/// Options of the mount. Without this one quotas are counted and do not hold.
/// One that was made without them keeps working without them: a release from
/// before they came, to which the box may fall back, could not mount it.
pub fn mount_options(found: Option<&Ext4Super>) -> &'static str {
    if found.is_some_and(|s| s.project_quota) { "prjquota" } else { "" }
}

/// The kernel's answer where it has no module for the format of the quotas
/// (`ESRCH`, not otherwise an answer of mounting). It says nothing about the
/// state of the file system, which must not be made anew for it.
pub const NO_QUOTA_FORMAT: i32 = 3;

/// What to do with DATA next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Make a new file system; nothing is lost.
    Make,
    /// `e2fsck -p`.
    Preen,
    /// `e2fsck -y`.
    Repair,
    /// Mount it.
    Mount,
    /// Restart the box, as e2fsck asks.
    Reboot,
    /// Make a new file system in place of one that cannot be saved.
    Recreate,
}

/// How far the file system was checked when it was mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// By `e2fsck -p`.
    Preened,
    /// By `e2fsck -y`.
    Repaired,
}

/// First step, from the primary and the first backup superblock.
pub fn first(primary: Option<&Ext4Super>, backup: Option<&Ext4Super>) -> Next {
    match (primary, backup) {
        (Some(p), _) if p.label == LABEL_MAKING => Next::Make,
        (Some(_), _) => Next::Preen,
        (None, Some(b)) if b.label == LABEL_READY => Next::Repair,
        (None, _) => Next::Make,
    }
}

/// After `e2fsck`, by its exit code (a bit mask: 1 corrected, 2 reboot,
/// 4 uncorrected, 8 and above it could not work). `None`: it could not be run
/// or was killed; then mounting shows how things are.
pub fn after_fsck(pass: Checked, code: Option<i32>) -> Next {
    match (pass, code) {
        (_, None | Some(0 | 1)) => Next::Mount,
        (Checked::Preened, Some(2 | 3)) => Next::Reboot,
        (Checked::Preened, Some(_)) => Next::Repair,
        (Checked::Repaired, Some(_)) => Next::Mount,
    }
}

/// After a mount that failed.
pub fn after_failed_mount(checked: Checked) -> Next {
    match checked {
        Checked::Preened => Next::Repair,
        Checked::Repaired => Next::Recreate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sb(label: &str) -> Ext4Super {
        Ext4Super { label: label.into(), blocks: 1, block_bytes: 4096, clean: true, project_quota: false }
    }

    #[test]
    fn first_step() {
        let (ready, making, other) = (sb(LABEL_READY), sb(LABEL_MAKING), sb("mine"));
        for (name, primary, backup, next) in [
            ("blank", None, None, Next::Make),
            ("mkfs-cut-before-the-primary", None, Some(&making), Next::Make),
            ("mkfs-done-but-not-labelled", Some(&making), Some(&making), Next::Make),
            ("label-set-backups-not-yet", Some(&ready), Some(&making), Next::Preen),
            ("label-set-only-in-backup", Some(&making), Some(&ready), Next::Make),
            ("normal", Some(&ready), Some(&ready), Next::Preen),
            ("small-disk-without-backup", Some(&ready), None, Next::Preen),
            ("relabelled-by-somebody", Some(&other), None, Next::Preen),
            ("primary-damaged", None, Some(&ready), Next::Repair),
        ] {
            assert_eq!(first(primary, backup), next, "{name}");
        }
    }

    #[test]
    fn quotas_hold_where_the_file_system_has_them() {
        let with = Ext4Super { project_quota: true, ..sb(LABEL_READY) };
        for (found, options) in [(None, ""), (Some(&sb(LABEL_READY)), ""), (Some(&with), "prjquota")] {
            assert_eq!(mount_options(found), options);
        }
    }

    #[test]
    fn exit_codes_of_e2fsck() {
        for (pass, code, next) in [
            (Checked::Preened, Some(0), Next::Mount),
            (Checked::Preened, Some(1), Next::Mount),
            (Checked::Preened, Some(2), Next::Reboot),
            (Checked::Preened, Some(3), Next::Reboot),
            (Checked::Preened, Some(4), Next::Repair),
            (Checked::Preened, Some(8), Next::Repair),
            (Checked::Preened, Some(12), Next::Repair),
            (Checked::Preened, None, Next::Mount),
            (Checked::Repaired, Some(0), Next::Mount),
            (Checked::Repaired, Some(1), Next::Mount),
            // Nothing of it is mounted, so there is no reason to reboot; and a
            // box must not reboot for ever.
            (Checked::Repaired, Some(3), Next::Mount),
            (Checked::Repaired, Some(4), Next::Mount),
            (Checked::Repaired, Some(8), Next::Mount),
        ] {
            assert_eq!(after_fsck(pass, code), next, "{pass:?} {code:?}");
        }
        assert_eq!(after_failed_mount(Checked::Preened), Next::Repair);
        assert_eq!(after_failed_mount(Checked::Repaired), Next::Recreate);
    }
}
