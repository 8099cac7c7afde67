//! Answers of upstream servers, for as long as they may be used. Pure: the time
//! is passed in.
//!
//! An answer is fresh for its own time to live. After that it is stale: used
//! only where no server answers (RFC 8767, "Serving Stale Data"), and for so
//! long that apps go on through weeks without a WAN.

use std::collections::{BTreeMap, VecDeque};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RecordType},
};

/// Answers kept at most; an answer is a few hundred bytes.
pub const ENTRIES_MAX: usize = 512;
/// Largest answer that is kept.
pub const ANSWER_BYTES_MAX: usize = 4096;
/// A time to live above this is not believed (RFC 8767 section 4).
pub const TTL_SECS_MAX: u32 = 86_400;
/// Time to live of "no such name" and of answers that name none.
pub const TTL_SECS_NEGATIVE: u32 = 30;
/// Stale answers are handed out for this long.
pub const STALE_SECS_MAX: u64 = 60 * 86_400;
/// Time to live of a stale answer (RFC 8767 section 4).
pub const TTL_SECS_STALE: u32 = 30;

type Question = (Name, RecordType);

/// The cache.
#[derive(Debug, Default)]
pub struct Cache {
    entries: BTreeMap<Question, Entry>,
    /// Oldest use first; may name entries twice or none.
    order: VecDeque<(Question, u64)>,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    /// The answer as it came.
    message: Message,
    stored_at: u64,
    ttl_secs: u32,
    used: u64,
}

/// What the cache has.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Use it; times to live are what is left of them.
    Fresh(Message),
    /// Use it only if nobody answers.
    Stale(Message),
    /// Nothing.
    Nothing,
}

impl Cache {
    /// Look for an answer at `now` (seconds, any start).
    pub fn get(&mut self, name: &Name, kind: RecordType, now: u64) -> Found {
        let key = (name.to_lowercase(), kind);
        let Some(entry) = self.entries.get_mut(&key) else { return Found::Nothing };
        let age = now.saturating_sub(entry.stored_at);
        if age > STALE_SECS_MAX {
            self.entries.remove(&key);
            return Found::Nothing;
        }
        self.uses += 1;
        entry.used = self.uses;
        self.order.push_back((key, self.uses));
        let mut message = entry.message.clone();
        let found = if age < u64::from(entry.ttl_secs) {
            let age = u32::try_from(age).unwrap_or(u32::MAX);
            with_ttl(&mut message, |ttl| ttl.min(TTL_SECS_MAX).saturating_sub(age).max(1));
            Found::Fresh(message)
        } else {
            with_ttl(&mut message, |_| TTL_SECS_STALE);
            Found::Stale(message)
        };
        self.tidy_order();
        found
    }

    /// Keep an answer. Failures of servers, cut answers and answers to other
    /// questions than one are not kept.
    pub fn put(&mut self, message: &Message, bytes: usize, now: u64) {
        let good = matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
        let [query] = message.queries.as_slice() else { return };
        if !good || message.metadata.truncation || bytes > ANSWER_BYTES_MAX {
            return;
        }
        let key = (query.name().to_lowercase(), query.query_type());
        let ttl = message.answers.iter().map(|r| r.ttl).min().unwrap_or(TTL_SECS_NEGATIVE);
        let positive = message.metadata.response_code == ResponseCode::NoError && !message.answers.is_empty();
        // A name that is gone for the moment must not push out the answer that
        // apps need when the WAN is down.
        let ttl = if positive { ttl.min(TTL_SECS_MAX) } else { ttl.min(TTL_SECS_NEGATIVE) };
        self.uses += 1;
        let entry = Entry { message: message.clone(), stored_at: now, ttl_secs: ttl.max(1), used: self.uses };
        self.order.push_back((key.clone(), self.uses));
        self.entries.insert(key, entry);
        while self.entries.len() > ENTRIES_MAX {
            self.drop_least_used();
        }
        self.tidy_order();
    }

    /// Answers in the cache.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nothing in the cache?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn drop_least_used(&mut self) {
        while let Some((key, used)) = self.order.pop_front() {
            if self.entries.get(&key).is_some_and(|e| e.used == used) {
                self.entries.remove(&key);
                return;
            }
        }
    }

    /// Uses that were overtaken by later ones are forgotten.
    fn tidy_order(&mut self) {
        if self.order.len() > 4 * ENTRIES_MAX {
            let entries = &self.entries;
            self.order.retain(|(key, used)| entries.get(key).is_some_and(|e| e.used == *used));
        }
    }
}

