//! Single rows of a row group, as rebuilding sees them.
//!
//! First the rows' shapes are read: they tell which leaves their records are made of, and only those
//! are read, each of the rows that need it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use parquet::errors::Result;
use parquet::file::metadata::ParquetMetaData;

use super::members::{EVENT, Kind, NAMED_RESOURCE, Object, place};
use super::rebuild::Column;
use super::shape::{
    COLUMN, Cursor, END, LIST_END, MARKED, NULL, OTHER, OTHERWISE, REST, SAME, WHOLE,
};
use crate::pages::Leaf;
use crate::pages::picks::{Picks, picks};
use crate::prune::is_null;
use crate::table::file::DataFile;

/// The values of a column in the rows.
#[derive(Debug)]
pub(crate) enum Picked {
    /// No row has any.
    Nothing,
    /// Texts, truths or times.
    Values(Picks),
    Map {
        keys: Picks,
        values: Option<Picks>,
    },
    Object(Vec<Picked>),
    List {
        /// A leaf of its elements.
        lists: Picks,
        element: Vec<Picked>,
    },
}

/// Whole rows.
#[derive(Debug)]
pub(crate) struct Rows {
    /// The columns of an event's members.
    pub event: Vec<Picked>,
    pub shape: Picked,
    pub rest: Picked,
    pub username: Picked,
    pub resources: Picked,
}

impl Rows {
    /// The rows of a row group, which are ascending; `None` if they hold lists in lists, which are not
    /// read here.
    pub async fn fetch(
        file: &Arc<DataFile>,
        row_group: usize,
        rows: &[u32],
    ) -> Result<Option<Rows>> {
        let metadata = file.metadata().await?;
        let layout = file.layout(&metadata);
        let mut leaves = Leaves {
            file,
            row_group,
            rows,
            read: (0..metadata.row_group(row_group).num_columns()).map(|_| None).collect(),
        };
        let all = vec![true; rows.len()];
        let first = layout.always.iter().map(|place| (*place, all.clone())).collect();
        leaves.fetch(&metadata, first).await?;
        let shape = leaves.take(layout.shape);
        let mut needed: HashMap<usize, Vec<bool>> = HashMap::new();
        let (mut last, mut used): (&[u8], Vec<usize>) = (&[], Vec::new());
        for row in 0..rows.len() {
            let shape = shape.text(row).unwrap_or_default();
            if shape != last {
                used.clear();
                // What is wrong with a shape comes to light when the record is rebuilt.
                let _ = layout.used(shape, &mut used);
                last = shape;
            }
            for place in &used {
                needed.entry(*place).or_insert_with(|| vec![false; rows.len()])[row] = true;
            }
        }
        let is_deep = |place: &usize| {
            metadata.row_group(row_group).column(*place).column_descr().max_rep_level() > 1
        };
        if needed.keys().any(is_deep) {
            return Ok(None);
        }
        needed.retain(|place, _| leaves.read[*place].is_none());
        leaves.fetch(&metadata, needed.into_iter().collect()).await?;
        let rest = leaves.take(layout.rest);
        let username = leaves.take(layout.username);
        let resources = leaves.column(&layout.resources);
        let event = layout.event.iter().map(|node| leaves.column(node)).collect();
        Ok(Some(Rows { event, shape, rest, username, resources }))
    }
}

/// Where a file has the leaves of a row.
#[derive(Debug)]
pub(crate) struct Layout {
    event: Vec<Node>,
    shape: Option<usize>,
    rest: Option<usize>,
    username: Option<usize>,
    resources: Node,
    /// What is read of every row.
    always: Vec<usize>,
}

/// The leaves of a column; `None` for one that the file does not have.
#[derive(Debug)]
enum Node {
    Leaf(Option<usize>),
    Map { keys: Option<usize>, values: Option<usize> },
    Object(Vec<Node>),
    List { first: Option<usize>, element: Vec<Node> },
}

