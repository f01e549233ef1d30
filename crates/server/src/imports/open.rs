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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::lake::{FileFault, Imported, LakeFault, ReadFile};

    struct Nothing;

    #[async_trait]
    impl Import for Nothing {
        async fn add(&self, _: &str, _: Bytes) -> Result<ReadFile, FileFault> {
            Ok(ReadFile::default())
        }

        async fn commit(&self) -> Result<Imported, LakeFault> {
            Ok(Imported::default())
        }
    }

    const IDLE_MAX: Duration = Duration::from_secs(600);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn account(text: &str) -> AccountId {
        AccountId::parse(text).unwrap()
    }

    fn add(open: &OpenImports, id: &str, of: &str, now: Duration) {
        open.add(id, account(of), TableName::history(), "arn".to_owned(), Box::new(Nothing), now);
    }

    #[test]
    fn an_import_is_its_account_s_only() {
        let open = OpenImports::default();
        add(&open, "i", "111111111111", seconds(0));
        assert!(open.find("i", &account("111111111111"), seconds(1)).is_some());
        assert!(open.find("i", &account("222222222222"), seconds(1)).is_none());
        assert!(open.is_into("arn") && !open.is_into("other"));
    }

    #[test]
    fn what_nobody_uses_is_dropped_and_what_is_busy_is_not() {
        let open = OpenImports::default();
        add(&open, "left", "111111111111", seconds(0));
        add(&open, "busy", "111111111111", seconds(0));
        add(&open, "used", "111111111111", seconds(0));
        let busy = open.find("busy", &account("111111111111"), seconds(0)).unwrap();
        drop(open.find("used", &account("111111111111"), seconds(500)));
        assert_eq!(open.drop_idle(seconds(599), IDLE_MAX), 0);
        assert_eq!(open.drop_idle(seconds(600), IDLE_MAX), 1);
        assert_eq!(open.drop_idle(seconds(1099), IDLE_MAX), 0);
        assert_eq!(open.drop_idle(seconds(1100), IDLE_MAX), 1);
        drop(busy);
        assert_eq!(open.drop_idle(seconds(1100), IDLE_MAX), 1);
    }

    #[test]
    fn one_account_cannot_take_all_places() {
        let open = OpenImports::default();
        for number in 0..PER_ACCOUNT_MAX {
            assert!(open.has_room(&account("111111111111")));
            add(&open, &number.to_string(), "111111111111", seconds(0));
        }
        assert!(!open.has_room(&account("111111111111")));
        assert!(open.has_room(&account("222222222222")));
        open.remove("0");
        assert!(open.has_room(&account("111111111111")));
    }

    #[test]
    fn a_commit_is_for_what_was_added_before_it() {
        let open = OpenImports::default();
        add(&open, "i", "111111111111", seconds(0));
        let import = open.find("i", &account("111111111111"), seconds(0)).unwrap();
        import.added([1; 32]);
        let taken = import.take_added();
        import.added([2; 32]);
        assert_eq!(taken, [[1; 32]]);
        import.put_back(taken);
        assert_eq!(import.take_added(), [[2; 32], [1; 32]]);
        assert_eq!(import.take_added(), Vec::<[u8; 32]>::new());
    }
}
