//! Trino's types: how they are written, and what they are in Arrow.
//!
//! | Trino | Arrow |
//! |---|---|
//! | `json` | Utf8 with the metadata of the extension type `arrow.json` |
//! | `timestamp`, with or without time zone | microseconds, UTC |
//! | `varchar(n)`, `char(n)` | Utf8; the length is not enforced |

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::dialect::Trino;
use crate::schema::timestamp;

const EXTENSION: &str = "ARROW:extension:name";
const JSON: &str = "arrow.json";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    Boolean,
    Tinyint,
    Smallint,
    Integer,
    Bigint,
    Real,
    Double,
    Decimal(u8, i8),
    Varchar,
    Varbinary,
    Json,
    Date,
    Timestamp,
    Array(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Row(Vec<(Option<String>, Type)>),
}

/// Reads a type from the parser's next tokens.
pub fn parse(parser: &mut Parser) -> Result<Type, ParserError> {
    let token = parser.next_token();
    let Token::Word(word) = &token.token else { return parser.expected("a type", token) };
    let simple = match word.value.to_lowercase().as_str() {
        "boolean" => Type::Boolean,
        "tinyint" => Type::Tinyint,
        "smallint" => Type::Smallint,
        "integer" | "int" => Type::Integer,
        "bigint" => Type::Bigint,
        "real" => Type::Real,
        "double" => Type::Double,
        "varchar" | "char" | "string" => {
            parse_numbers(parser)?;
            Type::Varchar
        }
        "varbinary" => Type::Varbinary,
        "json" => Type::Json,
        "date" => Type::Date,
        "timestamp" => {
            parse_numbers(parser)?;
            parse_time_zone(parser)?;
            Type::Timestamp
        }
        "decimal" => match parse_numbers(parser)?.as_slice() {
            [] => Type::Decimal(38, 0),
            [precision] => Type::Decimal(*precision, 0),
            [precision, scale, ..] => Type::Decimal(*precision, i8::try_from(*scale).unwrap_or(0)),
        },
        "array" => {
            let close = parse_open(parser)?;
            let element = parse(parser)?;
            parser.expect_token(&close)?;
            Type::Array(Box::new(element))
        }
        "map" => {
            let close = parse_open(parser)?;
            let key = parse(parser)?;
            parser.expect_token(&Token::Comma)?;
            let value = parse(parser)?;
            parser.expect_token(&close)?;
            Type::Map(Box::new(key), Box::new(value))
        }
        "row" => {
            let close = parse_open(parser)?;
            let fields = parser.parse_comma_separated(parse_row_field)?;
            parser.expect_token(&close)?;
            Type::Row(fields)
        }
        _ => return parser.expected("a type", token),
    };
    Ok(simple)
}

/// `name type` or `type`.
fn parse_row_field(parser: &mut Parser) -> Result<(Option<String>, Type), ParserError> {
    let named = matches!(parser.peek_nth_token_ref(1).token, Token::Word(_));
    let name = if named { Some(parser.parse_identifier()?.value) } else { None };
    Ok((name, parse(parser)?))
}

fn parse_open(parser: &mut Parser) -> Result<Token, ParserError> {
    if parser.consume_token(&Token::Lt) {
        return Ok(Token::Gt);
    }
    parser.expect_token(&Token::LParen)?;
    Ok(Token::RParen)
}

/// `(3)` or `(10, 2)`, if there.
fn parse_numbers(parser: &mut Parser) -> Result<Vec<u8>, ParserError> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(Vec::new());
    }
    let numbers = parser.parse_comma_separated(Parser::parse_literal_uint)?;
    parser.expect_token(&Token::RParen)?;
    Ok(numbers.into_iter().map(|number| u8::try_from(number).unwrap_or(u8::MAX)).collect())
}

/// `with time zone` or `without time zone`, if there.
fn parse_time_zone(parser: &mut Parser) -> Result<(), ParserError> {
    let token = parser.peek_token_ref().token.to_string().to_lowercase();
    if token != "with" && token != "without" {
        return Ok(());
    }
    parser.next_token();
    for expected in ["time", "zone"] {
        let token = parser.next_token();
        if token.token.to_string().to_lowercase() != expected {
            return parser.expected(expected, token);
        }
    }
    Ok(())
}

impl Type {
    /// The type that its text says.
    pub fn from_text(text: &str) -> Result<Self, ParserError> {
        let tokens = Tokenizer::new(&Trino, text).tokenize()?;
        parse(&mut Parser::new(&Trino).with_tokens(tokens))
    }

