//! What a query reads of each column.

use std::collections::BTreeSet;
use std::fmt;

use arrow::datatypes::SchemaRef;

/// Leaves below a column: the names on the way to each, in lower case.
pub(super) type Leaves = BTreeSet<Vec<String>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub columns: SchemaRef,
    /// For each column; `None` when all of it is read.
    pub leaves: Vec<Option<Leaves>>,
}

impl Wanted {
    pub fn whole(columns: SchemaRef) -> Wanted {
        let leaves = vec![None; columns.fields().len()];
        Wanted { columns, leaves }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("columns=[")?;
        let mut separator = "";
        for (field, leaves) in self.columns.fields().iter().zip(&self.leaves) {
            match leaves {
                None => write!(f, "{separator}{}", field.name())?,
                Some(leaves) => {
                    for leaf in leaves {
                        write!(f, "{separator}{}.{}", field.name(), leaf.join("."))?;
                        separator = ", ";
                    }
                }
            }
            separator = ", ";
        }
        f.write_str("]")
    }
}
