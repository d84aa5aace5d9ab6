//! Tests of the certificate folder and the bundle.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use super::pem::{self, Sections};
use super::*;
use crate::error::PkiError;

fn name(text: &str) -> NodeName {
    text.parse().expect("a good name")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn what_create_writes_load_reads() {
    let dir = folder();
    let made = Pki::create(dir.path(), &name("one")).expect("created");
    let read = Pki::load(dir.path()).expect("loaded");
    assert_eq!((read.cluster(), read.node().as_str(), read.cluster_secret()), (made.cluster(), "one", made.cluster_secret()));
    let left = read.credentials().valid_until().duration_since(SystemTime::now()).expect("it has not ended");
    assert!(left <= NODE_VALIDITY && left > NODE_VALIDITY / 2, "{left:?}");
}

#[test]
fn files_with_keys_are_readable_by_their_owner_only() {
    let dir = folder();
    let bundle = Pki::create(dir.path(), &name("one")).expect("created").issue(&name("two")).expect("issued");
    bundle.write(&dir.path().join("two.pem")).expect("written");
    let mode = |path: &str| fs::metadata(dir.path().join(path)).expect("it exists").permissions().mode() & 0o777;
    for secret in ["pki/ca.key", "pki/node.pem", "pki/cluster.secret", "two.pem"] {
        assert_eq!(mode(secret), 0o600, "{secret}");
    }
    assert_eq!(mode("pki"), 0o700);
    for entry in fs::read_dir(dir.path().join("pki")).expect("the folder") {
        let file = entry.expect("an entry").file_name().into_string().expect("a plain name");
        assert!(["ca.pem", "ca.key", "node.pem", "cluster.secret"].contains(&file.as_str()), "{file}");
    }
}

#[test]
fn certificates_are_never_overwritten() {
    let dir = folder();
    let first = Pki::create(dir.path(), &name("one")).expect("created");
    assert!(matches!(Pki::create(dir.path(), &name("one")), Err(PkiError::Exists { .. })));
    assert_eq!(Pki::load_or_create(dir.path(), &name("other")).expect("loaded").cluster(), first.cluster());
}

#[test]
fn a_standby_without_a_bundle_is_told_the_command() {
    let dir = folder();
    let error = Pki::load_or_adopt(dir.path(), None).expect_err("there is nothing");
    assert_eq!(error.code(), "pki.no_bundle");
    assert!(error.to_string().contains("limosa cert issue --for"), "{error}");
}

#[test]
fn a_bundle_makes_another_machine_a_node_of_the_cluster_without_the_ca_key() {
    let (owner_dir, standby_dir) = (folder(), folder());
    let owner = Pki::create(owner_dir.path(), &name("one")).expect("created");
    let file = owner_dir.path().join("two.pem");
    owner.issue(&name("two")).expect("issued").write(&file).expect("written");

    let standby = Pki::adopt(standby_dir.path(), &Bundle::read(&file).expect("read")).expect("adopted");
    assert_eq!((standby.cluster(), standby.node().as_str(), standby.cluster_secret()), (owner.cluster(), "two", owner.cluster_secret()));
    assert_eq!(standby.issue(&name("three")).expect_err("no CA key").code(), "pki.no_authority");
}

#[test]
fn a_renewed_bundle_replaces_the_pair_and_nothing_else() {
    let (owner_dir, dir) = (folder(), folder());
    let owner = Pki::create(owner_dir.path(), &name("one")).expect("created");
    Pki::adopt(dir.path(), &owner.issue(&name("two")).expect("issued")).expect("adopted");
    let renewed = owner.issue(&name("two")).expect("issued again");
    let adopted = Pki::adopt(dir.path(), &renewed).expect("adopted again");
    assert_eq!(adopted.credentials().pair_pem(), renewed.credentials().pair_pem());

    let wrong_node = Pki::adopt(dir.path(), &owner.issue(&name("three")).expect("issued")).expect_err("another node's bundle");
    assert_eq!(wrong_node.code(), "pki.other_node");
    let stranger = Pki::create(folder().path(), &name("one")).expect("another cluster").credentials().clone();
    assert_ne!(stranger.identity().cluster, owner.cluster());
    let other_dir = folder();
    let other = Pki::create(other_dir.path(), &name("one")).expect("another cluster");
    let wrong_cluster = Pki::adopt(dir.path(), &other.issue(&name("two")).expect("issued")).expect_err("another cluster's bundle");
    assert_eq!(wrong_cluster.code(), "pki.other_cluster");
}

#[test]
fn the_owner_can_renew_its_own_certificate() {
    let dir = folder();
    let owner = Pki::create(dir.path(), &name("one")).expect("created");
    let renewed = Pki::adopt(dir.path(), &owner.issue(&name("one")).expect("issued")).expect("adopted");
    assert_ne!(renewed.credentials().pair_pem(), owner.credentials().pair_pem());
    renewed.issue(&name("two")).expect("the CA key is still there");
}

#[test]
fn a_damaged_bundle_is_a_typed_error_wherever_it_is_damaged() {
    let dir = folder();
    let text = Pki::create(dir.path(), &name("one")).expect("created").issue(&name("two")).expect("issued").to_pem();
    let origin = Path::new("two.pem");
    assert!(Bundle::parse(origin, text.as_bytes()).is_ok());
    for cut in (0..text.len() - 1).step_by(97) {
        let error = Bundle::parse(origin, &text.as_bytes()[..cut]).expect_err("it was cut");
        assert_eq!(error.code(), "pki.damaged", "cut at {cut}: {error}");
    }
    for at in (0..text.len()).step_by(53) {
        let mut flipped = text.clone().into_bytes();
        flipped[at] ^= 1;
        // A flip in a comment or line end changes nothing; everything else must be found, and nothing may panic.
        if let Ok(bundle) = Bundle::parse(origin, &flipped) {
            assert_eq!(bundle.to_pem(), text, "flip at {at} went unnoticed");
        }
    }
}

#[test]
fn a_bundle_mixed_from_two_clusters_is_refused() {
    let (one, two) = (folder(), folder());
    let of = |dir: &Path| Pki::create(dir, &name("one")).expect("created").issue(&name("two")).expect("issued").to_pem();
    let (first, second) = (of(one.path()), of(two.path()));
    let sections = Sections::parse(Path::new("b"), second.as_bytes()).expect("our own text");
    let foreign = pem::section(pem::CLUSTER_SECRET, sections.one(pem::CLUSTER_SECRET, "missing").expect("it is there"));
    let start = first.find("-----BEGIN LIMOSA").expect("the section");
    let mixed = format!("{}{foreign}", &first[..start]);
    assert_eq!(Bundle::parse(Path::new("b"), mixed.as_bytes()).expect_err("mixed").code(), "pki.other_cluster");
}

#[test]
fn a_flipped_byte_in_the_folder_is_a_typed_error_that_names_the_file() {
    let dir = folder();
    Pki::create(dir.path(), &name("one")).expect("created");
    for file in ["ca.pem", "node.pem", "cluster.secret"] {
        let path = dir.path().join("pki").join(file);
        let good = fs::read(&path).expect("it exists");
        let mut bad = good.clone();
        bad[60] = if bad[60] == b'A' { b'B' } else { b'A' };
        fs::write(&path, &bad).expect("written");
        let error = Pki::load(dir.path()).expect_err("it was damaged");
        assert!(matches!(error, PkiError::Damaged { .. } | PkiError::BadIdentity { .. }), "{file}: {error}");
        fs::remove_file(&path).expect("removed");
        let error = Pki::load(dir.path()).expect_err("it is gone");
        assert!(error.to_string().contains(file), "{error}");
        fs::write(&path, &good).expect("restored");
    }
    Pki::load(dir.path()).expect("all files are back");
}

#[test]
fn an_expired_bundle_is_not_adopted() {
    let dir = folder();
    let cluster = Cluster::random().expect("randomness");
    let long_ago = SystemTime::now() - NODE_VALIDITY - NODE_VALIDITY;
    // A CA made long ago, so that the certificate was valid once.
    let old = test_support::Authority::made_at(long_ago).credentials(cluster.id, "two", long_ago);
    let bundle = Bundle::new(Path::new("b"), old, cluster).expect("a fitting bundle");
    assert_eq!(Pki::adopt(dir.path(), &bundle).expect_err("it has ended").code(), "pki.expired");
    assert!(!dir.path().join("pki").exists());
}
