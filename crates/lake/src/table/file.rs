//! A file of a table: what the log says of it, and its footer once somebody needed it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::bloom_filter::Sbbf;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use tokio::sync::OnceCell;

use super::log::FileEntry;
use crate::record::picked::Layout;

/// A file that the log names cannot be read: it is gone, altered, or its store does not answer.
#[derive(Debug, thiserror::Error)]
#[error("file {path} of table {table}")]
pub struct FileError {
    pub table: String,
    pub path: String,
    #[source]
    pub source: ParquetError,
}

/// Cheap to share; the footer is read once.
#[derive(Debug)]
pub struct DataFile {
    pub entry: Arc<FileEntry>,
    /// Another for each in this process.
    pub number: u64,
    table: Arc<str>,
    store: Arc<dyn ObjectStore>,
    path: Path,
    metadata: OnceCell<ArrowReaderMetadata>,
    layout: OnceLock<Layout>,
    bloom_filters: Mutex<BloomFilters>,
}

/// By row group and leaf; `None` where the file has none.
type BloomFilters = HashMap<(usize, usize), Option<Arc<Sbbf>>>;

/// Most footers, with their page index, are found in the last bytes of a file by one read.
const FOOTER_BYTES_GUESS: usize = 256 << 10;

impl DataFile {
    pub fn new(entry: FileEntry, table: &Arc<str>, store: Arc<dyn ObjectStore>) -> DataFile {
        let path = Path::from(entry.path.as_str());
        static NEXT: AtomicU64 = AtomicU64::new(0);
        DataFile {
            entry: Arc::new(entry),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            table: table.clone(),
            store,
            path,
            metadata: OnceCell::new(),
            layout: OnceLock::new(),
            bloom_filters: Mutex::default(),
        }
    }

    /// The error with this file's name. For whatever reads a file through [`Reader`]: what comes
    /// out of decoding its pages says nothing of where they were.
    pub fn blamed(&self, error: ParquetError) -> ParquetError {
        if matches!(&error, ParquetError::External(inner) if inner.is::<FileError>()) {
            return error;
        }
        let (table, path) = (self.table.to_string(), self.entry.path.clone());
        ParquetError::External(Box::new(FileError { table, path, source: error }))
    }

    /// Reads and decodes all of it.
    pub async fn check(&self) -> ParquetResult<()> {
        let bytes = self.all().await?;
        let read = tokio::task::spawn_blocking(move || {
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
            for batch in builder.with_batch_size(16_384).build()? {
                batch?;
            }
            Ok::<_, ParquetError>(())
        });
        let read = read.await.unwrap_or_else(|_| Err(ParquetError::General("unreadable".into())));
        read.map_err(|error| self.blamed(error))
    }

    /// The footer with the page index.
    pub async fn metadata(&self) -> ParquetResult<Arc<ParquetMetaData>> {
        Ok(self.reader_metadata().await?.metadata().clone())
    }

    /// The same, with the columns as Arrow has them.
    pub async fn reader_metadata(&self) -> ParquetResult<ArrowReaderMetadata> {
        let read = || async {
            let mut fetch = self;
            let metadata = ParquetMetaDataReader::new()
                .with_prefetch_hint(Some(FOOTER_BYTES_GUESS))
                .with_page_index_policy(PageIndexPolicy::Optional)
                .load_and_finish(&mut fetch, self.entry.bytes)
                .await?;
            ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new())
        };
        self.metadata.get_or_try_init(read).await.cloned().map_err(|error| self.blamed(error))
    }

    /// Where the leaves of a row lie; `metadata` is this file's.
    pub(crate) fn layout(&self, metadata: &ParquetMetaData) -> &Layout {
        self.layout.get_or_init(|| Layout::of(metadata))
    }

    /// The Bloom filter of a leaf in a row group, read once.
    pub async fn bloom_filter(
        self: &Arc<Self>,
        row_group: usize,
        leaf: usize,
    ) -> ParquetResult<Option<Arc<Sbbf>>> {
        if let Some(known) = self.known_filters().get(&(row_group, leaf)) {
            return Ok(known.clone());
        }
        let metadata = self.reader_metadata().await?;
        let reader = Reader(self.clone());
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
        let filter = builder.get_row_group_column_bloom_filter(row_group, leaf).await;
        let filter = filter.map_err(|error| self.blamed(error))?;
        let filter = filter.map(Arc::new);
        self.known_filters().insert((row_group, leaf), filter.clone());
        Ok(filter)
    }

    fn known_filters(&self) -> MutexGuard<'_, BloomFilters> {
        self.bloom_filters.lock().expect("no holder of this lock can panic")
    }

    pub async fn bytes(&self, range: Range<u64>) -> ParquetResult<Bytes> {
        self.store.get_range(&self.path, range).await.map_err(|error| self.blamed(error.into()))
    }

    /// Everything, for reading the file from end to end.
    pub async fn all(&self) -> ParquetResult<Bytes> {
        let read = async { self.store.get(&self.path).await?.bytes().await };
        read.await.map_err(|error: object_store::Error| self.blamed(error.into()))
    }
}

impl parquet::arrow::async_reader::MetadataFetch for &mut &DataFile {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.bytes(range).boxed()
    }
}

/// A file as Parquet's readers want it.
#[derive(Debug, Clone)]
pub struct Reader(pub Arc<DataFile>);

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.0.bytes(range).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            let read = self.0.store.get_ranges(&self.0.path, &ranges).await;
            read.map_err(|error| self.0.blamed(error.into()))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        self.0.metadata().boxed()
    }
}
