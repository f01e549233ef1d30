//! Imports that clients have open: `cairn import` hands in files, one request each.
//!
//! Only memory: an import that is gone after a restart is begun anew, and asks which files are in
//! already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use event::AccountId;

use crate::lake::{Import, TableName};

/// AWS has no such door; these keep one account from taking what all share.
const PER_ACCOUNT_MAX: usize = 8;
const ALL_MAX: usize = 32;

#[derive(Default)]
pub struct OpenImports {
    inner: Mutex<HashMap<String, Arc<OpenImport>>>,
}

/// An import of a client.
pub struct OpenImport {
    pub account: AccountId,
    pub table: TableName,
    pub store_arn: String,
    pub import: Box<dyn Import>,
    state: Mutex<State>,
}

struct State {
    last_used: Duration,
    /// Requests that are busy with it.
    users: usize,
    /// Hashes of files that are in and not yet committed.
    added: Vec<[u8; 32]>,
}

/// While it lives, the import is not idle.
pub struct InUse(Arc<OpenImport>);

impl std::fmt::Debug for OpenImports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenImports({})", self.lock().len())
    }
}

impl OpenImports {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<OpenImport>>> {
        self.inner.lock().expect("no holder of this lock can panic")
    }

    /// Is there room for one more of the account?
    pub fn has_room(&self, account: &AccountId) -> bool {
        let inner = self.lock();
        let own = inner.values().filter(|open| open.account == *account).count();
        own < PER_ACCOUNT_MAX && inner.len() < ALL_MAX
    }

    pub fn add(
        &self,
        id: &str,
        account: AccountId,
        table: TableName,
        store_arn: String,
        import: Box<dyn Import>,
        now: Duration,
    ) {
        let state = Mutex::new(State { last_used: now, users: 0, added: Vec::new() });
        let open = OpenImport { account, table, store_arn, import, state };
        self.lock().insert(id.to_owned(), Arc::new(open));
    }

    /// The account's import of that ID. Another account's is as good as none.
    pub fn find(&self, id: &str, account: &AccountId, now: Duration) -> Option<InUse> {
        let open = self.lock().get(id).filter(|open| open.account == *account).cloned()?;
        let mut state = open.lock();
        state.users += 1;
        state.last_used = now;
        drop(state);
        Some(InUse(open))
    }

    /// Forgets an import; what it has not committed is lost once its requests have ended.
    pub fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Forgets imports that nobody has used for `idle_max`; how many.
    pub fn drop_idle(&self, now: Duration, idle_max: Duration) -> usize {
        let mut inner = self.lock();
        let before = inner.len();
        inner.retain(|_, open| {
            let state = open.lock();
            state.users > 0 || now.saturating_sub(state.last_used) < idle_max
        });
        before - inner.len()
    }

    /// Is a client importing into this event data store?
    pub fn is_into(&self, store_arn: &str) -> bool {
        self.lock().values().any(|open| open.store_arn == store_arn)
    }
}

impl OpenImport {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock can panic")
    }

    /// A file's rows have been added.
    pub fn added(&self, sha256: [u8; 32]) {
        self.lock().added.push(sha256);
    }

    /// The files that the next commit makes durable: those that were added before it begins.
    pub fn take_added(&self) -> Vec<[u8; 32]> {
        std::mem::take(&mut self.lock().added)
    }

    /// The commit failed; the next one is for these too.
    pub fn put_back(&self, mut added: Vec<[u8; 32]>) {
        self.lock().added.append(&mut added);
    }
}

impl std::ops::Deref for InUse {
    type Target = OpenImport;

    fn deref(&self) -> &OpenImport {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.lock().users -= 1;
    }
}