impl Layout {
    pub fn of(metadata: &ParquetMetaData) -> Layout {
        let columns = metadata.file_metadata().schema_descr().columns();
        let places: HashMap<String, usize> =
            columns.iter().enumerate().map(|(place, leaf)| (leaf.path().string(), place)).collect();
        let place_of = |path: &str| places.get(path).copied();
        let event = Node::members("", &EVENT, &place_of);
        let resources = Node::new("cairn_resources", Kind::List(&NAMED_RESOURCE), &place_of);
        let [shape, rest, username] = ["cairn_shape", "cairn_rest", "cairn_username"].map(place_of);
        let mut always: Vec<usize> = [shape, rest, username].into_iter().flatten().collect();
        resources.leaves(&mut always);
        for member in [place::EVENT_TIME, place::EVENT_ID, place::EVENT_NAME, place::EVENT_SOURCE] {
            event[member].leaves(&mut always);
        }
        event[place::READ_ONLY].leaves(&mut always);
        if let Node::Object(identity) = &event[place::USER_IDENTITY] {
            identity[place::ACCESS_KEY_ID].leaves(&mut always);
        }
        Layout { event, shape, rest, username, resources, always }
    }

    /// The leaves that a record of this shape is made of; some may come twice.
    fn used(&self, shape: &[u8], used: &mut Vec<usize>) -> std::result::Result<(), &'static str> {
        let mut shape = Cursor::new(shape);
        match shape.byte()? {
            WHOLE => Ok(()),
            _ => used_by_object(&mut shape, &EVENT, &self.event, used),
        }
    }
}

/// Goes through the members of an object as [`super::rebuild`] does.
fn used_by_object(
    shape: &mut Cursor,
    object: &Object,
    nodes: &[Node],
    used: &mut Vec<usize>,
) -> std::result::Result<(), &'static str> {
    loop {
        let code = shape.byte()?;
        match code {
            END => return Ok(()),
            SAME | OTHER => {
                shape.text()?;
                continue;
            }
            _ => {}
        }
        let (number, how) = (usize::from((code - 1) / 4), (code - 1) % 4);
        let member = object.members.get(number).ok_or("its shape names an unknown member")?;
        let (number, kind) = match member.kind {
            Kind::Alias(of) => (of, object.members[of].kind),
            kind => (number, kind),
        };
        match (kind, how, &nodes[number]) {
            (_, NULL | REST, _) => {}
            (Kind::Object(object), COLUMN, Node::Object(nodes)) => {
                used_by_object(shape, object, nodes, used)?;
            }
            (Kind::List(object), COLUMN, Node::List { first, element }) => {
                used.extend(first);
                while shape.peek() != Some(LIST_END) {
                    used_by_object(shape, object, element, used)?;
                }
                shape.byte()?;
            }
            (Kind::Map, how, node) => {
                node.leaves(used);
                if how == OTHERWISE && shape.byte()? == MARKED {
                    shape.number()?;
                }
            }
            (_, _, node) => node.leaves(used),
        }
    }
}

impl Node {
    fn new(path: &str, kind: Kind, place_of: &impl Fn(&str) -> Option<usize>) -> Node {
        match kind {
            Kind::Text | Kind::Bool | Kind::Time => Node::Leaf(place_of(path)),
            Kind::Map => Node::Map {
                keys: place_of(&format!("{path}.key_value.key")),
                values: place_of(&format!("{path}.key_value.value")),
            },
            Kind::Object(object) => {
                Node::Object(Node::members(&format!("{path}."), object, place_of))
            }
            Kind::List(object) => {
                let element = Node::members(&format!("{path}.list.element."), object, place_of);
                let first = element.iter().find_map(|node| match node {
                    Node::Leaf(place) => *place,
                    _ => None,
                });
                Node::List { first, element }
            }
            Kind::Alias(_) => unreachable!("an alias has no column"),
        }
    }

    fn members(
        prefix: &str,
        object: &Object,
        place_of: &impl Fn(&str) -> Option<usize>,
    ) -> Vec<Node> {
        let path = |key: &str| format!("{prefix}{}", key.to_lowercase());
        object.columns().map(|member| Node::new(&path(member.key), member.kind, place_of)).collect()
    }

