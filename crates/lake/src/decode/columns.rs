//! Columns that grow by one row at a time.
//!
//! A value is put at its row; rows in between, which had none, become null on the way. So a record
//! costs what it holds, not what the schema could hold.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;

use super::parts::Parts;
use crate::record::members::{Kind, Object};
use crate::record::{block, rebuild};
use crate::schema::TIME_ZONE;

/// Why arrays cannot fail to be made: only whole rows are pushed, and all text comes from records
/// that are UTF-8, cut at ASCII characters.
const CONSISTENT: &str = "the columns of a batch are consistent";

/// Takes what has been collected. Batches are alike: the next one gets as much room at once, and none
/// keeps much more room than it needs.
fn taken<T>(collected: &mut Vec<T>) -> Vec<T> {
    let room = collected.len() + collected.len() / 8;
    let mut taken = std::mem::replace(collected, Vec::with_capacity(room));
    if taken.capacity() > taken.len() + taken.len() / 4 {
        taken.shrink_to_fit();
    }
    taken
}

pub(super) enum Column {
    Text(TextColumn),
    Bool(BoolColumn),
    Time(TimeColumn),
    Map(MapColumn),
    Object(ObjectColumn),
    List(ListColumn),
}

impl Column {
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Column::Text(TextColumn::default()),
            Kind::Bool => Column::Bool(BoolColumn::default()),
            Kind::Time => Column::Time(TimeColumn::default()),
            Kind::Map => Column::Map(MapColumn::default()),
            Kind::Object(object) => Column::Object(ObjectColumn::new(object)),
            Kind::List(object) => Column::List(ListColumn::new(object)),
            Kind::Alias(_) => unreachable!("an alias has no column"),
        }
    }

    /// Whether there is a value at `row`, the last one that is being filled.
    #[inline]
    pub fn has(&self, row: usize) -> bool {
        match self {
            Column::Text(texts) => texts.len() > row,
            Column::Bool(truths) => truths.valid.has(row),
            Column::Time(times) => times.has(row),
            Column::Map(map) => map.has(row),
            Column::Object(object) => object.valid.has(row),
            Column::List(list) => list.offsets.len() > row,
        }
    }

    /// Whether [`Column::copy`] can copy what is at `row`.
    pub fn can_copy(&self, row: usize) -> bool {
        match self {
            Column::Text(_) | Column::Bool(_) | Column::Time(_) => true,
            Column::Object(object) => object.children.iter().all(|child| child.can_copy(row)),
            Column::Map(_) | Column::List(_) => !self.has(row),
        }
    }

    /// Puts at `row` what is at the row `from`.
    fn copy(&mut self, from: usize, row: usize) {
        match self {
            Column::Text(texts) => texts.copy(from, row),
            Column::Bool(truths) if truths.valid.has(from) => {
                truths.push(row, truths.values.has(from));
            }
            Column::Time(times) if times.valid.has(from) => times.push(row, times.times[from]),
            Column::Object(object) if object.valid.has(from) => object.copy(from, row),
            _ => {}
        }
    }

    /// Keeps only the first `rows`.
    fn truncate(&mut self, rows: usize) {
        match self {
            Column::Text(texts) => texts.truncate(rows),
            Column::Bool(truths) => {
                truths.values.truncate(rows);
                truths.valid.truncate(rows);
            }
            Column::Time(times) => {
                times.times.truncate(rows);
                times.valid.truncate(rows);
            }
            Column::Map(map) => {
                let entries = map.offsets.truncate(rows);
                map.valid.truncate(rows);
                map.keys.truncate(entries);
                map.values.truncate(entries);
            }
            Column::Object(object) => object.truncate(rows),
            Column::List(list) => {
                list.count = list.offsets.truncate(rows);
                list.valid.truncate(rows);
                list.element.truncate(list.count);
            }
        }
    }

    /// The array of so many rows, of type `data_type`; the column is empty afterwards.
    pub fn finish(&mut self, rows: usize, data_type: &DataType) -> ArrayRef {
        match (self, data_type) {
            (Column::Text(texts), _) => Arc::new(texts.finish(rows)),
            (Column::Bool(truths), _) => Arc::new(truths.finish(rows)),
            (Column::Time(times), _) => Arc::new(times.finish(rows)),
            (Column::Map(map), data_type) => Arc::new(map.finish(rows, data_type)),
            (Column::Object(object), data_type) => Arc::new(object.finish(rows, data_type)),
            (Column::List(list), data_type) => Arc::new(list.finish(rows, data_type)),
        }
    }
}

