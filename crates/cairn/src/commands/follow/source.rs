//! One source that is followed: what is new in it, and what is wrong with it.
//!
//! A file is new until it is remembered as it is now. One that cannot be read, or not all of it, may
//! still be on its way to its place: it is tried again before anything is said, then more and more
//! seldom, and at once when it has changed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf, absolute};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use delivery::destination::Destination;
use durable::Disk;
use futures::StreamExt as _;
use jiff::Timestamp;

use super::days::{Days, Next};
use super::memory::{Memory, NameHash, name_hash};
use crate::client::Client;
use crate::sources::{self, SourceFile};

/// A file that nobody mends is read again after this at the latest.
const POOR_REST_MAX: Duration = Duration::from_secs(900);
/// And a store that is away is asked again.
const TROUBLE_REST_MAX: Duration = Duration::from_secs(60);
/// Requests for listings at once.
const LISTS_AT_ONCE: usize = 8;

pub struct Followed {
    /// As messages name it.
    pub name: String,
    pub memory: Memory,
    place: Place,
    poor: HashMap<NameHash, Poor>,
    /// Versions of files in which there was no whole line more.
    nothing: HashMap<NameHash, u64>,
    /// Places below it that cannot be looked into, as of the last look.
    faults: HashSet<String>,
    trouble: Option<Trouble>,
}

/// Why a source cannot be read now.
struct Trouble {
    part: Part,
    reason: String,
    /// Looks that ended so, one after the other, and when the last one began.
    tries: u32,
    looked: Duration,
    /// A store is not asked before.
    next: Duration,
}

/// What cannot be read: the list of a source's files, or files that it names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    List,
    File,
}

enum Place {
    Disk(PathBuf),
    Bucket { name: String, prefix: String, bucket: Option<Arc<Destination>>, days: Days },
}

/// A file that cannot be taken, or not all of it.
struct Poor {
    version: u64,
    tries: u32,
    next: Duration,
    reason: String,
    /// What can be taken of it is in.
    is_in: bool,
    is_told: bool,
}

/// When it is, and how often one looks.
#[derive(Clone, Copy)]
pub struct Look {
    pub now: Timestamp,
    pub elapsed: Duration,
    pub every: Duration,
}

impl Followed {
    pub fn open(
        disk: Arc<dyn Disk>,
        state: &Path,
        source: &str,
        store: &str,
        data: Option<&Path>,
    ) -> Result<Followed> {
        let (name, identity, place) = match sources::bucket_and_prefix(source) {
            Some((bucket, prefix)) => {
                let client = Client::new(data)?;
                let identity = format!("{} {source}", client.endpoint("s3", &client.region));
                let (name, prefix) = (bucket.to_owned(), prefix.to_owned());
                let place = Place::Bucket { name, prefix, bucket: None, days: Days::default() };
                (source.to_owned(), identity, place)
            }
            None => {
                let path = absolute(source).with_context(|| format!("source {source:?}"))?;
                let name = path.to_string_lossy().into_owned();
                (name.clone(), name, Place::Disk(path))
            }
        };
        let memory = Memory::open(disk, state, &identity, store)?;
        let (poor, nothing, faults) = (HashMap::new(), HashMap::new(), HashSet::new());
        Ok(Followed { name, memory, place, poor, nothing, faults, trouble: None })
    }

    /// Whether looking costs this machine's time, and not requests.
    pub fn is_on_disk(&self) -> bool {
        matches!(self.place, Place::Disk(_))
    }

    /// The files that are to be taken now, and what else is to be said. Fails when the source cannot
    /// be looked into, or when what is remembered cannot be kept.
    pub async fn look(&mut self, look: Look, data: Option<&Path>) -> Result<Looked> {
        let listed = match &self.place {
            Place::Disk(_) => tokio::task::block_in_place(|| self.look_on_disk(look)),
            Place::Bucket { .. } if self.rests(look) => Ok(Default::default()),
            Place::Bucket { .. } => match self.look_in_bucket(look, data).await {
                Ok(files) => Ok((files, Vec::new())),
                Err(fault) => Err(fault),
            },
        };
        match listed {
            Ok((mut files, mut said)) => {
                sources::in_order_of_delivery(&mut files);
                let was_away = |trouble: &mut Trouble| trouble.part == Part::List;
                if !self.rests(look) && self.trouble.take_if(was_away).is_some() {
                    said.push(format!("{}: it is there again", self.name));
                }
                Ok(Looked { files, said })
            }
            Err(Fault::Memory(error)) => Err(error),
            Err(Fault::Source(reason)) => {
                let said = self.in_trouble(Part::List, reason, look).into_iter().collect();
                Ok(Looked { files: Vec::new(), said })
            }
        }
    }

