//! Columns of a row group as codes: a number for each row, and the distinct values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, concat_batches, is_null, nullif};
use arrow::datatypes::{DataType, Int32Type, Schema, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use futures::TryStreamExt as _;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::errors::ParquetError;

use crate::pages::micros::micros;
use crate::pages::texts::Coded;
use crate::pages::{Leaf, entries, texts};
use crate::schema::ID_HASH;
use crate::table::file::{DataFile, Reader};
use crate::table::write::CREATOR;

/// What a value of a row is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A text, by the names on the way to it: a column, then members of structs.
    Text(Vec<String>),
    /// The value of a key in a column of maps.
    Entry { column: String, key: String },
    /// A column of times or truths, which have no dictionary.
    Plain { column: String, data_type: DataType },
}

/// The values of a source in rows of a row group or batch.
#[derive(Debug)]
pub struct Codes {
    /// Where each row's value is in `values`; their length stands for null. `None`: each row's value
    /// is at the row's place.
    pub of_rows: Option<Vec<u32>>,
    pub values: ArrayRef,
    /// Are all values different? If not they may be, too.
    pub is_distinct: bool,
}

impl From<Coded> for Codes {
    fn from(coded: Coded) -> Codes {
        let Coded { of_rows, values, is_distinct } = coded;
        Codes { of_rows: Some(of_rows), values: Arc::new(values), is_distinct }
    }
}

impl Codes {
    /// Leaves the rows at these places.
    pub fn retain(&mut self, places: &[u32]) {
        self.of_rows = Some(match &self.of_rows {
            Some(rows) => places.iter().map(|place| rows[*place as usize]).collect(),
            None => places.to_vec(),
        });
    }

    /// The same in the given rows, or in all.
    fn of(mut self, wanted: Option<&[u32]>) -> Codes {
        if let Some(wanted) = wanted {
            self.retain(wanted);
        }
        self
    }

    /// The values, with null in the place of those that no row has.
    pub fn used_values(&self) -> Result<ArrayRef> {
        let Some(rows) = &self.of_rows else { return Ok(self.values.clone()) };
        let mut is_unused = vec![true; self.values.len() + 1];
        for code in rows {
            is_unused[*code as usize] = false;
        }
        is_unused.pop();
        Ok(nullif(&self.values, &BooleanArray::from(is_unused))?)
    }
}

impl Source {
    /// The source that an expression is, if it is nothing else.
    pub fn of(expr: &Expr, columns: &Schema) -> Option<Source> {
        match expr {
            Expr::Column(column) => {
                let field = columns.field_with_name(&column.name).ok()?;
                match field.data_type() {
                    DataType::Utf8 => Some(Source::Text(vec![column.name.clone()])),
                    DataType::Boolean | DataType::Timestamp(..) => Some(Source::Plain {
                        column: column.name.clone(),
                        data_type: field.data_type().clone(),
                    }),
                    _ => None,
                }
            }
            Expr::ScalarFunction(call) if call.name() == "get_field" => {
                let path = path(expr)?;
                let mut data_type = columns.field_with_name(path.first()?).ok()?.data_type();
                for name in &path[1..] {
                    let DataType::Struct(members) = data_type else { return None };
                    data_type = members.find(name)?.1.data_type();
                }
                (*data_type == DataType::Utf8).then_some(Source::Text(path))
            }
            Expr::ScalarFunction(call) if call.name() == "element_at" => {
                let [Expr::Column(map), Expr::Literal(ScalarValue::Utf8(Some(key)), _)] =
                    call.args.as_slice()
                else {
                    return None;
                };
                let field = columns.field_with_name(&map.name).ok()?;
                matches!(field.data_type(), DataType::Map(..))
                    .then(|| Source::Entry { column: map.name.clone(), key: key.clone() })
            }
            _ => None,
        }
    }

    pub fn data_type(&self) -> DataType {
        match self {
            Source::Text(_) | Source::Entry { .. } => DataType::Utf8,
            Source::Plain { data_type, .. } => data_type.clone(),
        }
    }

    /// Is it better to know first of which rows it is wanted?
    pub fn is_costly(&self) -> bool {
        matches!(self, Source::Entry { .. })
    }

    /// What Parquet calls the leaves that are read page by page.
    fn leaves(&self) -> Vec<String> {
        match self {
            Source::Text(path) => vec![path.join(".")],
            Source::Entry { column, .. } => {
                vec![format!("{column}.key_value.key"), format!("{column}.key_value.value")]
            }
            Source::Plain { .. } => vec![],
        }
    }

