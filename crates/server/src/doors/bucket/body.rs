//! Checking a request's body while it streams: signed hash, chunk signatures, checksums, length.
//!
//! Every byte is handed on as it comes; the verdict is the end of the stream, which is an error if
//! anything differs. So a writer that commits only after a good end never shows a wrong object.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Wake, Poll, ready};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::Stream;
use http::HeaderMap;
use hyper::body::{Body as _, Incoming};
use md5::{Digest as _, Md5};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Error, StdError, s3_error};

use crate::access::{BodyDuty, ChunkChain};

use super::chunks::ChunkDecoder;

/// The checksums that S3 knows: the header (or trailing header) and the name in its answers.
pub(super) const CHECKSUMS: [(&str, &str); 5] = [
    ("x-amz-checksum-crc32", "CRC32"),
    ("x-amz-checksum-crc32c", "CRC32C"),
    ("x-amz-checksum-crc64nvme", "CRC64NVME"),
    ("x-amz-checksum-sha1", "SHA1"),
    ("x-amz-checksum-sha256", "SHA256"),
];

/// Why a body is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyFault {
    #[error("a chunk's signature is wrong")]
    Signature,
    #[error("malformed aws-chunked body: {0}")]
    Malformed(&'static str),
    #[error("the body ends too early")]
    Incomplete,
    #[error("the body is longer than declared")]
    TooLong,
    #[error("the body is not the one that was signed")]
    Sha256,
    #[error("the {0} does not match the body")]
    Digest(&'static str),
    #[error("the value of {0} is invalid")]
    InvalidChecksum(&'static str),
    #[error("the trailer lacks {0}")]
    TrailerMissing(&'static str),
    #[error("the connection broke")]
    Connection(#[source] hyper::Error),
}

impl From<&BodyFault> for S3Error {
    fn from(fault: &BodyFault) -> Self {
        match fault {
            BodyFault::Signature => s3_error!(
                SignatureDoesNotMatch,
                "The request signature we calculated does not match the signature you provided. Check your key and signing method."
            ),
            BodyFault::Malformed(_) | BodyFault::TrailerMissing(_) => {
                s3_error!(InvalidRequest, "{fault}")
            }
            BodyFault::Incomplete | BodyFault::TooLong | BodyFault::Connection(_) => s3_error!(
                IncompleteBody,
                "You did not provide the number of bytes specified by the Content-Length HTTP header"
            ),
            BodyFault::Sha256 => {
                let mut error =
                    S3Error::new(s3s::S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()));
                error.set_message(
                    "The provided 'x-amz-content-sha256' header does not match what was computed.",
                );
                error.set_status_code(http::StatusCode::BAD_REQUEST);
                error
            }
            BodyFault::Digest("Content-MD5") => s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ),
            BodyFault::Digest(name) => s3_error!(
                BadDigest,
                "The {name} you specified did not match the calculated checksum."
            ),
            BodyFault::InvalidChecksum("Content-MD5") => {
                s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid.")
            }
            BodyFault::InvalidChecksum(name) => {
                s3_error!(InvalidRequest, "Value for {name} header is invalid.")
            }
        }
    }
}

/// What a body turned out to be; complete when its stream has ended well.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// Bytes of data, without the frame of chunks.
    pub bytes: u64,
    /// Whether the connection has given the whole body, right or wrong.
    pub to_its_end: bool,
    /// A checksum that was sent and is right.
    pub checksum: Option<bucket::Checksum>,
}

/// Compares the data with everything the request says about it.
pub(super) struct BodyCheck {
    chunks: Option<ChunkDecoder>,
    signed_sha256: Option<([u8; 32], Context)>,
    content_md5: Option<([u8; 16], Md5)>,
    /// Checksums to compute.
    hasher: ChecksumHasher,
    /// Those that came in headers, then those of the trailer: an index into `CHECKSUMS` and the value.
    sent: Vec<(usize, String)>,
    /// Those that the trailer must bring.
    announced: Vec<usize>,
    /// Bytes of data that must come; unknown only for an unsigned body without `Content-Length`.
    length: Option<u64>,
    bytes: u64,
}

impl BodyCheck {
    /// Reads what the headers of a verified request say about its body.
    pub fn new(
        headers: &HeaderMap,
        body: BodyDuty,
        chunk_chain: Option<ChunkChain>,
    ) -> Result<Self, S3Error> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name| text(name).and_then(|text| text.parse::<u64>().ok());
        let (chunks, length) = match body {
            BodyDuty::Chunks { trailer, .. } => {
                let length = number("x-amz-decoded-content-length").ok_or_else(|| {
                    s3_error!(
                        MissingContentLength,
                        "You must provide the Content-Length HTTP header."
                    )
                })?;
                (Some(ChunkDecoder::new(chunk_chain, trailer)), Some(length))
            }
            _ => (None, number("content-length")),
        };
        let mut check = Self {
            chunks,
            signed_sha256: None,
            content_md5: None,
            hasher: ChecksumHasher::default(),
            sent: Vec::new(),
            announced: Vec::new(),
            length,
            bytes: 0,
        };
        if let BodyDuty::Sha256(hash) = body {
            check.signed_sha256 = Some((hash, Context::new(&SHA256)));
        }
        if let Some(value) = headers.get("content-md5") {
            let hash = BASE64_STANDARD.decode(value).ok().and_then(|hash| hash.try_into().ok());
            let hash =
                hash.ok_or_else(|| S3Error::from(&BodyFault::InvalidChecksum("Content-MD5")))?;
            check.content_md5 = Some((hash, Md5::new()));
        }
        let announced: Vec<&str> =
            text("x-amz-trailer").unwrap_or("").split(',').map(str::trim).collect();
        for (at, (header, _)) in CHECKSUMS.iter().enumerate() {
            if let Some(value) = text(header) {
                check.sent.push((at, value.to_owned()));
                check.compute(at);
            }
            if announced.iter().any(|name| name.eq_ignore_ascii_case(header)) {
                check.announced.push(at);
                check.compute(at);
            }
        }
        Ok(check)
    }

    /// Bytes of data that must come, if that is known.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    fn compute(&mut self, at: usize) {
        match CHECKSUMS[at].1 {
            "CRC32" => self.hasher.crc32 = Some(Crc32::new()),
            "CRC32C" => self.hasher.crc32c = Some(Crc32c::new()),
            "CRC64NVME" => self.hasher.crc64nvme = Some(Crc64Nvme::new()),
            "SHA1" => self.hasher.sha1 = Some(Sha1::new()),
            _ => self.hasher.sha256 = Some(Sha256::new()),
        }
    }

    /// Takes what arrived and adds the data in it to `out`.
    pub fn push(&mut self, bytes: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), BodyFault> {
        let Some(mut chunks) = self.chunks.take() else { return self.data(bytes, out) };
        let pushed = chunks.push(bytes, |data| self.data(data, out));
        self.chunks = Some(chunks);
        pushed
    }

    fn data(&mut self, data: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), BodyFault> {
        self.bytes += data.len() as u64;
        if self.length.is_some_and(|length| self.bytes > length) {
            return Err(BodyFault::TooLong);
        }
        if let Some((_, sha256)) = &mut self.signed_sha256 {
            sha256.update(&data);
        }
        if let Some((_, md5)) = &mut self.content_md5 {
            md5.update(&data);
        }
        self.hasher.update(&data);
        out.push_back(data);
        Ok(())
    }

    /// The verdict.
    pub fn finish(&mut self) -> Result<Received, BodyFault> {
        let trailer = match &mut self.chunks {
            Some(chunks) => chunks.finish()?,
            None => Vec::new(),
        };
        if self.length.is_some_and(|length| self.bytes != length) {
            return Err(BodyFault::Incomplete);
        }
        if let Some((signed, sha256)) = self.signed_sha256.take()
            && sha256.finish().as_ref() != signed
        {
            return Err(BodyFault::Sha256);
        }
        if let Some((sent, md5)) = self.content_md5.take()
            && md5.finalize()[..] != sent
        {
            return Err(BodyFault::Digest("Content-MD5"));
        }
        for &at in &self.announced {
            let value = trailer.iter().find(|(name, _)| name == CHECKSUMS[at].0);
            let (_, value) = value.ok_or(BodyFault::TrailerMissing(CHECKSUMS[at].0))?;
            self.sent.push((at, value.clone()));
        }
        let computed = std::mem::take(&mut self.hasher).finalize();
        for (at, value) in &self.sent {
            let (header, name) = CHECKSUMS[*at];
            let right = match name {
                "CRC32" => &computed.checksum_crc32,
                "CRC32C" => &computed.checksum_crc32c,
                "CRC64NVME" => &computed.checksum_crc64nvme,
                "SHA1" => &computed.checksum_sha1,
                _ => &computed.checksum_sha256,
            };
            let right = right.as_deref().unwrap_or_default();
            if value.len() != right.len() || BASE64_STANDARD.decode(value).is_err() {
                return Err(BodyFault::InvalidChecksum(header));
            }
            if value != right {
                return Err(BodyFault::Digest(name));
            }
        }
        let checksum = self
            .sent
            .pop()
            .map(|(at, value)| bucket::Checksum { algorithm: CHECKSUMS[at].1.to_owned(), value });
        Ok(Received { bytes: self.bytes, to_its_end: true, checksum })
    }
}

