//! `cairn follow`
//!
//! ```text
//!   look at each source ─▶ what is new ─▶ put into an open import ─▶ commit ─▶ remember ─▶ rest
//! ```
//! A turn that fails anywhere is made again: what was not remembered is new again, and what the server
//! had in already it drops. So a crash of either side is a turn that failed.

mod days;
mod lines;
mod memory;
mod screen;
mod source;
mod take;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use durable::RealDisk;
use futures::StreamExt as _;
use server::clock::{Clock, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::config;
use crate::open_import::{self, Answer, COMMIT_BYTES, FILES_AT_ONCE, OpenImport, Totals};
use crate::sources::SourceFile;
use memory::{Taken, name_hash};
use screen::{Away, Screen};
use source::{Followed, Look, Part};
use take::{Came, Fault, In};

/// An import into which nothing comes is closed: while it is open its store cannot be deleted.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Looking through folders takes at most this part of the time: one fifth.
const LOOKS_REST: u32 = 4;

/// When so many files in a row cannot be fetched, their store is away, and the rest waits.
const UNREAD_MAX: u32 = 8;
/// Signals within so long are one.
const ONE_WISH: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cairn follow /var/log/trail --into audit --data ./cairn-data     a folder, to its bottom
  cairn follow app/audit.ndjson --into audit                       a file that grows, line by line
  cairn follow s3://trail-bucket/AWSLogs --into audit --every 1m   a bucket

What is new is in within one interval, and so is what came while nobody followed. Files as for
`cairn import`. Of a file of JSON lines only whole lines are taken, and all of it again when it was
truncated or rotated. In a bucket, today's folders of CloudTrail are listed each time, and all keys
the more seldom the more there are: files below earlier days, and new Regions, may take up to an hour.

What has been taken is remembered below --state, so stop it (Ctrl-C) or kill it as you like: nothing
is lost and no event is in twice. While the server or the bucket is away it waits. A file that cannot
be read is named once, and tried again when it changes. Exit status: 0 after Ctrl-C or SIGTERM.")]
pub struct Follow {
    /// What to follow: a folder, a file or s3://BUCKET[/PREFIX]
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,
    /// The event data store: its name, ID or ARN [default: the only one there is]
    #[arg(long, value_name = "STORE")]
    into: Option<String>,
    /// A node's data folder; without it the AWS variables and profile say where the server is
    #[arg(long, env = "CAIRN_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// How often to look: a number and a unit, such as 500ms, 5s or 1m
    #[arg(long, env = "CAIRN_FOLLOW_EVERY", value_name = "TIME", default_value = "5s", value_parser = interval)]
    every: Duration,
    /// Where to remember what was taken [default: DIR/follow of --data, else ~/.local/state/cairn/follow]
    #[arg(long, env = "CAIRN_FOLLOW_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
}

fn interval(text: &str) -> Result<Duration, String> {
    config::duration("--every", text).map_err(|error| error.to_string())
}

pub fn run(arguments: &Follow) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let stop = CancellationToken::new();
    let totals = runtime.block_on(async {
        stop_on_signal(stop.clone())?;
        follow(arguments, &stop).await
    })?;
    totals.print();
    Ok(ExitCode::SUCCESS)
}

/// The first signal ends it after the files on their way, another one at once.
fn stop_on_signal(stop: CancellationToken) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for Ctrl-C")?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                std::process::exit(130);
            }
            stop.cancel();
            // Some supervisors signal a process and its group: that is one wish.
            let one_wish = tokio::time::Instant::now() + ONE_WISH;
            while tokio::select! {
                _ = terminate.recv() => true,
                _ = interrupt.recv() => true,
                () = tokio::time::sleep_until(one_wish) => false,
            } {}
        }
    });
    Ok(())
}

async fn follow(arguments: &Follow, stop: &CancellationToken) -> Result<Totals> {
    let data = arguments.data.as_deref();
    let mut client = Client::new(data)?;
    let screen = Screen::new()?;
    let mut away = Away::default();
    let store = loop {
        match open_import::store(&client, arguments.into.as_deref()).await.map_err(Fault::from) {
            Ok(store) => break store,
            Err(Fault::Fatal(error)) => return Err(error),
            Err(Fault::Away(reason)) => screen.say(away.failed(reason)),
            Err(Fault::Forgotten) => {}
        }
        if away.rest(stop).await {
            return Ok(Totals::default());
        }
        client = Client::new(data)?;
    };
    let state = match &arguments.state {
        Some(state) => state.clone(),
        None => usual_state(data)?,
    };
    let mut sources = Vec::new();
    for source in &arguments.sources {
        sources.push(Followed::open(Arc::new(RealDisk), &state, source, &store, data)?);
    }
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    screen.line(&format!("following {} into {store}", names.join(", ")));
    let mut following = Following {
        data,
        every: arguments.every,
        stop,
        store,
        client,
        left: sources[0].memory.import().map(str::to_owned),
        sources,
        open: None,
        used: Duration::ZERO,
        clock: SystemClock::start(),
        totals: Totals::default(),
        away,
        screen,
    };
    let done = following.until_stopped().await;
    following.close().await?;
    done.map(|()| following.totals)
}

