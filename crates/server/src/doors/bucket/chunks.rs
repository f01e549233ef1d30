//! Taking an `aws-chunked` body apart, with bounded memory, whatever pieces it arrives in.
//!
//! ```text
//! signed     SIZE;chunk-signature=64 hex CRLF data CRLF … 0;chunk-signature=64 hex CRLF TRAILER CRLF
//! unsigned   SIZE CRLF data CRLF … 0 CRLF TRAILER CRLF
//! TRAILER    (name:value CRLF)*, last x-amz-trailer-signature:64 hex when the chunks are signed
//! ```
//! SIZE is hexadecimal. Data is handed on before its chunk's signature is known to be right, so nobody
//! may act on it before [`ChunkDecoder::finish`] has said yes.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Buf, Bytes};

use crate::access::ChunkChain;

use super::body::BodyFault;

/// A chunk's first line is its size and its signature: 16 + 17 + 64 bytes at most.
const LINE_BYTES_MAX: usize = 128;
/// A trailer holds one or two checksums and a signature.
const TRAILER_BYTES_MAX: usize = 4096;

pub(super) struct ChunkDecoder {
    /// Checks the chunks; `None` when they are not signed.
    signed: Option<ChunkChain>,
    trailer_allowed: bool,
    state: State,
    line: Vec<u8>,
    trailer: Vec<(String, String)>,
    trailer_bytes: usize,
}

enum State {
    Head,
    Data {
        left: u64,
        signature: String,
        sha256: Box<Context>,
    },
    /// The CRLF behind the data.
    DataEnd {
        line_feed: bool,
    },
    Trailer,
    End,
}

impl ChunkDecoder {
    pub fn new(signed: Option<ChunkChain>, trailer_allowed: bool) -> Self {
        Self {
            signed,
            trailer_allowed,
            state: State::Head,
            line: Vec::new(),
            trailer: Vec::new(),
            trailer_bytes: 0,
        }
    }

    /// Takes what arrived, and gives the data in it to `data`.
    pub fn push(
        &mut self,
        mut bytes: Bytes,
        mut data: impl FnMut(Bytes) -> Result<(), BodyFault>,
    ) -> Result<(), BodyFault> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Head => {
                    if let Some(line) = take_line(&mut self.line, &mut bytes, LINE_BYTES_MAX)? {
                        self.begin_chunk(&line)?;
                    }
                }
                State::Data { left, sha256, .. } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let piece = bytes.split_to(here);
                    *left -= here as u64;
                    if self.signed.is_some() {
                        sha256.update(&piece);
                    }
                    let whole = *left == 0;
                    data(piece)?;
                    if whole {
                        self.end_chunk()?;
                    }
                }
                State::DataEnd { line_feed } => {
                    let expected = if *line_feed { b'\n' } else { b'\r' };
                    if bytes.get_u8() != expected {
                        return Err(malformed("a chunk is longer than it says"));
                    }
                    self.state = match line_feed {
                        true => State::Head,
                        false => State::DataEnd { line_feed: true },
                    };
                }
                State::Trailer => {
                    let room = TRAILER_BYTES_MAX.saturating_sub(self.trailer_bytes);
                    if let Some(line) = take_line(&mut self.line, &mut bytes, room)? {
                        self.trailer_bytes += line.len();
                        self.read_trailer_line(&line)?;
                    }
                }
                State::End => return Err(malformed("bytes follow the last chunk")),
            }
        }
        Ok(())
    }

    /// Ends the body, and gives its trailing headers: names in lower case, values trimmed.
    pub fn finish(&mut self) -> Result<Vec<(String, String)>, BodyFault> {
        if !matches!(self.state, State::Trailer | State::End) || !self.line.is_empty() {
            return Err(BodyFault::Incomplete);
        }
        let mut trailer = std::mem::take(&mut self.trailer);
        let at = trailer.iter().position(|(name, _)| name == "x-amz-trailer-signature");
        let signature = at.map(|at| trailer.remove(at).1);
        trailer.sort();
        let (Some(chain), true) = (&mut self.signed, self.trailer_allowed) else {
            return Ok(trailer);
        };
        let lines: String =
            trailer.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        match signature.is_some_and(|signature| chain.accepts_trailer(&signature, lines.as_bytes()))
        {
            true => Ok(trailer),
            false => Err(BodyFault::Signature),
        }
    }

    fn begin_chunk(&mut self, line: &[u8]) -> Result<(), BodyFault> {
        let line = std::str::from_utf8(line).map_err(|_| malformed("a chunk's size"))?;
        let (size, extension) = line.split_once(';').unwrap_or((line, ""));
        let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16).ok().filter(|_| digits);
        let size = size.ok_or_else(|| malformed("a chunk's size"))?;
        let signature = match (&self.signed, extension.strip_prefix("chunk-signature=")) {
            (None, _) => "",
            (Some(_), Some(signature)) => signature,
            (Some(_), None) => return Err(BodyFault::Signature),
        };
        let sha256 = Box::new(Context::new(&SHA256));
        self.state = State::Data { left: size, signature: signature.to_owned(), sha256 };
        if size == 0 {
            self.end_chunk()?;
            self.state = State::Trailer;
        }
        Ok(())
    }

    fn end_chunk(&mut self) -> Result<(), BodyFault> {
        let ended = std::mem::replace(&mut self.state, State::DataEnd { line_feed: false });
        let (State::Data { signature, sha256, .. }, Some(chain)) = (ended, &mut self.signed) else {
            return Ok(());
        };
        let hash = sha256.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes");
        match chain.accepts_chunk(&signature, &hash) {
            true => Ok(()),
            false => Err(BodyFault::Signature),
        }
    }

    fn read_trailer_line(&mut self, line: &[u8]) -> Result<(), BodyFault> {
        if line.is_empty() {
            self.state = State::End;
            return Ok(());
        }
        if !self.trailer_allowed {
            return Err(malformed("a trailer that was not announced"));
        }
        let line = std::str::from_utf8(line).map_err(|_| malformed("the trailer"))?;
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("the trailer"))?;
        self.trailer.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        Ok(())
    }
}

