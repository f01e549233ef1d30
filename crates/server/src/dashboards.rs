//! Dashboards: statements that are run again and again, each refresh a query for every widget.
//!
//! ```text
//!   CreateDashboard ─ check ─▶ catalog: widgets, schedule ── refresh_dashboards, by the clock ─┐
//!   managed.sql ─▶ [`managed`], read-only ─────────────────── StartDashboardRefresh ──────────┴▶ refresh
//!        a query for each widget: '?' filled from [`values`] ─▶ catalog: QUEUED ─▶ run_queries ─▶ results
//! ```
//! A refresh adds nothing to how queries run, are found and forgotten; it only asks them.

pub mod managed;
pub mod refresh;
pub mod schedule;
pub mod values;

/// The ARN of a dashboard, in the partition `aws`.
pub fn arn(account: &str, region: &str, name: &str) -> String {
    format!("arn:aws:cloudtrail:{region}:{account}:dashboard/{name}")
}
