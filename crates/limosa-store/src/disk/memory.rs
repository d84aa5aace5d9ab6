//! A disk in memory that fails or crashes at a chosen effect, and forgets what was not flushed. For tests and simulation.
//!
//! # The model
//! - A write is durable from the next successful flush of its file; a name (creation, rename, removal) from the next flush of its folder.
//! - A crash makes every later call fail. [`MemoryDisk::restart`] then answers the disk that the machine finds when it is back: what was
//!   durable, and of the rest what [`Survivors`] says.
//! - A failed flush drops what it should have written: the file still reads as written, and a later flush does not bring it back.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::content::Content;
use super::{Disk, DiskFile, Open};

/// What goes wrong, at one effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The machine stops. A write that is the effect gets this many of its bytes done; other effects do not happen.
    Crash {
        /// Bytes done.
        done: usize,
    },
    /// The call fails with this kind; what follows works. A write gets this many of its bytes done.
    Fail {
        /// What the call answers.
        kind: io::ErrorKind,
        /// Bytes done.
        done: usize,
    },
}

/// Which of the effects that were not flushed a crash leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Survivors {
    /// None.
    None,
    /// All.
    All,
    /// Each name, and each sector of each write, by a coin from this seed.
    Some(u64),
}

/// The disk. Cloning answers another handle on the same one.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    world: Arc<Mutex<World>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    File(usize),
    Dir,
}

#[derive(Debug, Default)]
struct World {
    files: Vec<Content>,
    /// Names as the running system sees them.
    names: BTreeMap<PathBuf, Node>,
    /// Names as a crash leaves them, and what has happened to names since their folder was flushed.
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<NameChange>,
    effects: u64,
    fault: Option<(u64, Fault)>,
    room: Option<u64>,
    /// Reads until one fails.
    read_fault: Option<u64>,
    is_down: bool,
}

/// Names set and removed by one effect, all or none of which survive.
#[derive(Clone, Debug)]
struct NameChange {
    dir: PathBuf,
    set: Option<(PathBuf, Node)>,
    removed: Option<PathBuf>,
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<PathBuf, Node>) {
        self.removed.map(|path| names.remove(&path));
        names.extend(self.set);
    }
}

impl MemoryDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets effect number `effect` (the first one is 0) go wrong.
    pub fn fault_at(&self, effect: u64, fault: Fault) {
        self.world().fault = Some((effect, fault));
    }

    /// Effects so far.
    pub fn effects(&self) -> u64 {
        self.world().effects
    }

    /// Limits the bytes of all files together; `None` lifts the limit.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.world().room = bytes;
    }

    /// Lets the read behind `reads` more fail with an I/O error; `None`: none.
    pub fn fail_read(&self, reads: Option<u64>) {
        self.world().read_fault = reads;
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.world().used()
    }

    /// The disk as the machine finds it after a crash now.
    #[must_use]
    pub fn restart(&self, survivors: Survivors) -> Self {
        let world = self.world();
        let mut coin = Coin(match survivors {
            Survivors::Some(seed) => seed,
            _ => 0,
        });
        let mut keeps = move || match survivors {
            Survivors::None => false,
            Survivors::All => true,
            Survivors::Some(_) => coin.toss(),
        };
        let mut names = world.durable.clone();
        world.pending.iter().filter(|_| keeps()).for_each(|change| change.clone().apply(&mut names));
        let whole = names.clone();
        names.retain(|path, _| path.ancestors().skip(1).all(|above| is_root(above) || whole.contains_key(above)));
        let mut is_named = vec![false; world.files.len()];
        for node in names.values() {
            if let Node::File(file) = node {
                is_named[*file] = true;
            }
        }
        let survivor = |(file, is_named): (&Content, bool)| if is_named { file.survivor(&mut keeps) } else { Content::default() };
        let files = world.files.iter().zip(is_named).map(survivor).collect();
        let world = World { files, durable: names.clone(), names, ..World::default() };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// All bytes of a file as the running system sees them.
    ///
    /// # Errors
    /// It is not there.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut world = self.world();
        let file = world.file(path)?;
        Ok(world.files[file].live().to_vec())
    }

    /// Replaces a file's bytes, durably and without counting as an effect: damage.
    pub fn replace(&self, path: &Path, bytes: Vec<u8>) {
        let mut world = self.world();
        world.files.push(Content::durable(bytes));
        let node = Node::File(world.files.len() - 1);
        world.names.insert(path.to_path_buf(), node);
        world.durable.insert(path.to_path_buf(), node);
    }

    /// Other bytes in the place of a file's, durably, without counting as an effect, and also for whoever has it open: rot.
    ///
    /// # Panics
    /// If the file is not there.
    pub fn overwrite(&self, path: &Path, bytes: Vec<u8>) {
        let mut world = self.world();
        let file = world.file(path).expect("the file is there");
        world.files[file].rot(bytes);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nothing panics while holding the world")
    }
}

