//! The managed dashboards, read from `managed.sql` at the start.
//!
//! They are the same for every account and Region, and can be neither changed nor deleted. AWS's API
//! reference names one, `AWSCloudTrail-Highlights`; the other names are ours.

use std::collections::BTreeMap;

use catalog::Widget;

use super::values;

const TEXT: &str = include_str!("managed.sql");
/// What a managed dashboard's name begins with, and no other's.
pub const PREFIX: &str = "AWSCloudTrail-";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedDashboard {
    pub name: String,
    pub widgets: Vec<Widget>,
}

/// All of them, by name.
#[derive(Debug)]
pub struct ManagedDashboards(Vec<ManagedDashboard>);

impl Default for ManagedDashboards {
    fn default() -> ManagedDashboards {
        let mut all: Vec<ManagedDashboard> =
            TEXT.split("\n-- dashboard:").skip(1).map(ManagedDashboard::read).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        ManagedDashboards(all)
    }
}

impl ManagedDashboards {
    pub fn all(&self) -> &[ManagedDashboard] {
        &self.0
    }

    pub fn find(&self, name: &str) -> Option<&ManagedDashboard> {
        self.0.iter().find(|dashboard| dashboard.name == name)
    }
}

impl ManagedDashboard {
    fn read(text: &str) -> ManagedDashboard {
        let mut parts = text.split("\n-- widget:");
        let name = parts.next().and_then(|head| head.lines().next()).unwrap_or_default().trim();
        let widgets = parts.map(|part| widget(name, part)).collect();
        ManagedDashboard { name: name.to_owned(), widgets }
    }
}

fn widget(dashboard: &str, text: &str) -> Widget {
    let (title, rest) = text.split_once('\n').unwrap_or((text, ""));
    let title = title.trim();
    let mut view: BTreeMap<String, String> = [("Title", title), ("Height", "4"), ("Width", "6")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let mut statement = Vec::new();
    for line in rest.lines() {
        if let Some(words) = line.strip_prefix("-- view:") {
            for word in words.split_whitespace() {
                let (key, value) = word.split_once('=').unwrap_or(("View", word));
                view.insert(key.to_owned(), value.to_owned());
            }
        } else if !line.starts_with("--") {
            statement.push(line);
        }
    }
    let statement = statement.join("\n");
    let (statement, parameters) = with_placeholders(statement.trim().trim_end_matches(';'));
    let word = |text: &str| text.to_lowercase().replace(' ', "-");
    Widget { alias: format!("{dashboard}-{}", word(title)), statement, parameters, view }
}

/// The statement as the API shows it: a placeholder for each name, and the names in order.
fn with_placeholders(text: &str) -> (String, Vec<String>) {
    let mut statement = String::with_capacity(text.len());
    let mut parameters = Vec::new();
    let mut rest = text;
    let next = |rest: &str| {
        let places = values::NAMES.iter().filter_map(|name| Some((rest.find(name)?, *name)));
        places.min()
    };
    while let Some((at, name)) = next(rest) {
        statement.push_str(&rest[..at]);
        statement.push('?');
        parameters.push(name.to_owned());
        rest = &rest[at + name.len()..];
    }
    statement.push_str(rest);
    (statement, parameters)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_become_placeholders_in_order() {
        let text = "SELECT date_trunc('$Period$', t) FROM $EventDataStoreId$ WHERE t < '$EndTime$'";
        let (statement, parameters) = with_placeholders(text);
        assert_eq!(statement, "SELECT date_trunc('?', t) FROM ? WHERE t < '?'");
        assert_eq!(parameters, ["$Period$", "$EventDataStoreId$", "$EndTime$"]);
    }

    #[test]
    fn the_file_holds_what_the_models_constraints_allow() {
        let all = ManagedDashboards::default();
        assert_eq!(all.all().len(), 16);
        let is_word = |text: &str, more: &str| {
            text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let mut aliases = BTreeSet::new();
        for dashboard in all.all() {
            assert!(dashboard.name.starts_with(PREFIX) && is_word(&dashboard.name, "_-"));
            assert!((4..=10).contains(&dashboard.widgets.len()), "{}", dashboard.name);
            for widget in &dashboard.widgets {
                let alias = &widget.alias;
                assert!(is_word(alias, "._-") && alias.len() <= 256, "{alias}");
                assert!(aliases.insert(alias.clone()), "{alias} is there twice");
                assert!(widget.statement.starts_with("SELECT "), "{alias}");
                let marks = widget.statement.matches('?').count();
                assert_eq!(widget.parameters.len(), marks, "{alias}");
                assert!((3..=10).contains(&marks), "{alias}");
                assert!(widget.statement.contains("FROM ?\n"), "{alias}");
                let views = ["Table", "LineChart", "PieChart", "BarChart"];
                assert!(views.contains(&widget.view["View"].as_str()), "{alias}");
                for (key, value) in &widget.view {
                    assert!(is_word(key, "._-") && is_word(value, "._- "), "{alias}: {value}");
                }
            }
        }
        assert!(all.find("AWSCloudTrail-Highlights").is_some());
    }
}
