//! Removal: one image by hand, or as many as it takes to free some space.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    os::unix::fs::MetadataExt as _,
    sync::Arc,
};

use skerry_formats::{ObjectDigest, Sha256Digest};

use crate::{
    locks::lock,
    objects::{ObjectError, Space, io_error},
    record::list,
    store::{Store, StoreError},
};

/// What a collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Bytes of the disk that are free now and were not.
    pub freed_bytes: u64,
    /// Images that are gone, the first removed first.
    pub images: Vec<Sha256Digest>,
    /// Unfinished downloads that are gone.
    pub downloads: usize,
}

/// Bytes to free on a disk: none below `high_percent`, else down to
/// `low_percent`, as the kubelet does with its image thresholds.
pub fn pressure(space: Space, high_percent: u8, low_percent: u8) -> u64 {
    let used = space.total_bytes.saturating_sub(space.free_bytes);
    let percent = |p: u8| (u128::from(space.total_bytes) * u128::from(p.min(100)) / 100) as u64;
    if used < percent(high_percent) { 0 } else { used.saturating_sub(percent(low_percent)) }
}

impl Store {
    /// Free `wanted_bytes` or as much as can be: unfinished downloads that nobody
    /// waits for, then images, longest unused first. Never those in `in_use` or
    /// `pinned`, nor any that somebody holds a [`crate::PulledImage`] of.
    ///
    /// Waits for an image that is just being unpacked.
    ///
    /// # Errors
    /// [`StoreError`]; what was removed until then stays removed.
    pub fn gc(
        &self,
        wanted_bytes: u64,
        in_use: &BTreeSet<Sha256Digest>,
        pinned: &BTreeSet<Sha256Digest>,
    ) -> Result<Collected, StoreError> {
        let mut done = Collected::default();
        if wanted_bytes == 0 {
            return Ok(done);
        }
        let _change = lock(&self.change);
        self.drop_downloads(wanted_bytes, &mut done)?;
        if done.freed_bytes >= wanted_bytes {
            return Ok(done);
        }
        let mut users = self.users()?;
        for digest in self.oldest_first() {
            if done.freed_bytes >= wanted_bytes {
                break;
            }
            if in_use.contains(&digest) || pinned.contains(&digest) {
                continue;
            }
            if let Some(freed) = self.drop_image(&digest, &mut users)? {
                done.freed_bytes += freed;
                done.images.push(digest);
            }
        }
        Ok(done)
    }

    /// Remove one image; bytes that are free now.
    ///
    /// # Errors
    /// [`StoreError::InUse`]: somebody holds it; [`StoreError::Unknown`].
    pub fn remove(&self, digest: &Sha256Digest) -> Result<u64, StoreError> {
        let _change = lock(&self.change);
        if !self.index().images.contains_key(digest) {
            return Err(StoreError::Unknown(*digest));
        }
        let mut users = self.users()?;
        self.drop_image(digest, &mut users)?.ok_or(StoreError::InUse(*digest))
    }

    fn oldest_first(&self) -> Vec<Sha256Digest> {
        let index = self.index();
        let mut images: Vec<_> = index.images.iter().map(|(d, h)| (h.used_secs, *d)).collect();
        images.sort_unstable();
        images.into_iter().map(|(_, d)| d).collect()
    }

    /// How many images use each object.
    fn users(&self) -> Result<HashMap<ObjectDigest, u32>, StoreError> {
        let records: Vec<_> = self.index().images.values().map(|h| h.record.clone()).collect();
        let mut users = HashMap::new();
        for record in records {
            for digest in self.records.objects(&record)?.unwrap_or_default() {
                *users.entry(digest).or_default() += 1;
            }
        }
        Ok(users)
    }

    /// Remove an image unless somebody holds it; bytes freed.
    fn drop_image(
        &self,
        digest: &Sha256Digest,
        users: &mut HashMap<ObjectDigest, u32>,
    ) -> Result<Option<u64>, StoreError> {
        let record = {
            // Out of the index first: nobody can get hold of it any more.
            let mut index = self.index_mut();
            match index.images.get(digest) {
                Some(held) if Arc::strong_count(&held.image) == 1 => {}
                _ => return Ok(None),
            }
            index.references.retain(|_, d| d != digest);
            match index.images.remove(digest) {
                Some(held) => held.record,
                None => return Ok(None),
            }
        };
        let objects = self.records.objects(&record)?.unwrap_or_default();
        self.records.remove(digest)?;
        let mut freed = 0;
        for object in objects {
            let left = users.get_mut(&object).map_or(0, |n| {
                *n = n.saturating_sub(1);
                *n
            });
            if left == 0 {
                freed += remove(&self.objects.path(&object))?;
            }
        }
        Ok(Some(freed))
    }

    fn drop_downloads(&self, wanted_bytes: u64, done: &mut Collected) -> Result<(), StoreError> {
        for path in list(&self.partial)? {
            if done.freed_bytes >= wanted_bytes {
                break;
            }
            let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            if stem.parse().is_ok_and(|digest| !self.blobs.is_used(&digest)) {
                done.freed_bytes += remove(&path)?;
                done.downloads += 1;
            }
        }
        Ok(())
    }
}

/// Remove a file; bytes that it took on the disk. One that is gone is fine.
fn remove(path: &std::path::Path) -> Result<u64, ObjectError> {
    let bytes = fs::symlink_metadata(path).map_or(0, |m| m.blocks() * 512);
    match fs::remove_file(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(io_error("remove", path)(e)),
        Ok(()) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_by_thresholds() {
        for (free, want) in [(100, 0), (16, 0), (15, 5), (10, 10), (0, 20)] {
            assert_eq!(pressure(Space { total_bytes: 100, free_bytes: free }, 85, 80), want, "{free} free");
        }
        assert_eq!(pressure(Space { total_bytes: 0, free_bytes: 0 }, 85, 80), 0);
    }
}