/// A body as a stream of its data; the last item is an error unless everything was right.
pub(super) struct CheckedBody {
    inner: Incoming,
    check: BodyCheck,
    out: VecDeque<Bytes>,
    received: Arc<Mutex<Received>>,
    ended: bool,
}

impl CheckedBody {
    pub fn new(inner: Incoming, check: BodyCheck, received: Arc<Mutex<Received>>) -> Self {
        Self { inner, check, out: VecDeque::new(), received, ended: false }
    }

    /// Reads all of it, up to `bytes_max`.
    pub async fn collect(mut self, bytes_max: usize) -> Result<Bytes, S3Error> {
        let mut all = Vec::new();
        while let Some(piece) = std::future::poll_fn(|wake| self.poll_data(wake)).await {
            let piece = piece.map_err(|fault| S3Error::from(&fault))?;
            if all.len() + piece.len() > bytes_max {
                return Err(s3_error!(MaxMessageLengthExceeded, "Your request was too big."));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }

    fn poll_data(&mut self, wake: &mut Wake<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        loop {
            if let Some(data) = self.out.pop_front() {
                return Poll::Ready(Some(Ok(data)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let step = match ready!(Pin::new(&mut self.inner).poll_frame(wake)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.check.push(data, &mut self.out),
                    // HTTP trailers are not part of S3's protocol.
                    Err(_) => Ok(()),
                },
                Some(Err(error)) => Err(BodyFault::Connection(error)),
                None => {
                    self.ended = true;
                    self.received.lock().unwrap_or_else(PoisonError::into_inner).to_its_end = true;
                    self.check.finish().map(|received| {
                        *self.received.lock().unwrap_or_else(PoisonError::into_inner) = received;
                    })
                }
            };
            if let Err(fault) = step {
                self.ended = true;
                self.out.clear();
                return Poll::Ready(Some(Err(fault)));
            }
        }
    }
}

impl Stream for CheckedBody {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, wake: &mut Wake<'_>) -> Poll<Option<Self::Item>> {
        self.poll_data(wake).map_err(StdError::from)
    }
}

impl ByteStream for CheckedBody {
    fn remaining_length(&self) -> RemainingLength {
        // Never exact: an exact zero would let a reader stop before the verdict.
        RemainingLength::unknown()
    }
}

/// The S3 error for a stream's error.
pub(super) fn body_error(error: StdError) -> S3Error {
    match error.downcast_ref::<BodyFault>() {
        Some(fault) => S3Error::from(fault),
        None => s3_error!(IncompleteBody, "{error}"),
    }
}
