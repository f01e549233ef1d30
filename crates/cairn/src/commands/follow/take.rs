//! One file on its way into an import that is open.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::lines::{self, Mark, Next, Part};
use super::memory::Taken;
use crate::client::{Client, is_away};
use crate::open_import::{Answer, OpenImport, Put};
use crate::sources::{ReadFault, SourceFile};

/// Parts of one file in one turn: what comes before the next commit.
const PARTS_MAX: usize = 8;
/// A server that has no room is asked again so often, before it counts as away.
const BUSY_TRIES: u32 = 5;
const BUSY_REST: Duration = Duration::from_secs(2);

/// Where files go.
pub struct Into<'a> {
    pub client: &'a Client,
    pub open: &'a OpenImport,
    pub stop: &'a CancellationToken,
}

/// What came of a file.
#[derive(Debug)]
pub enum Came {
    /// It is not there any more.
    Gone,
    /// There is no whole line in it yet, or no new one.
    Nothing,
    /// Its store is not there now.
    Away(String),
    /// `may_change`: it may still be on its way to its place.
    Bad {
        reason: String,
        may_change: bool,
    },
    In(In),
}

#[derive(Debug, Default)]
pub struct In {
    pub puts: Vec<Put>,
    pub taken: Option<Taken>,
    pub bytes: u64,
    /// Of a file that was put as a whole: records were refused.
    pub refused: Option<String>,
    /// What else is to be said about it.
    pub said: Vec<String>,
    pub has_more: bool,
}

/// Why no file can be taken now.
#[derive(Debug)]
pub enum Fault {
    /// The server is away or has no room; or it has forgotten the import.
    Away(String),
    Forgotten,
    /// It is not going to work.
    Fatal(anyhow::Error),
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Fault {
        if is_away(&error) { Fault::Away(format!("{error:#}")) } else { Fault::Fatal(error) }
    }
}

