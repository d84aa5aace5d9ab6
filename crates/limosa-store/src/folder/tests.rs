//! Claims about the data folder.

use super::*;
use crate::disk::{Fault, MemoryDisk, RealDisk, Survivors};

const KEYS: u64 = 0xFEED;

fn entropy() -> crate::options::Entropy {
    std::sync::Arc::new(|| getrandom::u64().map_err(std::io::Error::other))
}

fn identity() -> Identity {
    Identity { cluster: [0xAB; 16], node: "node-a".into() }
}

fn dir() -> &'static Path {
    Path::new("/srv/limosa")
}

fn open(disk: &MemoryDisk) -> Result<Folder, StoreError> {
    Folder::open(disk, dir(), &identity(), KEYS, &entropy())
}

#[test]
fn a_folder_keeps_its_incarnation_and_a_new_one_gets_another() {
    let disk = MemoryDisk::new();
    let first = open(&disk).unwrap().owner();
    assert_eq!(open(&disk).unwrap().owner(), first);
    assert_ne!(open(&MemoryDisk::new()).unwrap().owner().incarnation, first.incarnation);
}

#[test]
fn a_second_opener_is_refused_and_told_who_holds_it() {
    for disk in [Box::new(MemoryDisk::new()) as Box<dyn Disk>, Box::new(RealDisk)] {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("deep/data");
        let held = Folder::open(&*disk, &dir, &identity(), KEYS, &entropy()).unwrap();
        let error = Folder::open(&*disk, &dir, &identity(), KEYS, &entropy()).unwrap_err();
        assert_eq!((error.code(), error.retry()), ("store.folder_in_use", limosa_core::Retry::Later));
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        assert!(Folder::open(&*disk, &dir, &identity(), KEYS, &entropy()).is_ok(), "the lock ends with its holder");
    }
}

#[test]
fn a_folder_of_somebody_else_is_refused_with_what_differs() {
    let disk = MemoryDisk::new();
    drop(open(&disk).unwrap());
    let others = [
        (Identity { cluster: [1; 16], ..identity() }, KEYS, "cluster"),
        (Identity { node: "node-b".into(), ..identity() }, KEYS, "node"),
        (identity(), 1, "space keys"),
    ];
    for (other, keys, expected) in others {
        let error = Folder::open(&disk, dir(), &other, keys, &entropy()).unwrap_err();
        assert!(matches!(&error, StoreError::ForeignFolder { what, .. } if *what == expected), "{error}");
        assert!(error.to_string().contains("node.toml"), "{error}");
    }
    assert!(open(&disk).is_ok(), "a refusal gives the lock back");
}

#[test]
fn data_without_an_identity_file_is_not_taken_over() {
    for data in ["journal/journal-00000000000000000001.log", "checkpoint.redb"] {
        let disk = MemoryDisk::new();
        drop(open(&disk).unwrap());
        disk.remove(&path_of_identity(dir())).unwrap();
        disk.replace(&dir().join(data), b"x".to_vec());
        assert_eq!(open(&disk).unwrap_err().code(), "store.identity_missing");
    }
}

#[test]
fn a_crash_at_every_effect_of_the_creation_leaves_nothing_or_all() {
    let disk = MemoryDisk::new();
    drop(open(&disk).unwrap());
    for effect in 0..disk.effects() {
        for survivors in [Survivors::None, Survivors::All].into_iter().chain((0..20).map(Survivors::Some)) {
            let disk = MemoryDisk::new();
            disk.fault_at(effect, Fault::Crash { done: 7 });
            assert!(open(&disk).is_err());
            let disk = disk.restart(survivors);
            let owner = open(&disk).unwrap_or_else(|error| panic!("effect {effect}, {survivors:?}: {error}")).owner();
            assert_eq!(open(&disk.restart(Survivors::None)).unwrap().owner(), owner, "effect {effect}, {survivors:?}");
            assert!(disk.restart(Survivors::None).exists(&journal(dir())).unwrap());
        }
    }
}

#[test]
fn every_flipped_bit_of_the_identity_file_is_refused() {
    let disk = MemoryDisk::new();
    drop(open(&disk).unwrap());
    let path = path_of_identity(dir());
    let bytes = disk.read(&path).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        disk.replace(&path, flipped);
        assert_eq!(open(&disk).unwrap_err().code(), "store.identity_damaged", "bit {bit}");
    }
    for length in 0..bytes.len() {
        disk.replace(&path, bytes[..length].to_vec());
        assert_eq!(open(&disk).unwrap_err().code(), "store.identity_damaged", "length {length}");
    }
}

#[test]
fn an_identity_file_of_a_newer_format_is_refused_as_newer() {
    let file = IdentityFile { cluster: [1; 16], node: "a".into(), incarnation: 2, space_keys: 3 };
    for (from, to) in [("format = 1", "format = 2"), ("features = 0", "features = 4")] {
        let text = file.encode().replace(from, to);
        let checked = &text[..text.rfind("checksum").unwrap()];
        let text = format!("{checked}checksum = \"{:08x}\"\n", crc32fast::hash(checked.as_bytes()));
        assert_eq!(IdentityFile::decode(dir(), text.as_bytes()).unwrap_err().code(), "store.format_newer");
    }
    assert_eq!(IdentityFile::decode(dir(), file.encode().as_bytes()).unwrap(), file);
}

#[test]
fn a_node_name_that_is_no_file_name_is_refused() {
    for name in ["", "a b", "a\"", "../a/..", "ä", &"a".repeat(65)] {
        let identity = Identity { node: name.to_owned(), ..identity() };
        assert_eq!(Folder::open(&MemoryDisk::new(), dir(), &identity, KEYS, &entropy()).unwrap_err().code(), "store.invalid");
    }
}

#[test]
fn files_and_folders_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    let _held = Folder::open(&RealDisk, &dir, &identity(), KEYS, &entropy()).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("node.toml")), mode(&journal(&dir))), (0o700, 0o600, 0o700));
}