/// One bit a row.
#[derive(Default)]
pub(super) struct Bits(Vec<u8>);

impl Bits {
    #[inline(always)]
    pub fn set(&mut self, row: usize) {
        if self.0.len() <= row / 8 {
            self.grow(row);
        }
        self.0[row / 8] |= 1 << (row % 8);
    }

    #[inline(never)]
    fn grow(&mut self, row: usize) {
        self.0.resize(row / 8 + 1, 0);
    }

    #[inline]
    pub fn has(&self, row: usize) -> bool {
        self.0.get(row / 8).is_some_and(|eight| eight >> (row % 8) & 1 == 1)
    }

    fn truncate(&mut self, rows: usize) {
        self.0.truncate(rows.div_ceil(8));
        if let Some(last) = self.0.get_mut(rows / 8) {
            *last &= (1 << (rows % 8)) - 1;
        }
    }

    pub fn finish(&mut self, rows: usize) -> BooleanBuffer {
        let mut bits = taken(&mut self.0);
        bits.resize(rows.div_ceil(8), 0);
        BooleanBuffer::new(Buffer::from_vec(bits), 0, rows)
    }

    /// `None` when every row has a value.
    fn finish_nulls(&mut self, rows: usize) -> Option<NullBuffer> {
        Some(NullBuffer::new(self.finish(rows))).filter(|nulls| nulls.null_count() > 0)
    }
}

/// Ends of rows: row `n` lies between the ends before and at `n`.
#[derive(Default)]
pub(super) struct Offsets(Vec<i32>);

impl Offsets {
    /// How many rows have an end.
    #[inline]
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn before(&self, row: usize) -> usize {
        match row {
            0 => 0,
            _ => self.0[row - 1] as usize,
        }
    }

    /// Ends all rows before `row` where the last one ended.
    #[inline(always)]
    fn pad(&mut self, row: usize) {
        if self.0.len() < row {
            self.pad_to(row);
        }
    }

    #[inline(never)]
    fn pad_to(&mut self, row: usize) {
        let end = self.0.last().copied().unwrap_or(0);
        self.0.resize(row, end);
    }

    #[inline]
    fn push(&mut self, end: usize) {
        self.0.push(i32::try_from(end).expect("a batch has less than 2 GiB"));
    }

    #[inline]
    fn span(&self, row: usize) -> Range<usize> {
        self.before(row)..self.0[row] as usize
    }

    /// Keeps only the first rows; gives where the last one ends.
    fn truncate(&mut self, rows: usize) -> usize {
        self.0.truncate(rows);
        self.before(self.0.len())
    }

    pub fn finish(&mut self, rows: usize) -> OffsetBuffer<i32> {
        self.pad(rows);
        self.0.insert(0, 0);
        let offsets = taken(&mut self.0);
        OffsetBuffer::new(ScalarBuffer::from(offsets))
    }
}

#[derive(Default)]
pub(super) struct TextColumn {
    ends: Offsets,
    values: Vec<u8>,
    valid: Bits,
}

impl TextColumn {
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Puts `text` at `row`, which is after all rows so far.
    #[inline(always)]
    pub fn push(&mut self, row: usize, text: &[u8]) {
        self.push_with(row, |values| values.extend_from_slice(text));
    }

    /// Puts at `row` the part of `text` between `start` and `end`. A short one is copied as a whole
    /// block, of which the end is then cut off: that takes no branch on its length.
    #[inline(always)]
    pub fn push_part(&mut self, row: usize, text: &[u8], start: usize, end: usize) {
        let length = end.saturating_sub(start);
        match text.get(start..).and_then(|text| text.first_chunk::<{ block::BYTES }>()) {
            Some(block) if length <= block::BYTES => self.push_with(row, |values| {
                let length = values.len() + length;
                values.extend_from_slice(block);
                values.truncate(length);
            }),
            _ => self.push(row, text.get(start..end).unwrap_or_default()),
        }
    }

    /// Puts at `row` what `append` appends.
    #[inline(always)]
    pub fn push_with(&mut self, row: usize, append: impl FnOnce(&mut Vec<u8>)) {
        self.ends.pad(row);
        append(&mut self.values);
        self.ends.push(self.values.len());
        self.valid.set(row);
    }

    #[inline]
    fn copy(&mut self, from: usize, row: usize) {
        if self.valid.has(from) {
            let span = self.ends.span(from);
            self.push_with(row, |values| values.extend_from_within(span));
        }
    }

