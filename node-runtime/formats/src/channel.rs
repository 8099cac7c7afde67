//! Channel pointer: which release a channel currently offers. A TUF target.

use serde::{Deserialize, Serialize};

use crate::{
    Sequence,
    versioned::{Document, Header},
};

/// `channels/<channel>/<product>/<board>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Name `skerry-channel`.
    pub format: Header,
    /// Channel name, such as `stable`.
    pub channel: String,
    /// Product name.
    pub product: String,
    /// Board name.
    pub board: String,
    /// Sequence of the release on offer.
    pub sequence: Sequence,
    /// Version for people.
    pub version: String,
}

impl Document for Channel {
    const NAME: &'static str = "skerry-channel";
    const VERSION: u32 = 1;
}

/// TUF target name of a channel pointer.
pub fn channel_target(channel: &str, product: &str, board: &str) -> String {
    format!("channels/{channel}/{product}/{board}.json")
}

/// TUF target name of a file of a release: `release.json`, `release.json.sig`
/// or `index.skx.zst`.
pub fn release_target(product: &str, board: &str, sequence: Sequence, file: &str) -> String {
    format!("releases/{product}/{board}/{}/{file}", sequence.padded())
}