    fn rests(&self, look: Look) -> bool {
        let is_store = matches!(self.place, Place::Bucket { .. });
        is_store && self.trouble.as_ref().is_some_and(|trouble| look.elapsed < trouble.next)
    }

    /// What to say about a source that cannot be read now: each reason once.
    pub fn in_trouble(&mut self, part: Part, reason: String, look: Look) -> Option<String> {
        if let Place::Bucket { bucket, .. } = &mut self.place {
            // Its address and key may have changed.
            *bucket = None;
        }
        self.look_at_all();
        let before = self.trouble.take();
        // Many files of one look are one try.
        let tries = before.as_ref().map_or(1, |before| {
            before.tries.saturating_add(u32::from(before.looked != look.elapsed))
        });
        let next = look.elapsed + longer(look.every, tries, TROUBLE_REST_MAX);
        let is_new = before.is_none_or(|before| before.reason != reason);
        let said = format!("{}: {reason}; waiting for it", self.name);
        self.trouble = Some(Trouble { part, reason, tries, looked: look.elapsed, next });
        is_new.then_some(said)
    }

    /// Not all that was found could be taken: all of it has to be found again.
    pub fn look_at_all(&mut self) {
        if let Place::Bucket { days, .. } = &mut self.place {
            days.broke_off();
        }
    }

    fn look_on_disk(&mut self, look: Look) -> Result<(Vec<SourceFile>, Vec<String>), Fault> {
        let Place::Disk(root) = &self.place else { return Ok(Default::default()) };
        let (mut files, mut all) = (Vec::new(), 0);
        let faults = sources::on_disk(root, &mut |file| {
            all += 1;
            if self.is_due(&file, look.elapsed) {
                files.push(file);
            }
        });
        let faults = faults.map_err(unreadable)?;
        let mut said = Vec::new();
        for (place, reason) in &faults {
            if !self.faults.contains(place) {
                said.push(format!("{place}: {reason}"));
            }
        }
        if self.memory.is_outdated(all) {
            let mut seen = HashSet::with_capacity(all);
            let again = sources::on_disk(root, &mut |file| {
                seen.insert(name_hash(&file.name));
            });
            again.map_err(unreadable)?;
            self.memory.keep_only(&seen).map_err(remember)?;
        }
        self.faults = faults.into_iter().map(|(place, _)| place).collect();
        Ok((files, said))
    }

    async fn look_in_bucket(
        &mut self,
        look: Look,
        data: Option<&Path>,
    ) -> Result<Vec<SourceFile>, Fault> {
        let Place::Bucket { name, prefix, bucket, days } = &mut self.place else {
            return Ok(Default::default());
        };
        let bucket = match bucket {
            Some(bucket) => bucket.clone(),
            None => {
                let client = Client::new(data).map_err(unreadable)?;
                let opened = sources::bucket(&client, name, false).map_err(unreadable)?;
                bucket.insert(Arc::new(opened)).clone()
            }
        };
        let prefix = prefix.clone();
        let mut files = Vec::new();
        match days.next(&prefix, look.now, look.elapsed) {
            Next::All => {
                days.begin_all();
                let (mut seen, mut all) = (HashSet::new(), 0);
                let key_begin = format!("s3://{name}/").len();
                let mut found = pin!(sources::in_bucket(&bucket, &prefix));
                while let Some(file) = found.next().await {
                    let file = file.map_err(unreadable)?;
                    let Place::Bucket { days, .. } = &mut self.place else { continue };
                    days.saw(&file.name[key_begin..]);
                    all += 1;
                    if self.memory.is_outdated(0) {
                        seen.insert(name_hash(&file.name));
                    }
                    if self.is_due(&file, look.elapsed) {
                        files.push(file);
                    }
                }
                if let Place::Bucket { days, .. } = &mut self.place {
                    days.all_listed(look.elapsed);
                }
                if self.memory.is_outdated(all) && seen.len() == all {
                    self.memory.keep_only(&seen).map_err(remember)?;
                }
            }
            Next::Prefixes(prefixes) => {
                let lists = futures::stream::iter(&prefixes).map(|prefix| async {
                    let found: Vec<Result<SourceFile>> =
                        sources::in_bucket(&bucket, prefix).collect().await;
                    found.into_iter().collect::<Result<Vec<SourceFile>>>()
                });
                let mut lists = pin!(lists.buffer_unordered(LISTS_AT_ONCE));
                while let Some(list) = lists.next().await {
                    let list = list.map_err(unreadable)?;
                    files.extend(list.into_iter().filter(|file| self.is_due(file, look.elapsed)));
                }
            }
        }
        Ok(files)
    }