/// A folder that is always there.
fn is_root(dir: &Path) -> bool {
    dir.parent().is_none()
}

/// A small generator of coin tosses (splitmix64): the disk must not depend on a source of randomness.
struct Coin(u64);

impl Coin {
    fn toss(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) & 1 == 1
    }
}

impl World {
    fn up(&self) -> io::Result<()> {
        if self.is_down { Err(io::Error::other("the machine is down")) } else { Ok(()) }
    }

    /// Counts an effect. The error that it meets, with how much of a write is done before.
    fn effect(&mut self) -> Result<(), (usize, io::Error)> {
        self.up().map_err(|error| (0, error))?;
        let number = self.effects;
        self.effects += 1;
        match self.fault.filter(|(at, _)| *at == number) {
            None => Ok(()),
            Some((_, Fault::Crash { done })) => {
                self.is_down = true;
                Err((done, io::Error::other("the machine went down")))
            }
            Some((_, Fault::Fail { kind, done })) => Err((done, kind.into())),
        }
    }

    /// An effect of which nothing happens when it fails.
    fn whole_effect(&mut self) -> io::Result<()> {
        self.effect().map_err(|(_, error)| error)
    }

    fn used(&self) -> u64 {
        let live = self.names.values().filter_map(|node| if let Node::File(file) = node { Some(*file) } else { None });
        live.map(|file| self.files[file].live().len() as u64).sum()
    }

