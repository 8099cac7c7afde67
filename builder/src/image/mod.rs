//! Image: from sealed trees to bytes that boot: [`initrd`], [`uki`], SYSTEM as
//! a sealed ext4 ([`system_fs`]), [`esp`], [`disk`], compressed by [`compress`].
//! [`inspect`] goes the other way, without root and without mounting.

pub mod blob_cache;
pub mod compress;
pub mod disk;
mod error;
pub mod esp;
pub mod initrd;
pub mod inspect;
pub mod system_fs;
#[cfg(test)]
mod tests;
pub mod uki;
pub mod verity;
mod window;

pub use self::{error::ImageError, window::Window};

/// Starts programs of e2fsprogs; the real one runs the programs of the lock.
pub trait Tools: Sync {
    /// Run `program` with `args` and extra environment variables and wait.
    ///
    /// # Errors
    /// The program could not be started.
    fn run(&self, program: &str, args: &[&str], env: &[(&str, &str)]) -> std::io::Result<std::process::Output>;
}

/// Round `n` up to a multiple of `to`.
pub(crate) fn round_up(n: u64, to: u64) -> u64 {
    n.div_ceil(to) * to
}

/// A UUID in text form that depends on nothing but `name`.
pub fn stable_uuid(name: &str) -> String {
    let mut b: [u8; 16] = [0; 16];
    b.copy_from_slice(&skerry_formats::Sha256Digest::of(name.as_bytes()).0[..16]);
    b[6] = (b[6] & 0x0f) | 0x80; // version 8: custom
    b[8] = (b[8] & 0x3f) | 0x80;
    let h = hex::encode(b);
    format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
}
