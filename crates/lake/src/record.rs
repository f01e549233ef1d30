//! The exact bytes of a record, from its row.
//!
//! A record repeats what its columns hold, so a row keeps only what they do not say: the *shape*,
//! which is the record's text with its values cut out, and the *rest*, the values that no column
//! can give back. Shapes are few (which members, in which order, of which kind), so that Parquet's
//! dictionary makes one or two bytes of each; most rows have no rest. (400,000 records of 1,450 bytes
//! from the benchmark's generator: 430 shapes, one byte a row in a file, no rest at all.)
//!
//! ```text
//!   {"eventTime":"2026-01-02T03:04:05Z","readOnly":true,"brandNew":[1],"requestParameters":{"a":"x"}}
//!
//!   shape   compact · eventTime: column · readOnly: column · "brandNew": rest · requestParameters: column · end
//!   rest    [1]
//! ```
//!
//! - [`records`] rebuilds the records of a batch.
//! - [`members`] is the table of members that have columns; [`shape`] is the format of a shape.
//! - [`rebuild`] does the work, from the columns of a batch or of a decoder that is still being
//!   filled: the decoder rebuilds each row of which it is not sure, and one of many of which it is, and
//!   keeps the whole record as the rest where a single byte differs.

pub(crate) mod block;
pub(crate) mod members;
pub(crate) mod picked;
pub(crate) mod rebuild;
pub(crate) mod shape;
pub(crate) mod stored;
mod text;
pub(crate) mod time;

pub(crate) use text::{Comparison, Out, end_of_plain_run, push_unescaped};

use arrow::array::{Array, BinaryArray, RecordBatch, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::schema::Content;
use stored::Stored;

/// Why a row has no record. Each of these means that a file was damaged or written by somebody else.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the column {0} is missing")]
    NoColumn(String),
    #[error("the column {column} is not what it should be")]
    WrongType {
        column: String,
        #[source]
        source: ArrowError,
    },
    #[error("the record of row {row} cannot be rebuilt: {what}")]
    Damaged { row: usize, what: &'static str },
    #[error("the records of the batch have more than 2 GiB; take fewer rows at a time")]
    TooLarge,
}

/// The columns that [`records`] needs: all that are stored, except those that only searching uses.
pub fn record_columns() -> impl Iterator<Item = String> {
    members::EVENT
        .columns()
        .map(|member| member.key.to_lowercase())
        .chain(["cairn_shape".to_owned(), "cairn_rest".to_owned()])
}

/// The exact record of each row of `batch`, which needs the [`record_columns`] and may have others.
/// Texts may be in any of Arrow's layouts.
pub fn records(batch: &RecordBatch) -> Result<StringArray, DecodeError> {
    records_of(Content::Events, batch)
}

/// The same of rows of any content, which need all stored columns.
pub fn records_of(content: Content, batch: &RecordBatch) -> Result<StringArray, DecodeError> {
    let object = members::record_of(content);
    let event = Stored::of_batch(content, batch)?;
    let (shapes, rests) = (binary(batch, "cairn_shape")?, binary(batch, "cairn_rest")?);
    let mut records = StringBuilder::with_capacity(batch.num_rows(), batch.num_rows() * 1024);
    let mut bytes = 0_usize;
    let mut out = Vec::new();
    for row in 0..batch.num_rows() {
        out.clear();
        let damaged = |what| DecodeError::Damaged { row, what };
        let rest = if rests.is_null(row) { &[] } else { rests.value(row) };
        rebuild::rebuild(object, &event, row, shapes.value(row), rest, &mut out)
            .map_err(damaged)?;
        bytes += out.len();
        if bytes > i32::MAX as usize {
            return Err(DecodeError::TooLarge);
        }
        records.append_value(std::str::from_utf8(&out).map_err(|_| damaged("it is not UTF-8"))?);
    }
    Ok(records.finish())
}

fn binary(batch: &RecordBatch, name: &str) -> Result<BinaryArray, DecodeError> {
    let column = batch.column_by_name(name).ok_or(DecodeError::NoColumn(name.to_owned()))?;
    let wrong = |source| DecodeError::WrongType { column: name.to_owned(), source };
    let column = cast(column, &DataType::Binary).map_err(wrong)?;
    Ok(column.as_any().downcast_ref::<BinaryArray>().expect("it was just cast").clone())
}

#[cfg(test)]
mod tests;
