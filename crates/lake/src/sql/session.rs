//! Where queries run: DataFusion with our functions and nothing else, within limits.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::comparison::ComparisonPlanner;
use super::functions;
use super::unnest::UnnestPlanner;
use crate::groups::CountGroups;

/// What one query may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Sorts, joins and aggregations that need more go to disk.
    pub memory_bytes_max: usize,
    /// Where to, and how much; without a folder, more memory than allowed is an error.
    pub spill_folder: Option<std::path::PathBuf>,
    pub spill_bytes_max: u64,
    /// How many partitions of a plan run at once.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 512 << 20,
            spill_folder: None,
            spill_bytes_max: 8 << 30,
            threads: 2,
        }
    }
}

/// A context for one query. It holds no table until [`super::Parsed::plan`] adds those that the
/// query names.
pub fn session(limits: &Limits) -> Result<SessionContext> {
    Ok(SessionContext::new_with_state(state(Arc::new(runtime(limits)?), limits)))
}

fn runtime(limits: &Limits) -> Result<RuntimeEnv> {
    let disk = match &limits.spill_folder {
        Some(folder) => {
            // DataFusion makes its own folder inside, not this one.
            std::fs::create_dir_all(folder)?;
            DiskManagerBuilder::default()
                .with_mode(DiskManagerMode::Directories(vec![folder.clone()]))
                .with_max_temp_directory_size(limits.spill_bytes_max)
        }
        None => DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
    };
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(limits.memory_bytes_max)))
        .with_disk_manager_builder(disk)
        .build()
}

fn state(runtime: Arc<RuntimeEnv>, limits: &Limits) -> SessionState {
    SessionStateBuilder::new()
        .with_config(SessionConfig::from(options(limits)))
        .with_runtime_env(runtime)
        .with_optimizer_rules(optimizer_rules())
        .with_expr_planners(expr_planners())
        .with_relation_planners(vec![Arc::new(UnnestPlanner)])
        .with_scalar_functions(functions::scalars())
        .with_higher_order_functions(functions::lambdas())
        .with_aggregate_functions(functions::aggregates())
        .with_window_functions(functions::windows())
        .build()
}

fn options(limits: &Limits) -> ConfigOptions {
    let mut options = ConfigOptions::new();
    options.execution.target_partitions = limits.threads.max(1);
    // Trino: NULLS LAST whatever the direction.
    options.sql_parser.default_null_ordering = "nulls_last".to_owned();
    // Positions for our error messages.
    options.sql_parser.collect_spans = true;
    // UTF8View buys little on columns that are dictionaries anyway, and every function of ours
    // would see two kinds of text.
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    options
}

/// DataFusion's, with ours in the place where expressions are simple and still whole.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let place = rules.iter().position(|rule| rule.name() == "common_sub_expression_eliminate");
    rules.insert(place.unwrap_or(rules.len()), Arc::new(CountGroups));
    rules
}

fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(ComparisonPlanner)];
    planners.extend(SessionStateDefaults::default_expr_planners());
    planners
}
