//! What became of the latest put into each channel, until a worker has stored it.
//!
//! A put waits for the journal, not for the catalog as well: what is noted here is only told by
//! GetChannel, and a crash loses the notes of about a second.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use catalog::Ingestions;

#[derive(Debug, Default)]
pub struct LatestPuts(Mutex<HashMap<String, Ingestions>>);

impl LatestPuts {
    /// A put into the channel with this ARN has ended.
    pub fn note(&self, arn: &str, latest: Ingestions) {
        let mut noted = self.noted();
        let before = noted.remove(arn).unwrap_or_default();
        noted.insert(arn.to_owned(), before.followed_by(latest));
    }

    /// What is not stored yet.
    pub fn of(&self, arn: &str) -> Option<Ingestions> {
        self.noted().get(arn).cloned()
    }

    /// All that is not stored yet, by the channels' ARNs.
    pub fn all(&self) -> Vec<(String, Ingestions)> {
        self.noted().iter().map(|(arn, noted)| (arn.clone(), noted.clone())).collect()
    }

    /// These are stored. What was noted meanwhile stays.
    pub fn stored(&self, stored: &[(String, Ingestions)]) {
        let mut noted = self.noted();
        for (arn, ingestions) in stored {
            if noted.get(arn) == Some(ingestions) {
                noted.remove(arn);
            }
        }
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<String, Ingestions>> {
        self.0.lock().expect("no holder of this lock can panic")
    }
}
