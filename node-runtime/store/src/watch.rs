//! Watches: a position in the history.

use skerry_machinery::{ApiError, Kind, Reason};
use tokio::sync::watch::Receiver;

use crate::{Store, WatchEvent};

/// Changes of a kind, from a revision on.
///
/// It costs a few dozen bytes however slowly it is read: changes are taken
/// from the store's own history. Whoever falls behind it gets 410 (Expired)
/// and must list again.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    kind: &'static Kind,
    namespace: Option<Box<str>>,
    /// All changes up to this revision have been seen.
    position: u64,
    changes: Receiver<()>,
}

impl Watch {
    pub(crate) fn new(store: Store, kind: &'static Kind, namespace: Option<&str>, from: u64) -> Self {
        let changes = store.changes_of(kind);
        Self { store, kind, namespace: namespace.map(Into::into), position: from, changes }
    }

    /// The next change; waits for one. May be dropped while it waits without
    /// losing a change.
    ///
    /// # Errors
    /// 410 if the watch fell behind the history; it will not recover.
    pub async fn next(&mut self) -> Result<WatchEvent, ApiError> {
        loop {
            self.changes.borrow_and_update();
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            if self.changes.changed().await.is_err() {
                return Err(ApiError::new(Reason::ServiceUnavailable, "the store is closed"));
            }
        }
    }

    /// The next change, if there is one already.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub fn try_next(&mut self) -> Result<Option<WatchEvent>, ApiError> {
        let (event, position) = self.store.event_after(self.position, self.kind, self.namespace.as_deref())?;
        self.position = position;
        Ok(event)
    }

    /// The revision up to which everything has been seen, for bookmarks. It
    /// also advances when only other kinds change, at the next call of
    /// [`Watch::try_next`] that finds nothing.
    pub fn position(&self) -> u64 {
        self.position
    }
}

/// What a client is told whose revision is too old.
pub(crate) fn expired(from: u64, current: u64) -> ApiError {
    let message = if from > current {
        format!("resource version {from} is newer than this store, which is at {current}: list again")
    } else {
        format!("too old resource version: {from} ({current}): list again")
    };
    ApiError::new(Reason::Expired, message)
}
