//! The store: objects in memory, their changes, and what reaches the disk.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;
use skerry_machinery::{ApiError, KINDS, Key, Kind, Stored};
use tokio::sync::watch;

use crate::{
    Ack, Durability, Lookup, Watch, WatchEvent, body,
    database::{Contents, Database, DatabaseError},
    history::{History, kind_index},
    recovery,
    state::State,
    watch::expired,
    writer::{Queue, chain},
};

/// How a store is kept.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// So many changes are remembered for watches.
    pub history_events_max: usize,
    /// So many bytes of them, JSON and a round figure for the rest.
    pub history_bytes_max: usize,
    /// Batched changes ([`Durability::Batched`]) wait this long at most.
    pub batch_interval: Duration,
    /// A store that is begun anew starts from this revision. Seconds since
    /// 1970 are above whatever clients have seen of the store before.
    pub first_revision: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            history_events_max: 2000,
            history_bytes_max: 2 << 20,
            batch_interval: Duration::from_secs(5 * 60),
            first_revision: 0,
        }
    }
}

/// A store could not be opened, not even by beginning anew.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be used, and is not the cause itself.
    #[error("opening the object store {path}")]
    Open {
        /// File.
        path: PathBuf,
        /// Why.
        #[source]
        source: DatabaseError,
    },
    /// A damaged database is in the way.
    #[error("moving the damaged object store {path} aside")]
    MoveAside {
        /// File.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No thread for writing.
    #[error("starting the thread that writes to the object store")]
    Thread(#[source] std::io::Error),
}

/// An opened store.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Why it had to begin anew, and where the old database is; for people.
    pub recovered: Option<String>,
}

/// Objects, in memory and on the disk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Revision of the last change of all.
    revision: watch::Sender<u64>,
    /// Something of a kind has changed, by [`kind_index`].
    changes: Vec<watch::Sender<()>>,
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    fn start(options: &StoreOptions, database: Database, high_water: u64) -> Result<Self, StoreError> {
        let queue = Arc::new(Queue::new(options.batch_interval, high_water));
        let shared = Arc::clone(&queue);
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || shared.run(database));
        Ok(Self { queue, thread: Mutex::new(Some(thread.map_err(StoreError::Thread)?)) })
    }

    fn stop(&self) {
        self.queue.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|t| t.join().is_err()) {
            tracing::error!("the thread that writes to the object store has panicked");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            writer.stop();
        }
    }
}

impl Store {
    /// The store kept in the file `path`. A database that is damaged or was
    /// written by a newer program is moved aside (`path.corrupt-<n>`, the last
    /// three are kept) and a new one begun.
    ///
    /// # Errors
    /// If there can be no database at `path` at all: no such folder, no
    /// permission, disk full, or another process has it open.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Opened, StoreError> {
        let open = |source| StoreError::Open { path: path.into(), source };
        let (database, contents, recovered) = match Database::open(path) {
            Ok((database, contents)) => (database, contents, None),
            Err(error) if error.is_damage() => {
                let aside =
                    recovery::move_aside(path).map_err(|source| StoreError::MoveAside { path: path.into(), source })?;
                let (database, contents) = Database::open(path).map_err(open)?;
                let aside = aside.display();
                let why = format!("{}; it is kept as {aside}, a new one was begun", chain(&error));
                (database, contents, Some(why))
            }
            Err(error) => return Err(open(error)),
        };
        if contents.unknown > 0 {
            tracing::warn!("{} objects in the store are of kinds that this version does not know", contents.unknown);
        }
        let Contents { objects, high_water, .. } = contents;
        let revision = if high_water == 0 { options.first_revision } else { high_water };
        let writer = Writer::start(options, database, revision)?;
        Ok(Opened { store: Self::new(objects, revision, options, Some(writer)), recovered })
    }

    /// A store that is gone with the process.
    pub fn in_memory(options: &StoreOptions) -> Self {
        Self::new(vec![], options.first_revision, options, None)
    }

    fn new(objects: Vec<Stored>, revision: u64, options: &StoreOptions, writer: Option<Writer>) -> Self {
        let history = History::new(options.history_events_max, options.history_bytes_max, revision);
        let inner = Inner {
            state: Mutex::new(State::new(objects, revision, history)),
            revision: watch::Sender::new(revision),
            changes: KINDS.iter().map(|_| watch::Sender::new(())).collect(),
            writer,
        };
        Self { inner: Arc::new(inner) }
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        self.state().get(key)
    }

    /// One object by its uid.
    pub fn by_uid(&self, uid: &str) -> Option<Arc<Stored>> {
        self.state().by_uid(uid)
    }

    /// All objects of a kind in the order of their names, and the revision at
    /// which this is so: a [`Store::watch`] from there misses nothing. `None`:
    /// of all namespaces.
    pub fn list(&self, kind: &'static Kind, namespace: Option<&str>) -> (u64, Vec<Arc<Stored>>) {
        let state = self.state();
        (state.revision, state.iter(kind, namespace).cloned().collect())
    }

    /// Revision of the last change.
    pub fn revision(&self) -> u64 {
        self.state().revision
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.state().len()
    }

    /// Is there no object?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The revision of the last change, and a way to wait for the next.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.inner.revision.subscribe()
    }

    /// Changes of a kind after the revision `from`. `None`: in all namespaces.
    ///
    /// # Errors
    /// 410 if they are no longer known, or `from` is in the future.
    pub fn watch(&self, kind: &'static Kind, namespace: Option<&str>, from: u64) -> Result<Watch, ApiError> {
        let state = self.state();
        if from > state.revision || !state.history.reaches(kind, from) {
            return Err(expired(from, state.revision));
        }
        Ok(Watch::new(self.clone(), kind, namespace, from))
    }

    /// Set an object, as it is but for its resourceVersion. For anything but
    /// tests there is the [`Registry`](crate::Registry).
    ///
    /// # Errors
    /// If it is not an object of a known kind with a name.
    pub fn put(&self, object: Value, durability: Durability) -> Result<(Arc<Stored>, Ack), ApiError> {
        self.lock().put(object, durability)
    }

    /// Take an object out at once. `None`: there is none.
    ///
    /// # Errors
    /// Only if it is not what was once put.
    pub fn remove(&self, key: &Key, durability: Durability) -> Result<Option<(Arc<Stored>, Ack)>, ApiError> {
        self.lock().remove(key, durability)
    }

    /// Write everything that is not on the disk yet, and wait for it.
    ///
    /// # Errors
    /// 500 if it cannot be written.
    pub async fn flush(&self) -> Result<(), ApiError> {
        self.flush_ack().wait().await
    }

    /// The same for code that is not async.
    ///
    /// # Errors
    /// As [`Store::flush`].
    pub fn flush_blocking(&self) -> Result<(), ApiError> {
        self.flush_ack().wait_blocking()
    }

    /// Write everything and close the database; blocks. Later changes are in
    /// memory only. Dropping the last clone does the same.
    pub fn close(&self) {
        if let Some(writer) = &self.inner.writer {
            writer.stop();
        }
    }

    fn flush_ack(&self) -> Ack {
        self.inner.writer.as_ref().map_or_else(Ack::default, |w| w.queue.flush())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For several steps that nobody may come between.
    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked { state: self.state(), inner: &self.inner }
    }

    pub(crate) fn changes_of(&self, kind: &'static Kind) -> watch::Receiver<()> {
        self.inner.changes[kind_index(kind)].subscribe()
    }

    /// The first change after `position`, and the position after it.
    pub(crate) fn event_after(
        &self,
        position: u64,
        kind: &'static Kind,
        namespace: Option<&str>,
    ) -> Result<(Option<WatchEvent>, u64), ApiError> {
        let state = self.state();
        if !state.history.reaches(kind, position) {
            return Err(expired(position, state.revision));
        }
        let event = state.history.after(position, kind, namespace).cloned();
        let position = event.as_ref().map_or(state.revision, WatchEvent::revision);
        Ok((event, position))
    }
}