/// Moves bytes into `line` up to a line feed; gives the line without its end once it is whole.
fn take_line(
    line: &mut Vec<u8>,
    bytes: &mut Bytes,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, BodyFault> {
    let feed = bytes.iter().position(|&byte| byte == b'\n');
    let piece = bytes.split_to(feed.map_or(bytes.len(), |at| at + 1));
    line.extend_from_slice(&piece);
    if line.len() > bytes_max {
        return Err(malformed("a line is too long"));
    }
    if feed.is_none() {
        return Ok(None);
    }
    let mut whole = std::mem::take(line);
    whole.pop();
    if whole.last() == Some(&b'\r') {
        whole.pop();
    }
    Ok(Some(whole))
}

fn malformed(what: &'static str) -> BodyFault {
    BodyFault::Malformed(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `body` cut into pieces of `step` bytes.
    fn decode(body: &[u8], step: usize) -> Result<(String, Vec<(String, String)>), BodyFault> {
        let mut decoder = ChunkDecoder::new(None, true);
        let mut data = Vec::new();
        for piece in body.chunks(step) {
            decoder.push(Bytes::copy_from_slice(piece), |bytes| {
                data.extend_from_slice(&bytes);
                Ok(())
            })?;
        }
        let trailer = decoder.finish()?;
        Ok((String::from_utf8(data).unwrap(), trailer))
    }

    #[test]
    fn a_body_may_arrive_in_any_pieces() {
        let body = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Amz-Checksum-CRC32: abc= \r\n\r\n";
        for step in 1..body.len() {
            let (data, trailer) = decode(body, step).unwrap();
            assert_eq!(data, "hello world");
            assert_eq!(trailer, [("x-amz-checksum-crc32".to_owned(), "abc=".to_owned())]);
        }
    }

    #[test]
    fn a_body_cut_anywhere_is_incomplete() {
        let body = b"5\r\nhello\r\n0\r\n";
        assert!(decode(body, 100).is_ok());
        for end in 0..body.len() {
            assert!(matches!(decode(&body[..end], 100), Err(BodyFault::Incomplete)), "{end}");
        }
    }

    #[test]
    fn what_is_not_a_chunk_is_refused() {
        for body in [
            &b"5\r\nhello!\r\n0\r\n\r\n"[..],
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"\r\n",
            b"11111111111111111\r\n",
            b"0\r\n\r\nmore",
            b"0\r\nno colon\r\n\r\n",
            &[b'1'; 200],
        ] {
            assert!(matches!(decode(body, 100), Err(BodyFault::Malformed(_))), "{body:?}");
        }
    }
}
