//! Kernel settings that follow from the size of the memory.

use std::fs;

use skerry_platform::meminfo;

use crate::log;

const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
/// Memory from which huge pages are worth their price.
const HUGE_PAGES_MEMORY_MIN: u64 = 3 << 30;

/// Who gets transparent huge pages. As long as anybody may, the kernel keeps
/// 45 MiB and more free to put them together from, and counts as much again as
/// not available: a tenth of a small box. On a large one the programs that ask
/// get them; the others would only waste memory on them.
fn huge_pages(total_bytes: u64) -> &'static str {
    if total_bytes < HUGE_PAGES_MEMORY_MIN { "never" } else { "madvise" }
}

/// Fit the kernel to the box. A kernel without a setting does as it likes.
pub fn tune() {
    let total = meminfo::memory().ok().and_then(|m| m.get("total").copied());
    let Some(total) = total else { return log::warn("/proc/meminfo does not tell the size of the memory") };
    match fs::write(HUGE_PAGES, huge_pages(total)) {
        Ok(()) => log::info(&format!("{} MiB of memory, huge pages: {}", total >> 20, huge_pages(total))),
        Err(e) => log::info(&format!("{HUGE_PAGES}: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::huge_pages;

    #[test]
    fn small_boxes_have_no_huge_pages() {
        for (mib, expected) in [(240, "never"), (980, "never"), (2000, "never"), (3800, "madvise"), (65_000, "madvise")]
        {
            assert_eq!(huge_pages(mib << 20), expected, "{mib} MiB");
        }
    }
}
