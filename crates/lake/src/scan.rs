//! A table as queries see it: the published columns over files and memory.
//!
//! ```text
//!   files ─ prune ─▶ Parquet: only the leaves, pages and rows that the plan needs ─┐
//!   hot ─────────────────────────────────────────────────────────────────────────── union ─▶ columns
//!                                                                  eventjson: rebuilt from all of them
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::{
    ParquetAccessPlan, ParquetFileReaderFactory, RowGroupAccess,
};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TableProviderFilterPushDown, Volatility, col, lit,
};
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;

use crate::groups::Term;
use crate::prune::Conditions;
use crate::record;
use crate::schema::Content;
use crate::table::View;
use crate::table::file::{DataFile, Reader};

/// The store that plans name. Files are read by [`Files`], not through it.
pub const STORE_URL: &str = "cairn://tables";

const RECORD: &str = "eventjson";
const CHECKSUM: &str = "eventjsonchecksum";
const ACCOUNT: &str = "cairn_account";

/// The rows of a table at the moment when the query began.
#[derive(Debug)]
pub struct Events {
    view: View,
    content: Content,
    /// What a query may name.
    columns: SchemaRef,
    /// What files and memory hold.
    stored: SchemaRef,
    /// Only rows of this account.
    account: Option<String>,
}

impl Events {
    pub fn new(view: View, content: Content, account: Option<String>) -> Events {
        Events { view, content, columns: content.published(), stored: content.stored(), account }
    }

    pub fn view(&self) -> &View {
        &self.view
    }

    /// What files and memory hold.
    pub fn stored(&self) -> &SchemaRef {
        &self.stored
    }

    /// What every wanted row fulfils when the filters do.
    pub fn conditions(&self, filters: &[Expr]) -> Conditions {
        let mut conditions = Conditions::of(filters);
        if let Some(account) = &self.account {
            conditions.and_equal(&[ACCOUNT], account);
        }
        conditions
    }

    /// That a row is one that the reader may see, if not all are.
    pub fn own_rows(&self) -> Result<Option<Term>> {
        let Some(account) = &self.account else { return Ok(None) };
        Term::of(&col(ACCOUNT).eq(lit(account.as_str())), &self.stored)
    }

    async fn files(
        &self,
        conditions: &Conditions,
        stored: &[usize],
    ) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let candidates =
            self.view.files.iter().filter(|file| conditions.may_match_file(&file.entry)).cloned();
        let (mut scanned, mut picked) = (Wanted::default(), Wanted::default());
        if conditions.look_inside() {
            let conditions = Arc::new(conditions.clone());
            let looking: Vec<_> =
                candidates.map(|file| tokio::spawn(chosen(file, conditions.clone()))).collect();
            for looked in looking {
                match looked.await.map_err(|e| DataFusionError::External(e.into()))?? {
                    Some(Chosen { file, rows, is_picked: true }) => picked.add(file, rows),
                    Some(Chosen { file, rows, is_picked: false }) => scanned.add(file, rows),
                    None => {}
                }
            }
        } else {
            for file in candidates {
                let planned = PartitionedFile::new(file.entry.path.clone(), file.entry.bytes);
                let rows = file.entry.rows;
                scanned.add(planned.with_extension(file), rows);
            }
        }
        let mut of_picked = TableParquetOptions::default();
        // The columns of filters are kept in whole batches: where few rows are known, that would read
        // all that lies between them.
        of_picked.global.max_predicate_cache_size = Some(0);
        let plans = [
            scanned.plan(TableParquetOptions::default(), &self.stored, stored)?,
            picked.plan(of_picked, &self.stored, stored)?,
        ];
        Ok(plans.into_iter().flatten().collect())
    }
}

/// Files of a plan.
#[derive(Default)]
struct Wanted {
    files: Vec<PartitionedFile>,
    rows: u64,
}

impl Wanted {
    fn add(&mut self, file: PartitionedFile, rows: u64) {
        self.files.push(file);
        self.rows += rows;
    }

    fn plan(
        self,
        options: TableParquetOptions,
        schema: &SchemaRef,
        columns: &[usize],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if self.files.is_empty() {
            return Ok(None);
        }
        let source = ParquetSource::new(schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(Files))
            // The row groups have been chosen by filters that stay in memory.
            .with_bloom_filter_on_read(false)
            .with_pushdown_filters(true);
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = Precision::Exact(usize::try_from(self.rows).unwrap_or(usize::MAX));
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
            .with_file_groups(vec![FileGroup::new(self.files)])
            .with_statistics(statistics)
            .with_projection_indices(Some(columns.to_vec()))?
            .build();
        Ok(Some(DataSourceExec::from_data_source(scan)))
    }
}

