//! Tables over the plan, and a power cut at every write of the executor.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::gpt_table::ENTRIES;

const SECTOR: u64 = 512;
const GUID: [u8; 16] = [7; 16];

fn entry(name: &str, first_mib: u64, mib: u64) -> Option<Entry> {
    let (first_lba, sectors) = (first_mib * 2048, mib * 2048);
    Some(Entry {
        type_guid: [1; 16],
        guid: [2; 16],
        first_lba,
        last_lba: first_lba + sectors - 1,
        flags: 0,
        name: name.into(),
    })
}

/// The image as the builder makes it: ESP, SYSTEM, nothing behind them.
fn image(system_mib: u64) -> (Table, u64) {
    let mut entries = vec![None; ENTRIES];
    entries[0] = entry("skerry-esp", 1, 8);
    entries[1] = entry(PART_SYSTEM, 9, system_mib);
    let mib = 9 + system_mib + 1;
    (Table { disk_guid: [9; 16], first_usable: 34, last_usable: mib * 2048 - 34, entries }, mib)
}

fn size(mib: u64) -> DiskSize {
    DiskSize { bytes: mib * MIB, sector_bytes: SECTOR }
}

fn copies(table: &Table, disk_mib: u64) -> Copies {
    let c = |alternate_lba| Ok(Copy { table: table.clone(), alternate_lba });
    Copies { primary: c(disk_mib * 2048 - 1), backup: c(1) }
}

fn sizes(mib: u64) -> BoardSizes {
    BoardSizes { system_mib: Some(mib) }
}

fn mib_of(t: &Table, name: &str) -> (u64, u64) {
    let e = t.find(name).unwrap().1;
    (e.first_lba / 2048, e.sectors() / 2048)
}

#[test]
fn first_boot_grows_system_and_makes_data_in_the_rest() {
    let (t, mib) = image(16);
    let found = Copies { backup: Err(TableError::Signature), ..copies(&t, mib) };
    let p = plan_layout(&found, size(400), sizes(32), GUID).unwrap();
    assert_eq!(mib_of(&p.table, PART_SYSTEM), (9, 32));
    assert_eq!(mib_of(&p.table, PART_DATA), (41, 358));
    assert_eq!(p.table.find(PART_DATA).unwrap().0, 3);
    let kinds: Vec<_> = p
        .steps
        .iter()
        .map(|s| match s {
            Step::Wipe { offset_bytes, .. } => format!("wipe {}", offset_bytes / MIB),
            Step::Write { which, .. } => format!("{which:?}"),
        })
        .collect();
    assert_eq!(kinds, ["wipe 41", "wipe 169", "Backup", "Primary"]);
}

