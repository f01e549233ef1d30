//! Refreshes dashboards by their schedules.
//!
//! ```text
//!   next_refresh_ms <= now ─▶ queries of a refresh, next_refresh_ms moved ahead: one transaction
//! ```
//! A restart therefore finds a refresh that was due either asked or still due. However many times have
//! passed while the server was off, it is asked once. Next times are reckoned from the schedule and not
//! from the last refresh, so lateness does not add up.

use std::sync::Arc;

use api::ApiError;
use async_trait::async_trait;
use catalog::{Dashboard, Started, Turn as Due};
use jiff::Timestamp;

use crate::dashboards::refresh::{Refreshed, Tenant, start_by_schedule};
use crate::dashboards::schedule;
use crate::node::Node;
use crate::operations::internal;
use crate::workers::{More, Turn, Worker};

const DASHBOARDS_PER_TURN_MAX: u32 = 20;

pub struct RefreshDashboards {
    node: Arc<Node>,
}

impl RefreshDashboards {
    pub fn new(node: Arc<Node>) -> RefreshDashboards {
        RefreshDashboards { node }
    }

    async fn refresh(&self, dashboard: &Dashboard, now: Timestamp) -> Result<(), ApiError> {
        let now_ms = now.as_millisecond();
        let Some(due_ms) = dashboard.next_refresh_ms else { return Ok(()) };
        let schedule = dashboard.state.schedule.as_ref();
        let next_ms = schedule.and_then(|schedule| schedule::next_after(schedule, now_ms));
        let due = Due { due_ms, next_ms };
        if due_ms > now_ms {
            // It was reckoned when the clock was ahead.
            return self.node.catalog.skip_refresh(dashboard, due).await.map_err(internal);
        }
        let tenant = Tenant { account: &dashboard.account, region: &dashboard.region };
        let refreshed = Refreshed { arn: &dashboard.arn, widgets: &dashboard.state.widgets };
        let (started, _) = start_by_schedule(&self.node, tenant, refreshed, due, now).await?;
        if started == Started::OtherIsRunning {
            tracing::info!(
                dashboard = dashboard.arn,
                "a refresh is left out: the one before is still running"
            );
        }
        Ok(())
    }
}

#[async_trait]
impl Worker for RefreshDashboards {
    async fn tick(&mut self) -> Turn {
        // A dashboard would show too little until its next time.
        if self.node.is_stopping() || !self.node.shows_what_was_before() {
            return Ok(More::No);
        }
        let now = self.node.clock.now();
        let now_ms = now.as_millisecond();
        let latest_ms = now_ms.saturating_add(schedule::DAY_MS);
        let catalog = &self.node.catalog;
        let due = catalog.due_dashboards(now_ms, latest_ms, DASHBOARDS_PER_TURN_MAX).await?;
        let mut failure = None;
        for dashboard in &due {
            // One that fails is tried again later and holds up no other account's.
            if let Err(error) = self.refresh(dashboard, now).await {
                failure = Some(format!("refresh of {}: {}", dashboard.arn, error.message));
            }
        }
        match failure {
            Some(failure) => Err(failure.into()),
            None if due.len() == DASHBOARDS_PER_TURN_MAX as usize => Ok(More::Yes),
            None => Ok(More::No),
        }
    }
}
