//! A botocore service model (`service-2.json`), as far as we use it. Documentation is never read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::marker::PhantomData;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

#[derive(Deserialize)]
pub struct Model {
    pub metadata: Metadata,
    pub operations: BTreeMap<String, Operation>,
    pub shapes: BTreeMap<String, Shape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub api_version: String,
    pub service_id: String,
}

#[derive(Deserialize)]
pub struct Operation {
    pub input: Reference,
    pub output: Reference,
    #[serde(default)]
    pub errors: Vec<Reference>,
    #[serde(default)]
    pub idempotent: bool,
}

/// A use of a shape: by an operation, a list, or a structure's member.
#[derive(Deserialize)]
pub struct Reference {
    pub shape: String,
    /// `querystring` for members that travel in the URI; absent for the body.
    pub location: Option<String>,
    #[serde(rename = "locationName")]
    pub location_name: Option<String>,
}

#[derive(Deserialize)]
pub struct Shape {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub members: Ordered<Reference>,
    #[serde(default)]
    pub required: Vec<String>,
    pub member: Option<Reference>,
    pub key: Option<Reference>,
    pub value: Option<Reference>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub pattern: Option<String>,
    #[serde(rename = "enum", default)]
    pub values: Vec<String>,
    #[serde(default)]
    pub exception: bool,
    pub error: Option<WireError>,
}

/// The `error` trait: how an exception appears on the wire, where that differs from its shape name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireError {
    pub code: Option<String>,
    pub http_status_code: Option<u16>,
}

impl Model {
    /// Reads `path`, or `path` with `.gz` added, which is how newer botocore packages ship it.
    pub fn read(path: &Path) -> Result<Self> {
        let zipped = path.with_extension("json.gz");
        let bytes = if path.exists() {
            std::fs::read(path)?
        } else {
            let file = std::fs::File::open(&zipped)
                .with_context(|| format!("neither {} nor its .gz is there", path.display()))?;
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(file).read_to_end(&mut bytes)?;
            bytes
        };
        serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))
    }

    pub fn shape(&self, name: &str) -> Result<&Shape> {
        self.shapes
            .get(name)
            .with_context(|| format!("the model names {name} but has no such shape"))
    }

    /// The names of every shape that an operation's input can contain, itself included.
    pub fn input_shapes(&self) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> =
            self.operations.values().map(|o| o.input.shape.as_str()).collect();
        while let Some(name) = open.pop() {
            if !found.insert(name.to_owned()) {
                continue;
            }
            let shape = self.shape(name)?;
            open.extend(shape.references().map(|reference| reference.shape.as_str()));
        }
        Ok(found)
    }
}

impl Shape {
    fn references(&self) -> impl Iterator<Item = &Reference> {
        let singles = [&self.member, &self.key, &self.value].into_iter().flatten();
        singles.chain(self.members.0.iter().map(|(_, reference)| reference))
    }
}

/// A JSON object in the order of the file: the order of members is the order AWS's replies have.
pub struct Ordered<T>(pub Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}