    #[inline]
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        self.valid.has(row).then(|| &self.values[self.ends.span(row)])
    }

    fn truncate(&mut self, rows: usize) {
        let bytes = self.ends.truncate(rows);
        self.values.truncate(bytes);
        self.valid.truncate(rows);
    }

    pub fn finish(&mut self, rows: usize) -> StringArray {
        let ends = self.ends.finish(rows);
        let values = Buffer::from_vec(taken(&mut self.values));
        StringArray::try_new(ends, values, self.valid.finish_nulls(rows)).expect(CONSISTENT)
    }

    pub fn finish_binary(&mut self, rows: usize) -> BinaryArray {
        let ends = self.ends.finish(rows);
        let values = Buffer::from_vec(taken(&mut self.values));
        BinaryArray::try_new(ends, values, self.valid.finish_nulls(rows)).expect(CONSISTENT)
    }
}

#[derive(Default)]
pub(super) struct BoolColumn {
    values: Bits,
    valid: Bits,
}

impl BoolColumn {
    #[inline]
    pub fn push(&mut self, row: usize, truth: bool) {
        self.valid.set(row);
        if truth {
            self.values.set(row);
        }
    }

    pub fn finish(&mut self, rows: usize) -> BooleanArray {
        BooleanArray::new(self.values.finish(rows), self.valid.finish_nulls(rows))
    }
}

/// Times in microseconds.
#[derive(Default)]
pub(super) struct TimeColumn {
    times: Vec<i64>,
    valid: Bits,
}

impl TimeColumn {
    #[inline]
    pub fn has(&self, row: usize) -> bool {
        self.times.len() > row
    }

    #[inline]
    pub fn get(&self, row: usize) -> Option<i64> {
        self.valid.has(row).then(|| self.times[row])
    }

    #[inline]
    pub fn push(&mut self, row: usize, time_us: i64) {
        self.times.resize(row, 0);
        self.times.push(time_us);
        self.valid.set(row);
    }

    pub fn finish(&mut self, rows: usize) -> TimestampMicrosecondArray {
        self.times.resize(rows, 0);
        let times = ScalarBuffer::from(taken(&mut self.times));
        TimestampMicrosecondArray::new(times, self.valid.finish_nulls(rows))
            .with_timezone(TIME_ZONE)
    }
}

/// A row has the entries that were pushed since [`MapColumn::begin`].
#[derive(Default)]
pub(super) struct MapColumn {
    offsets: Offsets,
    valid: Bits,
    keys: TextColumn,
    values: TextColumn,
    /// The entries of the last row.
    pub last: Vec<Entry>,
}

/// Where an entry of a map stands in the text of its record: the inside of its key, and its value.
pub(super) struct Entry {
    pub key: Range<usize>,
    pub value: Range<usize>,
}

impl MapColumn {
    #[inline]
    pub fn has(&self, row: usize) -> bool {
        self.offsets.len() > row
    }

    #[inline]
    pub fn begin(&mut self, row: usize) {
        self.offsets.pad(row);
        self.valid.set(row);
        self.last.clear();
    }

    #[inline]
    pub fn end(&mut self) {
        self.offsets.push(self.keys.len());
    }

    /// Where the next entry goes.
    #[inline]
    pub fn next(&self) -> usize {
        self.keys.len()
    }

    #[inline]
    pub fn keys(&mut self) -> &mut TextColumn {
        &mut self.keys
    }

    #[inline]
    pub fn values(&mut self) -> &mut TextColumn {
        &mut self.values
    }

    pub fn finish(&mut self, rows: usize, data_type: &DataType) -> MapArray {
        let DataType::Map(entry, _) = data_type else { unreachable!("{CONSISTENT}") };
        let DataType::Struct(fields) = entry.data_type() else { unreachable!("{CONSISTENT}") };
        let count = self.keys.len();
        let keys: ArrayRef = Arc::new(self.keys.finish(count));
        let values: ArrayRef = Arc::new(self.values.finish(count));
        let entries =
            StructArray::try_new_with_length(fields.clone(), vec![keys, values], None, count)
                .expect(CONSISTENT);
        let nulls = self.valid.finish_nulls(rows);
        MapArray::try_new(entry.clone(), self.offsets.finish(rows), entries, nulls, false)
            .expect(CONSISTENT)
    }
}

pub(super) struct ObjectColumn {
    pub object: &'static Object,
    pub valid: Bits,
    pub children: Vec<Column>,
    /// Which member came last time after the first, second … (after none at place 0). Records of one
    /// kind have their members in one order, so this is nearly always right.
    pub next: Vec<u8>,
    pub parts: Parts,
}

