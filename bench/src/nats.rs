//! Publishes bodies to a JetStream stream (file storage) and waits for the stream's own
//! acknowledgements: one message is one body.
//!
//! ```text
//!   > CONNECT {…}                               > PUB bench.body _INBOX.bench.0.7 143871
//!   > SUB _INBOX.bench.0.* 1                    > …the body…
//!   > PUB $JS.API.STREAM.CREATE.BENCH …         < MSG _INBOX.bench.0.7 1 30
//!                                               < {"stream":"BENCH","seq":1}
//! ```
//! The protocol is spoken directly, as for HTTP: it is a handful of lines of text
//! (docs.nats.io, "Client Protocol" and "JetStream wire API"), the peer's own client library would
//! cost more processor time next to the server under test, and bring its own TLS.
//!
//! The `in_flight` places are shared out among the connections, each with a writer and a reader.
//! The reply subject ends with the numbers of connection and place.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::bodies::{self, Bodies};
use crate::dice::Dice;
use crate::load::{Due, Schedule, Tally};

const STREAM: &str = "BENCH";
const SUBJECT: &str = "bench.body";
const INBOX: &str = "_INBOX.bench";
const PONG: &[u8] = b"PONG\r\n";
/// An acknowledgement that takes longer is taken for lost.
const ACK_WAIT_MAX: Duration = Duration::from_secs(60);

/// Makes the stream anew, empty. `address` is HOST:PORT.
pub async fn make_stream(address: &str) -> Result<()> {
    let (mut reader, mut writer) = connect(address, 0).await?;
    let config = format!(
        r#"{{"name":"{STREAM}","subjects":["{SUBJECT}"],"storage":"file","retention":"limits","num_replicas":1}}"#
    );
    for (operation, request) in [("DELETE", ""), ("CREATE", config.as_str())] {
        let length = request.len();
        let publish = format!(
            "PUB $JS.API.STREAM.{operation}.{STREAM} {INBOX}.0.0 {length}\r\n{request}\r\n"
        );
        writer.write_all(publish.as_bytes()).await?;
        let payload = loop {
            match read_operation(&mut reader).await? {
                Operation::Ping => writer.write_all(PONG).await?,
                Operation::Message { payload, .. } => break payload,
                Operation::Other => {}
            }
        };
        // Deleting what is not there is fine.
        if operation == "CREATE" {
            Ack::read(&payload)?;
        }
    }
    Ok(())
}

/// Keeps `in_flight` bodies on their way over `connections` connections until the schedule ends.
/// A refused body counts as an error; a broken connection or a lost acknowledgement fails the run.
pub async fn publish(
    address: &str,
    bodies: Arc<Bodies>,
    batch: usize,
    in_flight: usize,
    connections: usize,
    schedule: Arc<Schedule>,
) -> Result<Tally> {
    ensure!((1..=in_flight).contains(&connections), "connections must lie between 1 and in-flight");
    let mut seeds = bodies::identifiers();
    let mut publishers = JoinSet::new();
    for nth in 0..connections {
        let places = in_flight / connections + usize::from(nth < in_flight % connections);
        let (reader, writer) = connect(address, nth).await?;
        let publisher = Publisher {
            connection: nth,
            batch,
            bodies: bodies.clone(),
            schedule: schedule.clone(),
            waiting: Mutex::new(vec![None; places]),
            tally: Mutex::default(),
        };
        publishers.spawn(publisher.publish_all(reader, writer, Dice::new(seeds.bits())));
    }
    let mut tally = Tally::default();
    while let Some(publisher) = publishers.join_next().await {
        tally.add(publisher??);
    }
    Ok(tally)
}

type Reader = BufReader<OwnedReadHalf>;

async fn connect(address: &str, connection: usize) -> Result<(Reader, OwnedWriteHalf)> {
    let stream =
        TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut info = String::new();
    reader.read_line(&mut info).await?;
    ensure!(info.starts_with("INFO "), "{address} is no NATS server: {info:?}");
    let options = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"bench","version":"0"}"#;
    writer
        .write_all(format!("CONNECT {options}\r\nSUB {INBOX}.{connection}.* 1\r\n").as_bytes())
        .await?;
    Ok((reader, writer))
}

/// One connection's work.
struct Publisher {
    connection: usize,
    batch: usize,
    bodies: Arc<Bodies>,
    schedule: Arc<Schedule>,
    /// Bodies on their way, by place.
    waiting: Mutex<Vec<Option<Waiting>>>,
    tally: Mutex<Tally>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    due: Due,
    body_bytes: usize,
}

#[derive(Debug)]
enum Write {
    /// This place is free: the next body may go.
    Body(usize),
    Pong,
}

impl Publisher {
    async fn publish_all(
        self,
        reader: Reader,
        writer: OwnedWriteHalf,
        identifiers: Dice,
    ) -> Result<Tally> {
        let (tell, told) = unbounded_channel();
        for place in 0..self.waiting.lock().expect("no holder panics").len() {
            tell.send(Write::Body(place)).expect("the receiver is in this function");
        }
        // The writer ends when every place has come back; the reader only when something is wrong.
        tokio::select! {
            written = self.write(writer, told, identifiers) => written?,
            broken = self.read(reader, tell) => broken?,
        }
        Ok(self.tally.into_inner().expect("no holder panics"))
    }

