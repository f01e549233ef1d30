//! Leaves of times, of which every row has one.

use parquet::basic::{Encoding, LogicalType, TimeUnit};
use parquet::errors::Result;

use super::deltas::push_deltas;
use super::values::Width;
use super::{Leaf, Read, Wanted, cut_short};

/// The times of all rows, in microseconds since 1970; `None` if a row has none, or if they are stored
/// in a way that is not known here.
pub fn micros(leaf: &Leaf) -> Result<Option<Vec<i64>>> {
    micros_in(leaf, &(0..leaf.rows()))
}

/// The same of the pages that have any of the rows.
pub fn micros_in(leaf: &Leaf, rows: &impl Wanted) -> Result<Option<Vec<i64>>> {
    let is_micros = match leaf.chunk().column_descr().logical_type_ref() {
        Some(LogicalType::Timestamp(time)) => time.unit == TimeUnit::MICROS,
        _ => false,
    };
    if !is_micros || !leaf.is_flat() || leaf.width()? != Width::Eight {
        return Ok(None);
    }
    let mut times = Vec::new();
    let mut pages = leaf.pages()?;
    while let Some(page) = pages.next(|page| rows.any_in(page))? {
        let page = match page {
            Read::Values(page) => page,
            Read::Skipped { .. } => continue,
            Read::Dictionary(_) => return Ok(None),
        };
        if !page.is_whole() {
            return Ok(None);
        }
        match page.encoding {
            Encoding::DELTA_BINARY_PACKED => push_deltas(&page.body, page.places, &mut times)?,
            Encoding::PLAIN => {
                let eights = page.body.as_chunks().0;
                let eights = eights.get(..page.places).ok_or_else(cut_short)?;
                times.extend(eights.iter().map(|eight| i64::from_le_bytes(*eight)));
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(times))
}