    /// The codes of this source in the given rows, or in all, of a batch that has its columns.
    fn codes_in(&self, batch: &RecordBatch, wanted: Option<&[u32]>) -> Result<Codes> {
        Ok(self.all_codes_in(batch)?.of(wanted))
    }

    fn all_codes_in(&self, batch: &RecordBatch) -> Result<Codes> {
        match self {
            Source::Plain { column, data_type } => {
                let values = cast(&member(batch, &[column])?, data_type)?;
                Ok(Codes { of_rows: None, values, is_distinct: false })
            }
            Source::Text(path) => {
                let texts = member(batch, &path.iter().collect::<Vec<_>>())?;
                let coded =
                    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                let texts = cast(&texts, &coded)?;
                let texts = texts.as_dictionary::<Int32Type>();
                let null = texts.values().len() as u32;
                let of_rows = texts.keys().iter().map(|key| key.map_or(null, i32::cast_unsigned));
                let (of_rows, values) = (Some(of_rows.collect()), texts.values().clone());
                Ok(Codes { of_rows, values, is_distinct: true })
            }
            Source::Entry { column, key } => {
                let map = member(batch, &[column])?;
                let map = map.as_map();
                let (keys, texts) =
                    (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
                let values = (0..map.len()).map(|row| {
                    let entries = map.value_offsets()[row]..map.value_offsets()[row + 1];
                    let mut entries = entries.map(|entry| entry as usize);
                    let found = entries.find(|entry| keys.value(*entry) == key)?;
                    (map.is_valid(row) && texts.is_valid(found)).then(|| texts.value(found))
                });
                let values = Arc::new(values.collect::<StringArray>());
                Ok(Codes { of_rows: None, values, is_distinct: false })
            }
        }
    }
}

/// Where the values of sources are taken from.
pub enum Columns {
    Memory(RecordBatch),
    File {
        rows: usize,
        /// By their paths; those that the file has.
        leaves: Vec<(String, Leaf)>,
        /// The values of columns that have no dictionary.
        plain: Vec<(String, ArrayRef)>,
    },
}

impl Columns {
    /// The columns of a row group that hold the sources; and how many bytes of the file they are.
    pub async fn read(
        file: &Arc<DataFile>,
        row_group: usize,
        sources: &[&Source],
    ) -> Result<(Columns, usize)> {
        let mut paths: Vec<String> = sources.iter().flat_map(|source| source.leaves()).collect();
        paths.sort();
        paths.dedup();
        let named: Vec<&str> = paths.iter().map(String::as_str).collect();
        let fetched = Leaf::fetch(file, row_group, &named).await?;
        let leaves: Vec<(String, Leaf)> =
            paths.into_iter().zip(fetched).filter_map(|(path, leaf)| Some((path, leaf?))).collect();
        let mut bytes: usize = leaves.iter().map(|(_, leaf)| leaf.bytes()).sum();
        let mut plain = Vec::new();
        for source in sources {
            let Source::Plain { column, data_type } = source else { continue };
            if plain.iter().all(|(known, _)| known != column) {
                let (values, values_bytes) =
                    plain_column(file, row_group, column, data_type).await?;
                plain.push((column.clone(), values));
                bytes += values_bytes;
            }
        }
        let rows = file.metadata().await?.row_group(row_group).num_rows();
        Ok((Columns::File { rows: usize::try_from(rows).unwrap_or(0), leaves, plain }, bytes))
    }

    pub fn rows(&self) -> usize {
        match self {
            Columns::Memory(batch) => batch.num_rows(),
            Columns::File { rows, .. } => *rows,
        }
    }

    /// The rows that have a value, and the codes of the source in these, where that is quicker than
    /// looking at all rows.
    pub fn present(&self, source: &Source) -> Result<Option<(Vec<u32>, Codes)>> {
        let (Columns::File { leaves, .. }, Source::Text(path)) = (self, source) else {
            return Ok(None);
        };
        let path = path.join(".");
        let leaf = leaves.iter().find(|(known, _)| *known == path).map(|(_, leaf)| leaf);
        let Some(leaf) = leaf.filter(|leaf| leaf.is_mostly_null()) else { return Ok(None) };
        let (rows, coded) = texts::present(leaf)?;
        Ok(Some((rows, coded.into())))
    }