fn usual_state(data: Option<&Path>) -> Result<PathBuf> {
    if let Some(data) = data {
        return Ok(data.join("follow"));
    }
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = folder("XDG_STATE_HOME").map(PathBuf::from);
    let home = folder("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = state.or(home).context("say with --state where to remember what was taken")?;
    Ok(state.join("cairn/follow"))
}

struct Following<'a> {
    data: Option<&'a Path>,
    every: Duration,
    stop: &'a CancellationToken,
    /// The event data store's ARN.
    store: String,
    client: Client,
    sources: Vec<Followed>,
    open: Option<OpenImport>,
    /// When something was put last.
    used: Duration,
    /// An import that is to be closed: the server may still have it open.
    left: Option<String>,
    clock: SystemClock,
    totals: Totals,
    away: Away,
    screen: Screen,
}

/// What was put, and is in after the next commit.
#[derive(Default)]
struct Uncommitted {
    bytes: u64,
    totals: Totals,
    /// With the source's number.
    taken: Vec<(usize, String, Taken)>,
    /// Files of which not all is in, and why.
    refused: Vec<(usize, SourceFile, String)>,
}

/// Whether there is more to do at once.
enum More {
    Yes,
    /// Rest so long at least.
    No(Duration),
}

impl Following<'_> {
    async fn until_stopped(&mut self) -> Result<()> {
        loop {
            let turn = self.turn().await;
            if self.stop.is_cancelled() {
                return match turn {
                    Err(Fault::Fatal(error)) => Err(error),
                    _ => Ok(()),
                };
            }
            let rest = match turn {
                Ok(More::Yes) => continue,
                Ok(More::No(rest)) => rest.max(self.every),
                Err(Fault::Fatal(error)) => return Err(error),
                Err(fault) => {
                    self.sources.iter_mut().for_each(Followed::look_at_all);
                    self.left = self.open.take().map(|open| open.id).or(self.left.take());
                    if let Fault::Away(reason) = fault {
                        let said = self.away.failed(reason);
                        self.screen.say(said);
                    }
                    if self.away.rest(self.stop).await {
                        return Ok(());
                    }
                    continue;
                }
            };
            self.screen.show(&self.totals);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Takes what is new in all sources.
    async fn turn(&mut self) -> Result<More, Fault> {
        let begun = self.clock.elapsed();
        let look = Look { now: self.clock.now(), elapsed: begun, every: self.every };
        let mut new = Vec::new();
        let mut rest = Duration::ZERO;
        for (number, source) in self.sources.iter_mut().enumerate() {
            let begun = self.clock.elapsed();
            let looked = source.look(look, self.data).await.map_err(Fault::Fatal)?;
            for said in looked.said {
                self.screen.say(Some(said));
            }
            new.extend(looked.files.into_iter().map(|file| (number, file)));
            if source.is_on_disk() {
                rest += (self.clock.elapsed() - begun) * LOOKS_REST;
            }
        }
        if new.is_empty() || self.stop.is_cancelled() {
            if self.open.is_some() && begun - self.used > IDLE_MAX {
                self.close().await.map_err(Fault::Fatal)?;
            }
            return Ok(More::No(rest));
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => self.begin().await?,
        };
        let taken = self.take_all(&open, new, look).await;
        self.open = Some(open);
        self.used = self.clock.elapsed();
        taken.map(|has_more| if has_more { More::Yes } else { More::No(rest) })
    }

    async fn take_all(
        &mut self,
        open: &OpenImport,
        new: Vec<(usize, SourceFile)>,
        look: Look,
    ) -> Result<bool, Fault> {
        let mut has_more = false;
        let mut files = Vec::new();
        let mut uncommitted = Uncommitted::default();
        for (number, file) in new {
            let source = &mut self.sources[number];
            match source.settled(&file).map(str::to_owned) {
                Some(reason) => {
                    let said = source.is_poor(&file, reason, true, true, look);
                    self.screen.say(said);
                    source.is_done(&file);
                    let taken = Taken::Whole { version: file.version };
                    uncommitted.taken.push((number, file.name, taken));
                }
                None => {
                    let mark = source.memory.mark(name_hash(&file.name)).cloned();
                    files.push((number, file, mark));
                }
            }
        }
        // Its own copies, so that what comes of a file can be entered while others are on their way.
        let (client, stop) = (self.client.clone(), self.stop);
        let into = take::Into { client: &client, open, stop };
        let into = &into;
        let unread: Vec<Cell<u32>> = self.sources.iter().map(|_| Cell::new(0)).collect();
        let unread = &unread;
        let mut coming = futures::stream::iter(files)
            .take_while(|_| futures::future::ready(!stop.is_cancelled()))
            .filter(|(number, ..)| futures::future::ready(unread[*number].get() < UNREAD_MAX))
            .map(|(number, file, mark)| async move { (number, into.take(&file, mark).await, file) })
            .buffer_unordered(FILES_AT_ONCE);
        while let Some((number, came, file)) = coming.next().await {
            let source = &mut self.sources[number];
            let came = came?;
            let in_a_row = if matches!(came, Came::Away(_)) { unread[number].get() + 1 } else { 0 };
            unread[number].set(in_a_row);
            let said = match came {
                Came::Gone => {
                    source.is_done(&file);
                    None
                }
                Came::Nothing => {
                    source.has_nothing(&file);
                    None
                }
                Came::Away(reason) => source.in_trouble(Part::File, reason, look),
                Came::Bad { reason, may_change } => {
                    source.is_poor(&file, reason, false, may_change, look)
                }
                Came::In(came) => {
                    has_more |= came.has_more;
                    self.enter(number, file, came, &mut uncommitted);
                    None
                }
            };
            self.screen.say(said);
            if uncommitted.bytes >= COMMIT_BYTES {
                self.commit(&client, open, std::mem::take(&mut uncommitted), look).await?;
            }
        }
        drop(coming);
        self.commit(&client, open, uncommitted, look).await?;
        Ok(has_more)
    }

    fn enter(&mut self, number: usize, file: SourceFile, came: In, to: &mut Uncommitted) {
        for said in came.said {
            self.screen.say(Some(said));
        }
        to.bytes += came.bytes;
        came.puts.iter().for_each(|put| to.totals.put(put));
        match came.refused {
            // Not remembered until it has stayed as it is.
            Some(reason) => to.refused.push((number, file, reason)),
            None => {
                self.sources[number].is_done(&file);
                to.taken.extend(came.taken.map(|taken| (number, file.name, taken)));
            }
        }
    }

    async fn commit(
        &mut self,
        client: &Client,
        open: &OpenImport,
        mut uncommitted: Uncommitted,
        look: Look,
    ) -> Result<(), Fault> {
        if uncommitted.totals.files > 0 {
            match open.commit(client).await? {
                Answer::Done(committed) => uncommitted.totals.commit(&committed),
                Answer::Gone(_) => return Err(Fault::Forgotten),
                Answer::Busy(reason) | Answer::Bad { reason, .. } => {
                    return Err(Fault::Away(reason));
                }
            }
            let said = self.away.is_over();
            self.screen.say(said);
        }
        for (number, source) in self.sources.iter_mut().enumerate() {
            let of_source = uncommitted.taken.iter().filter(|(of, _, _)| *of == number);
            let taken: Vec<(String, Taken)> =
                of_source.map(|(_, name, taken)| (name.clone(), taken.clone())).collect();
            if !taken.is_empty() {
                let added = source.memory.add(&taken).context("remember what was taken");
                added.map_err(Fault::Fatal)?;
            }
        }
        for (number, file, reason) in uncommitted.refused {
            let said = self.sources[number].is_poor(&file, reason, true, true, look);
            self.screen.say(said);
        }
        self.totals.add(&uncommitted.totals);
        if uncommitted.totals.files > 0 {
            self.screen.committed(&uncommitted.totals);
        }
        self.screen.show(&self.totals);
        Ok(())
    }

    /// Opens an import. One that was left open, by a crash perhaps, is closed first: the server keeps
    /// few of one account.
    async fn begin(&mut self) -> Result<OpenImport, Fault> {
        self.client = Client::new(self.data).map_err(|error| Fault::Away(format!("{error:#}")))?;
        if let Some(id) = self.left.take() {
            let left = OpenImport { id };
            if let Err(error) = left.close(&self.client).await {
                self.left = Some(left.id);
                return Err(error.into());
            }
        }
        let open = OpenImport::begin(&self.client, &self.store).await?;
        let remembered = self.sources[0].memory.set_import(Some(&open.id));
        remembered.context("remember the import").map_err(Fault::Fatal)?;
        Ok(open)
    }

    async fn close(&mut self) -> Result<()> {
        let left = self.left.take().map(|id| OpenImport { id });
        for open in self.open.take().into_iter().chain(left) {
            if open.close(&self.client).await.is_err() {
                // It stays remembered, and is closed by the next start.
                return Ok(());
            }
        }
        self.sources[0].memory.set_import(None).context("remember that no import is open")
    }
}
