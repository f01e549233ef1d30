//! What `cairn follow` shows, and how it waits for a server.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context, Result};
use delivery::destination::backoff;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::open_import::Totals;

/// A server that is away is asked again after this at the latest.
const AWAY_REST_MAX: Duration = Duration::from_secs(15);

/// A server that is waited for.
#[derive(Default)]
pub struct Away {
    attempts: u32,
    reason: Option<String>,
}

impl Away {
    /// What to say, if it was not said before.
    pub fn failed(&mut self, reason: String) -> Option<String> {
        if self.reason.as_ref() == Some(&reason) {
            return None;
        }
        let said = format!("the server cannot take files now: {reason}; waiting for it");
        self.reason = Some(reason);
        Some(said)
    }

    pub fn is_over(&mut self) -> Option<String> {
        self.attempts = 0;
        self.reason.take().map(|_| "the server is there again".to_owned())
    }

    /// Whether it was told to stop meanwhile.
    pub async fn rest(&mut self, stop: &CancellationToken) -> bool {
        // One client asks; there is no crowd to be spread.
        let rest = backoff(self.attempts, 0.0).min(AWAY_REST_MAX);
        self.attempts += 1;
        tokio::select! {
            () = tokio::time::sleep(rest) => false,
            () = stop.cancelled() => true,
        }
    }
}

/// A line that changes on a terminal; lines one after the other elsewhere.
pub struct Screen {
    bar: Option<ProgressBar>,
}

impl Screen {
    pub fn new() -> Result<Screen> {
        if !std::io::stderr().is_terminal() {
            return Ok(Screen { bar: None });
        }
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
        bar.set_style(style.context("progress template")?);
        bar.enable_steady_tick(Duration::from_millis(200));
        Ok(Screen { bar: Some(bar) })
    }

    /// Something is wrong, or right again.
    pub fn say(&self, text: Option<String>) {
        let Some(text) = text else { return };
        self.beside_bar(|| eprintln!("cairn follow: {text}"));
    }

    pub fn line(&self, text: &str) {
        // Whoever read it may be gone; the work is not done for them alone.
        self.beside_bar(|| drop(writeln!(std::io::stdout(), "{text}")));
    }

    pub fn committed(&self, totals: &Totals) {
        if self.bar.is_none() {
            self.line(&format!(
                "{} events from {} files; {} were there already",
                HumanCount(totals.rows),
                HumanCount(totals.files),
                HumanCount(totals.duplicates),
            ));
        }
    }

    pub fn show(&self, totals: &Totals) {
        if let Some(bar) = &self.bar {
            let (rows, files) = (HumanCount(totals.rows), HumanCount(totals.files));
            bar.set_message(format!("{rows} events from {files} files"));
        }
    }

    fn beside_bar(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
