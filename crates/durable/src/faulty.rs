//! A disk for tests that fails, fills up and loses what was not synced.
//!
//! It works on a real folder, so that plain reads see what a running system would see (the page
//! cache), and keeps beside it what the platter would hold:
//!
//! ```text
//!   write ──▶ real file + pending changes ──sync_data──▶ durable bytes
//!   create, rename, link, remove ──▶ names ──sync_dir──▶ durable names
//! ```
//!
//! - a failed write leaves half of its bytes behind;
//! - a failed sync drops the pending changes: they read back, but no later sync makes them durable,
//!   as Linux does after a write-back error;
//! - [`FaultyDisk::power_loss`] writes what the platter holds into another folder.
//!
//! Nothing here is for production: it keeps a copy of every file in memory and never really syncs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::{Disk, DiskFile, RealDisk};

/// What happens to the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This call fails with the errno (`EIO` is 5, `ENOSPC` 28, `EROFS` 30); nothing (or, for a
    /// write, half of it) was done.
    Once(i32),
    /// This call and all later ones fail with the errno.
    FromThenOn(i32),
    /// This call does its work but answers with the errno.
    DoneButFailed(i32),
    /// The machine stops just before this call: it and all later ones fail with `EIO`, and
    /// [`FaultyDisk::power_loss`] shows this moment.
    Crash,
}

/// Handles are cheap to clone and share one state.
#[derive(Debug, Clone)]
pub struct FaultyDisk {
    world: Arc<Mutex<World>>,
    root: PathBuf,
}

#[derive(Debug, Default)]
struct World {
    calls: u64,
    failures: u64,
    fault: Option<(u64, Fault)>,
    crashed: bool,
    bytes_max: Option<u64>,
    files: HashMap<u64, Shadow>,
    names: BTreeMap<PathBuf, u64>,
    names_durable: BTreeMap<PathBuf, u64>,
}

#[derive(Debug, Default)]
struct Shadow {
    len: u64,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

impl FaultyDisk {
    /// A faultless disk over the folder `root`; what lies in it already counts as durable.
    pub fn new(root: &Path) -> io::Result<FaultyDisk> {
        let mut world = World::default();
        world.adopt(root)?;
        world.names_durable = world.names.clone();
        Ok(FaultyDisk { world: Arc::new(Mutex::new(world)), root: root.to_path_buf() })
    }

    /// How many calls of any kind were made so far, failed ones included.
    pub fn calls(&self) -> u64 {
        self.world().calls
    }

    /// How many calls failed because of a planned fault. Sweep: `for nth in 1.. { …; if
    /// disk.failures() == 0 { break } }`.
    pub fn failures(&self) -> u64 {
        self.world().failures
    }

    /// Plans a fault for the `nth` call from now (1 is the next one), replacing an earlier plan.
    pub fn fail_nth(&self, nth: u64, fault: Fault) {
        assert!(nth > 0, "calls are counted from 1");
        let mut world = self.world();
        world.fault = Some((world.calls + nth, fault));
    }

    /// Takes back the planned fault. A crash stays.
    pub fn heal(&self) {
        self.world().fault = None;
    }

    /// Limits the bytes of all files together; beyond it, calls that need room fail with `ENOSPC`.
    /// `None` is no limit.
    pub fn set_bytes_max(&self, bytes_max: Option<u64>) {
        self.world().bytes_max = bytes_max;
    }

    /// Bytes of all files together, preallocated room included.
    pub fn bytes_used(&self) -> u64 {
        self.world().used()
    }

    /// Stops the machine now: all later calls fail.
    pub fn crash(&self) {
        self.world().crashed = true;
    }

