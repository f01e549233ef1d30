//! The columns that a quick reading fills: texts, truths and times, at the top or inside objects.
//!
//! A value is put at its row; the rows before it that had none become null on the way.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, StringArray, StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use wide::u8x16;

use crate::record::members::{Kind, Member, Object};
use crate::record::push_unescaped;
use crate::schema::TIME_ZONE;

/// Why arrays cannot fail to be made: only whole rows are handed over, and all text comes from a
/// body that is UTF-8, cut at ASCII characters.
const CONSISTENT: &str = "the columns of a batch are consistent";

/// What is done with the value of a member.
pub(super) enum Want {
    Nothing,
    Text(TextLeaf),
    Bool(BoolLeaf),
    Time(TimeLeaf),
    Object(Box<ObjectLeaves>),
    /// It is not for a quick reading: its text goes to the decoder.
    Cut,
}

impl Want {
    /// The array of so many rows; empty afterwards.
    pub fn finish(&mut self, rows: usize, data_type: &DataType) -> ArrayRef {
        match self {
            Want::Text(texts) => Arc::new(texts.finish(rows)),
            Want::Bool(truths) => Arc::new(truths.finish(rows)),
            Want::Time(times) => Arc::new(times.finish(rows)),
            Want::Object(object) => Arc::new(object.finish(rows, data_type)),
            Want::Nothing | Want::Cut => new_null_array(data_type, rows),
        }
    }

    pub fn clear(&mut self) {
        match self {
            Want::Text(texts) => *texts = TextLeaf::default(),
            Want::Bool(truths) => *truths = BoolLeaf::default(),
            Want::Time(times) => *times = TimeLeaf::default(),
            Want::Object(object) => {
                object.valid = Valid::default();
                object.wants.iter_mut().for_each(Want::clear);
            }
            Want::Nothing | Want::Cut => {}
        }
    }
}

/// Which rows have a value.
#[derive(Default)]
struct Valid(Vec<bool>);

impl Valid {
    #[inline]
    fn has(&self, row: usize) -> bool {
        self.0.len() > row
    }

    #[inline]
    fn set(&mut self, row: usize) {
        if self.0.len() < row {
            self.0.resize(row, false);
        }
        self.0.push(true);
    }

    /// `None` when every row has a value.
    fn finish(&mut self, rows: usize) -> Option<NullBuffer> {
        self.0.resize(rows, false);
        let nulls = NullBuffer::new(BooleanBuffer::from(self.0.as_slice()));
        self.0.clear();
        Some(nulls).filter(|nulls| nulls.null_count() > 0)
    }
}

#[derive(Default)]
pub(super) struct TextLeaf {
    ends: Vec<i32>,
    values: Vec<u8>,
    valid: Valid,
}

impl TextLeaf {
    #[inline]
    pub fn has(&self, row: usize) -> bool {
        self.valid.has(row)
    }

    /// Puts the inside of a string at `row`, which is after all rows so far.
    #[inline]
    pub fn push(&mut self, row: usize, inside: &[u8], is_escaped: bool) {
        self.pad(row);
        match is_escaped {
            false => self.values.extend_from_slice(inside),
            true => push_unescaped(&mut self.values, inside),
        }
        self.ends.push(self.end());
        self.valid.set(row);
    }

    /// The texts of a batch are pieces of files, which have a gigabyte at most.
    #[inline]
    fn end(&self) -> i32 {
        i32::try_from(self.values.len()).expect("a batch has less than 2 GiB of text")
    }

    #[inline]
    fn pad(&mut self, rows: usize) {
        if self.ends.len() < rows {
            self.ends.resize(rows, self.end());
        }
    }

    pub fn finish(&mut self, rows: usize) -> StringArray {
        self.pad(rows);
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        offsets.append(&mut self.ends);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let room = self.values.len();
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(room));
        let nulls = self.valid.finish(rows);
        StringArray::try_new(offsets, Buffer::from_vec(values), nulls).expect(CONSISTENT)
    }
}

#[derive(Default)]
pub(super) struct BoolLeaf {
    truths: Vec<bool>,
    valid: Valid,
}

impl BoolLeaf {
    pub fn has(&self, row: usize) -> bool {
        self.valid.has(row)
    }

    pub fn push(&mut self, row: usize, truth: bool) {
        self.truths.resize(row, false);
        self.truths.push(truth);
        self.valid.set(row);
    }

    fn finish(&mut self, rows: usize) -> BooleanArray {
        self.truths.resize(rows, false);
        let truths = BooleanBuffer::from(self.truths.as_slice());
        self.truths.clear();
        BooleanArray::new(truths, self.valid.finish(rows))
    }
}

/// Times in microseconds.
#[derive(Default)]
pub(super) struct TimeLeaf {
    times: Vec<i64>,
    valid: Valid,
}

impl TimeLeaf {
    pub fn has(&self, row: usize) -> bool {
        self.valid.has(row)
    }

    pub fn push(&mut self, row: usize, time_us: i64) {
        self.times.resize(row, 0);
        self.times.push(time_us);
        self.valid.set(row);
    }

