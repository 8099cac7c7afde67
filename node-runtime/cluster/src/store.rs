//! Opening the object store. Whatever its state, the node comes up: without a
//! usable disk the objects are in memory, and the baked ones are there again
//! after the next boot.

use anyhow::Context;
use jiff::Timestamp;
use skerry_platform::durable;
use skerry_store::{Store, StoreOptions};

use crate::Config;

/// File of the objects in the state folder.
const FILE: &str = "objects.db";

/// Open it.
///
/// # Errors
/// The state folder cannot be made.
pub(crate) fn open(config: &Config) -> anyhow::Result<Store> {
    let dir = &config.state_dir;
    durable::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let first_revision = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    let options = StoreOptions { first_revision, ..StoreOptions::default() };
    match Store::open(&dir.join(FILE), &options) {
        Ok(opened) => {
            if let Some(why) = opened.recovered {
                tracing::error!("objects that were made over the API are lost: {why}");
            }
            Ok(opened.store)
        }
        Err(e) => {
            let e = anyhow::Error::from(e);
            tracing::error!("objects are kept in memory only: {e:#}");
            Ok(Store::in_memory(&options))
        }
    }
}
