//! One node holds the embedded manifest, another reaches it over mutual TLS on the peer port.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use limosa_core::SpaceKeys;
use limosa_core::limits::CREDIT_WINDOW_BYTES;
use limosa_manifest::{Change, ManifestError, ManifestStore, Write};
use limosa_node::driver::cluster::{Addresses, ManifestAt, MemberOptions};
use limosa_node::driver::{Node, NodeOptions};
use limosa_node::manifest_link::RemoteStore;
use limosa_node::pki::Pki;
use limosa_node::transport::Tls;
use limosa_store::{Durability, Identity, Options, Store};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::suite;

/// A node that runs. Ending its runtime kills it, as a lost process would end.
struct Holder {
    address: String,
    runtime: Runtime,
}

/// A node at `dir` that holds the manifest and listens at `address`.
fn holder(pki: &Pki, dir: &Path, address: &str) -> Holder {
    let keys = SpaceKeys::derive(pki.cluster_secret().expose(), "0");
    let identity = Identity { cluster: pki.cluster().0, node: pki.node().to_string() };
    let store = loop {
        match Store::open(Options { fragments: 2, ..Options::new(dir, identity.clone(), keys.clone()) }) {
            Err(error) if error.code() == "store.folder_in_use" => std::thread::sleep(Duration::from_millis(2)),
            other => break other.expect("it opens"),
        }
    };
    let options = NodeOptions {
        node: pki.node().to_string(),
        space_keys: keys,
        durability: Durability::Commit,
        credit_window: CREDIT_WINDOW_BYTES,
        transfer_log: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let listener = runtime.block_on(TcpListener::bind(address)).expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let addresses = Addresses { peer: address.clone(), resp: "h:1".into(), http: "h:2".into() };
    let member = MemberOptions::new(ManifestAt::Embedded { dir: dir.join("manifest") }, addresses);
    let node = Node::open_member(store, Tls::new(pki.credentials()), options, member).expect("it becomes a member");
    runtime.spawn(async move { node.run(listener).await });
    Holder { address, runtime }
}

fn put(key: &str, value: &str) -> Change {
    let write = Write::Put { key: key.to_owned(), value: Bytes::copy_from_slice(value.as_bytes()), lease: None };
    Change { guards: Vec::new(), writes: vec![write] }
}

#[test]
fn a_manifest_that_another_node_holds_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("a folder");
    let pki = Pki::create(dir.path(), &"holder".parse().expect("a name")).expect("certificates");
    let holder = holder(&pki, dir.path(), "127.0.0.1:0");
    let address = holder.address.clone();
    holder.runtime.block_on(async {
        let store = Arc::new(RemoteStore::new(address, Tls::new(pki.credentials()), 1));
        suite::all(store.clone()).await;
        suite::damage_is_named(store).await;
    });
}

#[test]
fn without_the_holder_calls_fail_honestly_watches_end_and_both_work_again_when_it_is_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let pki = Pki::create(dir.path(), &"holder".parse().expect("a name")).expect("certificates");
    let first = holder(&pki, dir.path(), "127.0.0.1:0");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let (store, revision, mut watch) = runtime.block_on(async {
        let store = RemoteStore::new(first.address.clone(), Tls::new(pki.credentials()), 1);
        let revision = store.commit(put("t/a", "1")).await.expect("it answers").revision;
        let watch = store.watch("t/", revision).await.expect("it answers");
        (store, revision, watch)
    });
    let address = first.address.clone();
    drop(first); // waits for its threads
    runtime.block_on(async {
        assert_eq!(watch.next().await.expect_err("its connection broke").code(), "manifest.unavailable");
        match store.commit(put("t/a", "2")).await {
            Err(ManifestError::Unavailable { .. } | ManifestError::Unknown { .. }) => {}
            other => panic!("nobody is there: {other:?}"),
        }
    });
    let second = holder(&pki, dir.path(), &address);
    runtime.block_on(async {
        let back = loop {
            match store.commit(put("t/a", "3")).await {
                Ok(committed) => break committed,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        assert!(back.done && back.revision > revision);
        let mut watch = store.watch("t/", back.revision - 1).await.expect("it answers");
        assert_eq!(suite::next(&mut *watch).await, vec![("t/a".to_owned(), Some("3".to_owned()))]);
    });
    drop(second);
}
