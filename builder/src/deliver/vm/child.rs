//! QEMU as a child that cannot be left behind.

use std::{
    convert::Infallible,
    io,
    ops::{Deref, DerefMut},
    process::{Child, Command},
    sync::mpsc,
};

use skerry_platform::process::die_with_parent;

/// A child that the kernel kills when this process ends, in whatever way.
///
/// The kernel's promise is about the thread that spawned the child. So a thread
/// of its own spawns it and then waits for this value to be dropped; which
/// thread asked for the child does not matter.
#[derive(Debug)]
pub struct KeptChild {
    child: Child,
    /// Its end lets the thread end.
    _hold: mpsc::Sender<Infallible>,
}

impl KeptChild {
    /// Start `command`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        die_with_parent(&mut command);
        let (hold, held) = mpsc::channel::<Infallible>();
        let (sender, receiver) = mpsc::channel();
        std::thread::Builder::new().name("child".into()).spawn(move || {
            if sender.send(command.spawn()).is_ok() {
                let _ = held.recv();
            }
        })?;
        let child = receiver.recv().expect("the thread sends before it ends")?;
        Ok(Self { child, _hold: hold })
    }
}

impl Deref for KeptChild {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.child
    }
}

impl DerefMut for KeptChild {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.child
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_thread_that_asks_may_end_before_the_child() {
        let start = || {
            let mut command = Command::new("cat");
            command.stdin(std::process::Stdio::piped());
            KeptChild::spawn(command).unwrap()
        };
        let mut child = std::thread::spawn(start).join().unwrap();
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success(), "it ran on until its input ended");
    }

    #[test]
    fn a_program_that_is_not_there() {
        let error = KeptChild::spawn(Command::new("no-such-program-here")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