#[test]
fn first_boot_gives_the_disk_guids_of_its_own_and_no_later_one_does() {
    let (t, mib) = image(16);
    let guids = |t: &Table| -> Vec<Guid> {
        std::iter::once(t.disk_guid).chain(t.entries.iter().flatten().map(|e| e.guid)).collect()
    };
    let p = plan_layout(&copies(&t, mib), size(400), sizes(32), GUID).unwrap();
    let (before, after) = (guids(&t), guids(&p.table));
    assert_eq!(after.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{after:?}");
    assert!(after.iter().all(|g| !before.contains(g) && g[..15] == GUID[..15]));
    let found = Copies { backup: Err(TableError::Signature), ..copies(&p.table, 400) };
    let q = plan_layout(&found, size(800), sizes(32), [8; 16]).unwrap();
    assert_eq!(guids(&q.table), after);
}

#[test]
fn second_boot_changes_nothing() {
    let (t, mib) = image(16);
    let p = plan_layout(&copies(&t, mib), size(400), sizes(32), GUID).unwrap();
    let again = plan_layout(&copies(&p.table, 400), size(400), sizes(32), [8; 16]).unwrap();
    assert_eq!((again.changes, again.steps), (vec![], vec![]));
    assert_eq!(again.table, p.table);
}

#[test]
fn larger_disk_later_grows_data_only() {
    let (t, mib) = image(16);
    let p = plan_layout(&copies(&t, mib), size(400), sizes(32), GUID).unwrap();
    let found = Copies { backup: Err(TableError::Signature), ..copies(&p.table, 400) };
    let q = plan_layout(&found, size(800), sizes(64), GUID).unwrap();
    assert_eq!(mib_of(&q.table, PART_SYSTEM), (9, 32));
    assert_eq!(mib_of(&q.table, PART_DATA), (41, 758));
    assert!(!q.steps.iter().any(|s| matches!(s, Step::Wipe { .. })), "data is never wiped");
}

#[test]
fn system_is_never_shrunk_and_stays_without_a_board_size() {
    let (t, mib) = image(64);
    for s in [sizes(16), BoardSizes { system_mib: None }] {
        let p = plan_layout(&copies(&t, mib), size(400), s, GUID).unwrap();
        assert_eq!(mib_of(&p.table, PART_SYSTEM), (9, 64));
    }
}

#[test]
fn too_small_a_disk_says_what_is_needed() {
    let (t, mib) = image(16);
    // 9 + 32 + 64, and one for the table at the end.
    plan_layout(&copies(&t, mib), size(106), sizes(32), GUID).unwrap();
    let e = plan_layout(&copies(&t, mib), size(105), sizes(32), GUID).unwrap_err();
    assert!(matches!(e, LayoutError::TooSmall { disk_mib: 105, needed_mib: 106 }), "{e}");
    // Smaller than the image itself: somebody flashed a cut-off file.
    let e = plan_layout(&copies(&t, mib), size(20), sizes(32), GUID).unwrap_err();
    assert!(matches!(e, LayoutError::TooSmall { disk_mib: 20, .. }), "{e}");
}

#[test]
fn torn_primary_is_restored_from_the_backup_before_anything_else() {
    let (t, mib) = image(16);
    let done = plan_layout(&copies(&t, mib), size(400), sizes(32), GUID).unwrap().table;
    let torn = Copies { primary: Err(TableError::EntriesChecksum), ..copies(&done, 400) };
    let p = plan_layout(&torn, size(400), sizes(32), GUID).unwrap();
    assert_eq!(p.changes, [Change::RepairPrimary]);
    assert_eq!(p.steps, [Step::Write { which: Which::Primary, table: done.clone() }]);
}

#[test]
fn other_partitions_are_left_alone_and_bound_the_room() {
    let (mut t, _) = image(16);
    t.entries[5] = entry("vendor", 200, 10);
    t.last_usable = 400 * 2048 - 34;
    let p = plan_layout(&copies(&t, 400), size(400), sizes(32), GUID).unwrap();
    assert_eq!(p.table.entries[5], t.entries[5]);
    assert_eq!(mib_of(&p.table, PART_DATA), (41, 159));
}

#[test]
fn no_table_no_system() {
    let bad = Copies { primary: Err(TableError::Signature), backup: Err(TableError::HeaderChecksum) };
    assert!(matches!(plan_layout(&bad, size(400), sizes(1), GUID), Err(LayoutError::NoTable { .. })));
    let (mut t, mib) = image(16);
    t.entries[1] = None;
    assert!(matches!(plan_layout(&copies(&t, mib), size(400), sizes(1), GUID), Err(LayoutError::NoSystem)));
}

/// A disk that loses power: writes since the last sync land per sector or not.
#[derive(Clone, Default)]
struct Flaky {
    medium: BTreeMap<u64, [u8; SECTOR as usize]>,
    cache: Vec<(u64, [u8; SECTOR as usize])>,
    /// Sector writes until the power goes.
    left: usize,
}

impl Flaky {
    fn sector(&self, n: u64) -> [u8; SECTOR as usize] {
        self.cache
            .iter()
            .rev()
            .find(|c| c.0 == n)
            .map(|c| c.1)
            .or(self.medium.get(&n).copied())
            .unwrap_or([0; SECTOR as usize])
    }

    /// Power comes back; `seed` decides which unsynced sectors had landed.
    fn power_cycle(mut self, seed: u64) -> Self {
        let mut x = seed | 1;
        for (n, b) in std::mem::take(&mut self.cache) {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if x >> 63 == 1 {
                self.medium.insert(n, b);
            }
        }
        Self { left: usize::MAX, ..self }
    }
}

impl Disk for Flaky {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        for (i, chunk) in buf.chunks_mut(SECTOR as usize).enumerate() {
            chunk.copy_from_slice(&self.sector(offset / SECTOR + i as u64)[..chunk.len()]);
        }
        Ok(())
    }
    fn write_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        for (i, chunk) in buf.chunks(SECTOR as usize).enumerate() {
            self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
            self.cache.push((offset / SECTOR + i as u64, chunk.try_into().unwrap()));
        }
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
        self.medium.extend(self.cache.drain(..));
        Ok(())
    }
}