    async fn write(
        &self,
        mut writer: OwnedWriteHalf,
        mut told: UnboundedReceiver<Write>,
        mut identifiers: Dice,
    ) -> Result<()> {
        let mut sent = Vec::new();
        let mut places = self.waiting.lock().expect("no holder panics").len();
        while places > 0 {
            let write = tokio::time::timeout(ACK_WAIT_MAX, told.recv())
                .await
                .context("an acknowledgement is missing")?;
            let place = match write.context("the reader has ended")? {
                Write::Body(place) => place,
                Write::Pong => {
                    writer.write_all(PONG).await?;
                    continue;
                }
            };
            let Some(due) = self.schedule.next().await else {
                places -= 1;
                continue;
            };
            let body_bytes = self.bodies.body_bytes(due.nth);
            self.waiting.lock().expect("no holder panics")[place] =
                Some(Waiting { due, body_bytes });
            sent.clear();
            let connection = self.connection;
            sent.extend_from_slice(
                format!("PUB {SUBJECT} {INBOX}.{connection}.{place} {body_bytes}\r\n").as_bytes(),
            );
            self.bodies.write(due.nth, &mut identifiers, &mut sent);
            sent.extend_from_slice(b"\r\n");
            writer.write_all(&sent).await.context("publish")?;
        }
        Ok(())
    }

    async fn read(&self, mut reader: Reader, tell: UnboundedSender<Write>) -> Result<()> {
        loop {
            let (subject, payload) = match read_operation(&mut reader).await? {
                Operation::Message { subject, payload } => (subject, payload),
                Operation::Ping => {
                    tell.send(Write::Pong).context("the writer has ended")?;
                    continue;
                }
                Operation::Other => continue,
            };
            let place: usize = subject
                .rsplit('.')
                .next()
                .and_then(|n| n.parse().ok())
                .context("an unknown reply subject")?;
            let waiting = self
                .waiting
                .lock()
                .expect("no holder panics")
                .get_mut(place)
                .and_then(Option::take);
            let Waiting { due, body_bytes } = waiting.context("an acknowledgement of nothing")?;
            let mut tally = self.tally.lock().expect("no holder panics");
            match Ack::read(&payload) {
                Ok(()) => tally.answered(&self.schedule, due.at, self.batch, body_bytes),
                Err(refusal) => tally.refused(refusal.to_string()),
            }
            drop(tally);
            tell.send(Write::Body(place)).context("the writer has ended")?;
        }
    }
}

/// JetStream's answer: `{"stream":…,"seq":…}`, or an error.
#[derive(Deserialize)]
struct Ack {
    error: Option<AckError>,
}

#[derive(Deserialize)]
struct AckError {
    code: u16,
    description: String,
}

impl Ack {
    /// An error when JetStream says so, or says nothing: an empty payload with a status header is
    /// how the server reports that no stream listens.
    fn read(payload: &[u8]) -> Result<()> {
        let ack: Ack = serde_json::from_slice(payload).with_context(|| {
            format!("not an answer of JetStream: {:?}", String::from_utf8_lossy(payload))
        })?;
        match ack.error {
            None => Ok(()),
            Some(AckError { code, description }) => {
                bail!("JetStream refused: {description} ({code})")
            }
        }
    }
}

#[derive(Debug)]
enum Operation {
    Message {
        subject: String,
        payload: Vec<u8>,
    },
    Ping,
    /// INFO again, PONG, +OK.
    Other,
}

async fn read_operation(reader: &mut Reader) -> Result<Operation> {
    let mut line = String::new();
    if reader.read_line(&mut line).await? == 0 {
        bail!("the server closed the connection");
    }
    let mut words = line.split_ascii_whitespace();
    let operation = words.next().unwrap_or_default();
    match operation {
        "PING" => Ok(Operation::Ping),
        "-ERR" => bail!("the server says {}", line.trim()),
        "MSG" | "HMSG" => {
            // MSG subject sid [reply] bytes      HMSG subject sid [reply] header-bytes bytes
            let subject = words.next().context("a message without a subject")?.to_owned();
            let mut numbers = words.rev().map_while(|word| word.parse::<usize>().ok());
            let length = numbers.next().context("a message without a length")?;
            let header_length = if operation == "HMSG" {
                numbers.next().context("a message without a header length")?
            } else {
                0
            };
            let mut payload = vec![0; length + 2];
            reader.read_exact(&mut payload).await?;
            payload.truncate(length);
            payload.drain(..header_length.min(length));
            Ok(Operation::Message { subject, payload })
        }
        _ => Ok(Operation::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_without_an_error_is_success_and_nothing_else_is() {
        assert!(Ack::read(br#"{"stream":"BENCH","seq":1}"#).is_ok());
        let refusal =
            Ack::read(br#"{"error":{"code":503,"description":"insufficient resources"}}"#)
                .unwrap_err();
        assert!(refusal.to_string().contains("insufficient resources"));
        assert!(Ack::read(b"").is_err());
    }
}
