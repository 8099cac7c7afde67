//! Release: from objects and trees to a signed statement about them, and the
//! way back: verify, inspect, diff.

pub mod keys;
pub mod tuf_keys;