fn flashed(t: &Table, image_mib: u64) -> Flaky {
    let mut d = Flaky { left: usize::MAX, ..Flaky::default() };
    for which in [Which::Primary, Which::Backup] {
        let step = Step::Write { which, table: t.clone() };
        execute(&LayoutPlan { changes: vec![], steps: vec![step], table: t.clone() }, &mut d, size(image_mib)).unwrap();
    }
    // An older life of the disk, where DATA is going to be.
    d.medium.insert(41 * 2048 + 2, [0x53; 512]);
    d.left = usize::MAX;
    d
}

fn boot(d: &mut Flaky) -> Result<LayoutPlan, LayoutError> {
    let found = read_copies(d, size(400))?;
    let plan = plan_layout(&found, size(400), sizes(32), GUID)?;
    execute(&plan, d, size(400))?;
    Ok(plan)
}

#[test]
fn power_cut_at_every_write_then_again_at_every_write_of_the_repair() {
    let (t, mib) = image(16);
    let fresh = flashed(&t, mib);
    let mut whole = fresh.clone();
    let goal = boot(&mut whole).unwrap().table;
    let total = usize::MAX - whole.left;
    let mut table_writes = 0;
    // The wipes are long and say nothing new in their middle.
    for cut in (0..total).filter(|c| *c > 2180 || c % 97 == 0) {
        for seed in 0..4u64 {
            let mut d = Flaky { left: cut, ..fresh.clone() };
            assert!(boot(&mut d).is_err(), "cut at {cut} is before the end");
            let mut d = d.power_cycle(seed * 77 + cut as u64);
            let found = read_copies(&d, size(400)).unwrap();
            let table = found.primary.as_ref().or(found.backup.as_ref()).unwrap().table.clone();
            assert_eq!(table.find(PART_SYSTEM).unwrap().1.first_lba, 9 * 2048, "cut at {cut}");
            if table.find(PART_DATA).is_some() {
                assert_eq!(d.sector(41 * 2048 + 2), [0; 512], "DATA appears only when its old content is gone");
                table_writes += 1;
            }
            d.left = cut % 70;
            let _ = boot(&mut d);
            let mut d = d.power_cycle(seed);
            boot(&mut d).unwrap();
            let after = read_copies(&d, size(400)).unwrap();
            assert_eq!(after, copies(&goal, 400), "cut at {cut}, seed {seed}");
        }
    }
    assert!(table_writes > 0, "some cuts were late enough to matter");
}

#[test]
fn sfdisk_accepts_the_result() {
    let d = tempfile::tempdir().unwrap();
    let path = d.path().join("disk");
    let mut f = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    f.set_len(400 * MIB).unwrap();
    let script = "label: gpt\nstart=2048, size=8MiB, type=uefi, name=skerry-esp\nsize=16MiB, name=skerry-system\n";
    let mut child =
        std::process::Command::new("sfdisk").arg("-q").arg(&path).stdin(std::process::Stdio::piped()).spawn().unwrap();
    io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let found = read_copies(&f, size(400)).unwrap();
    let plan = plan_layout(&found, size(400), sizes(32), GUID).unwrap();
    execute(&plan, &mut f, size(400)).unwrap();
    let out = std::process::Command::new("sfdisk").args(["--verify", "--dump"]).arg(&path).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    let verify = std::process::Command::new("sfdisk").arg("--verify").arg(&path).output().unwrap();
    assert!(
        verify.stderr.is_empty() && String::from_utf8_lossy(&verify.stdout).contains("No errors detected"),
        "{verify:?}"
    );
    let dump = std::process::Command::new("sfdisk").arg("--dump").arg(&path).output().unwrap();
    assert!(String::from_utf8_lossy(&dump.stdout).contains("name=\"skerry-data\""), "{dump:?}");
}
