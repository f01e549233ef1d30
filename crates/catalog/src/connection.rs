//! The one connection to the database: SQLite has one writer anyway, and every call here is short.
//!
//! Whoever holds it has the catalog to itself; the others wait in turn. A call is a message to the
//! connection's thread and its answer, and threads are slow to wake, so no more is said than must be: a
//! pool would ask the connection after each call whether it is well.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use crate::recent::Recent;

/// Whoever waits longer for the connection is told so: a disk may hang.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Database {
    options: SqliteConnectOptions,
    recent: Arc<Recent>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Open(Open),
    /// The next caller opens another.
    Lost,
    Closed,
}

#[derive(Debug)]
struct Open {
    connection: SqliteConnection,
    /// A transaction was begun and is not known to have ended.
    in_transaction: bool,
}

/// The connection, for one caller at a time.
#[derive(Debug)]
pub(crate) struct Held<'a>(MappedMutexGuard<'a, Open>);

/// What is done here is done when it is committed; dropped before, nothing is.
#[derive(Debug)]
pub(crate) struct Transaction<'a>(Held<'a>);

impl Database {
    pub async fn open(
        options: SqliteConnectOptions,
        recent: Arc<Recent>,
    ) -> Result<Database, sqlx::Error> {
        let database = Database { options, recent, state: Mutex::new(State::Lost) };
        drop(database.hold().await?);
        Ok(database)
    }

    pub async fn hold(&self) -> Result<Held<'_>, sqlx::Error> {
        let turn = tokio::time::timeout(WAIT_MAX, self.state.lock()).await;
        let mut state = turn.map_err(|_| sqlx::Error::PoolTimedOut)?;
        if let State::Open(open) = &mut *state
            && open.in_transaction
        {
            // Nobody has waited for its end. Where SQLite ended it by itself, because the disk is full or
            // fails, this says so.
            match sqlx::query("ROLLBACK").execute(&mut open.connection).await {
                Ok(_) => open.in_transaction = false,
                Err(_) => *state = State::Lost,
            }
        }
        if let State::Lost = *state {
            *state = State::Open(self.connect().await?);
        }
        let open = MutexGuard::try_map(state, |state| match state {
            State::Open(open) => Some(open),
            State::Lost | State::Closed => None,
        });
        open.map(Held).map_err(|_| sqlx::Error::PoolClosed)
    }

    async fn connect(&self) -> Result<Open, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        let recent = self.recent.clone();
        connection
            .lock_handle()
            .await?
            .set_update_hook(move |row| recent.row_changed(row.table, row.rowid));
        Ok(Open { connection, in_transaction: false })
    }

    /// Begins a transaction that may write.
    pub async fn begin(&self) -> Result<Transaction<'_>, sqlx::Error> {
        let mut held = self.hold().await?;
        held.0.in_transaction = true;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *held).await?;
        Ok(Transaction(held))
    }

    /// Waits for whoever holds the connection, and closes it.
    pub async fn close(&self) -> Result<(), sqlx::Error> {
        match std::mem::replace(&mut *self.state.lock().await, State::Closed) {
            State::Open(open) => open.connection.close().await,
            State::Lost | State::Closed => Ok(()),
        }
    }
}

impl Deref for Held<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.0.connection
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0.connection
    }
}

impl Transaction<'_> {
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("COMMIT").execute(&mut *self.0).await?;
        self.0.0.in_transaction = false;
        Ok(())
    }
}

impl Deref for Transaction<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.0
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }
}

#[cfg(test)]
mod tests;
