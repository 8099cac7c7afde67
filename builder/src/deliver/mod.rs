//! Deliver: publish a release to an update repository, boot it in a virtual
//! machine; pack apps for it.

pub mod app_libraries;
pub mod app_pack;
pub mod publish;
pub mod vm;
