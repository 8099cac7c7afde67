//! Tree: from unpacked packages, node binaries and app images to finished file
//! trees.

pub mod model;