    /// A nullable field of this type.
    pub fn field(&self, name: &str) -> FieldRef {
        let field = Field::new(name, self.data_type(), true);
        match self {
            Self::Json => Arc::new(field.with_metadata(json_metadata())),
            _ => Arc::new(field),
        }
    }

    pub fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Tinyint => DataType::Int8,
            Self::Smallint => DataType::Int16,
            Self::Integer => DataType::Int32,
            Self::Bigint => DataType::Int64,
            Self::Real => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale),
            Self::Varchar | Self::Json => DataType::Utf8,
            Self::Varbinary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Timestamp => timestamp(),
            Self::Array(element) => DataType::List(element.field("item")),
            Self::Map(key, value) => {
                let key = key.field("key").as_ref().clone().with_nullable(false);
                map_of(Arc::new(key), value.field("value"))
            }
            Self::Row(fields) => DataType::Struct(
                fields
                    .iter()
                    .enumerate()
                    .map(|(i, (name, field))| {
                        field.field(name.as_deref().unwrap_or(&format!("field{i}")))
                    })
                    .collect(),
            ),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => write!(f, "boolean"),
            Self::Tinyint => write!(f, "tinyint"),
            Self::Smallint => write!(f, "smallint"),
            Self::Integer => write!(f, "integer"),
            Self::Bigint => write!(f, "bigint"),
            Self::Real => write!(f, "real"),
            Self::Double => write!(f, "double"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::Varchar => write!(f, "varchar"),
            Self::Varbinary => write!(f, "varbinary"),
            Self::Json => write!(f, "json"),
            Self::Date => write!(f, "date"),
            Self::Timestamp => write!(f, "timestamp"),
            Self::Array(element) => write!(f, "array({element})"),
            Self::Map(key, value) => write!(f, "map({key},{value})"),
            Self::Row(fields) => {
                write!(f, "row(")?;
                for (i, (name, field)) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    match name {
                        Some(name) => write!(f, "{comma}\"{name}\" {field}")?,
                        None => write!(f, "{comma}{field}")?,
                    }
                }
                write!(f, ")")
            }
        }
    }
}

/// A map of these entries, named as Delta and Parquet do.
pub fn map_of(key: FieldRef, value: FieldRef) -> DataType {
    let entries = Field::new("key_value", DataType::Struct(Fields::from(vec![key, value])), false);
    DataType::Map(Arc::new(entries), false)
}

/// Whether the field's text is JSON and not a plain string.
pub fn is_json(field: &Field) -> bool {
    field.metadata().get(EXTENSION).is_some_and(|name| name == JSON)
}

/// A nullable field of JSON text.
pub fn json_field(name: &str) -> FieldRef {
    Type::Json.field(name)
}

fn json_metadata() -> HashMap<String, String> {
    HashMap::from([(EXTENSION.to_owned(), JSON.to_owned())])
}

/// Trino's name for what a field holds.
pub fn name_of(field: &Field) -> String {
    match field.data_type() {
        _ if is_json(field) => "json".to_owned(),
        DataType::Null => "unknown".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::UInt8 => "tinyint".to_owned(),
        DataType::Int16 | DataType::UInt16 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt32 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "varbinary".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp(3)".to_owned(),
        DataType::List(element) => format!("array({})", name_of(element)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("map({}, {})", name_of(&fields[0]), name_of(&fields[1]))
            }
            other => other.to_string(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{} {}", f.name(), name_of(f))).collect();
            format!("row({})", fields.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(Type::from_text(text).unwrap().to_string(), expected);
    }

    #[test]
    fn types_are_read_as_trino_writes_them() {
        check("varchar(20)", "varchar");
        check("MAP(varchar, json)", "map(varchar,json)");
        check("array(array<bigint>)", "array(array(bigint))");
        check("row(a bigint, b array(varchar))", "row(\"a\" bigint,\"b\" array(varchar))");
        check("timestamp(3) with time zone", "timestamp");
        check("decimal(10, 2)", "decimal(10,2)");
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["row(\"a b\" json)", "map(varchar,array(double))", "decimal(38,0)"] {
            check(text, text);
        }
    }

    #[test]
    fn an_unknown_type_is_an_error() {
        assert!(Type::from_text("varchr").is_err());
    }

    #[test]
    fn json_is_told_from_varchar() {
        assert!(is_json(&Type::Json.field("x")));
        assert!(!is_json(&Type::Varchar.field("x")));
    }
}