impl ObjectColumn {
    pub fn new(object: &'static Object) -> Self {
        let next = (0..=object.members.len()).map(|number| number as u8).collect();
        let children = object.columns().map(|member| Column::new(member.kind)).collect();
        Self { object, valid: Bits::default(), children, next, parts: Parts::default() }
    }

    /// Puts at `row` what is at the row `from`, which [`Column::can_copy`].
    pub fn copy(&mut self, from: usize, row: usize) {
        self.valid.set(row);
        for child in &mut self.children {
            child.copy(from, row);
        }
    }

    /// Keeps only the first `rows`.
    pub fn truncate(&mut self, rows: usize) {
        self.valid.truncate(rows);
        self.parts.forget_row(rows);
        for child in &mut self.children {
            child.truncate(rows);
        }
    }

    pub fn finish(&mut self, rows: usize, data_type: &DataType) -> StructArray {
        let DataType::Struct(fields) = data_type else { unreachable!("{CONSISTENT}") };
        self.parts.forget();
        let children = self.children.iter_mut().zip(fields);
        let arrays = children.map(|(child, field)| child.finish(rows, field.data_type())).collect();
        let nulls = self.valid.finish_nulls(rows);
        StructArray::try_new_with_length(fields.clone(), arrays, nulls, rows).expect(CONSISTENT)
    }
}

/// A row has the elements that were counted since [`ListColumn::begin`].
pub(super) struct ListColumn {
    offsets: Offsets,
    valid: Bits,
    pub element: ObjectColumn,
    pub count: usize,
}

impl ListColumn {
    pub fn new(object: &'static Object) -> Self {
        let element = ObjectColumn::new(object);
        Self { offsets: Offsets::default(), valid: Bits::default(), element, count: 0 }
    }

    pub fn begin(&mut self, row: usize) {
        self.offsets.pad(row);
        self.valid.set(row);
    }

    pub fn end(&mut self) {
        self.offsets.push(self.count);
    }

    /// The places of the elements of `row`.
    pub fn elements(&self, row: usize) -> Range<usize> {
        match self.offsets.len() > row {
            true => self.offsets.span(row),
            false => 0..0,
        }
    }

    /// An element whose members are all texts.
    pub fn push_texts<const N: usize>(&mut self, texts: [Option<&str>; N]) {
        self.element.valid.set(self.count);
        for (column, text) in self.element.children.iter_mut().zip(texts) {
            if let (Column::Text(column), Some(text)) = (column, text) {
                column.push(self.count, text.as_bytes());
            }
        }
        self.count += 1;
    }

    pub fn finish(&mut self, rows: usize, data_type: &DataType) -> ListArray {
        let DataType::List(element) = data_type else { unreachable!("{CONSISTENT}") };
        let count = std::mem::take(&mut self.count);
        let elements: ArrayRef = Arc::new(self.element.finish(count, element.data_type()));
        let nulls = self.valid.finish_nulls(rows);
        ListArray::try_new(element.clone(), self.offsets.finish(rows), elements, nulls)
            .expect(CONSISTENT)
    }
}

impl rebuild::Column for Column {
    #[inline]
    fn children(&self) -> &[Self] {
        match self {
            Column::Object(object) => &object.children,
            Column::List(list) => &list.element.children,
            _ => unreachable!("only objects have members"),
        }
    }

    #[inline]
    fn text(&self, row: usize) -> Option<&[u8]> {
        let Column::Text(texts) = self else { return None };
        texts.get(row)
    }

    #[inline]
    fn truth(&self, row: usize) -> Option<bool> {
        let Column::Bool(truths) = self else { return None };
        truths.valid.has(row).then(|| truths.values.has(row))
    }

    #[inline]
    fn time(&self, row: usize) -> Option<i64> {
        let Column::Time(times) = self else { return None };
        times.get(row)
    }

    #[inline]
    fn span(&self, row: usize) -> Option<Range<usize>> {
        let (valid, offsets) = match self {
            Column::Map(map) => (&map.valid, &map.offsets),
            Column::List(list) => (&list.valid, &list.offsets),
            _ => return None,
        };
        valid.has(row).then(|| offsets.span(row))
    }

    #[inline]
    fn entry(&self, place: usize) -> (&[u8], Option<&[u8]>) {
        let Column::Map(map) = self else { unreachable!("only maps have entries") };
        (map.keys.get(place).unwrap_or_default(), map.values.get(place))
    }
}
