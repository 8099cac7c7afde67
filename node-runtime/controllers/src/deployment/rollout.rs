//! The two strategies.

use super::{Rollout, Set};
use crate::run::Run;

impl Rollout<'_> {
    /// New pods come and old ones go, within the bounds.
    pub(super) fn rolling_update(&mut self, run: &mut Run<'_>) {
        let Some(now) = self.new.as_ref().map(|s| s.replicas) else {
            return self.create_new(run, self.room_for_new(0));
        };
        let to = if now > self.replicas { self.replicas } else { self.room_for_new(now) };
        if to != now {
            self.scale_new(run, to);
        } else if !self.scale_down_old(run) {
            self.clean_up(run);
        }
    }

    /// All old pods go before the first new one comes.
    pub(super) fn recreate(&mut self, run: &mut Run<'_>) {
        let mut scaled = false;
        for i in 0..self.old.len() {
            scaled |= self.scale_old(run, i, 0);
        }
        if scaled || self.old.iter().any(|s| s.alive > 0) {
            return;
        }
        match self.new.as_ref().map(|s| s.replicas) {
            None => self.create_new(run, self.replicas),
            Some(n) if n != self.replicas => self.scale_new(run, self.replicas),
            Some(_) => self.clean_up(run),
        }
    }

    /// Next size of the new ReplicaSet, which has `now` pods.
    fn room_for_new(&self, now: i32) -> i32 {
        let (surge, _) = self.bounds();
        let room = self.replicas.saturating_add(surge) - self.told();
        now + room.min(self.replicas - now).max(0)
    }

    /// Old pods that may go: first those that serve nobody, then as many
    /// others as the available ones allow.
    fn scale_down_old(&mut self, run: &mut Run<'_>) -> bool {
        let (_, unavailable) = self.bounds();
        let available_min = self.replicas - unavailable;
        let new_unavailable = self.new.as_ref().map_or(0, |s| s.replicas - s.available());
        let mut left = (self.told() - available_min - new_unavailable).max(0);
        let mut sizes: Vec<i32> = self.old.iter().map(|s| s.replicas).collect();
        for (size, set) in sizes.iter_mut().zip(&self.old) {
            let dead = (*size - set.available()).clamp(0, left);
            *size -= dead;
            left -= dead;
        }
        let available: i32 = self.all().map(Set::available).sum();
        let mut may_go = (available - available_min).clamp(0, left);
        for size in &mut sizes {
            let go = (*size).min(may_go);
            *size -= go;
            may_go -= go;
        }
        let mut scaled = false;
        for (i, size) in sizes.into_iter().enumerate() {
            scaled |= self.scale_old(run, i, size);
        }
        scaled
    }
}
