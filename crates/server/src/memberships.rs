//! Which organization an account was in when an entry was accepted: chosen by sequence number, as
//! states of trails are, so that reading the journal again finds the same members.

use std::collections::HashMap;

use catalog::Membership;

#[derive(Debug, Default, Clone)]
pub struct Memberships {
    by_account: HashMap<String, Vec<Span>>,
}

#[derive(Debug, Clone)]
struct Span {
    organization: String,
    from_seq: u64,
    until_seq: Option<u64>,
}

impl Memberships {
    /// `rows` as the catalog gives them, those that are over too.
    pub fn new(rows: Vec<Membership>) -> Memberships {
        let mut by_account: HashMap<String, Vec<Span>> = HashMap::new();
        for Membership { organization, account, from_seq, until_seq, .. } in rows {
            let spans = by_account.entry(account).or_default();
            spans.push(Span { organization, from_seq, until_seq });
        }
        Memberships { by_account }
    }

    /// The organization that the account was in at the entry.
    pub fn organization_at(&self, account: &str, seq: u64) -> Option<&str> {
        let holds = |span: &&Span| {
            span.from_seq <= seq && span.until_seq.is_none_or(|until_seq| seq < until_seq)
        };
        let span = self.by_account.get(account)?.iter().rev().find(holds)?;
        Some(&span.organization)
    }

    /// Every organization that the account was in at an entry that may still be read.
    pub fn organizations_of(&self, account: &str) -> impl Iterator<Item = &str> {
        let spans = self.by_account.get(account).map(Vec::as_slice).unwrap_or_default();
        spans.iter().map(|span| span.organization.as_str())
    }

    /// Is the account in the organization now? If it was once: up to which entry?
    pub fn is_in(&self, account: &str, organization: &str) -> InOrganization {
        let spans = self.by_account.get(account).map(Vec::as_slice).unwrap_or_default();
        match spans.iter().rev().find(|span| span.organization == organization) {
            Some(Span { until_seq: None, .. }) => InOrganization::Now,
            Some(Span { until_seq: Some(until_seq), .. }) => InOrganization::Until(*until_seq),
            None => InOrganization::Until(0),
        }
    }

    /// The accounts that are in the organization now.
    pub fn members_of(&self, organization: &str) -> impl Iterator<Item = &str> {
        let is_in = move |spans: &Vec<Span>| {
            spans.iter().any(|span| span.organization == organization && span.until_seq.is_none())
        };
        let found = self.by_account.iter().filter(move |(_, spans)| is_in(spans));
        found.map(|(account, _)| account.as_str())
    }
}

/// Whether an account is in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InOrganization {
    Now,
    /// Not any more: entries from this one on are not its.
    Until(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(organization: &str, from_seq: u64, until_seq: Option<u64>) -> Membership {
        Membership {
            organization: organization.to_owned(),
            account: "222222222222".to_owned(),
            from_seq,
            until_seq,
            joined_ms: 0,
            delegated_ms: None,
        }
    }

    #[test]
    fn an_account_belongs_to_where_it_was_at_the_entry() {
        let rows = vec![span("o-a", 2, Some(4)), span("o-b", 4, Some(4)), span("o-b", 6, None)];
        let memberships = Memberships::new(rows);
        let at: Vec<Option<&str>> =
            (1..=7).map(|seq| memberships.organization_at("222222222222", seq)).collect();
        let (a, b) = (Some("o-a"), Some("o-b"));
        assert_eq!(at, [None, a, a, None, None, b, b]);
        assert_eq!(memberships.organization_at("333333333333", 3), None);
        assert_eq!(memberships.is_in("222222222222", "o-a"), InOrganization::Until(4));
        assert_eq!(memberships.is_in("222222222222", "o-b"), InOrganization::Now);
        assert_eq!(memberships.is_in("222222222222", "o-c"), InOrganization::Until(0));
        assert_eq!(memberships.members_of("o-b").collect::<Vec<_>>(), ["222222222222"]);
        assert_eq!(memberships.members_of("o-a").count(), 0);
    }
}