/// The store, held.
pub(crate) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    inner: &'a Inner,
}

impl Locked<'_> {
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        self.state.get(key)
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Set an object; its resourceVersion becomes the next revision.
    pub(crate) fn put(&mut self, object: Value, durability: Durability) -> Result<(Arc<Stored>, Ack), ApiError> {
        self.put_checked(object, durability, |_| Ok(()))
    }

    /// The same, if its size in bytes passes.
    pub(crate) fn put_checked(
        &mut self,
        mut object: Value,
        durability: Durability,
        check_size: impl FnOnce(usize) -> Result<(), ApiError>,
    ) -> Result<(Arc<Stored>, Ack), ApiError> {
        let object = Arc::new(self.stamp(&mut object)?);
        check_size(object.json.len())?;
        self.state.put(Arc::clone(&object));
        let ack = self.push(object.key.clone(), Some(Arc::clone(&object)), durability);
        self.announce(object.key.kind);
        Ok((object, ack))
    }

    /// Take an object out; answers its last state with the next revision.
    pub(crate) fn remove(&mut self, key: &Key, durability: Durability) -> Result<Option<(Arc<Stored>, Ack)>, ApiError> {
        let Some(object) = self.state.get(key) else { return Ok(None) };
        let last = Arc::new(self.stamp(&mut object.value())?);
        self.state.remove(Arc::clone(&last));
        let ack = self.push(key.clone(), None, durability);
        self.announce(key.kind);
        Ok(Some((last, ack)))
    }

    /// An ack for what has been written so far.
    pub(crate) fn ack(&self) -> Ack {
        self.inner.writer.as_ref().map_or_else(Ack::default, |w| w.queue.ack())
    }

    fn stamp(&self, object: &mut Value) -> Result<Stored, ApiError> {
        let revision = self.state.revision + 1;
        if let Some(writer) = &self.inner.writer {
            writer.queue.reserve(revision);
        }
        body::metadata_mut(object)?.insert("resourceVersion".into(), revision.to_string().into());
        Stored::from_json(object.to_string())
    }

    fn push(&self, key: Key, object: Option<Arc<Stored>>, durability: Durability) -> Ack {
        self.inner.writer.as_ref().map_or_else(Ack::default, |w| w.queue.push(key, object, durability))
    }

    fn announce(&self, kind: &'static Kind) {
        self.inner.revision.send_replace(self.state.revision);
        self.inner.changes[kind_index(kind)].send_replace(());
    }
}

impl Lookup for Locked<'_> {
    fn get(&self, kind: &'static Kind, namespace: &str, name: &str) -> Option<Arc<Stored>> {
        self.state.get(&Key::new(kind, namespace, name))
    }

    fn list(&self, kind: &'static Kind, namespace: Option<&str>) -> Vec<Arc<Stored>> {
        self.state.iter(kind, namespace).cloned().collect()
    }
}
