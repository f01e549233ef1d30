//! One thread's way through files.

use std::io::Read as _;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use event::Records;
use libdeflater::Decompressor;
use memchr::memmem;

use super::RECORD;
use super::exec::Files;
use super::quick::Reader;
use super::wanted::Wanted;
use crate::decode::{Decoder, Refused, RowIn};
use crate::import::{FILE_LIMITS, body_of};

const BATCH_ROWS: usize = 8_192;
/// A log file has 50 MB at most; what inflates to more, or has several gzip members, is left to the
/// ordinary way.
const QUICK_BYTES_MAX: usize = 256 << 20;
/// What a gzip member begins with; deflate is the only method.
const GZIP_MEMBER: [u8; 3] = [0x1f, 0x8b, 8];

/// Reads files one after the other, into buffers that are used again.
pub(super) struct Reading {
    columns: SchemaRef,
    reader: Option<Reader>,
    inflater: Decompressor,
    file: Vec<u8>,
    body: Vec<u8>,
}

impl Reading {
    pub fn new(wanted: &Wanted) -> Reading {
        Reading {
            columns: wanted.columns.clone(),
            reader: Reader::new(wanted),
            inflater: Decompressor::new(),
            file: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The rows of a file on this machine.
    pub fn rows_at(&mut self, files: &Files, name: &str, path: &Path) -> Result<Vec<RecordBatch>> {
        let mut file = std::mem::take(&mut self.file);
        file.clear();
        let read = std::fs::File::open(path).and_then(|mut from| from.read_to_end(&mut file));
        let batches = match read {
            Ok(_) => self.rows(files, name, &file),
            Err(error) => {
                files.trouble(name, error.to_string());
                Ok(Vec::new())
            }
        };
        self.file = file;
        batches
    }

    /// The rows of a file with these bytes.
    pub fn rows(&mut self, files: &Files, name: &str, bytes: &[u8]) -> Result<Vec<RecordBatch>> {
        match self.quick(bytes) {
            Some(batches) => Ok(batches),
            None => decode(&self.columns, files, name, bytes),
        }
    }

    /// `None` when the file is not for a quick reading.
    fn quick(&mut self, bytes: &[u8]) -> Option<Vec<RecordBatch>> {
        let reader = self.reader.as_mut()?;
        if !bytes.starts_with(&GZIP_MEMBER) {
            return reader.read(bytes);
        }
        // A member that is no larger than its deflated form can say is inflated at once; where it
        // ends cannot be told then, so another must not follow.
        let size = u32::from_le_bytes(*bytes.last_chunk()?) as usize;
        let is_likely = size <= QUICK_BYTES_MAX && size / 1032 <= bytes.len();
        if !is_likely || memmem::find(&bytes[1..], &GZIP_MEMBER).is_some() {
            return None;
        }
        if self.body.len() < size {
            self.body.resize(size, 0);
        }
        let body = &mut self.body[..size];
        let written = self.inflater.gzip_decompress(bytes, body).ok()?;
        if written == size { reader.read(body) } else { None }
    }
}

/// The rows of a file by the decoder that checks everything; what is left out is told.
pub(super) fn decode(
    columns: &SchemaRef,
    files: &Files,
    name: &str,
    bytes: &[u8],
) -> Result<Vec<RecordBatch>> {
    let body = match body_of(bytes, Vec::new()) {
        Ok(body) => body,
        Err(reason) => {
            files.trouble(name, reason);
            return Ok(Vec::new());
        }
    };
    let mut batches = Vec::new();
    let mut decoder = Decoder::without_records();
    let mut texts = StringBuilder::new();
    let keeps_text = columns.column_with_name(RECORD).is_some();
    let mut records = Records::new(&body);
    while let Some(item) = records.next_checked(&FILE_LIMITS) {
        let (record, header) = match item.result {
            Ok(checked) => checked,
            Err(reason) => {
                files.trouble(name, format!("{}: {reason}", item.place));
                continue;
            }
        };
        if decoder.rows() >= BATCH_ROWS {
            batches.push(batch(columns, &mut decoder, &mut texts)?);
        }
        // Nobody asks whose row it is.
        let row = RowIn { account: "", record };
        let mut pushed = decoder.push_checked(row, &header);
        if matches!(pushed, Err(Refused::Full)) {
            batches.push(batch(columns, &mut decoder, &mut texts)?);
            pushed = decoder.push_checked(row, &header);
        }
        match pushed {
            // Records that were taken are UTF-8.
            Ok(_) if keeps_text => texts.append_value(String::from_utf8_lossy(record)),
            Ok(_) => {}
            Err(reason) => files.trouble(name, format!("{}: {reason}", item.place)),
        }
    }
    if decoder.rows() > 0 {
        batches.push(batch(columns, &mut decoder, &mut texts)?);
    }
    Ok(batches)
}

/// The columns that the query reads, out of what was decoded.
fn batch(
    wanted: &SchemaRef,
    decoder: &mut Decoder,
    texts: &mut StringBuilder,
) -> Result<RecordBatch> {
    let stored = decoder.finish();
    let texts: ArrayRef = std::sync::Arc::new(texts.finish());
    let columns = wanted.fields().iter().map(|field| match field.name().as_str() {
        RECORD => texts.clone(),
        name => match stored.column_by_name(name) {
            Some(column) => column.clone(),
            None => arrow::array::new_null_array(field.data_type(), stored.num_rows()),
        },
    });
    let options = RecordBatchOptions::new().with_row_count(Some(stored.num_rows()));
    Ok(RecordBatch::try_new_with_options(wanted.clone(), columns.collect(), &options)?)
}
