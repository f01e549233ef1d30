//! The node's own secret, and what is sealed with it.
//!
//! ```text
//!   DIR/keys/node-secret    32 random bytes in hexadecimal, mode 0600, made at the first start
//!   sealed  =  nonce (12 bytes) ‖ AES-256-GCM(text) ‖ tag (16 bytes), bound to a name
//! ```
//! Without the file nobody can read access keys out of a copied database, nor make session tokens.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use durable::Disk;
use zeroize::Zeroizing;

use crate::chance::Chance;

const SECRET_BYTES: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("{step} {path}")]
    File {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0} is not the secret that Cairn wrote; restore it from a backup")]
    Damaged(PathBuf),
}

/// Seals texts under names. Has no text form.
pub struct NodeSecret {
    keys: LessSafeKey,
    sessions: LessSafeKey,
    secrets_of_sessions: hmac::Key,
}

impl std::fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeSecret")
    }
}

/// What a sealed text is for: one kind cannot be passed off as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    AccessKey,
    Session,
}

impl NodeSecret {
    /// Reads `folder/node-secret`, or makes it.
    pub fn open(
        folder: &Path,
        disk: &dyn Disk,
        chance: &dyn Chance,
    ) -> Result<NodeSecret, SecretError> {
        let path = folder.join("node-secret");
        let failed = |step, source| SecretError::File { step, path: path.clone(), source };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
                chance.fill(&mut *bytes);
                let text = Zeroizing::new(hex::encode(*bytes));
                disk.create_dir_all(folder).map_err(|source| failed("make folder of", source))?;
                durable::write_atomic(disk, &path, text.as_bytes(), 0o600)
                    .map_err(|source| failed("write", source))?;
                text
            }
            Err(source) => return Err(failed("read", source)),
        };
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        hex::decode_to_slice(text.trim(), &mut *bytes).map_err(|_| SecretError::Damaged(path))?;
        Ok(NodeSecret::of(&bytes))
    }

    fn of(secret: &[u8; SECRET_BYTES]) -> NodeSecret {
        let derived = |purpose: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            hmac::sign(&key, purpose.as_bytes())
        };
        let sealing = |purpose: &str| {
            let key = UnboundKey::new(&AES_256_GCM, derived(purpose).as_ref());
            LessSafeKey::new(key.expect("HMAC-SHA-256 gives the 32 bytes of an AES-256 key"))
        };
        NodeSecret {
            keys: sealing("cairn access keys"),
            sessions: sealing("cairn sessions"),
            secrets_of_sessions: hmac::Key::new(
                hmac::HMAC_SHA256,
                derived("cairn secrets of sessions").as_ref(),
            ),
        }
    }

    fn key(&self, purpose: Purpose) -> &LessSafeKey {
        match purpose {
            Purpose::AccessKey => &self.keys,
            Purpose::Session => &self.sessions,
        }
    }

    pub fn seal(&self, purpose: Purpose, name: &str, text: &[u8], chance: &dyn Chance) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        chance.fill(&mut nonce);
        let mut sealed = text.to_vec();
        self.key(purpose)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut sealed,
            )
            .expect("texts are far below AES-GCM's limit of 64 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    /// The text that was sealed under this name, by this node.
    pub fn unseal(
        &self,
        purpose: Purpose,
        name: &str,
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(rest.to_vec());
        let length = {
            let aad = Aad::from(name.as_bytes());
            self.key(purpose).open_in_place(nonce, aad, &mut text).ok()?.len()
        };
        text.truncate(length);
        Some(text)
    }

    /// The secret of temporary credentials: it follows from their key id, so nobody has to keep it.
    pub fn secret_of_session(&self, access_key_id: &str) -> String {
        use base64::Engine as _;
        let tag = hmac::sign(&self.secrets_of_sessions, access_key_id.as_bytes());
        // 30 bytes make 40 characters, as AWS's secrets have.
        base64::engine::general_purpose::STANDARD.encode(&tag.as_ref()[..30])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

    use super::*;
    use crate::chance::SeededChance;

    #[test]
    fn only_the_same_secret_name_and_purpose_unseal() {
        let chance = SeededChance::new(1);
        let secret = NodeSecret::of(&[7; 32]);
        let sealed = secret.seal(Purpose::AccessKey, "AKIA1", b"text", &chance);
        let unsealed = secret.unseal(Purpose::AccessKey, "AKIA1", &sealed).unwrap();
        assert_eq!(unsealed.as_slice(), b"text");
        assert!(!sealed.windows(4).any(|part| part == b"text"));
        assert!(secret.unseal(Purpose::AccessKey, "AKIA2", &sealed).is_none());
        assert!(secret.unseal(Purpose::Session, "AKIA1", &sealed).is_none());
        assert!(NodeSecret::of(&[8; 32]).unseal(Purpose::AccessKey, "AKIA1", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(secret.unseal(Purpose::AccessKey, "AKIA1", &altered).is_none(), "{at}");
        }
        assert!(secret.unseal(Purpose::AccessKey, "AKIA1", b"short").is_none());
    }

    #[test]
    fn the_file_is_made_once_and_a_damaged_one_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (disk, chance) = (durable::RealDisk, SeededChance::new(1));
        let open = || NodeSecret::open(folder.path(), &disk, &chance);
        let secret = open().unwrap().secret_of_session("ASIA1");
        assert_eq!(open().unwrap().secret_of_session("ASIA1"), secret);
        assert_eq!(secret.len(), 40);
        let path = folder.path().join("node-secret");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "no").unwrap();
        assert!(matches!(open(), Err(SecretError::Damaged(_))));
    }
}
