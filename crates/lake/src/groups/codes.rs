//! Columns of a row group as codes: a number for each row, and the distinct values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, concat_batches, nullif};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use futures::TryStreamExt as _;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use crate::schema::{ID_HASH, timestamp};
use crate::table::file::{DataFile, Reader};

/// What a value of a row is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A text, by the names on the way to it: a column, then members of structs.
    Text(Vec<String>),
    /// A column of times or truths, which have no dictionary.
    Plain { column: String, data_type: DataType },
}

/// The values of a source in the rows of a row group or batch.
#[derive(Debug)]
pub struct Codes {
    /// Where each row's value is in `values`; their length stands for null. `None`: each row's value
    /// is at the row's place.
    pub of_rows: Option<Vec<u32>>,
    pub values: ArrayRef,
}

impl Codes {
    /// The values, with null in the place of those that no kept row has.
    pub fn values_of(&self, kept: &[bool]) -> Result<ArrayRef> {
        let mut is_used = vec![false; self.values.len() + 1];
        for (row, _) in kept.iter().enumerate().filter(|(_, kept)| **kept) {
            is_used[self.of_rows.as_ref().map_or(row, |rows| rows[row] as usize)] = true;
        }
        is_used.pop();
        let is_unused = BooleanArray::from_iter(is_used.into_iter().map(|used| Some(!used)));
        Ok(nullif(&self.values, &is_unused)?)
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
            _ => None,
        }
    }

    pub fn data_type(&self) -> DataType {
        match self {
            Source::Text(_) => DataType::Utf8,
            Source::Plain { data_type, .. } => data_type.clone(),
        }
    }

    /// What Parquet calls the leaf, or what is above the leaves that are needed.
    pub fn leaf(&self) -> String {
        match self {
            Source::Text(path) => path.join("."),
            Source::Plain { column, .. } => column.clone(),
        }
    }

    /// The column of a batch that a text is.
    fn texts(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let Source::Text(path) = self else {
            return Err(DataFusionError::Internal(format!("{} is no text", self.leaf())));
        };
        member(batch, &path.iter().collect::<Vec<_>>())
    }

    /// The codes of this source in a batch that has its columns.
    pub fn codes(&self, batch: &RecordBatch) -> Result<Codes> {
        match self {
            Source::Plain { column, data_type } => {
                let values = cast(&member(batch, &[column])?, data_type)?;
                Ok(Codes { of_rows: None, values })
            }
            Source::Text(_) => {
                let texts = dictionary(&self.texts(batch)?)?;
                let null = texts.values().len() as u32;
                let keys = texts.keys().values();
                let of_rows = match texts.keys().nulls() {
                    None => keys.iter().map(|key| key.cast_unsigned()).collect(),
                    Some(nulls) => {
                        let mut of_rows = vec![null; keys.len()];
                        for row in nulls.valid_indices() {
                            of_rows[row] = keys[row].cast_unsigned();
                        }
                        of_rows
                    }
                };
                Ok(Codes { of_rows: Some(of_rows), values: texts.values().clone() })
            }
        }
    }
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
        column = members.column_by_name(name).ok_or_else(missing)?.clone();
    }
    Ok(column)
}

fn dictionary(texts: &ArrayRef) -> Result<DictionaryArray<Int32Type>> {
    Ok(cast(texts, &coded_text())?.as_dictionary().clone())
}

fn coded_text() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The same columns with texts as Parquet has them: codes and a dictionary.
pub fn coded(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(fields(schema.fields())))
}

fn fields(all: &Fields) -> Fields {
    all.iter().map(coded_field).collect()
}

fn coded_field(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Utf8 => coded_text(),
        DataType::Struct(members) => DataType::Struct(fields(members)),
        DataType::List(element) => DataType::List(coded_field(element)),
        DataType::Timestamp(..) => timestamp(),
        other => other.clone(),
    };
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
}

/// The columns of a row group that hold the sources, in one batch; and how many bytes of the file
/// they are.
pub async fn read(
    file: &Arc<DataFile>,
    row_group: usize,
    sources: &[&Source],
) -> Result<(RecordBatch, usize)> {
    read_with(file, row_group, sources, file.coded_metadata().await?).await
}

async fn read_with(
    file: &Arc<DataFile>,
    row_group: usize,
    sources: &[&Source],
    metadata: ArrowReaderMetadata,
) -> Result<(RecordBatch, usize)> {
    let known = metadata.metadata().row_group(row_group);
    let rows = known.num_rows();
    let leaves: Vec<String> = sources.iter().map(|source| source.leaf()).collect();
    let leaves = leaves.iter().map(String::as_str);
    let mask = ProjectionMask::columns(metadata.parquet_schema(), leaves);
    let bytes = (0..known.num_columns()).filter(|leaf| mask.leaf_included(*leaf));
    let bytes: i64 = bytes.map(|leaf| known.column(leaf).compressed_size()).sum();
    let reader = Reader(file.clone());
    let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
        .with_row_groups(vec![row_group])
        .with_projection(mask)
        .with_batch_size(usize::try_from(rows).unwrap_or(usize::MAX))
        .build()?;
    let schema = stream.schema().clone();
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    let batch = match batches.as_slice() {
        [one] => one.clone(),
        several => concat_batches(&schema, several)?,
    };
    Ok((batch, usize::try_from(bytes).unwrap_or(0)))
}

/// Which rows of a row group have one of the values. `is_coded`: the leaf has a dictionary.
pub async fn rows_with(
    file: &Arc<DataFile>,
    row_group: usize,
    source: &Source,
    is_coded: bool,
    wanted: &[String],
) -> Result<BooleanBuffer> {
    let is_wanted = |value: &str| wanted.iter().any(|wanted| wanted == value);
    if is_coded {
        let (batch, _) = read(file, row_group, &[source]).await?;
        let codes = source.codes(&batch)?;
        let values = codes.values.as_string::<i32>();
        let mut of_code: Vec<bool> =
            values.iter().map(|value| value.is_some_and(is_wanted)).collect();
        of_code.push(false);
        let of_rows = codes.of_rows.unwrap_or_default();
        return Ok(BooleanBuffer::collect_bool(of_rows.len(), |row| {
            of_code[of_rows[row] as usize]
        }));
    }
    // A dictionary would have to be made first.
    let metadata = file.reader_metadata().await?;
    let (batch, _) = read_with(file, row_group, &[source], metadata).await?;
    let texts = source.texts(&batch)?;
    let texts = texts.as_string::<i32>();
    Ok(BooleanBuffer::collect_bool(texts.len(), |row| {
        texts.is_valid(row) && is_wanted(texts.value(row))
    }))
}

/// The hash under which a file knows an event ID: FNV-1a of its text, 32 bits of it. See
/// docs/formats/lake-table.md.
pub fn id_hash(id: &str) -> i32 {
    let hash = id
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed()
}

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
    let source = Source::Plain { column: ID_HASH.to_owned(), data_type: DataType::Int32 };
    let (batch, _) = read_with(file, row_group, &[&source], metadata).await?;
    let hashes = source.codes(&batch)?.values;
    let hashes = hashes.as_primitive::<Int32Type>().values();
    let wanted: Vec<i32> = wanted.iter().map(|id| id_hash(id)).collect();
    Ok(Some(BooleanBuffer::collect_bool(hashes.len(), |row| wanted.contains(&hashes[row]))))
}