    fn finish(&mut self, rows: usize) -> TimestampMicrosecondArray {
        self.times.resize(rows, 0);
        let times = ScalarBuffer::from(std::mem::take(&mut self.times));
        TimestampMicrosecondArray::new(times, self.valid.finish(rows)).with_timezone(TIME_ZONE)
    }
}

pub(super) struct ObjectLeaves {
    pub object: &'static Object,
    /// For each member of the object.
    pub wants: Vec<Want>,
    /// How many of them are wanted.
    pub wanted: usize,
    /// Which member came last time after the first, second … (after none at place 0), and which the
    /// time before: a member that only some records have is expected, and the one behind it.
    next: Vec<[u8; 2]>,
    leads: Vec<Lead>,
    valid: Valid,
}

/// A short text that is expected to stand somewhere, such as a key in quotes and its colon, to be
/// compared at once.
pub(super) struct Lead {
    blocks: [u8x16; 2],
    /// Ones where a byte does not count.
    free: [u8x16; 2],
    pub length: usize,
}

impl Lead {
    /// `None` when it is too long.
    pub fn of(lead: &[u8]) -> Option<Lead> {
        let mut bytes = [0; 32];
        let mut free = [0xFF; 32];
        bytes.get_mut(..lead.len())?.copy_from_slice(lead);
        free[..lead.len()].fill(0);
        let both = |bytes: &[u8; 32]| {
            let halves = bytes.as_chunks::<16>().0;
            [u8x16::new(halves[0]), u8x16::new(halves[1])]
        };
        Some(Lead { blocks: both(&bytes), free: both(&free), length: lead.len() })
    }

    #[inline(always)]
    pub fn begins(&self, text: &[u8], at: usize) -> bool {
        let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<32>()) else {
            return false;
        };
        let halves = block.as_chunks::<16>().0;
        let first = u8x16::new(halves[0]).simd_eq(self.blocks[0]) | self.free[0];
        let second = u8x16::new(halves[1]).simd_eq(self.blocks[1]) | self.free[1];
        (first & second).to_bitmask() == 0xFFFF
    }
}

impl ObjectLeaves {
    /// The member that came last time after the one before `previous`, when its key stands at `at`;
    /// and where its value begins, about.
    #[inline(always)]
    pub fn expected(&self, text: &[u8], at: usize, previous: usize) -> Option<(usize, usize)> {
        let [last, earlier] = self.next[previous].map(usize::from);
        let lead = self.leads.get(last)?;
        if lead.begins(text, at) {
            return Some((last, at + lead.length));
        }
        let lead = self.leads.get(earlier)?;
        lead.begins(text, at).then_some((earlier, at + lead.length))
    }

    /// The member with this key, which is expected in this place from now on.
    #[inline(never)]
    pub fn found(&mut self, key: &[u8], previous: usize) -> Option<usize> {
        let number = self.object.number(key)?;
        let last = self.next[previous][0];
        self.next[previous] = [number as u8, last];
        Some(number)
    }

    pub fn new(object: &'static Object) -> ObjectLeaves {
        let lead = |member: &Member| {
            Lead::of(member.lead.as_bytes()).expect("a lead that is too long does not compile")
        };
        let leads = object.members.iter().map(lead).collect();
        let wants = object.members.iter().map(|_| Want::Nothing).collect();
        let next = (0..=object.members.len()).map(|number| [number as u8, u8::MAX]).collect();
        ObjectLeaves { object, wants, wanted: 0, next, leads, valid: Valid::default() }
    }

    pub fn begin(&mut self, row: usize) {
        self.valid.set(row);
    }

    pub fn has(&self, row: usize) -> bool {
        self.valid.has(row)
    }

    /// Wants the leaf at the end of `path`, names in lower case. Answers whether that can be done.
    pub fn want(&mut self, path: &[String]) -> bool {
        let Some((name, below)) = path.split_first() else { return false };
        let member = |member: &Member| {
            !matches!(member.kind, Kind::Alias(_)) && member.key.eq_ignore_ascii_case(name)
        };
        let Some(number) = self.object.members.iter().position(member) else { return false };
        let want = &mut self.wants[number];
        if matches!(want, Want::Nothing) {
            *want = match self.object.members[number].kind {
                Kind::Text if below.is_empty() => Want::Text(TextLeaf::default()),
                Kind::Bool if below.is_empty() => Want::Bool(BoolLeaf::default()),
                Kind::Time if below.is_empty() => Want::Time(TimeLeaf::default()),
                Kind::Object(object) if !below.is_empty() => {
                    Want::Object(Box::new(ObjectLeaves::new(object)))
                }
                _ => return false,
            };
            self.wanted += 1;
        }
        match want {
            Want::Object(object) => object.want(below),
            _ => below.is_empty(),
        }
    }

    /// Members that nobody wants are null everywhere.
    fn finish(&mut self, rows: usize, data_type: &DataType) -> StructArray {
        let DataType::Struct(fields) = data_type else { unreachable!("{CONSISTENT}") };
        let wants = self.wants.iter_mut().zip(fields);
        let arrays = wants.map(|(want, field)| want.finish(rows, field.data_type())).collect();
        let nulls = self.valid.finish(rows);
        StructArray::try_new_with_length(fields.clone(), arrays, nulls, rows).expect(CONSISTENT)
    }
}
