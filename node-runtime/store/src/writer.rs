//! The thread that writes to the database, and the queue before it.
//!
//! The queue holds the newest unwritten state of each object, so it is never
//! longer than there are objects. Whatever has gathered while one transaction
//! is written goes into the next one (group commit). Batched changes wait for
//! their interval, for a flush, or for a transaction that is cheap to join.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use skerry_machinery::{ApiError, Key, Stored};
use tokio::sync::watch;

use crate::{
    Durability,
    database::{Batch, Database},
};

/// Batched changes of up to this size join a transaction that is written
/// anyway.
const JOIN_BYTES_MAX: usize = 16 * 1024;
/// Revisions are reserved on the disk in such steps, half a step ahead.
const REVISION_STEP: u64 = 20_000;
/// After a failure nothing is tried for this long unless something new comes.
const RETRY: Duration = Duration::from_secs(10);

/// Tells when a change is on the disk.
#[derive(Debug, Clone, Default)]
pub struct Ack {
    queue: Option<Arc<Queue>>,
    number: u64,
}

impl Ack {
    /// Wait until the change is on the disk. Returns at once for changes that
    /// need not be ([`Durability::Batched`]) and for stores in memory.
    ///
    /// # Errors
    /// 500 if it could not be written; it is in memory nonetheless, and is
    /// tried again with the next change.
    pub async fn wait(&self) -> Result<(), ApiError> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let mut progress = queue.progress.subscribe();
        loop {
            if let Some(result) = progress.borrow_and_update().of(self.number) {
                return result;
            }
            if progress.changed().await.is_err() {
                return Err(ApiError::internal("the store was closed before the change was written"));
            }
        }
    }

    /// The same for code that is not async.
    ///
    /// # Errors
    /// As [`Ack::wait`].
    pub fn wait_blocking(&self) -> Result<(), ApiError> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let mut waiting = queue.lock();
        loop {
            if let Some(result) = queue.progress.borrow().of(self.number) {
                return result;
            }
            waiting = queue.written.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// How far the writer is.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// Requests up to this number are on the disk.
    written: u64,
    /// Those up to this number have failed, if they are not written.
    failed: u64,
    why: Arc<str>,
    /// Nothing more will be written.
    closed: bool,
}

impl Progress {
    fn of(&self, number: u64) -> Option<Result<(), ApiError>> {
        if number <= self.written {
            Some(Ok(()))
        } else if number <= self.failed {
            Some(Err(ApiError::internal(format!("the change is not on the disk: {}", self.why))))
        } else if self.closed {
            Some(Err(ApiError::internal("the change is not on the disk: the store is closed")))
        } else {
            None
        }
    }
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Waiting {
    rows: HashMap<Key, Row>,
    batched_bytes: usize,
    batched_since: Option<Instant>,
    /// Number of the newest request, of the newest one taken by the writer.
    requested: u64,
    taken: u64,
    /// Write batched changes too.
    all: bool,
    /// Revision up to which it shall be, is being, and is reserved.
    mark_wanted: u64,
    mark_taken: u64,
    mark_written: u64,
    retry_at: Option<Instant>,
    stop: bool,
}

#[derive(Debug)]
struct Row {
    object: Option<Arc<Stored>>,
    durability: Durability,
}

impl Row {
    fn size_bytes(&self) -> usize {
        self.object.as_ref().map_or(0, |o| o.json.len())
    }
}

/// The queue before the writer.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// There is work.
    work: Condvar,
    /// Some is done, or has failed.
    written: Condvar,
    progress: watch::Sender<Progress>,
    interval: Duration,
}

/// Work for one transaction.
struct Taken {
    batch: Batch,
    durable: Vec<bool>,
    number: u64,
}

