//! The signatures of a streamed body (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD`), one a chunk.
//!
//! ```text
//!   chunk:    AWS4-HMAC-SHA256-PAYLOAD \n time \n scope \n previous \n sha256("") \n sha256(chunk)
//!   trailer:  AWS4-HMAC-SHA256-TRAILER \n time \n scope \n previous \n sha256(trailer headers)
//! ```
//!
//! Each signature names the one before it, the first names the request's own: no chunk can be
//! changed, dropped, repeated or moved. The last chunk is empty and signed too.

use std::sync::Arc;

use subtle::ConstantTimeEq as _;

use super::keys::{SigningKey, sha256};

/// Checks the chunk signatures of one verified request, in order.
pub struct ChunkChain {
    pub(super) signing_key: Arc<SigningKey>,
    /// `YYYYMMDDTHHMMSSZ`
    pub(super) time: String,
    /// `date/region/service/aws4_request`
    pub(super) scope: String,
    pub(super) previous: [u8; 32],
}

impl ChunkChain {
    /// Whether `signature` (64 lower-case hexadecimal digits) is right for the next chunk, whose data
    /// has this SHA-256. After `false` the request must be refused: the chain does not move on.
    #[must_use]
    pub fn accepts_chunk(&mut self, signature: &str, chunk_sha256: &[u8; 32]) -> bool {
        let nothing = hex::encode(sha256(b""));
        let tail = format!("{nothing}\n{}", hex::encode(chunk_sha256));
        self.accepts("AWS4-HMAC-SHA256-PAYLOAD", signature, &tail)
    }

    /// Whether `signature` is right for the trailer: its header lines, each `name:value\n`.
    #[must_use]
    pub fn accepts_trailer(&mut self, signature: &str, trailer: &[u8]) -> bool {
        let tail = hex::encode(sha256(trailer));
        self.accepts("AWS4-HMAC-SHA256-TRAILER", signature, &tail)
    }

    fn accepts(&mut self, algorithm: &str, signature: &str, tail: &str) -> bool {
        let previous = hex::encode(self.previous);
        let text = format!("{algorithm}\n{}\n{}\n{previous}\n{tail}", self.time, self.scope);
        let right = self.signing_key.sign(&text);
        let accepted = bool::from(hex::encode(right).as_bytes().ct_eq(signature.as_bytes()));
        if accepted {
            self.previous = right;
        }
        accepted
    }
}

impl std::fmt::Debug for ChunkChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkChain").field("scope", &self.scope).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Scope, Secret};

    /// AWS: the example of "Transferring payload in multiple chunks" (S3 API reference).
    fn documented_example() -> ChunkChain {
        let scope =
            Scope { date: "20130524".into(), region: "us-east-1".into(), service: "s3".into() };
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into());
        let seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
        ChunkChain {
            signing_key: Arc::new(SigningKey::derive(&secret, &scope)),
            time: "20130524T000000Z".into(),
            scope: "20130524/us-east-1/s3/aws4_request".into(),
            previous: hex::decode(seed).unwrap().try_into().unwrap(),
        }
    }

    const FIRST: &str = "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648";
    const SECOND: &str = "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497";
    const LAST: &str = "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9";

    #[test]
    fn the_documented_chunks_are_accepted_in_order() {
        let mut chain = documented_example();
        assert!(chain.accepts_chunk(FIRST, &sha256(&[b'a'; 65536])));
        assert!(chain.accepts_chunk(SECOND, &sha256(&[b'a'; 1024])));
        assert!(chain.accepts_chunk(LAST, &sha256(b"")));
    }

    #[test]
    fn a_changed_skipped_or_repeated_chunk_is_refused() {
        let mut chain = documented_example();
        assert!(!chain.accepts_chunk(FIRST, &sha256(&[b'b'; 65536])));
        assert!(!chain.accepts_chunk(SECOND, &sha256(&[b'a'; 1024])));
        assert!(!chain.accepts_chunk(&FIRST.to_uppercase(), &sha256(&[b'a'; 65536])));
        assert!(chain.accepts_chunk(FIRST, &sha256(&[b'a'; 65536])));
        assert!(!chain.accepts_chunk(FIRST, &sha256(&[b'a'; 65536])));
        assert!(!chain.accepts_trailer(SECOND, b""));
    }
}