    /// Writes into the folder `into` (made if missing) what a power loss now would leave.
    ///
    /// With `seed` 0 all that was not synced is gone. Any other seed keeps, by chance, some of the
    /// 512-byte sectors that were not synced and, folder by folder, the names that were not.
    pub fn power_loss(&self, into: &Path, seed: u64) -> io::Result<()> {
        let world = self.world();
        let mut chance = Chance(seed);
        let folders: BTreeSet<&Path> = world
            .names
            .keys()
            .chain(world.names_durable.keys())
            .filter_map(|p| p.parent())
            .collect();
        let mut left: BTreeMap<&Path, u64> = BTreeMap::new();
        for folder in folders {
            let names = if chance.flip() { &world.names } else { &world.names_durable };
            let inside = names.iter().filter(|(path, _)| path.parent() == Some(folder));
            left.extend(inside.map(|(path, id)| (path.as_path(), *id)));
        }
        copy_folders(&self.root, into)?;
        for (path, id) in left {
            let within = path.strip_prefix(&self.root).map_err(io::Error::other)?;
            fs::write(into.join(within), world.files[&id].after_power_loss(&mut chance))?;
        }
        Ok(())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }
}

/// A test that panics while it holds the lock has failed already; the others may go on.
fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a call and does it, unless a fault is due. `failing` is what a failed call leaves behind.
fn call<T>(
    world: &Mutex<World>,
    failing: impl FnOnce(&mut World),
    doing: impl FnOnce(&mut World) -> io::Result<T>,
) -> io::Result<T> {
    let mut world = lock(world);
    world.calls += 1;
    if world.crashed {
        return Err(Errno::IO.into());
    }
    let now = world.calls;
    let fault = match world.fault {
        Some((at, fault @ Fault::FromThenOn(_))) if now >= at => fault,
        Some((at, fault)) if now == at => fault,
        _ => return doing(&mut world),
    };
    world.failures += 1;
    match fault {
        Fault::Once(errno) | Fault::FromThenOn(errno) => {
            failing(&mut world);
            Err(io::Error::from_raw_os_error(errno))
        }
        Fault::DoneButFailed(errno) => {
            doing(&mut world)?;
            Err(io::Error::from_raw_os_error(errno))
        }
        Fault::Crash => {
            world.crashed = true;
            Err(Errno::IO.into())
        }
    }
}

impl World {
    fn adopt(&mut self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.adopt(&path)?;
            } else {
                let durable = fs::read(&path)?;
                let shadow = Shadow { len: durable.len() as u64, durable, pending: Vec::new() };
                self.add(&path, shadow);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, shadow: Shadow) -> u64 {
        let id = self.files.len() as u64;
        self.files.insert(id, shadow);
        self.names.insert(path.to_path_buf(), id);
        id
    }

    fn used(&self) -> u64 {
        let alive: BTreeSet<&u64> = self.names.values().collect();
        alive.into_iter().map(|id| self.files[id].len).sum()
    }

    fn free(&self) -> Option<u64> {
        self.bytes_max.map(|max| max.saturating_sub(self.used()))
    }

    /// How far the file may grow now towards `len`.
    fn room(&self, id: u64, len: u64) -> u64 {
        let now = self.files[&id].len;
        match self.free() {
            Some(free) => len.min(now.saturating_add(free)).max(now.min(len)),
            None => len,
        }
    }

    fn change(&mut self, id: u64, change: Change) {
        let shadow = self.shadow(id);
        shadow.len = match &change {
            Change::Write { offset, bytes } => shadow.len.max(offset + bytes.len() as u64),
            Change::Length(len) => *len,
        };
        shadow.pending.push(change);
    }

    fn shadow(&mut self, id: u64) -> &mut Shadow {
        self.files.get_mut(&id).expect("ids come from `add`, and files are never taken out")
    }
}

impl Shadow {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.durable, &change);
        }
    }

    fn after_power_loss(&self, chance: &mut Chance) -> Vec<u8> {
        const SECTOR_BYTES: u64 = 512;
        let mut left = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::Length(_) if chance.flip() => apply(&mut left, change),
                Change::Length(_) => {}
                Change::Write { offset, bytes } => {
                    let (mut at, end) = (*offset, offset + bytes.len() as u64);
                    while at < end {
                        let next = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
                        if chance.flip() {
                            let bytes =
                                bytes[(at - offset) as usize..(next - offset) as usize].to_vec();
                            apply(&mut left, &Change::Write { offset: at, bytes });
                        }
                        at = next;
                    }
                }
            }
        }
        left
    }
}

