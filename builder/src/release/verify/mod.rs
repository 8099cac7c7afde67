//! Verify: every signature and every digest of a release, from the sums of an
//! output folder down to the objects inside the disk image.
//!
//! Nothing stops at the first failure: a report lists them all.

mod dir;
mod disk;
mod ostree;
mod parts;
mod report;
#[cfg(test)]
mod tests;

pub use self::{
    dir::verify_dir,
    disk::verify_image,
    report::{Checked, Failure, Report},
};