    fn file(&mut self, path: &Path) -> io::Result<usize> {
        self.up()?;
        match self.names.get(path) {
            Some(Node::File(file)) => Ok(*file),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The folder of `path`, which must be there.
    fn in_folder(&self, path: &Path) -> io::Result<()> {
        let dir = path.parent().unwrap_or(path);
        let is_there = is_root(dir) || self.names.get(dir) == Some(&Node::Dir);
        if is_there { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn change(&mut self, set: Option<(PathBuf, Node)>, removed: Option<PathBuf>) {
        let path = set.as_ref().map(|(path, _)| path).or(removed.as_ref()).expect("a change names something");
        let change = NameChange { dir: path.parent().unwrap_or(Path::new("")).to_path_buf(), set, removed };
        change.clone().apply(&mut self.names);
        self.pending.push(change);
    }

    fn write(&mut self, file: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let outcome = self.effect();
        let room = self.room.map_or(u64::MAX, |room| room.saturating_sub(self.used()));
        let grows = (offset + bytes.len() as u64).saturating_sub(self.files[file].live().len() as u64);
        let fits = bytes.len() - usize::try_from(grows.saturating_sub(room)).unwrap_or(usize::MAX).min(bytes.len());
        let (done, outcome) = match outcome {
            Err((done, error)) => (done.min(bytes.len()), Err(error)),
            Ok(()) if fits < bytes.len() => (fits, Err(io::ErrorKind::StorageFull.into())),
            Ok(()) => (bytes.len(), Ok(())),
        };
        if done > 0 {
            self.files[file].write(offset, &bytes[..done]);
        }
        outcome
    }

    fn flush(&mut self, file: usize) -> io::Result<()> {
        let outcome = self.whole_effect();
        match &outcome {
            Ok(()) => self.files[file].flush(),
            Err(_) if !self.is_down => self.files[file].lose(),
            Err(_) => {}
        }
        outcome
    }
}

impl Disk for MemoryDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        let missing: Vec<_> = dir.ancestors().filter(|dir| !is_root(dir) && !world.names.contains_key(*dir)).collect();
        world.up()?;
        for dir in missing.into_iter().rev() {
            world.whole_effect()?;
            world.change(Some((dir.to_path_buf(), Node::Dir)), None);
        }
        Ok(())
    }

    fn open(&self, path: &Path, mode: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        let file = match (world.file(path), mode) {
            (Ok(_), Open::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Ok(file), _) => file,
            (Err(error), Open::Create | Open::CreateNew) if error.kind() == io::ErrorKind::NotFound => {
                world.in_folder(path)?;
                world.whole_effect()?;
                world.files.push(Content::default());
                let file = world.files.len() - 1;
                world.change(Some((path.to_path_buf(), Node::File(file))), None);
                file
            }
            (Err(error), _) => return Err(error),
        };
        drop(world);
        Ok(Arc::new(MemoryFile { world: Arc::clone(&self.world), file, lock: Mutex::new(false) }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let world = self.world();
        world.up().map(|()| world.names.contains_key(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        world.up()?;
        world.in_folder(&dir.join("file"))?;
        let inside = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        let file = world.file(from)?;
        world.whole_effect()?;
        world.change(Some((to.to_path_buf(), Node::File(file))), Some(from.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.file(path)?;
        world.whole_effect()?;
        world.change(None, Some(path.to_path_buf()));
        Ok(())
    }

    fn flush_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.whole_effect()?;
        let (done, rest) = std::mem::take(&mut world.pending).into_iter().partition(|change| change.dir == dir);
        world.pending = rest;
        Vec::into_iter(done).for_each(|change: NameChange| change.apply(&mut world.durable));
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryFile {
    world: Arc<Mutex<World>>,
    file: usize,
    lock: Mutex<bool>,
}

impl MemoryFile {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nothing panics while holding the world")
    }
}

impl DiskFile for MemoryFile {
    fn bytes(&self) -> io::Result<u64> {
        let world = self.world();
        world.up().map(|()| world.files[self.file].live().len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut world = self.world();
        world.up()?;
        world.read_fault = match world.read_fault {
            Some(0) => {
                world.read_fault = None;
                return Err(io::Error::other("the disk can't read this"));
            }
            reads => reads.map(|reads| reads - 1),
        };
        let live = world.files[self.file].live();
        let from = usize::try_from(offset).map_or(live.len(), |offset| offset.min(live.len()));
        let count = out.len().min(live.len() - from);
        out[..count].copy_from_slice(&live[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.world().write(self.file, offset, bytes)
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        let mut world = self.world();
        world.whole_effect()?;
        let held = world.files[self.file].live().len() as u64;
        if world.room.is_some_and(|room| bytes > held && bytes - held > room.saturating_sub(world.used())) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        world.files[self.file].set_bytes(bytes);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.world().flush(self.file)
    }

    fn flush_all(&self) -> io::Result<()> {
        self.world().flush(self.file)
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut world = self.world();
        world.up()?;
        let mut mine = self.lock.lock().expect("nothing panics while holding the lock");
        let is_free = *mine || !world.files[self.file].is_locked;
        world.files[self.file].is_locked |= is_free;
        *mine |= is_free;
        Ok(is_free)
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        if *self.lock.get_mut().expect("nothing panics while holding the lock") {
            self.world().files[self.file].is_locked = false;
        }
    }
}
