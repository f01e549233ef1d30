//! Posts bodies to `/v1/events` over keep-alive HTTP/1.1, one connection for each batch in flight.
//!
//! A request is one buffer and one write; of an answer only the status, the length and the body
//! are read. A whole HTTP client would take processor time away from the server.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::bodies::{self, Bodies};
use crate::dice::Dice;
use crate::load::{Schedule, Tally};

const ANSWER_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Clone)]
pub struct Target {
    /// Host and port.
    authority: String,
    token: String,
}

impl Target {
    /// `endpoint` such as `http://127.0.0.1:4580`.
    pub fn parse(endpoint: &str, token: &str) -> Result<Target> {
        let rest =
            endpoint.strip_prefix("http://").context("the endpoint must begin with http://")?;
        let authority = rest.trim_end_matches('/').to_owned();
        ensure!(
            authority.contains(':') && !authority.contains('/'),
            "the endpoint must be http://HOST:PORT, not {endpoint}"
        );
        Ok(Target { authority, token: token.to_owned() })
    }
}

/// Keeps `in_flight` batches on their way until the schedule ends. An answer other than "all of it
/// accepted" counts as an error; a connection that breaks fails the run.
pub async fn post(
    target: &Target,
    bodies: Arc<Bodies>,
    batch: usize,
    in_flight: usize,
    schedule: Arc<Schedule>,
) -> Result<Tally> {
    let mut senders = JoinSet::new();
    let mut seeds = bodies::identifiers();
    for _ in 0..in_flight {
        let stream = TcpStream::connect(&target.authority)
            .await
            .with_context(|| format!("connect to {}", target.authority))?;
        stream.set_nodelay(true)?;
        let connection =
            Connection { stream, target: target.clone(), sent: Vec::new(), answer: Vec::new() };
        let identifiers = Dice::new(seeds.bits());
        senders.spawn(connection.send_all(bodies.clone(), batch, identifiers, schedule.clone()));
    }
    let mut tally = Tally::default();
    while let Some(sender) = senders.join_next().await {
        tally.add(sender??);
    }
    Ok(tally)
}

struct Connection {
    stream: TcpStream,
    target: Target,
    sent: Vec<u8>,
    answer: Vec<u8>,
}

struct Answer {
    status: u16,
    body: std::ops::Range<usize>,
}

/// What the answer to a post says, as far as it matters here.
#[derive(Deserialize)]
struct Posted {
    accepted: u64,
}

impl Connection {
    async fn send_all(
        mut self,
        bodies: Arc<Bodies>,
        batch: usize,
        mut identifiers: Dice,
        schedule: Arc<Schedule>,
    ) -> Result<Tally> {
        let mut tally = Tally::default();
        while let Some(due) = schedule.next().await {
            let body_bytes = bodies.body_bytes(due.nth);
            self.sent.clear();
            let Target { authority, token } = &self.target;
            self.sent.extend_from_slice(
                format!(
                    "POST /v1/events HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n\
                     Content-Type: application/x-ndjson\r\nContent-Length: {body_bytes}\r\n\r\n"
                )
                .as_bytes(),
            );
            bodies.write(due.nth, &mut identifiers, &mut self.sent);
            self.stream.write_all(&self.sent).await.context("send a request")?;
            let answer = self.read_answer().await.context("read an answer")?;
            let text = &self.answer[answer.body];
            let accepted = serde_json::from_slice::<Posted>(text).map(|posted| posted.accepted);
            match (answer.status, accepted) {
                (200, Ok(accepted)) if accepted == batch as u64 => {
                    tally.answered(&schedule, due.at, batch, body_bytes);
                }
                (status, _) => {
                    tally.refused(format!("{status}: {}", String::from_utf8_lossy(text)))
                }
            }
        }
        Ok(tally)
    }