impl Queue {
    /// A queue whose database has reserved revisions below `high_water`.
    pub(crate) fn new(interval: Duration, high_water: u64) -> Self {
        let waiting = Waiting {
            mark_wanted: high_water + REVISION_STEP,
            mark_taken: high_water,
            mark_written: high_water,
            ..Default::default()
        };
        Self {
            waiting: Mutex::new(waiting),
            work: Condvar::new(),
            written: Condvar::new(),
            progress: watch::Sender::default(),
            interval,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Make sure that no revision is given out that another start could give
    /// out again: waits only if the reserve is used up.
    pub(crate) fn reserve(&self, revision: u64) {
        let mut waiting = self.lock();
        if revision + REVISION_STEP / 2 >= waiting.mark_wanted {
            waiting.mark_wanted = revision + REVISION_STEP;
            self.work.notify_one();
        }
        if revision < waiting.mark_written || waiting.stop {
            return;
        }
        // A disk that does not take writes must not stop the node.
        while waiting.mark_written <= revision && waiting.retry_at.is_none() && !waiting.stop {
            waiting = self.written.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Write a state, `None`: gone.
    pub(crate) fn push(self: &Arc<Self>, key: Key, object: Option<Arc<Stored>>, durability: Durability) -> Ack {
        let mut waiting = self.lock();
        waiting.insert(key, Row { object, durability });
        if durability == Durability::Batched {
            // The writer must know when the first one is due.
            if waiting.batched_since.is_none() {
                waiting.batched_since = Some(Instant::now());
                self.work.notify_one();
            }
            return Ack::default();
        }
        self.request(&mut waiting)
    }

    /// All that is durable so far.
    pub(crate) fn ack(self: &Arc<Self>) -> Ack {
        Ack { queue: Some(Arc::clone(self)), number: self.lock().requested }
    }

    /// Write everything.
    pub(crate) fn flush(self: &Arc<Self>) -> Ack {
        let mut waiting = self.lock();
        waiting.all = true;
        self.request(&mut waiting)
    }

    /// Write everything and end.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.work.notify_one();
        self.written.notify_all();
    }

    fn request(self: &Arc<Self>, waiting: &mut Waiting) -> Ack {
        waiting.requested += 1;
        waiting.retry_at = None;
        self.work.notify_one();
        Ack { queue: Some(Arc::clone(self)), number: waiting.requested }
    }

    /// The writer's loop; ends after [`Queue::stop`].
    pub(crate) fn run(&self, mut database: Database) {
        while let Some(taken) = self.take() {
            match database.write(&taken.batch) {
                Ok(()) => self.done(&taken),
                Err(error) => {
                    let why = chain(&error);
                    tracing::error!("{why}; it is tried again");
                    if !self.failed(taken, &why) {
                        break;
                    }
                }
            }
        }
        let _waiting = self.lock();
        self.progress.send_modify(|p| p.closed = true);
        self.written.notify_all();
    }

    /// Wait for work; `None`: stopped and nothing is left.
    fn take(&self) -> Option<Taken> {
        let mut waiting = self.lock();
        loop {
            let now = Instant::now();
            waiting.retry_at = waiting.retry_at.filter(|at| now < *at);
            if waiting.has_work(now, self.interval) {
                return Some(waiting.take(now, self.interval));
            }
            if waiting.stop {
                return None;
            }
            waiting = match waiting.next_due(self.interval) {
                Some(due) => {
                    let wait = due.saturating_duration_since(now);
                    self.work.wait_timeout(waiting, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn done(&self, taken: &Taken) {
        let mut waiting = self.lock();
        if let Some(mark) = taken.batch.high_water {
            waiting.mark_written = mark;
        }
        self.progress.send_modify(|p| p.written = p.written.max(taken.number));
        self.written.notify_all();
    }

    /// Put the work back; false: give up, the store is closing.
    fn failed(&self, taken: Taken, why: &str) -> bool {
        let mut waiting = self.lock();
        for ((key, object), durable) in taken.batch.rows.into_iter().zip(taken.durable) {
            waiting.put_back(key, object, if durable { Durability::Durable } else { Durability::Batched });
        }
        waiting.all = true;
        waiting.taken = self.progress.borrow().written;
        waiting.mark_taken = waiting.mark_written;
        waiting.retry_at = Some(Instant::now() + RETRY);
        self.progress.send_modify(|p| (p.failed, p.why) = (p.failed.max(taken.number), why.into()));
        self.written.notify_all();
        !waiting.stop
    }
}

impl Waiting {
    fn insert(&mut self, key: Key, mut row: Row) {
        if let Some(old) = self.rows.remove(&key) {
            if old.durability == Durability::Durable {
                row.durability = Durability::Durable;
            } else {
                self.batched_bytes -= old.size_bytes();
            }
        }
        if row.durability == Durability::Batched {
            self.batched_bytes += row.size_bytes();
        }
        self.rows.insert(key, row);
    }

    /// A row that could not be written; a newer state of it wins.
    fn put_back(&mut self, key: Key, object: Option<Arc<Stored>>, durability: Durability) {
        let object = match self.rows.get(&key) {
            Some(newer) => newer.object.clone(),
            None => object,
        };
        if durability == Durability::Batched {
            self.batched_since.get_or_insert_with(Instant::now);
        }
        let durability = match self.rows.get(&key) {
            Some(newer) if newer.durability == Durability::Durable => Durability::Durable,
            _ => durability,
        };
        self.insert(key, Row { object, durability });
    }

    fn has_work(&self, now: Instant, interval: Duration) -> bool {
        if self.stop {
            return !self.rows.is_empty() || self.requested > self.taken;
        }
        let work = self.requested > self.taken || self.mark_wanted > self.mark_taken;
        self.retry_at.is_none() && (work || self.batched_due(now, interval))
    }

    fn batched_due(&self, now: Instant, interval: Duration) -> bool {
        self.batched_since.is_some_and(|since| now >= since + interval)
    }

    fn next_due(&self, interval: Duration) -> Option<Instant> {
        self.retry_at.or_else(|| self.batched_since.map(|since| since + interval))
    }

    fn take(&mut self, now: Instant, interval: Duration) -> Taken {
        let all = self.stop || self.all || self.batched_due(now, interval) || self.batched_bytes <= JOIN_BYTES_MAX;
        let rows = self.rows.extract_if(|_, row| all || row.durability == Durability::Durable);
        let (mut batch, mut durable) = (Batch::default(), vec![]);
        for (key, row) in rows {
            durable.push(row.durability == Durability::Durable);
            batch.rows.push((key, row.object));
        }
        if all {
            (self.batched_bytes, self.batched_since, self.all) = (0, None, false);
        }
        if self.mark_wanted > self.mark_taken {
            batch.high_water = Some(self.mark_wanted);
            self.mark_taken = self.mark_wanted;
        }
        self.taken = self.requested;
        self.retry_at = None;
        Taken { batch, durable, number: self.requested }
    }
}

/// An error with what caused it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Durability::*, *};

    const INTERVAL: Duration = Duration::from_secs(300);

    fn object(name: &str, bytes: usize) -> Arc<Stored> {
        let data = "x".repeat(bytes);
        let json = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","namespace":"n","resourceVersion":"1"}},"d":"{data}"}}"#
        );
        Arc::new(Stored::from_json(json).unwrap())
    }

    fn row(name: &str, bytes: usize, durability: Durability) -> (Key, Row) {
        let object = object(name, bytes);
        (object.key.clone(), Row { object: Some(object), durability })
    }

    fn waiting(rows: &[(&str, usize, Durability)], since: Instant) -> Waiting {
        let mut waiting = Waiting::default();
        for (name, bytes, durability) in rows {
            let (key, row) = row(name, *bytes, *durability);
            waiting.insert(key, row);
            match durability {
                Batched => waiting.batched_since = Some(since),
                Durable => waiting.requested += 1,
            }
        }
        waiting
    }

    /// Names in the transaction, and how many bytes still wait.
    fn taken(waiting: &mut Waiting, now: Instant) -> (Vec<String>, bool) {
        let taken = waiting.take(now, INTERVAL);
        let mut names: Vec<_> = taken.batch.rows.into_iter().map(|(key, _)| key.name).collect();
        names.sort();
        (names, waiting.batched_bytes > 0)
    }

    #[test]
    fn what_is_written_when() {
        let start = Instant::now();
        let due = start + INTERVAL;
        const MUCH: usize = JOIN_BYTES_MAX + 1;
        for (rows, now, work, wanted, left) in [
            (&[("a", 1, Durable)][..], start, true, &["a"][..], false),
            (&[("a", 1, Durable), ("b", 1, Batched)], start, true, &["a", "b"], false),
            (&[("a", 1, Durable), ("b", MUCH, Batched)], start, true, &["a"], true),
            (&[("a", 1, Durable), ("b", MUCH, Batched)], due, true, &["a", "b"], false),
            (&[("b", MUCH, Batched)], start, false, &[], true),
            (&[("b", MUCH, Batched)], due, true, &["b"], false),
            (&[("a", 1, Durable), ("a", MUCH, Batched)], start, true, &["a"], false),
            (&[("a", MUCH, Batched), ("a", MUCH, Durable)], start, true, &["a"], false),
        ] {
            let mut waiting = waiting(rows, start);
            assert_eq!(waiting.has_work(now, INTERVAL), work, "{rows:?}");
            assert_eq!(taken(&mut waiting, now), (wanted.iter().map(|s| (*s).to_owned()).collect(), left), "{rows:?}");
            assert!(!waiting.has_work(now, INTERVAL), "{rows:?}");
        }
    }

    #[test]
    fn a_newer_state_wins_over_one_that_comes_back() {
        let mut waiting = waiting(&[("a", 5, Batched)], Instant::now());
        let (key, old) = row("a", 9, Durable);
        waiting.put_back(key.clone(), old.object.clone(), Durable);
        let kept = &waiting.rows[&key];
        assert_eq!((kept.object.as_ref(), kept.durability), (Some(&object("a", 5)), Durable));
        assert_eq!(waiting.batched_bytes, 0);
        let (key, gone) = row("b", 9, Batched);
        waiting.put_back(key.clone(), gone.object.clone(), Batched);
        assert_eq!(waiting.rows[&key].object, gone.object);
    }

    #[test]
    fn a_failed_write_is_told_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let (database, _) = Database::open(&path).unwrap();
        database.limit_pages(20);
        let queue = Arc::new(Queue::new(INTERVAL, 0));
        let shared = Arc::clone(&queue);
        let thread = std::thread::spawn(move || shared.run(database));
        let push = |name: &str, bytes: usize| {
            let object = object(name, bytes);
            queue.push(object.key.clone(), Some(object), Durable)
        };
        let big = push("big", 200_000);
        let error = big.wait_blocking().unwrap_err();
        assert!(error.message.contains("not on the disk") && error.message.contains("full"), "{error}");
        queue.reserve(1_000_000); // Must not wait for a disk that takes nothing.
        let small = push("small", 10);
        assert!(small.wait_blocking().is_err(), "the big one is still in the way");
        push("big", 10).wait_blocking().unwrap();
        small.wait_blocking().unwrap();
        big.wait_blocking().unwrap();
        queue.stop();
        thread.join().unwrap();
        let (_, contents) = Database::open(&path).unwrap();
        assert_eq!((contents.objects.len(), contents.high_water > 1_000_000), (2, true));
        assert!(push("late", 10).wait_blocking().is_err());
    }
}
