//! Who made a connection: from its port over the kernel's table of sockets to the process, and so to the node.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

/// Names of processes.
#[derive(Clone, Default)]
pub(crate) struct Dialers(Arc<Mutex<BTreeMap<u32, String>>>);

impl Dialers {
    /// Process `id` is the node `name`.
    pub(crate) fn know(&self, id: u32, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, name.to_owned());
    }

    /// The node whose socket on loopback has this port; none where it can't be told.
    pub(super) fn of(&self, port: u16) -> Option<String> {
        let table = fs::read_to_string("/proc/net/tcp").ok()?;
        let wanted = format!("socket:[{}]", inode_of(&table, port)?);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.into_iter().find(|(id, _)| has_socket(*id, &wanted)).map(|(_, name)| name)
    }
}

/// The inode of the socket whose local port this is, out of `/proc/net/tcp`.
fn inode_of(table: &str, port: u16) -> Option<&str> {
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let local = words.get(1)?.rsplit(':').next().and_then(|digits| u16::from_str_radix(digits, 16).ok())?;
        let inode = *words.get(9)?;
        (local == port && inode != "0").then_some(inode)
    })
}

fn has_socket(id: u32, wanted: &str) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{id}/fd")) else { return false }; // it has ended
    open.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == wanted))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_process_behind_a_connection_is_found() {
        let dialers = Dialers::default();
        dialers.know(std::process::id(), "me");
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        assert_eq!(dialers.of(client.local_addr().expect("bound").port()).as_deref(), Some("me"));
        let table = "head\n 0: 0100007F:1F90 0100007F:C350 01 0:0 00:0 0 0 0 77 1\n";
        assert_eq!((inode_of(table, 8080), inode_of(table, 8081)), (Some("77"), None));
    }
}
