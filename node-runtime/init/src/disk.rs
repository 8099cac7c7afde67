//! Disk layout on the disk that holds SYSTEM: grow, make DATA, tell the kernel.

use std::{fs::OpenOptions, path::Path};

use anyhow::{Context, Result, anyhow};
use skerry_formats::layout::{PART_DATA, PART_SYSTEM};
use skerry_platform::{
    block::{self, DiskSize, Partition},
    gpt_grow::{self, BoardSizes},
    gpt_table::{Entry, Table},
};

use crate::{identity, log, places};

/// Bring the layout to what the board asks for and return DATA.
pub fn lay_out(system: &Partition, system_mib: Option<u64>) -> Result<Partition> {
    let size = block::disk_size(&system.disk)?;
    let table = match write_table(&system.disk, size, system_mib) {
        Ok(t) => t,
        Err(e) => {
            // A box that worked yesterday goes on working with what it has.
            let data = partition_of(&system.disk, |p| p.name.as_deref() == Some(PART_DATA))?;
            let data = data.ok_or(e)?;
            log::warn("the partition table is left as it is");
            return Ok(data);
        }
    };
    for name in [PART_SYSTEM, PART_DATA] {
        let (number, entry) = table.find(name).ok_or_else(|| anyhow!("no {name} in the new table"))?;
        tell_kernel(&system.disk, size, number, entry).with_context(|| name.to_owned())?;
    }
    if let Err(e) = grow(&system.device, Path::new(places::SYSROOT)) {
        log::warn(&format!("SYSTEM keeps its size: {e:#}"));
    }
    let (number, _) = table.find(PART_DATA).ok_or_else(|| anyhow!("no {PART_DATA} in the new table"))?;
    partition_of(&system.disk, |p| p.number == number)?.ok_or_else(|| anyhow!("{PART_DATA} did not appear"))
}

fn write_table(disk: &Path, size: DiskSize, system_mib: Option<u64>) -> Result<Table> {
    let what = || disk.display().to_string();
    let mut file = OpenOptions::new().read(true).write(true).open(disk).with_context(what)?;
    let found = gpt_grow::read_copies(&file, size).with_context(what)?;
    let guid = identity::random_uuid().context("partition id")?;
    let plan = gpt_grow::plan_layout(&found, size, BoardSizes { system_mib }, guid).with_context(what)?;
    for change in &plan.changes {
        log::info(&format!("{}: {change:?}", disk.display()));
    }
    gpt_grow::execute(&plan, &mut file, size).with_context(what)?;
    Ok(plan.table)
}

fn partition_of(disk: &Path, wanted: impl Fn(&Partition) -> bool) -> Result<Option<Partition>> {
    Ok(block::partitions()?.into_iter().find(|p| p.disk == disk && wanted(p)))
}

/// Make the kernel's view of one partition agree with the table.
fn tell_kernel(disk: &Path, size: DiskSize, number: u32, entry: &Entry) -> Result<()> {
    let (start, bytes) = (entry.first_lba * size.sector_bytes, entry.sectors() * size.sector_bytes);
    match partition_of(disk, |p| p.number == number)? {
        None => block::add_partition(disk, number, start, bytes)?,
        Some(p) if p.size_bytes != bytes => block::resize_partition(disk, number, start, bytes)?,
        Some(_) => {}
    }
    Ok(())
}

/// Grow the mounted ext4 on `device` to its partition, if that has grown.
pub fn grow(device: &Path, mounted_at: &Path) -> Result<()> {
    let Some(fs) = block::ext4_super(device)? else { return Ok(()) };
    let bytes = block::disk_size(device)?.bytes;
    let blocks = bytes / fs.block_bytes;
    if blocks <= fs.blocks {
        return Ok(());
    }
    block::grow_ext4_online(mounted_at, blocks)?;
    log::info(&format!("{} grown from {} to {} MiB", device.display(), fs.size_bytes() >> 20, bytes >> 20));
    Ok(())
}