    fn leaves(&self, to: &mut Vec<usize>) {
        match self {
            Node::Leaf(place) => to.extend(place),
            Node::Map { keys, values } => to.extend(keys.iter().chain(values)),
            Node::Object(nodes) | Node::List { element: nodes, .. } => {
                nodes.iter().for_each(|node| node.leaves(to));
            }
        }
    }
}

/// What was read of the rows, by the leaves' places in the file.
struct Leaves<'a> {
    file: &'a Arc<DataFile>,
    row_group: usize,
    rows: &'a [u32],
    read: Vec<Option<Picks>>,
}

impl Leaves<'_> {
    /// Reads leaves, each of the rows that are marked.
    async fn fetch(
        &mut self,
        metadata: &ParquetMetaData,
        mut needed: Vec<(usize, Vec<bool>)>,
    ) -> Result<()> {
        // A leaf of lists that are all empty has only nulls as well, but null lists are others.
        needed.retain(|(place, _)| {
            let chunk = metadata.row_group(self.row_group).column(*place);
            !is_null(chunk) || chunk.column_descr().max_rep_level() > 0
        });
        let rows_of = |marks: &[bool]| -> Vec<u32> {
            self.rows.iter().zip(marks).filter(|(_, mark)| **mark).map(|(row, _)| *row).collect()
        };
        let wanted: Vec<(usize, Vec<u32>)> =
            needed.iter().map(|(place, marks)| (*place, rows_of(marks))).collect();
        let leaves = Leaf::fetch_rows(self.file, self.row_group, &wanted).await?;
        for (((place, marks), (_, rows)), leaf) in needed.iter().zip(&wanted).zip(leaves) {
            let picks = picks(&leaf, rows).map_err(|error| self.file.blamed(error))?;
            self.read[*place] = Some(picks.spread(marks));
        }
        Ok(())
    }

    fn take(&mut self, place: Option<usize>) -> Picked {
        place.and_then(|place| self.read[place].take()).map_or(Picked::Nothing, Picked::Values)
    }

    fn column(&mut self, node: &Node) -> Picked {
        match node {
            Node::Leaf(place) => self.take(*place),
            Node::Map { keys, values } => {
                let mut take =
                    |place: &Option<usize>| place.and_then(|place| self.read[place].take());
                match take(keys) {
                    Some(keys) => Picked::Map { keys, values: take(values) },
                    None => Picked::Nothing,
                }
            }
            Node::Object(nodes) => {
                Picked::Object(nodes.iter().map(|node| self.column(node)).collect())
            }
            Node::List { first, element } => {
                let lists =
                    first.and_then(|first| self.read[first].as_ref()).map(Picks::lists_only);
                let element = element.iter().map(|node| self.column(node)).collect();
                lists.map_or(Picked::Nothing, |lists| Picked::List { lists, element })
            }
        }
    }
}

impl Column for Picked {
    fn children(&self) -> &[Self] {
        match self {
            Picked::Object(children) | Picked::List { element: children, .. } => children,
            _ => &[],
        }
    }

    fn text(&self, row: usize) -> Option<&[u8]> {
        match self {
            Picked::Values(picks) => picks.value(row),
            _ => None,
        }
    }

    fn truth(&self, row: usize) -> Option<bool> {
        Some(self.text(row)? == [1])
    }

    fn time(&self, row: usize) -> Option<i64> {
        Some(i64::from_le_bytes(self.text(row)?.try_into().ok()?))
    }

    fn span(&self, row: usize) -> Option<Range<usize>> {
        match self {
            Picked::Map { keys: lists, .. } | Picked::List { lists, .. } => lists.list(row),
            _ => None,
        }
    }

    fn entry(&self, place: usize) -> (&[u8], Option<&[u8]>) {
        let Picked::Map { keys, values } = self else { return (&[], None) };
        let value = values.as_ref().and_then(|values| values.value(place));
        (keys.value(place).unwrap_or_default(), value)
    }
}
