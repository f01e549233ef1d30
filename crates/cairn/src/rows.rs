//! Rows of text on their way to a person or a program.

use std::io::Write;

use anyhow::Result;
use clap::ValueEnum;
use lake::TextRow;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For reading: columns beside each other
    Table,
    /// One object a line
    Json,
    /// With a header row
    Csv,
    /// For other engines, with types (only with --from)
    Parquet,
}

/// Rows of a table whose widths decide those of its columns; later ones may stand out.
const MEASURED_ROWS: usize = 1_000;
/// A wider value is shown whole, but does not make its column wider.
const WIDTH_MAX: usize = 60;

/// Writes rows as they come. A table waits for its first thousand.
pub struct Writer<W> {
    format: Format,
    columns: Vec<String>,
    /// The columns' names as keys of an object, in quotes.
    keys: Vec<String>,
    to: W,
    waiting: Vec<TextRow>,
    widths: Option<Vec<usize>>,
    began: bool,
    rows: u64,
}

impl<W: Write> Writer<W> {
    pub fn new(format: Format, columns: Vec<String>, to: W) -> Writer<W> {
        let keys = keys(&columns);
        Writer {
            format,
            columns,
            keys,
            to,
            waiting: Vec::new(),
            widths: None,
            began: false,
            rows: 0,
        }
    }

    pub fn write(&mut self, rows: &[TextRow]) -> Result<()> {
        self.rows += rows.len() as u64;
        let mut text = String::new();
        match self.format {
            Format::Table => {
                self.waiting.extend_from_slice(rows);
                if self.widths.is_some() || self.waiting.len() >= MEASURED_ROWS {
                    self.table_rows(&mut text);
                }
            }
            Format::Json => rows.iter().for_each(|row| json_row(&self.keys, row, &mut text)),
            Format::Csv | Format::Parquet => {
                if !std::mem::replace(&mut self.began, true) {
                    let names = self.columns.iter().map(|name| Some(name.as_str()));
                    csv_row(names, &mut text);
                }
                for row in rows {
                    csv_row(row.iter().map(Option::as_deref), &mut text);
                }
            }
        }
        Ok(self.to.write_all(text.as_bytes())?)
    }

    pub fn end(&mut self) -> Result<()> {
        let mut text = String::new();
        match self.format {
            Format::Table => {
                self.table_rows(&mut text);
                let plural = if self.rows == 1 { "" } else { "s" };
                text.push_str(&format!("({} row{plural})\n", self.rows));
            }
            Format::Csv if !self.began => {
                csv_row(self.columns.iter().map(|name| Some(name.as_str())), &mut text);
            }
            _ => {}
        }
        self.to.write_all(text.as_bytes())?;
        Ok(self.to.flush()?)
    }

    fn table_rows(&mut self, text: &mut String) {
        if self.widths.is_none() {
            let width = |value: &str| value.chars().count().min(WIDTH_MAX);
            let mut widths: Vec<usize> = self.columns.iter().map(|name| width(name)).collect();
            for row in &self.waiting {
                for (widest, value) in widths.iter_mut().zip(row) {
                    *widest = (*widest).max(value.as_deref().map_or(0, width));
                }
            }
            let names: Vec<Option<String>> = self.columns.iter().cloned().map(Some).collect();
            table_row(&names, &widths, text);
            let lines = widths.iter().map(|width| Some("-".repeat(*width))).collect::<Vec<_>>();
            table_row(&lines, &widths, text);
            self.widths = Some(widths);
        }
        let widths = self.widths.as_deref().unwrap_or_default();
        for row in self.waiting.drain(..) {
            table_row(&row, widths, text);
        }
    }
}

fn table_row(row: &[Option<String>], widths: &[usize], text: &mut String) {
    for (place, (value, width)) in row.iter().zip(widths).enumerate() {
        if place > 0 {
            text.push_str("  ");
        }
        // A line break or another control character would break the table.
        let value = value.as_deref().unwrap_or_default();
        let shown: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let missing = width.saturating_sub(shown.chars().count());
        text.push_str(&shown);
        text.extend(std::iter::repeat_n(' ', missing));
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

/// The names as keys of one object: a name that is there twice gets a number.
fn keys(columns: &[String]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::with_capacity(columns.len());
    for name in columns {
        let mut key = name.clone();
        let mut count = 1;
        while keys.contains(&key) {
            count += 1;
            key = format!("{name}_{count}");
        }
        keys.push(key);
    }
    keys.into_iter().map(|key| Value::String(key).to_string()).collect()
}

/// All values are text; NULL is null. The members come in the order of the columns.
fn json_row(keys: &[String], row: &TextRow, text: &mut String) {
    text.push('{');
    for (place, (key, value)) in keys.iter().zip(row).enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(key);
        text.push(':');
        text.push_str(&value.clone().map_or(Value::Null, Value::String).to_string());
    }
    text.push_str("}\n");
}

/// RFC 4180; NULL is an empty field, an empty text is `""`.
fn csv_row<'a>(values: impl Iterator<Item = Option<&'a str>>, text: &mut String) {
    for (place, value) in values.enumerate() {
        if place > 0 {
            text.push(',');
        }
        match value {
            None => {}
            Some(value) if value.is_empty() || value.contains(['"', ',', '\n', '\r']) => {
                text.push('"');
                text.push_str(&value.replace('"', "\"\""));
                text.push('"');
            }
            Some(value) => text.push_str(value),
        }
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: Format, rows: &[TextRow], expected: &str) {
        let mut text = Vec::new();
        let columns = vec!["name".to_owned(), "n".to_owned()];
        let mut writer = Writer::new(format, columns, &mut text);
        for row in rows {
            writer.write(std::slice::from_ref(row)).unwrap();
        }
        writer.end().unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    fn row(name: &str, n: Option<&str>) -> TextRow {
        vec![Some(name.to_owned()), n.map(str::to_owned)]
    }

    #[test]
    fn a_table_is_as_wide_as_its_values() {
        let rows = [row("PutObject", Some("12")), row("a\nb", None)];
        check(Format::Table, &rows, "name       n\n---------  --\nPutObject  12\na b\n(2 rows)\n");
        check(Format::Table, &[], "name  n\n----  -\n(0 rows)\n");
    }

    #[test]
    fn csv_and_json_tell_null_from_empty() {
        let rows = [row("a,\"b\"", None), row("", Some("1"))];
        check(Format::Csv, &rows, "name,n\r\n\"a,\"\"b\"\"\",\r\n\"\",1\r\n");
        check(Format::Csv, &[], "name,n\r\n");
        let json = "{\"name\":\"a,\\\"b\\\"\",\"n\":null}\n{\"name\":\"\",\"n\":\"1\"}\n";
        check(Format::Json, &rows, json);
        check(Format::Json, &[], "");
    }

    #[test]
    fn json_has_the_columns_in_the_order_of_the_select() {
        let columns = ["z", "a\"b", "a", "z", "z_2", "z"].map(str::to_owned);
        let mut text = Vec::new();
        let mut writer = Writer::new(Format::Json, columns.to_vec(), &mut text);
        writer
            .write(&[["1", "2", "3", "4", "5", "6"].map(|n| Some(n.to_owned())).to_vec()])
            .unwrap();
        writer.end().unwrap();
        let expected =
            r#"{"z":"1","a\"b":"2","a":"3","z_2":"4","z_2_2":"5","z_3":"6"}"#.to_owned() + "\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
