//! The columns of a batch, as rebuilding sees them.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::TimestampMicrosecondType;

use super::DecodeError;
use super::members::{Kind, Object, record_of};
use super::rebuild::Column;
use crate::schema::Content;

#[allow(
    clippy::large_enum_variant,
    reason = "a few dozen of them for a batch of thousands of rows"
)]
pub(crate) enum Stored {
    Text(StringArray),
    Bool(BooleanArray),
    Time(TimestampMicrosecondArray),
    Map { map: Box<MapArray>, keys: StringArray, values: StringArray },
    Object(Vec<Stored>),
    List { list: ListArray, element: Vec<Stored> },
}

impl Stored {
    /// The columns of the members of the records of a batch.
    pub fn of_batch(content: Content, batch: &RecordBatch) -> Result<Vec<Self>, DecodeError> {
        let schema = content.stored();
        let mut children = Vec::new();
        for (member, field) in record_of(content).columns().zip(schema.fields()) {
            let name = field.name();
            let column = batch.column_by_name(name).ok_or(DecodeError::NoColumn(name.clone()))?;
            let wrong = |source| DecodeError::WrongType { column: name.clone(), source };
            let column = match column.data_type() == field.data_type() {
                true => column.clone(),
                false => cast(column, field.data_type()).map_err(wrong)?,
            };
            children.push(Stored::new(member.kind, &column));
        }
        Ok(children)
    }

    /// `array` has the type that belongs to `kind`.
    pub fn new(kind: Kind, array: &ArrayRef) -> Self {
        match kind {
            Kind::Text => Stored::Text(array.as_string::<i32>().clone()),
            Kind::Bool => Stored::Bool(array.as_boolean().clone()),
            Kind::Time => Stored::Time(array.as_primitive::<TimestampMicrosecondType>().clone()),
            Kind::Map => {
                let map = Box::new(array.as_map().clone());
                let keys = map.keys().as_string().clone();
                let values = map.values().as_string().clone();
                Stored::Map { map, keys, values }
            }
            Kind::Object(object) => Stored::Object(Self::children(object, array)),
            Kind::List(object) => {
                let list = array.as_list::<i32>().clone();
                let element = Self::children(object, list.values());
                Stored::List { list, element }
            }
            Kind::Alias(_) => unreachable!("an alias has no column"),
        }
    }

    fn children(object: &Object, array: &ArrayRef) -> Vec<Stored> {
        let columns = array.as_struct().columns();
        object.columns().zip(columns).map(|(m, column)| Self::new(m.kind, column)).collect()
    }
}

impl Column for Stored {
    fn children(&self) -> &[Self] {
        match self {
            Stored::Object(children) | Stored::List { element: children, .. } => children,
            _ => unreachable!("only objects have members"),
        }
    }

    fn text(&self, row: usize) -> Option<&[u8]> {
        let Stored::Text(texts) = self else { return None };
        texts.is_valid(row).then(|| texts.value(row).as_bytes())
    }

    fn truth(&self, row: usize) -> Option<bool> {
        let Stored::Bool(truths) = self else { return None };
        truths.is_valid(row).then(|| truths.value(row))
    }

    fn time(&self, row: usize) -> Option<i64> {
        let Stored::Time(times) = self else { return None };
        times.is_valid(row).then(|| times.value(row))
    }

    fn span(&self, row: usize) -> Option<Range<usize>> {
        let (is_valid, offsets) = match self {
            Stored::Map { map, .. } => (map.is_valid(row), map.value_offsets()),
            Stored::List { list, .. } => (list.is_valid(row), list.value_offsets()),
            _ => return None,
        };
        is_valid.then(|| offsets[row] as usize..offsets[row + 1] as usize)
    }

    fn entry(&self, place: usize) -> (&[u8], Option<&[u8]>) {
        let Stored::Map { keys, values, .. } = self else { unreachable!("only maps have entries") };
        let value = values.is_valid(place).then(|| values.value(place).as_bytes());
        (keys.value(place).as_bytes(), value)
    }
}
