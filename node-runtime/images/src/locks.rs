//! One user at a time per key, such as a blob or a reference.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Table<K> = Arc<Mutex<BTreeMap<K, Arc<tokio::sync::Mutex<()>>>>>;

/// Locks by key; a key takes memory only while somebody wants it.
#[derive(Debug, Clone)]
pub struct Locks<K>(Table<K>);

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// The right to use a key. Others that want it wait.
#[derive(Debug)]
pub struct Lease<K: Ord + Clone> {
    table: Table<K>,
    key: K,
    lock: Arc<tokio::sync::Mutex<()>>,
    guard: Option<tokio::sync::OwnedMutexGuard<()>>,
}

/// The table's lock is never held over anything that can panic.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Ord + Clone> Locks<K> {
    /// Wait for a key.
    pub async fn lease(&self, key: K) -> Lease<K> {
        let mutex = lock(&self.0).entry(key.clone()).or_default().clone();
        let mut lease = Lease { table: self.0.clone(), key, lock: mutex, guard: None };
        lease.guard = Some(lease.lock.clone().lock_owned().await);
        lease
    }

    /// Does somebody use or want the key?
    pub fn is_used(&self, key: &K) -> bool {
        lock(&self.0).contains_key(key)
    }
}

impl<K: Ord + Clone> Lease<K> {
    /// Does nobody else want the key?
    pub fn is_last(&self) -> bool {
        let _table = lock(&self.table);
        Arc::strong_count(&self.lock) == self.references()
    }

    /// The table's, this one, and the guard's.
    fn references(&self) -> usize {
        2 + usize::from(self.guard.is_some())
    }
}

impl<K: Ord + Clone> Drop for Lease<K> {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        if Arc::strong_count(&self.lock) == self.references() {
            table.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left() {
        let locks = Locks::default();
        let first = locks.lease("a").await;
        assert!(first.is_last() && locks.is_used(&"a") && !locks.is_used(&"b"));
        let other = tokio::spawn({
            let locks = locks.clone();
            async move { locks.lease("a").await.is_last() }
        });
        while first.is_last() {
            tokio::task::yield_now().await;
        }
        assert!(!other.is_finished());
        drop(first);
        assert!(other.await.unwrap());
        assert!(!locks.is_used(&"a"));
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_leaves_nothing() {
        let locks = Locks::default();
        let first = locks.lease(1).await;
        let mut waiting = Box::pin(locks.lease(1));
        assert!(futures_poll(&mut waiting).await);
        drop(waiting);
        assert!(first.is_last());
        drop(first);
        assert!(!locks.is_used(&1));
    }

    /// Poll once; is it pending?
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
    }
}