    /// The codes of a source in the given rows, ascending, or in all.
    pub fn codes(&self, source: &Source, wanted: Option<&[u32]>) -> Result<Codes> {
        let (rows, leaves, plain) = match self {
            Columns::Memory(batch) => return source.codes_in(batch, wanted),
            Columns::File { rows, leaves, plain } => (*rows, leaves, plain),
        };
        let rows = wanted.map_or(rows, <[u32]>::len);
        let leaf =
            |path: String| leaves.iter().find(|(known, _)| *known == path).map(|(_, leaf)| leaf);
        let found: Option<Vec<&Leaf>> = source.leaves().into_iter().map(leaf).collect();
        if let Source::Plain { column, .. } = source
            && let Some((_, values)) = plain.iter().find(|(known, _)| known == column)
        {
            let codes = Codes { of_rows: None, values: values.clone(), is_distinct: false };
            return Ok(codes.of(wanted));
        }
        let coded = match (source, found.as_deref().filter(|_| rows > 0)) {
            (Source::Text(_), Some([leaf])) => texts::codes(leaf, wanted)?,
            (Source::Entry { key, .. }, Some([keys, values])) => {
                entries::codes(keys, values, key, wanted)?
            }
            // The file is older than the column, or nothing is wanted of it.
            _ => {
                let values = new_null_array(&source.data_type(), 0);
                return Ok(Codes { of_rows: Some(vec![0; rows]), values, is_distinct: true });
            }
        };
        if coded.of_rows.len() != rows {
            let message = format!("{source:?} has {} rows of {rows}", coded.of_rows.len());
            return Err(DataFusionError::ParquetError(Box::new(ParquetError::General(message))));
        }
        Ok(coded.into())
    }
}

/// The distinct values of a row group.
#[derive(Debug)]
pub struct Distinct {
    /// Null is not among them.
    pub values: ArrayRef,
    pub has_nulls: bool,
    /// Of the row group.
    pub rows: usize,
    /// What was read of the file.
    pub bytes: usize,
}

/// The texts that occur in a row group, if its dictionary says it: then no row is looked at.
pub async fn distinct_texts(
    file: &Arc<DataFile>,
    row_group: usize,
    source: &Source,
) -> Result<Option<Distinct>> {
    let Source::Text(path) = source else { return Ok(None) };
    let metadata = file.metadata().await?;
    // Others might put values in a dictionary that no row has.
    let creator = metadata.file_metadata().created_by().unwrap_or_default();
    if !creator.starts_with(CREATOR) {
        return Ok(None);
    }
    let Some(leaf) = Leaf::fetch_dictionary(file, row_group, &path.join(".")).await? else {
        return Ok(None);
    };
    let (true, Some(has_nulls)) = (leaf.is_flat(), leaf.has_nulls()) else { return Ok(None) };
    let texts = texts::distinct(&leaf).map_err(|error| file.blamed(error))?;
    let (rows, bytes) = (leaf.rows(), leaf.dictionary_bytes());
    Ok(texts.map(|values| Distinct { values: Arc::new(values), has_nulls, rows, bytes }))
}

/// The names in `get_field(get_field(column, 'a'), 'b')`, or in `get_field(column, 'a', 'b')`.
fn path(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::Column(column) => Some(vec![column.name.clone()]),
        Expr::ScalarFunction(call) if call.name() == "get_field" => {
            let (base, names) = call.args.split_first()?;
            let mut path = path(base)?;
            for name in names {
                let Expr::Literal(value, _) = name else { return None };
                path.push(value.try_as_str()??.to_owned());
            }
            Some(path)
        }
        _ => None,
    }
}

fn member(batch: &RecordBatch, names: &[&String]) -> Result<ArrayRef> {
    let missing = || {
        let path: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        DataFusionError::Internal(format!("{} is not there", path.join(".")))
    };
    let (first, rest) = names.split_first().ok_or_else(missing)?;
    let mut column = batch.column_by_name(first).ok_or_else(missing)?.clone();
    for name in rest {
        let members = column.as_struct_opt().ok_or_else(missing)?;
        let member = members.column_by_name(name).ok_or_else(missing)?;
        // What is in a struct that is null counts for nothing.
        column = match members.nulls() {
            Some(_) => nullif(member, &is_null(members)?)?,
            None => member.clone(),
        };
    }
    Ok(column)
}

