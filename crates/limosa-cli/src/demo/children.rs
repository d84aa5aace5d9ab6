//! The processes that a demo started: each is ended by its own handle, also when the demo fails or is interrupted.

use std::collections::HashMap;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::error::DemoError;

/// Running nodes by name. Cloning gives another handle on the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Children {
    running: Arc<Mutex<HashMap<&'static str, Child>>>,
    interrupted: Arc<AtomicBool>,
}

/// Ends every child when it is dropped.
pub(super) struct EndsAll(pub(super) Children);

impl Drop for EndsAll {
    fn drop(&mut self) {
        self.0.end_all();
    }
}

impl Children {
    /// Starts a process called `name`.
    pub(super) fn start(&self, name: &'static str, command: &mut Command) -> Result<u32, DemoError> {
        let mut running = self.lock();
        self.check()?; // under the lock: behind an interrupt nothing is started any more
        let child = command.spawn().map_err(|source| DemoError::NotStarted { what: "a node", source })?;
        let id = child.id();
        let before = running.insert(name, child);
        assert!(before.is_none(), "the {name} runs already");
        Ok(id)
    }

    /// `kill -9`, and waits until it is gone.
    pub(super) fn kill(&self, name: &'static str) {
        if let Some(child) = self.lock().remove(name) {
            end(child);
        }
    }

    /// How a child ended by itself; none while it runs.
    pub(super) fn ended(&self, name: &'static str) -> Option<String> {
        let status = self.lock().get_mut(name)?.try_wait();
        status.map_or_else(|error| Some(error.to_string()), |status| status.map(|status| status.to_string()))
    }

    pub(super) fn id(&self, name: &'static str) -> Option<u32> {
        self.lock().get(name).map(Child::id)
    }

    /// Lets the children run on behind the demo's end.
    pub(super) fn release(&self) {
        self.lock().clear(); // a dropped handle ends nothing
    }

    /// Whether the demo may go on.
    pub(super) fn check(&self) -> Result<(), DemoError> {
        if self.is_interrupted() { Err(DemoError::Interrupted) } else { Ok(()) }
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// From now on Ctrl-C and SIGTERM end the children, so that whatever waits for one of them fails at once and the demo ends in order.
    pub(super) fn end_on_signal(&self) -> Result<(), DemoError> {
        let not_started = |source| DemoError::NotStarted { what: "the thread that listens for Ctrl-C", source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(not_started)?;
        let children = self.clone();
        let listen = move || {
            if runtime.block_on(signal()).is_ok() {
                children.interrupted.store(true, Ordering::Relaxed);
                children.end_all();
            }
        };
        thread::Builder::new().name("demo-signals".to_owned()).spawn(listen).map_err(not_started)?;
        Ok(())
    }

    fn end_all(&self) {
        let all: Vec<Child> = self.lock().drain().map(|(_, child)| child).collect();
        all.into_iter().for_each(end);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner) // whole after every statement
    }
}

fn end(mut child: Child) {
    // Both fail only for a child that is gone already.
    let _ = child.kill();
    let _ = child.wait();
}

async fn signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_ended_by_their_handles() {
        let children = Children::default();
        let ends = EndsAll(children.clone());
        let long = || {
            let mut command = Command::new("sleep");
            command.arg("600");
            command
        };
        children.start("a", &mut long()).expect("a process");
        let id = children.start("b", &mut long()).expect("a process");
        assert_eq!((children.ended("a"), children.id("b")), (None, Some(id)));
        children.kill("a");
        assert_eq!(children.id("a"), None);
        drop(ends);
        assert_eq!(children.id("b"), None);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists(), "and waited for");
    }

    #[test]
    fn nothing_is_started_behind_an_interrupt() {
        let children = Children::default();
        children.interrupted.store(true, Ordering::Relaxed);
        let error = children.start("a", Command::new("sleep").arg("600")).expect_err("it was interrupted");
        assert_eq!(error.code(), "demo.interrupted");
    }
}