    async fn read_answer(&mut self) -> Result<Answer> {
        self.answer.clear();
        let mut end = None;
        loop {
            if end.is_none() {
                end = head_of(&self.answer)?;
            }
            if let Some((status, ref body)) = end
                && self.answer.len() >= body.end
            {
                ensure!(self.answer.len() == body.end, "the server sent more than one answer");
                return Ok(Answer { status, body: body.clone() });
            }
            ensure!(
                self.answer.len() < ANSWER_BYTES_MAX,
                "an answer of more than {ANSWER_BYTES_MAX} bytes"
            );
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the server closed the connection");
            }
        }
    }
}

/// Status, and where the body lies; None until the head is complete.
fn head_of(answer: &[u8]) -> Result<Option<(u16, std::ops::Range<usize>)>> {
    let Some(end) = memmem::find(answer, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end]).context("the head of an answer is not text")?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .with_context(|| format!("not an HTTP/1.1 answer: {status_line:?}"))?;
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .context("an answer without Content-Length")?;
    Ok(Some((status, end + 4..end + 4 + length)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;
    use crate::load::Report;

    /// A server that answers each request with the next of `answers`, in two pieces, and counts
    /// the records it was sent.
    async fn run_against(answers: &'static [&'static str]) -> (Result<Report>, u64) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut received, mut records) = (Vec::new(), 0);
            for text in answers {
                let body = loop {
                    if let Some(end) = memmem::find(&received, b"\r\n\r\n") {
                        let head = String::from_utf8(received[..end].to_vec()).unwrap();
                        assert!(
                            head.starts_with("POST /v1/events HTTP/1.1\r\n")
                                && head.contains("\r\nAuthorization: Bearer secret\r\n")
                        );
                        let length: usize =
                            head.split("Content-Length: ").nth(1).unwrap().parse().unwrap();
                        if received.len() == end + 4 + length {
                            break received.split_off(end + 4);
                        }
                    }
                    if stream.read_buf(&mut received).await.unwrap() == 0 {
                        return records;
                    }
                };
                received.clear();
                records += body.iter().filter(|byte| **byte == b'\n').count() as u64;
                let (status, body) = text.split_once(' ').unwrap();
                let answer =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let (first, second) = answer.split_at(answer.len() - 3);
                stream.write_all(first.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
                stream.write_all(second.as_bytes()).await.unwrap();
            }
            records
        });
        let target = Target::parse(&endpoint, "secret").unwrap();
        // Slow enough that every answer is asked for and the schedule, not the clock, ends it.
        let schedule =
            Arc::new(Schedule::start(Duration::ZERO, Duration::from_millis(50), Some(60.0)));
        let bodies = Arc::new(Bodies::new(1, 4, "111111111111"));
        let tally = post(&target, bodies, 4, 1, schedule.clone()).await;
        (tally.map(|tally| Report::new(&schedule, 1, tally)), server.await.unwrap())
    }

    #[tokio::test]
    async fn whole_batches_are_counted_and_everything_else_is_an_error() {
        let (report, records) = run_against(&[
            r#"200 {"accepted":4,"refused":0}"#,
            r#"200 {"accepted":3,"refused":1}"#,
            "503 {}",
        ])
        .await;
        let report = report.unwrap();
        assert_eq!((report.answers, report.errors, records), (1, 2, 12));
        assert!(report.first_error.unwrap().contains(r#""refused":1"#));
    }

    #[tokio::test]
    async fn a_closed_connection_fails_the_run() {
        let (report, _) = run_against(&[r#"200 {"accepted":4}"#]).await;
        assert!(report.is_err());
    }

    #[test]
    fn endpoints_are_http_with_a_port() {
        assert!(Target::parse("http://127.0.0.1:4580/", "t").is_ok());
        for wrong in ["https://127.0.0.1:1", "127.0.0.1:1", "http://host", "http://host:1/path"] {
            assert!(Target::parse(wrong, "t").is_err(), "{wrong}");
        }
    }
}