/// The values of a column without a dictionary in all rows, and how many bytes of the file they are.
async fn plain_column(
    file: &Arc<DataFile>,
    row_group: usize,
    column: &str,
    data_type: &DataType,
) -> Result<(ArrayRef, usize)> {
    if let DataType::Timestamp(TimeUnit::Microsecond, _) = data_type
        && let Some(leaf) = Leaf::fetch(file, row_group, &[column]).await?.pop().flatten()
        && let Some(times) = micros(&leaf)?
    {
        let times = TimestampMicrosecondArray::from(times).with_data_type(data_type.clone());
        return Ok((Arc::new(times), leaf.bytes()));
    }
    let (batch, bytes) = read_plain(file, row_group, &[column]).await?;
    let values = match batch.column_by_name(column) {
        Some(values) => cast(values, data_type)?,
        // The file is older than the column.
        None => new_null_array(data_type, batch.num_rows()),
    };
    Ok((values, bytes))
}

async fn read_plain(
    file: &Arc<DataFile>,
    row_group: usize,
    columns: &[&str],
) -> Result<(RecordBatch, usize)> {
    let metadata = file.reader_metadata().await?;
    let known = metadata.metadata().row_group(row_group);
    let rows = usize::try_from(known.num_rows()).unwrap_or(0);
    let mask = ProjectionMask::columns(metadata.parquet_schema(), columns.iter().copied());
    let bytes = (0..known.num_columns()).filter(|leaf| mask.leaf_included(*leaf));
    let bytes: i64 = bytes.map(|leaf| known.column(leaf).compressed_size()).sum();
    let reader = Reader(file.clone());
    let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
        .with_row_groups(vec![row_group])
        .with_projection(mask)
        .with_batch_size(rows)
        .build()?;
    let schema = stream.schema().clone();
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    let batch = match batches.as_slice() {
        [one] => one.clone(),
        several => concat_batches(&schema, several)?,
    };
    Ok((batch, usize::try_from(bytes).unwrap_or(0)))
}

/// Which rows of a row group have one of the values in a leaf of text; `None` for a leaf that is not
/// there or may have several values in a row.
pub async fn rows_with(
    file: &Arc<DataFile>,
    row_group: usize,
    path: &str,
    wanted: &[String],
) -> Result<Option<BooleanBuffer>> {
    let leaf = Leaf::fetch(file, row_group, &[path]).await?.into_iter().flatten().next();
    let Some(leaf) = leaf.filter(Leaf::is_flat) else { return Ok(None) };
    let is_wanted = |value: &[u8]| wanted.iter().any(|wanted| wanted.as_bytes() == value);
    let holds = texts::rows_with(&leaf, 0..leaf.rows(), &(0..leaf.rows()), None, is_wanted)?;
    Ok(Some(BooleanBuffer::from(holds)))
}

/// The hash under which a file knows an event ID: the lower half of FNV-1a, 32 bits, of its text. See
/// docs/formats/lake-table.md.
pub fn id_hash(id: &str) -> i32 {
    let hash = id
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed() & ID_HASH_MASK
}

/// A few rows of a row group have the same; more bits would cost more than looking at these.
const ID_HASH_MASK: i32 = 0xFFFF;

/// Which rows of a row group may have one of the IDs; `None` when the file does not say.
pub async fn rows_with_ids(
    file: &Arc<DataFile>,
    row_group: usize,
    wanted: &[String],
) -> Result<Option<BooleanBuffer>> {
    let metadata = file.reader_metadata().await?;
    if metadata.schema().column_with_name(ID_HASH).is_none() {
        return Ok(None);
    }
    let (batch, _) = read_plain(file, row_group, &[ID_HASH]).await?;
    let hashes = batch.column(0).as_primitive::<Int32Type>().values();
    let wanted: Vec<i32> = wanted.iter().map(|id| id_hash(id)).collect();
    let mut rows = vec![false; hashes.len()];
    // Most blocks have none, which is quickly seen.
    for (hashes, rows) in hashes.chunks(256).zip(rows.chunks_mut(256)) {
        for wanted in &wanted {
            // The first files have all 32 bits.
            let is_it = |hash: &i32| hash & ID_HASH_MASK == *wanted;
            if hashes.iter().fold(false, |any, hash| any | is_it(hash)) {
                rows.iter_mut().zip(hashes).for_each(|(row, hash)| *row |= is_it(hash));
            }
        }
    }
    Ok(Some(BooleanBuffer::from(rows)))
}

#[cfg(test)]
mod tests;
