//! The keys that sign digests: private halves as files in the data folder (mode 0600), public
//! halves in the catalog. Made when a digest needs one, kept for as long as the node lives.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use catalog::{Catalog, DigestKey};
use delivery::keys::{KeyChoice, KeyFault, PrivateKeyDer, SigningKey, Validity, choose_key};
use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::node::Node;

/// A key and the span in which it may sign.
type Held = (Validity, Arc<SigningKey>);

/// `keys/<region>/<fingerprint>.pk8`
#[derive(Debug)]
pub struct DigestKeys {
    folder: PathBuf,
    by_region: Mutex<HashMap<String, Vec<Held>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{step} {path}")]
    File {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("digest key")]
    Key(#[from] KeyFault),
    #[error("digest key in the catalog")]
    Catalog(#[from] catalog::CatalogError),
    #[error("a digest key's validity is not a time")]
    Time(#[from] jiff::Error),
    #[error("making a key was cut off")]
    Cut(#[from] tokio::task::JoinError),
}

impl DigestKeys {
    pub fn new(folder: &Path) -> DigestKeys {
        DigestKeys { folder: folder.to_owned(), by_region: Mutex::default() }
    }

    /// The key for a digest of a Region that ends at `end`; makes one when none fits.
    pub async fn for_digest(
        &self,
        node: &Node,
        region: &str,
        end: Timestamp,
    ) -> Result<Arc<SigningKey>, KeyError> {
        let mut by_region = self.by_region.lock().await;
        if !by_region.contains_key(region) {
            let keys = self.load(&node.catalog, region).await?;
            by_region.insert(region.to_owned(), keys);
        }
        let keys = by_region.entry(region.to_owned()).or_default();
        let validities: Vec<Validity> = keys.iter().map(|(validity, _)| *validity).collect();
        let validity = match choose_key(&validities, end) {
            KeyChoice::Use(place) => return Ok(keys[place].1.clone()),
            KeyChoice::Make(validity) => validity,
        };
        let key = Arc::new(tokio::task::spawn_blocking(SigningKey::generate).await??);
        self.store(node, region, &validity, &key).await?;
        keys.push((validity, key.clone()));
        Ok(key)
    }

    /// The file first: a public key whose private half is lost would be announced for nothing.
    async fn store(
        &self,
        node: &Node,
        region: &str,
        validity: &Validity,
        key: &Arc<SigningKey>,
    ) -> Result<(), KeyError> {
        let folder = self.folder.join(region);
        let path = folder.join(format!("{}.pk8", key.public().fingerprint));
        let private = key.private()?;
        let disk = node.disk.clone();
        tokio::task::spawn_blocking(move || {
            disk.create_dir_all(&folder)
                .and_then(|()| durable::write_atomic(disk.as_ref(), &path, private.expose(), 0o600))
                .map_err(|source| KeyError::File { step: "write digest key", path, source })
        })
        .await??;
        let public = key.public();
        node.catalog
            .put_digest_key(&DigestKey {
                region: region.to_owned(),
                fingerprint: public.fingerprint.clone(),
                public_pkcs1: public.der.clone(),
                valid_from_ms: validity.start.as_millisecond(),
                valid_until_ms: validity.end.as_millisecond(),
            })
            .await?;
        tracing::info!(region, fingerprint = public.fingerprint, until = %validity.end, "new digest key");
        Ok(())
    }

    async fn load(&self, catalog: &Catalog, region: &str) -> Result<Vec<Held>, KeyError> {
        let mut keys = Vec::new();
        for known in catalog.digest_keys(region, i64::MIN, i64::MAX).await? {
            let path = self.folder.join(region).join(format!("{}.pk8", known.fingerprint));
            let bytes = match std::fs::read(&path) {
                Ok(bytes) => PrivateKeyDer::new(bytes),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), "the private half of a digest key is gone; another will sign");
                    continue;
                }
                Err(source) => {
                    return Err(KeyError::File { step: "read digest key", path, source });
                }
            };
            let validity = Validity {
                start: Timestamp::from_millisecond(known.valid_from_ms)?,
                end: Timestamp::from_millisecond(known.valid_until_ms)?,
            };
            keys.push((validity, Arc::new(SigningKey::from_private(&bytes)?)));
        }
        Ok(keys)
    }
}