#[async_trait]
impl TableProvider for Events {
    fn schema(&self) -> SchemaRef {
        self.columns.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // They choose files and row groups here; rows are filtered by the plan above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.columns.fields().len()).collect();
        let names: Vec<&str> = projection
            .unwrap_or(&all)
            .iter()
            .map(|column| self.columns.field(*column).name().as_str())
            .collect();
        let needs_record = names.contains(&RECORD);
        let stored: Vec<usize> = (0..self.stored.fields().len())
            .filter(|column| {
                let name = self.stored.field(*column).name().as_str();
                needs_record || names.contains(&name) || self.account.is_some() && name == ACCOUNT
            })
            .collect();
        let conditions = self.conditions(filters);
        let mut inputs: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        inputs.extend(self.files(&conditions, &stored).await?);
        if !self.view.hot.is_empty() {
            let hot = [self.view.hot.to_vec()];
            let columns = Some(stored.clone());
            inputs.push(MemorySourceConfig::try_new_exec(&hot, self.stored.clone(), columns)?);
        }
        if inputs.is_empty() {
            inputs.push(Arc::new(EmptyExec::new(Arc::new(self.stored.project(&stored)?))));
        }
        let mut plan = UnionExec::try_new(inputs)?;
        if let Some(account) = &self.account {
            let column = Column::new_with_schema(ACCOUNT, &plan.schema())?;
            let wanted = Literal::new(ScalarValue::Utf8(Some(account.clone())));
            let is_own = BinaryExpr::new(Arc::new(column), Operator::Eq, Arc::new(wanted));
            plan = Arc::new(FilterExec::try_new(Arc::new(is_own), plan)?);
        }
        let schema = plan.schema();
        if schema.fields().iter().map(|field| field.name()).eq(&names) {
            return Ok(plan);
        }
        let exprs = names.iter().map(|name| {
            let expr: Arc<dyn PhysicalExpr> = match *name {
                RECORD => record_expr(self.content, &schema, state)?,
                // AWS does not say of what it is the checksum.
                CHECKSUM => Arc::new(Literal::new(ScalarValue::Utf8(None))),
                name => Arc::new(Column::new_with_schema(name, &schema)?),
            };
            Ok((expr, (*name).to_owned()))
        });
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(exprs, plan)?))
    }
}

/// A file with the row groups, or the rows of them, that may be wanted.
struct Chosen {
    file: PartitionedFile,
    /// Of the whole file.
    rows: u64,
    /// Are they rows throughout?
    is_picked: bool,
}

async fn chosen(file: Arc<DataFile>, conditions: Arc<Conditions>) -> Result<Option<Chosen>> {
    let row_groups = conditions.row_groups(&file).await?;
    let mut plan = ParquetAccessPlan::new_none(file.metadata().await?.num_row_groups());
    let (mut is_needed, mut is_picked) = (false, true);
    for row_group in row_groups {
        // A page that cannot be read now is met again when the query runs, which names it then.
        match conditions.rows(&file, row_group).await.unwrap_or(None) {
            Some(rows) if !rows.selects_any() => continue,
            Some(rows) => plan.set(row_group, RowGroupAccess::Selection(rows)),
            None => {
                plan.scan(row_group);
                is_picked = false;
            }
        }
        is_needed = true;
    }
    if !is_needed {
        return Ok(None);
    }
    let planned = PartitionedFile::new(file.entry.path.clone(), file.entry.bytes);
    let rows = file.entry.rows;
    let planned = planned.with_extension(plan).with_extension(file);
    Ok(Some(Chosen { file: planned, rows, is_picked }))
}

/// Opens files with the footers that are in memory.
#[derive(Debug)]
struct Files;

impl ParquetFileReaderFactory for Files {
    fn create_reader(
        &self,
        _partition: usize,
        file: PartitionedFile,
        _footer_bytes: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let file = file.extension::<Arc<DataFile>>().ok_or_else(|| {
            DataFusionError::Internal("a planned file has lost what it stands for".to_owned())
        })?;
        Ok(Box::new(Reader(file.clone())))
    }
}

/// The record, from all stored columns.
fn record_expr(
    content: Content,
    stored: &SchemaRef,
    state: &dyn Session,
) -> Result<Arc<dyn PhysicalExpr>> {
    let columns = stored.fields().iter().enumerate();
    let arguments = columns.map(|(place, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), place));
        column
    });
    let function = Arc::new(ScalarUDF::new_from_impl(Record::new(content, stored.clone())));
    let options = Arc::new(state.config_options().clone());
    let expr = ScalarFunctionExpr::try_new(function, arguments.collect(), stored, options)?;
    Ok(Arc::new(expr))
}

/// Rebuilds records, byte for byte.
#[derive(Debug)]
struct Record {
    content: Content,
    stored: SchemaRef,
    signature: Signature,
}

impl Record {
    fn new(content: Content, stored: SchemaRef) -> Record {
        Record { content, stored, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Record) -> bool {
        self.content == other.content && self.stored == other.stored
    }
}

impl Eq for Record {}

impl std::hash::Hash for Record {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.content.hash(state);
        self.stored.hash(state);
    }
}

impl ScalarUDFImpl for Record {
    fn name(&self) -> &str {
        RECORD
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let batch = RecordBatch::try_new(self.stored.clone(), columns)?;
        let records: StringArray = record::records_of(self.content, &batch)
            .map_err(|error| DataFusionError::External(error.into()))?;
        Ok(ColumnarValue::Array(Arc::new(records) as ArrayRef))
    }
}