fn apply(contents: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(len) => contents.resize(*len as usize, 0),
        Change::Write { offset, bytes } => {
            let (from, to) = (*offset as usize, *offset as usize + bytes.len());
            if contents.len() < to {
                contents.resize(to, 0);
            }
            contents[from..to].copy_from_slice(bytes);
        }
    }
}

fn copy_folders(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.path().is_dir() {
            copy_folders(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Repeatable coin flips (xorshift); a zero seed always says no.
struct Chance(u64);

impl Chance {
    fn flip(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 63 == 1
    }
}

impl Disk for FaultyDisk {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        let file = |world: &mut World| {
            let real = RealDisk.create_new(path, mode)?;
            let id = world.add(path, Shadow::default());
            Ok(FaultyFile { world: self.world.clone(), id, real })
        };
        Ok(Box::new(call(&self.world, nothing, file)?))
    }

    fn open_existing(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = |world: &mut World| {
            let real = RealDisk.open_existing(path)?;
            let id = *world.names.get(path).ok_or_else(|| {
                io::Error::other(format!("{} was not made through this disk", path.display()))
            })?;
            Ok(FaultyFile { world: self.world.clone(), id, real })
        };
        Ok(Box::new(call(&self.world, nothing, file)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        call(&self.world, nothing, |world| {
            RealDisk.rename(from, to)?;
            if let Some(id) = world.names.remove(from) {
                world.names.insert(to.to_path_buf(), id);
            }
            Ok(())
        })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        call(&self.world, nothing, |world| {
            RealDisk.hard_link(from, to)?;
            if let Some(id) = world.names.get(from).copied() {
                world.names.insert(to.to_path_buf(), id);
            }
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        call(&self.world, nothing, |world| {
            RealDisk.remove_file(path)?;
            world.names.remove(path);
            Ok(())
        })
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        call(&self.world, nothing, |_| RealDisk.remove_dir(path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        call(&self.world, nothing, |_| fs::create_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        call(&self.world, nothing, |world| {
            world.names_durable.retain(|name, _| name.parent() != Some(path));
            let inside = world.names.iter().filter(|(name, _)| name.parent() == Some(path));
            let inside: Vec<(PathBuf, u64)> = inside.map(|(n, id)| (n.clone(), *id)).collect();
            world.names_durable.extend(inside);
            Ok(())
        })
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        call(&self.world, nothing, |world| match world.free() {
            Some(free) => Ok(free),
            None => RealDisk.free_bytes(path),
        })
    }
}

fn nothing(_: &mut World) {}

#[derive(Debug)]
struct FaultyFile {
    world: Arc<Mutex<World>>,
    id: u64,
    real: Box<dyn DiskFile>,
}

impl DiskFile for FaultyFile {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (id, real) = (self.id, Mutex::new(&mut self.real));
        let write = |world: &mut World, bytes: &[u8]| {
            let mut real = real.lock().unwrap_or_else(PoisonError::into_inner);
            real.write_all_at(bytes, offset)?;
            world.change(id, Change::Write { offset, bytes: bytes.to_vec() });
            Ok(())
        };
        call(
            &self.world,
            |world| {
                let _: io::Result<()> = write(world, &bytes[..bytes.len() / 2]);
            },
            |world| {
                let end = offset + bytes.len() as u64;
                let room = world.room(id, end).saturating_sub(offset) as usize;
                write(world, &bytes[..room.min(bytes.len())])?;
                if room < bytes.len() { Err(Errno::NOSPC.into()) } else { Ok(()) }
            },
        )
    }

    fn preallocate(&mut self, len: u64) -> io::Result<()> {
        let (id, real) = (self.id, &mut self.real);
        call(&self.world, nothing, |world| {
            if world.files[&id].len >= len {
                return Ok(());
            }
            if world.room(id, len) < len {
                return Err(Errno::NOSPC.into());
            }
            real.set_len(len)?;
            world.change(id, Change::Length(len));
            Ok(())
        })
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let (id, real) = (self.id, &mut self.real);
        call(&self.world, nothing, |world| {
            real.set_len(len)?;
            world.change(id, Change::Length(len));
            Ok(())
        })
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let id = self.id;
        call(
            &self.world,
            |world| world.shadow(id).pending.clear(),
            |world| {
                world.shadow(id).sync();
                Ok(())
            },
        )
    }
}
