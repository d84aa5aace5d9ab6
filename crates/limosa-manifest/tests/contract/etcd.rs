//! A real etcd under the contract, and through what happens to a real etcd: restarts, silence, compaction, users, TLS, old backups.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use limosa_core::{FragmentId, Version};
use limosa_manifest::embedded::EmbeddedStore;
use limosa_manifest::etcd::{EtcdStore, EtcdTls};
use limosa_manifest::handover;
use limosa_manifest::ratchet::Ratchet;
use limosa_manifest::{Change, Changed, Intent, Manifest, ManifestError, ManifestStore, Write};

use crate::server::EtcdServer;
use crate::suite;

fn store(server: &EtcdServer, prefix: &str) -> Arc<EtcdStore> {
    Arc::new(EtcdStore::new(server.config(prefix)).expect("a good configuration"))
}

fn write(key: &str, value: &'static str) -> Change {
    Change { guards: vec![], writes: vec![Write::Put { key: key.into(), value: Bytes::from_static(value.as_bytes()), lease: None }] }
}

/// Tries until the store answers: a connection that broke is made again at the next use.
async fn until_it_answers<T, F: Future<Output = Result<T, ManifestError>>>(call: impl Fn() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_keeps_the_contract() {
    let server = EtcdServer::start();
    suite::all(store(&server, "/limosa/one/")).await;
    suite::damage_is_named(store(&server, "/limosa/one/")).await;
    let other = store(&server, "/limosa/other/").list("").await.expect("answers");
    assert!(other.entries.is_empty(), "clusters with prefixes of their own do not see each other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_survive_a_restart_and_an_absent_server_is_said_to_be_so() {
    let mut server = EtcdServer::start();
    let manifest = Manifest::new(store(&server, "/limosa/"), Ratchet::default());
    assert!(manifest.create(&[suite::cell(7, "a")]).await.expect("answers"));
    server.stop();
    let held = manifest.cell(FragmentId(7)).await.expect_err("nobody is there");
    assert_eq!(held.code(), "manifest.unavailable");
    let refused = manifest.create(&[suite::cell(8, "a")]).await.expect_err("nobody is there");
    assert_eq!(refused.code(), "manifest.unavailable", "without a connection nothing was sent, and that is certain: {refused}");
    server.resume();
    let held = until_it_answers(|| manifest.cell(FragmentId(7))).await.expect("it survived");
    assert_eq!(held.value, suite::cell(7, "a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_leaves_an_unknown_outcome_that_is_read_back() {
    let server = EtcdServer::start();
    let manifest = Manifest::new(store(&server, "/limosa/"), Ratchet::default());
    assert!(manifest.create(&[suite::cell(7, "a")]).await.expect("answers"));
    let held = manifest.cell(FragmentId(7)).await.expect("answers").expect("there");
    let joined = held.value.join(&suite::name("a"), &suite::name("b"), Version::ZERO).expect("the owner asks");
    server.signal("STOP"); // the request reaches its socket and waits there
    let refused = manifest.change(&held, joined.clone(), Intent(5)).await.expect_err("nobody answers");
    assert!(matches!(refused, ManifestError::Unknown { .. } | ManifestError::Unavailable { .. }), "{refused}");
    server.signal("CONT");
    // Once it answers, the same wish has a certain outcome, and was made once.
    let outcome = until_it_answers(|| manifest.change(&held, joined.clone(), Intent(5))).await;
    let Changed::Made(now) = outcome else { panic!("nobody else is here: {outcome:?}") };
    assert_eq!(now.value.intents, vec![Intent(5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_from_before_a_compaction_is_told_to_list_again() {
    let server = EtcdServer::start();
    let store = store(&server, "/limosa/");
    let first = store.commit(write("t/a", "1")).await.expect("answers").revision;
    let last = store.commit(write("t/a", "2")).await.expect("answers").revision;
    server.control(&["compact", &last.to_string()]);
    let mut watch = store.watch("t/", first - 1).await.expect("opens");
    assert!(matches!(watch.next().await, Err(ManifestError::Compacted { oldest }) if oldest == last));
    let listed = store.list("t/").await.expect("answers");
    let mut watch = store.watch("t/", listed.revision).await.expect("opens");
    store.commit(write("t/a", "3")).await.expect("answers");
    assert_eq!(suite::next(&mut *watch).await, vec![("t/a".to_owned(), Some("3".to_owned()))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_with_an_error_when_the_server_does() {
    let mut server = EtcdServer::start();
    let store = store(&server, "/limosa/");
    let revision = store.commit(write("t/a", "1")).await.expect("answers").revision;
    let mut watch = store.watch("t/", revision).await.expect("opens");
    let waiting = tokio::spawn(async move { watch.next().await });
    tokio::time::sleep(Duration::from_millis(100)).await; // so that it waits already; without it the error comes all the same
    server.stop();
    let ended = tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it does not hang").expect("no panic");
    assert_eq!(ended.expect_err("the server has gone").code(), "manifest.unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_restored_from_an_old_backup_is_refused() {
    let mut server = EtcdServer::start();
    let manifest = Manifest::new(store(&server, "/limosa/"), Ratchet::default());
    assert!(manifest.create(&[suite::cell(7, "a")]).await.expect("answers"));
    server.stop();
    let backup = tempfile::tempdir().expect("a folder");
    copy_dir(&server.data(), &backup.path().join("data"));
    server.resume();
    let held = until_it_answers(|| manifest.cell(FragmentId(7))).await.expect("there");
    let joined = held.value.join(&suite::name("a"), &suite::name("b"), Version::ZERO).expect("the owner asks");
    manifest.change(&held, joined, Intent(1)).await.expect("answers");
    let ratchet = Ratchet::from_bytes(&manifest.ratchet().to_bytes()).expect("as the node keeps it");
    server.stop();
    std::fs::remove_dir_all(server.data()).expect("removed");
    copy_dir(&backup.path().join("data"), &server.data());
    server.resume();
    let restored = Manifest::new(store(&server, "/limosa/"), ratchet);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match restored.cell(FragmentId(7)).await.expect_err("never believed") {
            ManifestError::Unavailable { .. } => assert!(Instant::now() < deadline, "it does not come back"),
            refused => return assert_eq!(refused.code(), "manifest.rolled_back", "{refused}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_etcd_is_not_taken_for_the_one_that_was_seen() {
    let (first, second) = (EtcdServer::start(), EtcdServer::start());
    let manifest = Manifest::new(store(&first, "/limosa/"), Ratchet::default());
    manifest.cell(FragmentId(7)).await.expect("answers");
    let exchanged = Manifest::new(store(&second, "/limosa/"), manifest.ratchet());
    assert_eq!(exchanged.cell(FragmentId(7)).await.expect_err("another store").code(), "manifest.rolled_back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_manifest_is_moved_into_etcd_and_only_the_newest_one_is_believed() {
    let (server, folder) = (EtcdServer::start(), tempfile::tempdir().expect("a folder"));
    let (path, backup) = (folder.path().join("manifest.redb"), folder.path().join("backup.redb"));
    let open = |path: &Path| EmbeddedStore::open(path, 77);
    let embedded = Manifest::new(Arc::new(open(&path).expect("made")), Ratchet::default());
    let cells: Vec<_> = (0..130).map(|id| suite::cell(id, "a")).collect();
    for group in cells.chunks(60) {
        assert!(embedded.create(group).await.expect("answers"));
    }
    let [first] = embedded.take_ids().await.expect("answers");
    drop(embedded);
    std::fs::copy(&path, &backup).expect("nobody has it open");
    let embedded = Manifest::new(Arc::new(open(&path).expect("there")), Ratchet::default());
    let held = embedded.cell(FragmentId(7)).await.expect("answers").expect("there");
    let joined = held.value.join(&suite::name("a"), &suite::name("b"), Version::ZERO).expect("the owner asks");
    embedded.change(&held, joined.clone(), Intent(1)).await.expect("answers");
    let ratchet = embedded.ratchet();
    drop(embedded);

    let etcd = store(&server, "/limosa/a/");
    let before = Manifest::new(etcd.clone(), ratchet.clone());
    assert_eq!(before.cells().await.expect_err("not the one that was seen").code(), "manifest.rolled_back");
    let old = EmbeddedStore::open_retired(&path, 1).expect("there");
    for _ in 0..2 {
        assert_eq!(handover::carry(&old, &*etcd).await.expect("both are there"), 130, "a second time is the same");
    }
    drop(old);
    let Err(refused) = open(&path) else { panic!("two stores would decide") };
    assert_eq!(refused.code(), "manifest.config");
    let (moved, _) = before.cells().await.expect("it follows from what was seen");
    assert_eq!(moved.len(), 130);
    assert_eq!(moved.iter().find(|held| held.value.id() == FragmentId(7)).expect("there").value, joined.marked(Intent(1)));
    let [next] = before.take_ids().await.expect("answers");
    assert_eq!(next.0, first.0 + 1, "no id is given twice");
    let again = Manifest::new(etcd, Ratchet::from_bytes(&before.ratchet().to_bytes()).expect("as a node keeps it"));
    again.cells().await.expect("the same node, restarted");

    // From a backup: a node that saw what came behind it does not take it, one that did not could.
    let elsewhere = store(&server, "/limosa/b/");
    let old = EmbeddedStore::open_retired(&backup, 1).expect("there");
    handover::carry(&old, &*elsewhere).await.expect("both are there");
    let stale = Manifest::new(elsewhere.clone(), ratchet);
    assert_eq!(stale.cells().await.err().map(|refused| refused.code()), Some("manifest.rolled_back"), "older than what was seen");
    let newer = EmbeddedStore::open_retired(&path, 1).expect("there");
    assert!(handover::carry(&newer, &*elsewhere).await.is_err(), "another manifest was moved there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_and_a_password_are_asked_for_and_a_forgotten_token_is_renewed() {
    let mut server = EtcdServer::start();
    for args in [
        &["user", "add", "root:secret"][..],
        &["user", "grant-role", "root", "root"],
        &["user", "add", "node:word"],
        &["role", "add", "limosa"],
        &["role", "grant-permission", "limosa", "--prefix=true", "readwrite", "/limosa/"],
        &["user", "grant-role", "node", "limosa"],
        &["auth", "enable"],
    ] {
        let known = args == ["user", "grant-role", "root", "root"].as_slice();
        if known {
            server.control(&["role", "add", "root"]);
        }
        server.control(args);
    }
    let with = |user: Option<(&str, &str)>, prefix: &str| {
        let user = user.map(|(name, password)| (name.to_owned(), password.to_owned()));
        let config = limosa_manifest::etcd::EtcdConfig { user, ..server.config(prefix) };
        EtcdStore::new(config).expect("a good configuration")
    };
    let good = with(Some(("node", "word")), "/limosa/");
    assert!(good.commit(write("a", "1")).await.expect("allowed").done);
    for refused in [with(None, "/limosa/"), with(Some(("node", "wrong")), "/limosa/"), with(Some(("node", "word")), "/other/")] {
        assert_eq!(refused.read("a").await.expect_err("not allowed").code(), "manifest.denied");
        assert_eq!(refused.commit(write("a", "2")).await.expect_err("not allowed").code(), "manifest.denied");
    }
    server.stop();
    server.resume(); // simple tokens are kept in memory: etcd has forgotten them
    until_it_answers(|| good.commit(write("a", "2"))).await;
    assert_eq!(good.read("a").await.expect("answers").entries[0].value, "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_tls_is_spoken_and_a_stranger_is_refused() {
    let mut pem = None;
    let server = EtcdServer::start_with("https", |dir| {
        pem = Some(make_certificates(dir));
        let file = |name: &str| dir.join(name).display().to_string();
        ["--cert-file", &file("server.pem"), "--key-file", &file("server.key"), "--trusted-ca-file", &file("ca.pem"), "--client-cert-auth"]
            .map(str::to_owned)
            .to_vec()
    });
    let (ca_pem, certificate, key) = pem.expect("made above");
    let with = |identity_pem| {
        let tls = EtcdTls { ca_pem: ca_pem.clone(), identity_pem, server_name: Some("localhost".to_owned()) };
        EtcdStore::new(limosa_manifest::etcd::EtcdConfig { tls: Some(tls), ..server.config("/limosa/") }).expect("a good configuration")
    };
    let known = with(Some((certificate, key)));
    let made = until_it_answers(|| known.commit(write("a", "1"))).await;
    assert!(made.done);
    let stranger = with(None).read("a").await.expect_err("no certificate");
    assert_eq!(stranger.code(), "manifest.unavailable", "the handshake fails: {stranger}");
}

/// A CA, a server's certificate for localhost and a client's, made by openssl: (CA, client certificate, client key) as PEM.
fn make_certificates(dir: &Path) -> (String, String, String) {
    let script = r#"
        set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca
        for name in server client; do
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
            printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' > $name.ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $name.ext -out $name.pem
        done"#;
    let output = Command::new("sh").args(["-c", script]).current_dir(dir).output().expect("sh is there");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("made above");
    (read("ca.pem"), read("client.pem"), read("client.key"))
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}
