//! How many entries a second, and how long does an append wait?
//!
//! `cargo bench -p journal [-- FOLDER]` appends batches of 100 entries of 1.4 KB, 16 and 64 at a
//! time, for some seconds each, in a temporary folder under FOLDER (default: the target folder's
//! disk). Once alone, once with a consumer that follows and trims, once with single entries; and at
//! the end, how long it takes to open and to read what was left.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use durable::RealDisk;
use journal::{Batch, Journal, Options};

const ENTRY_BYTES: usize = 1400;
const BATCH_LEN: usize = 100;
const RUN: Duration = Duration::from_secs(5);

fn main() {
    // Cargo passes `--bench`.
    let mut folders = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let base = folders.next().map(PathBuf::from).unwrap_or_else(|| {
        std::env::current_exe().expect("a program knows where it is").with_file_name("")
    });
    for in_flight in [16, 64] {
        for (reader, single) in [(false, false), (true, false), (false, true)] {
            let folder = tempfile::tempdir_in(&base).expect("make a temporary folder");
            run(folder.path(), in_flight, reader, if single { 1 } else { BATCH_LEN });
        }
    }
}

fn run(folder: &Path, in_flight: usize, reader: bool, batch_len: usize) {
    let (journal, _) =
        Journal::open(folder, Options::default(), Arc::new(RealDisk)).expect("open a new journal");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("start a runtime");
    let following = reader.then(|| {
        let journal = journal.clone();
        std::thread::spawn(move || follow(&journal))
    });
    let started = Instant::now();
    let mut waits: Vec<Duration> = runtime.block_on(async {
        let tasks: Vec<_> = (0..in_flight)
            .map(|_| {
                let journal = journal.clone();
                tokio::spawn(
                    async move { keep_appending(&journal, batch_len, started + RUN).await },
                )
            })
            .collect();
        let mut waits = Vec::new();
        for task in tasks {
            waits.extend(task.await.expect("no appender panics"));
        }
        waits
    });
    let seconds = started.elapsed().as_secs_f64();
    let read = following.map(|thread| thread.join().expect("the reader does not panic"));
    waits.sort();
    let at = |part: f64| waits[(waits.len() as f64 * part) as usize].as_secs_f64() * 1000.0;
    let entries = waits.len() * batch_len;
    println!(
        "{in_flight:3} in flight x {batch_len:3} entries: {:7.0} entries/s  p50 {:5.2} ms  p99 {:5.2} ms  max {:6.2} ms{}",
        entries as f64 / seconds,
        at(0.5),
        at(0.99),
        at(0.999_999),
        read.map_or(String::new(), |read| format!("  (and read {read})")),
    );
    drop(journal);
    let opening = Instant::now();
    let (journal, recovered) =
        Journal::open(folder, Options::default(), Arc::new(RealDisk)).expect("open again");
    let opened = opening.elapsed();
    let bytes = journal.state().bytes;
    let reading = Instant::now();
    let mut reader = journal.reader(recovered.oldest_seq).expect("read what is left");
    while !reader.next_batch(1 << 20).expect("read").is_empty() {}
    println!(
        "      left {} MiB: opened in {:.0} ms, read at {:.0} entries/s",
        bytes >> 20,
        opened.as_secs_f64() * 1000.0,
        (reader.position() - recovered.oldest_seq) as f64 / reading.elapsed().as_secs_f64(),
    );
}

async fn keep_appending(journal: &Journal, batch_len: usize, until: Instant) -> Vec<Duration> {
    let payload = [b'x'; ENTRY_BYTES];
    let mut waits = Vec::new();
    while Instant::now() < until {
        let mut batch = Batch::with_capacity(batch_len * (ENTRY_BYTES + 16));
        for _ in 0..batch_len {
            batch.push(&[&payload]);
        }
        let sent = Instant::now();
        journal.append(batch).await.expect("the disk takes it");
        waits.push(sent.elapsed());
    }
    waits
}

/// Reads everything until nothing comes for a second, advancing and trimming now and then.
fn follow(journal: &Journal) -> u64 {
    let mut cursor = journal.cursor("bench").expect("make a cursor");
    let mut reader = journal.reader(cursor.position()).expect("read from the start");
    let mut idle = 0;
    let mut since_trim = Instant::now();
    while idle < 200 {
        let entries = reader.next_batch(1 << 20).expect("read");
        idle = if entries.is_empty() { idle + 1 } else { 0 };
        if entries.is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if since_trim.elapsed() > Duration::from_millis(500) {
            cursor.advance(reader.position()).expect("advance");
            journal.trim().expect("trim");
            since_trim = Instant::now();
        }
    }
    reader.position() - 1
}
