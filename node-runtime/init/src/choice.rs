//! Which of several disks with SYSTEM this boot is about: the one that the boot
//! loader came from. Pure.

use skerry_formats::layout::PART_SYSTEM;
use skerry_platform::{block::Partition, gpt_table::Guid};

/// A partition that could be SYSTEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The partition.
    pub partition: Partition,
    /// GUIDs of all partitions of its disk.
    pub guids: Vec<Guid>,
}

/// May a better candidate still appear?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Disks may still be on their way.
    Left,
    /// What is there is all there is.
    Over,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// Look again.
    Wait,
    /// Take this one.
    Take {
        /// SYSTEM.
        partition: &'a Partition,
        /// What a person should know about the choice.
        warning: Option<String>,
    },
}

/// Choose from what was `found`, in the order of device names. `booted` is the
/// partition that the boot loader came from; `None`: it did not say.
pub fn choose<'a>(found: &'a [Candidate], booted: Option<&Guid>, patience: Patience) -> Choice<'a> {
    let Some(first) = found.first() else { return Choice::Wait };
    let take = |c: &'a Candidate, why: Option<&str>| Choice::Take {
        partition: &c.partition,
        warning: why.map(|why| warning(found, c, why)),
    };
    let Some(booted) = booted else {
        return take(first, (found.len() > 1).then_some("the boot loader does not say which one it came from"));
    };
    let mut matching = found.iter().filter(|c| c.guids.contains(booted));
    match (matching.next(), matching.next()) {
        (Some(c), None) => take(c, None),
        (Some(c), Some(_)) => {
            take(c, Some("the boot loader may have come from more than one of them: they are copies"))
        }
        (None, _) if patience == Patience::Left => Choice::Wait,
        (None, _) => take(first, Some("the boot loader came from another disk")),
    }
}

fn warning(found: &[Candidate], taken: &Candidate, why: &str) -> String {
    let disks: Vec<_> = found.iter().map(|c| c.partition.disk.display().to_string()).collect();
    let disk = taken.partition.disk.display();
    match disks.as_slice() {
        [_] => format!("{PART_SYSTEM} is on {disk}, but {why}"),
        several => format!(
            "{} disks have a {PART_SYSTEM} ({}) and {why}; taking {disk}; remove the other or erase it",
            several.len(),
            several.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn candidate(disk: &str, guids: &[u8]) -> Candidate {
        let partition = Partition {
            device: format!("/dev/{disk}2").into(),
            disk: format!("/dev/{disk}").into(),
            number: 2,
            start_bytes: 0,
            size_bytes: 1,
            name: Some(PART_SYSTEM.into()),
        };
        Candidate { partition, guids: guids.iter().map(|g| [*g; 16]).collect() }
    }

    /// Found, partition of the boot loader, patience; disk and words of the
    /// warning, or wait.
    type Case<'a> = (&'a [Candidate], Option<u8>, Patience, Option<(&'a str, &'a str)>);

    #[test]
    fn the_disk_of_the_boot_loader() {
        use Patience::{Left, Over};
        let (a, b, copy) = (candidate("vda", &[1, 2]), candidate("vdb", &[3, 4]), candidate("vdc", &[3, 4]));
        let none: &[Candidate] = &[];
        let one = std::slice::from_ref(&a);
        let two = &[a.clone(), b.clone()][..];
        let copies = &[a.clone(), b.clone(), copy][..];
        let table: &[Case<'_>] = &[
            (none, None, Left, None),
            (none, Some(1), Over, None),
            (one, None, Left, Some(("/dev/vda", ""))),
            (one, Some(1), Left, Some(("/dev/vda", ""))),
            (one, Some(9), Left, None),
            (one, Some(9), Over, Some(("/dev/vda", "is on /dev/vda, but the boot loader came from another disk"))),
            (two, None, Left, Some(("/dev/vda", "2 disks have a skerry-system (/dev/vda, /dev/vdb) and"))),
            (two, Some(2), Left, Some(("/dev/vda", ""))),
            (two, Some(3), Left, Some(("/dev/vdb", ""))),
            (two, Some(9), Left, None),
            (two, Some(9), Over, Some(("/dev/vda", "came from another disk; taking /dev/vda"))),
            (copies, Some(1), Left, Some(("/dev/vda", ""))),
            (copies, Some(4), Left, Some(("/dev/vdb", "they are copies; taking /dev/vdb"))),
        ];
        for (i, (found, booted, patience, expected)) in table.iter().enumerate() {
            let booted = booted.map(|b| [b; 16]);
            match (choose(found, booted.as_ref(), *patience), expected) {
                (Choice::Wait, None) => {}
                (Choice::Take { partition, warning }, Some((disk, words))) => {
                    assert_eq!(partition.disk.to_str().unwrap(), *disk, "line {i}");
                    assert_eq!(warning.is_none(), words.is_empty(), "line {i}: {warning:?}");
                    assert!(warning.unwrap_or_default().contains(words), "line {i}");
                }
                (choice, expected) => panic!("line {i}: {choice:?}, not {expected:?}"),
            }
        }
    }
}