    fn is_due(&self, file: &SourceFile, elapsed: Duration) -> bool {
        let name = name_hash(&file.name);
        let rests = self
            .poor
            .get(&name)
            .is_some_and(|poor| poor.version == file.version && elapsed < poor.next);
        let has_nothing = self.nothing.get(&name) == Some(&file.version);
        // What is empty has been begun, at most.
        file.bytes > 0 && !rests && !has_nothing && !self.memory.has(name, file.version)
    }

    /// Why not all of the file could be taken, if the rest is in and nothing has changed since.
    pub fn settled(&self, file: &SourceFile) -> Option<&str> {
        let poor = self.poor.get(&name_hash(&file.name))?;
        (poor.version == file.version && poor.is_in).then_some(poor.reason.as_str())
    }

    /// The file cannot be taken, or not all of it (`is_in`). Answers what is to be said, if anything.
    /// `may_change`: it may still be on its way, so that nothing is said the first time.
    pub fn is_poor(
        &mut self,
        file: &SourceFile,
        reason: String,
        is_in: bool,
        may_change: bool,
        look: Look,
    ) -> Option<String> {
        let name = name_hash(&file.name);
        let before = self.poor.remove(&name).filter(|poor| poor.version == file.version);
        let tries = before.as_ref().map_or(1, |poor| poor.tries.saturating_add(1));
        let was_told = before.is_some_and(|poor| poor.is_told && poor.reason == reason);
        let tells = !was_told && (tries > 1 || !may_change);
        let next = look.elapsed + longer(look.every, tries, POOR_REST_MAX);
        let said = tells.then(|| format!("{}: {reason}", file.name));
        let is_told = was_told || tells;
        let poor = Poor { version: file.version, tries, next, reason, is_in, is_told };
        self.poor.insert(name, poor);
        said
    }

    /// There is nothing to take of the file until it changes.
    pub fn has_nothing(&mut self, file: &SourceFile) {
        self.nothing.insert(name_hash(&file.name), file.version);
    }

    /// The file is in, or gone.
    pub fn is_done(&mut self, file: &SourceFile) {
        self.nothing.remove(&name_hash(&file.name));
        self.trouble.take_if(|trouble| trouble.part == Part::File);
        self.poor.remove(&name_hash(&file.name));
    }
}

/// The rest after a number of tries: twice as long each time.
fn longer(every: Duration, tries: u32, rest_max: Duration) -> Duration {
    every.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(rest_max.max(every))
}

/// What a look at a source found.
pub struct Looked {
    pub files: Vec<SourceFile>,
    pub said: Vec<String>,
}

enum Fault {
    /// The source cannot be read now.
    Source(String),
    /// What was taken cannot be remembered.
    Memory(anyhow::Error),
}

/// Step and cause; what is between them repeats the cause.
fn unreadable(error: anyhow::Error) -> Fault {
    let cause = error.root_cause().to_string();
    let step = error.to_string();
    Fault::Source(if step == cause { cause } else { format!("{step}: {cause}") })
}

fn remember(error: std::io::Error) -> Fault {
    Fault::Memory(anyhow::Error::new(error).context("remember what was taken"))
}

#[cfg(test)]
mod tests {
    use durable::RealDisk;

    use super::super::memory::Taken;
    use super::*;

    struct World {
        folder: tempfile::TempDir,
        source: Followed,
        elapsed: Duration,
    }

