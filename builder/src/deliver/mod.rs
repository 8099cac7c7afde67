//! Deliver: boot a release in a virtual machine; pack apps for it.

pub mod app_pack;
pub mod vm;
