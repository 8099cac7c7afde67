//! A container runtime in memory, for tests of what stands above it.

use std::{cell::RefCell, collections::BTreeMap};

use super::{Listed, NewContainer, Runtime, RuntimeError, Task, from_map};

/// Containers in memory.
#[derive(Debug, Default)]
pub struct Fake {
    /// By id.
    pub containers: RefCell<BTreeMap<String, Listed>>,
    /// What was asked for, in order.
    pub calls: RefCell<Vec<String>>,
    /// While set, every call fails with it.
    pub down: RefCell<Option<String>>,
    /// Containers whose start is refused, by container name.
    pub refuse: RefCell<Vec<String>>,
}

impl Fake {
    fn call(&self, what: String) -> Result<(), RuntimeError> {
        self.calls.borrow_mut().push(what);
        match &*self.down.borrow() {
            Some(detail) => Err(RuntimeError::Unreachable { socket: "fake".into(), detail: detail.clone() }),
            None => Ok(()),
        }
    }

    /// Let a running container end.
    pub fn exit(&self, id: &str, code: u32) {
        if let Some(c) = self.containers.borrow_mut().get_mut(id) {
            c.task = Task::Stopped { code, at: None };
        }
    }
}

impl Runtime for Fake {
    async fn list(&self) -> Result<Vec<Listed>, RuntimeError> {
        self.call("list".into())?;
        Ok(self.containers.borrow().values().cloned().collect())
    }

    async fn start(&self, new: NewContainer) -> Result<u32, RuntimeError> {
        self.call(format!("start {}", new.id))?;
        let labels = from_map(&new.labels.clone().into_iter().collect());
        let refused =
            |detail: &str| RuntimeError::Refused { operation: "start", id: new.id.clone(), detail: detail.into() };
        if self.refuse.borrow().contains(&labels.container) {
            return Err(refused("told to refuse"));
        }
        let mut containers = self.containers.borrow_mut();
        if containers.contains_key(&new.id) {
            return Err(refused("already exists"));
        }
        let pid = 1000 + containers.len() as u32;
        containers
            .insert(new.id.clone(), Listed { id: new.id.clone(), labels, task: Task::Running { pid }, created: None });
        Ok(pid)
    }

    async fn settle(&self, id: &str, labels: BTreeMap<String, String>) -> Result<(), RuntimeError> {
        self.call(format!("settle {id}"))?;
        if let Some(c) = self.containers.borrow_mut().get_mut(id) {
            c.labels = from_map(&labels.into_iter().collect());
            c.task = Task::None;
        }
        Ok(())
    }

    async fn signal(&self, id: &str, signal: u32) -> Result<(), RuntimeError> {
        self.call(format!("signal {id} {signal}"))?;
        self.exit(id, 128 + signal);
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<(), RuntimeError> {
        self.call(format!("remove {id}"))?;
        self.containers.borrow_mut().remove(id);
        Ok(())
    }
}