impl Into<'_> {
    pub async fn take(&self, file: &SourceFile, mark: Option<Mark>) -> Result<Came, Fault> {
        match file.path() {
            Some(path) => self.take_lines(file, path, mark).await,
            None => self.take_whole(file).await,
        }
    }

    async fn take_whole(&self, file: &SourceFile) -> Result<Came, Fault> {
        let bytes = match file.contents().await {
            Ok(bytes) => bytes,
            Err(ReadFault::Gone) => return Ok(Came::Gone),
            Err(ReadFault::Away(reason)) => return Ok(Came::Away(reason)),
            Err(ReadFault::Unreadable(reason)) => {
                return Ok(Came::Bad { reason, may_change: false });
            }
        };
        // An object is there from its first byte to its last, or not at all.
        let may_change = file.path().is_some();
        match self.put(&file.name, bytes).await? {
            Ok(mut put) => {
                let refused = put.refused.take();
                let said = refused.iter().filter(|_| !may_change);
                Ok(Came::In(In {
                    said: said.map(|reason| format!("{}: {reason}", file.name)).collect(),
                    refused: refused.filter(|_| may_change),
                    puts: vec![put],
                    taken: Some(Taken::Whole { version: file.version }),
                    bytes: file.bytes,
                    has_more: false,
                }))
            }
            Err(Bad { reason, is_too_large }) => {
                Ok(Came::Bad { reason, may_change: may_change && !is_too_large })
            }
        }
    }

    async fn take_lines(
        &self,
        file: &SourceFile,
        path: &Path,
        mut mark: Option<Mark>,
    ) -> Result<Came, Fault> {
        let mut came = In { has_more: true, ..In::default() };
        let begun = mark.clone();
        for _ in 0..PARTS_MAX {
            let next = tokio::task::block_in_place(|| lines::next(path, mark.as_ref()));
            let (name, part) = match next {
                Ok(Next::Part(part)) => (file.name.clone(), part),
                Ok(Next::Nothing) => {
                    came.has_more = false;
                    break;
                }
                Ok(Next::Whole) => {
                    let whole = self.take_whole(file).await?;
                    return Ok(came.before(whole));
                }
                Ok(Next::Replaced) => {
                    let rest = mark.as_ref().and_then(|mark| rest_of(path, mark, &mut came.said));
                    match rest {
                        Some(rest) => rest,
                        None => {
                            mark = Some(Mark::start());
                            continue;
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Came::Gone),
                Err(error) => {
                    // It was truncated under our hands.
                    let may_change = error.kind() == io::ErrorKind::UnexpectedEof;
                    return Ok(Came::Bad { reason: error.to_string(), may_change });
                }
            };
            if let Err(reason) = self.take_part(&name, &part, &mut came).await? {
                return Ok(Came::Bad { reason, may_change: false });
            }
            came.has_more = part.has_more;
            mark = Some(part.mark);
        }
        match mark {
            Some(mark) if Some(&mark) != begun.as_ref() => {
                came.taken = Some(Taken::Lines { version: file.version, mark });
                Ok(Came::In(came))
            }
            _ => Ok(Came::Nothing),
        }
    }

    /// Lines that cannot be read are said, and passed: the next ones may be good. A part that is
    /// too large for the server is an error.
    async fn take_part(
        &self,
        name: &str,
        part: &Part,
        came: &mut In,
    ) -> Result<Result<(), String>, Fault> {
        if part.bytes.trim_ascii().is_empty() {
            return Ok(Ok(()));
        }
        let place = format!("{name} (bytes {} to {})", part.begin, part.mark.end);
        match self.put(&place, part.bytes.clone()).await? {
            Ok(put) => {
                came.said.extend(put.refused.iter().map(|reason| format!("{place}: {reason}")));
                came.bytes += part.bytes.len() as u64;
                came.puts.push(put);
            }
            Err(Bad { reason, is_too_large: true }) => return Ok(Err(reason)),
            Err(Bad { reason, is_too_large: false }) => {
                came.said.push(format!("{place}: {reason}"))
            }
        }
        Ok(Ok(()))
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<Result<Put, Bad>, Fault> {
        let mut reason = String::new();
        for _ in 0..BUSY_TRIES {
            match self.open.put(self.client, name, bytes.clone()).await? {
                Answer::Done(put) => return Ok(Ok(put)),
                Answer::Bad { reason, is_too_large } => {
                    return Ok(Err(Bad { reason, is_too_large }));
                }
                Answer::Busy(message) => reason = message,
                Answer::Gone(_) => return Err(Fault::Forgotten),
            }
            tokio::select! {
                () = tokio::time::sleep(BUSY_REST) => {}
                () = self.stop.cancelled() => break,
            }
        }
        Err(Fault::Away(reason))
    }
}

struct Bad {
    reason: String,
    is_too_large: bool,
}

impl In {
    /// What was taken of a file before it turned out to be no file of lines any more.
    fn before(mut self, whole: Came) -> Came {
        let Came::In(mut whole) = whole else { return whole };
        self.puts.append(&mut whole.puts);
        self.said.append(&mut whole.said);
        Came::In(In { puts: self.puts, said: self.said, bytes: self.bytes + whole.bytes, ..whole })
    }
}

/// The next part of a file that was renamed, or truncated after it was copied; says what happened
/// when there is none.
fn rest_of(path: &Path, mark: &Mark, said: &mut Vec<String>) -> Option<(String, Part)> {
    let Some(other) = tokio::task::block_in_place(|| lines::rotated(path, mark)) else {
        if mark.end > 0 {
            said.push(format!(
                "{}: it was truncated or replaced, and is taken from its beginning; lines that were \
                 added to it shortly before are only in if another log file holds them",
                path.display()
            ));
        }
        return None;
    };
    match tokio::task::block_in_place(|| lines::next(&other, Some(mark))) {
        Ok(Next::Part(part)) => Some((other.to_string_lossy().into_owned(), part)),
        _ => None,
    }
}