    impl World {
        fn new() -> World {
            let folder = tempfile::tempdir().unwrap();
            let logs = folder.path().join("logs");
            let logs = logs.to_str().unwrap();
            let state = folder.path().join("state");
            let source =
                Followed::open(Arc::new(RealDisk), &state, logs, "arn:store", None).unwrap();
            World { folder, source, elapsed: Duration::ZERO }
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.folder.path().join("logs").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn look_at(&self) -> Look {
            Look {
                now: Timestamp::UNIX_EPOCH,
                elapsed: self.elapsed,
                every: Duration::from_secs(5),
            }
        }

        /// Five seconds later: the files that are due, and what is said.
        fn look(&mut self) -> (Vec<SourceFile>, Vec<String>) {
            self.elapsed += Duration::from_secs(5);
            let look = self.look_at();
            // block_in_place asks for a runtime of several threads.
            let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
            let looked = runtime.block_on(self.source.look(look, None)).unwrap();
            (looked.files, looked.said)
        }

        fn names(&mut self) -> Vec<String> {
            let name = |file: &SourceFile| file.name.rsplit('/').next().unwrap().to_owned();
            self.look().0.iter().map(name).collect()
        }

        fn bad(&mut self, reason: &str) -> Option<String> {
            let (files, _) = self.look();
            let look = self.look_at();
            let file = files.first()?;
            self.source.is_poor(file, reason.to_owned(), false, true, look)
        }
    }

    #[test]
    fn a_file_is_new_until_it_is_remembered_as_it_is() {
        let mut world = World::new();
        world.write("b.json", "bb");
        world.write("2026/a.json", "aa");
        world.write("empty.json", "");
        world.write("notes.txt", "x");
        let (files, _) = world.look();
        let taken: Vec<_> = files
            .iter()
            .map(|file| (file.name.clone(), Taken::Whole { version: file.version }))
            .collect();
        assert_eq!(world.names(), ["a.json", "b.json"]);
        world.source.memory.add(&taken).unwrap();
        assert_eq!(world.names(), [""; 0]);
        world.write("b.json", "longer");
        assert_eq!(world.names(), ["b.json"]);
    }

    #[test]
    fn a_bad_file_is_said_the_second_time_once_and_rests_longer_and_longer() {
        let mut world = World::new();
        world.write("a.json", "{");
        assert_eq!(world.bad("broken"), None);
        assert!(world.bad("broken").unwrap().ends_with("logs/a.json: broken"));
        let tries: Vec<bool> = (0..20).map(|_| !world.look().0.is_empty()).collect();
        assert_eq!(tries.iter().position(|tried| *tried), Some(1), "after 10 s");
        assert_eq!(world.bad("broken"), None, "the same again");
        let (count, mut looks) = (world.source.poor.len(), 0);
        while world.bad("still broken").is_none() {
            looks += 1;
            assert!(looks < 200, "a file that nobody mends is tried all the same");
        }
        assert_eq!(count, 1);
        assert!(looks > 1);
        world.write("a.json", "{\"no");
        assert_eq!(world.bad("broken"), None, "it may be on its way again");
        assert!(world.bad("broken").is_some());
    }

    #[test]
    fn a_source_that_is_not_there_is_said_once_and_when_it_is_again() {
        let mut world = World::new();
        let said = world.look().1;
        assert!(said.len() == 1 && said[0].contains("No such file"), "{said:?}");
        assert_eq!(world.look().1, [""; 0]);
        world.write("a.json", "x");
        assert!(world.look().1[0].ends_with("it is there again"));
        assert_eq!(world.look().1, [""; 0]);
    }

    #[test]
    fn a_store_that_is_away_rests_twice_as_long_after_each_look() {
        let mut world = World::new();
        world.source.place = Place::Bucket {
            name: "b".to_owned(),
            prefix: String::new(),
            bucket: None,
            days: Days::default(),
        };
        let mut rests = Vec::new();
        for _ in 0..6 {
            world.elapsed += Duration::from_secs(100);
            let look = world.look_at();
            for file in 0..8 {
                world.source.in_trouble(Part::File, format!("file {file}"), look);
            }
            assert!(world.source.rests(look));
            let next = world.source.trouble.as_ref().unwrap().next;
            rests.push((next - world.elapsed).as_secs());
        }
        assert_eq!(rests, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn a_link_back_to_a_folder_above_is_not_walked_forever() {
        let mut world = World::new();
        world.write("a.json", "x");
        let logs = world.folder.path().join("logs");
        std::os::unix::fs::symlink(&logs, logs.join("again")).unwrap();
        assert_eq!(world.names(), ["a.json"]);
    }
}