fn with_ttl(message: &mut Message, ttl: impl Fn(u32) -> u32) {
    let sections = [&mut message.answers, &mut message.authorities, &mut message.additionals];
    for record in sections.into_iter().flatten() {
        record.ttl = ttl(record.ttl);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::Ipv4Addr;

    use hickory_proto::{
        op::{MessageType, OpCode, Query},
        rr::{RData, Record, rdata::A},
    };

    use super::*;

    fn answer(name: &str, ttl: u32, code: ResponseCode) -> Message {
        let name = Name::from_ascii(name).unwrap();
        let mut m = Message::new(7, MessageType::Response, OpCode::Query);
        m.metadata.response_code = code;
        m.add_query(Query::query(name.clone(), RecordType::A));
        if code == ResponseCode::NoError {
            m.add_answer(Record::from_rdata(name, ttl, RData::A(A(Ipv4Addr::new(192, 0, 2, 1)))));
        }
        m
    }

    fn get(c: &mut Cache, name: &str, now: u64) -> Option<(bool, u32)> {
        match c.get(&Name::from_ascii(name).unwrap(), RecordType::A, now) {
            Found::Fresh(m) => Some((true, m.answers.first().map_or(0, |r| r.ttl))),
            Found::Stale(m) => Some((false, m.answers.first().map_or(0, |r| r.ttl))),
            Found::Nothing => None,
        }
    }

    #[test]
    fn fresh_then_stale_then_gone() {
        let mut c = Cache::default();
        c.put(&answer("a.example.", 100, ResponseCode::NoError), 60, 1000);
        assert_eq!(get(&mut c, "A.Example.", 1000), Some((true, 100)));
        assert_eq!(get(&mut c, "a.example.", 1060), Some((true, 40)));
        assert_eq!(get(&mut c, "a.example.", 1100), Some((false, TTL_SECS_STALE)));
        assert_eq!(get(&mut c, "a.example.", 1000 + STALE_SECS_MAX), Some((false, TTL_SECS_STALE)));
        assert_eq!(get(&mut c, "a.example.", 1001 + STALE_SECS_MAX), None);
        assert_eq!(get(&mut c, "b.example.", 1000), None);
    }

    #[test]
    fn times_are_bounded() {
        let mut c = Cache::default();
        c.put(&answer("long.example.", u32::MAX, ResponseCode::NoError), 60, 0);
        assert_eq!(get(&mut c, "long.example.", 0), Some((true, TTL_SECS_MAX)));
        c.put(&answer("no.example.", 0, ResponseCode::NXDomain), 60, 0);
        assert_eq!(get(&mut c, "no.example.", 29), Some((true, 0)));
        assert_eq!(get(&mut c, "no.example.", 30), Some((false, 0)));
    }

    #[test]
    fn what_is_not_kept() {
        let mut c = Cache::default();
        c.put(&answer("f.example.", 9, ResponseCode::ServFail), 60, 0);
        let mut cut = answer("t.example.", 9, ResponseCode::NoError);
        cut.metadata.truncation = true;
        c.put(&cut, 60, 0);
        c.put(&answer("big.example.", 9, ResponseCode::NoError), ANSWER_BYTES_MAX + 1, 0);
        assert!(c.is_empty());
    }

    #[test]
    fn the_least_used_goes_first() {
        let mut c = Cache::default();
        for i in 0..ENTRIES_MAX {
            c.put(&answer(&format!("n{i}.example."), 60, ResponseCode::NoError), 60, 0);
        }
        for _ in 0..20 * ENTRIES_MAX {
            assert!(get(&mut c, "n0.example.", 1).is_some());
        }
        c.put(&answer("one-more.example.", 60, ResponseCode::NoError), 60, 1);
        assert_eq!(c.len(), ENTRIES_MAX);
        assert!(get(&mut c, "n0.example.", 1).is_some());
        assert!(get(&mut c, "n1.example.", 1).is_none());
        assert!(c.order.len() <= 4 * ENTRIES_MAX + 1);
    }
}
