//! Changing the credentials in a file, and nothing else in it.
//!
//! Whatever shape the file has stays, with its comments, its unknown keys and its order. A comment directly above
//! a credential belongs to it and goes when it goes; a paragraph of comments further up stays.

use std::fmt::Write as _;

use secrecy::ExposeSecret as _;
use toml_edit::{Array, ArrayOfTables, InlineTable, Item, RawString, Table, TableLike, Value};

use super::document::{AUTH, CredentialDocument, key};
use super::{Auth, Protocol};

impl CredentialDocument {
    /// Puts a credential behind the others.
    pub(super) fn push(&mut self, auth: &Auth) {
        if let Some(values) = self.array_mut().filter(|values| !values.is_empty()) {
            push_inline(values, auth);
            return;
        }
        let mut tables = self.take_tables();
        let mut table = Table::new();
        write_credential(&mut table, auth);

        // What ends the file (empty lines, last words) has to stay in front of what is now last.
        let mut prefix = String::new();
        if tables.is_empty() || self.auth_is_last(&tables) {
            prefix.push_str(self.toml.trailing().as_str().unwrap_or_default());
            self.toml.set_trailing("");
        }
        let something_above = !tables.is_empty() || !self.toml.is_empty();
        if !prefix.is_empty() && !prefix.ends_with('\n') {
            prefix.push('\n');
        }
        if prefix.trim().is_empty() {
            prefix = if something_above { "\n".to_owned() } else { String::new() };
        } else if !ends_with_blank_line(&prefix) {
            prefix.push('\n');
        }
        if tables.is_empty() {
            prefix.insert_str(0, &self.take_key_comments());
        }
        table.decor_mut().set_prefix(prefix);
        tables.push(table);
        self.toml.insert(AUTH, Item::ArrayOfTables(tables));
    }

    /// Overwrites the credential at `index`, if there is one. Keys that hop does not know stay.
    pub(super) fn replace(&mut self, index: usize, auth: &Auth) {
        let table: Option<&mut dyn TableLike> = match self.toml.get_mut(AUTH) {
            Some(Item::ArrayOfTables(tables)) => {
                tables.get_mut(index).map(|table| table as &mut dyn TableLike)
            }
            Some(Item::Value(Value::Array(values))) => values
                .get_mut(index)
                .and_then(Value::as_inline_table_mut)
                .map(|table| table as &mut dyn TableLike),
            Some(item) if index == 0 => item.as_table_like_mut(),
            _ => None,
        };
        if let Some(table) = table {
            write_credential(table, auth);
        }
    }

    /// Takes the credential at `index` out, if there is one.
    pub(super) fn remove(&mut self, index: usize) {
        if let Some(values) = self.array_mut() {
            if index < values.len() {
                remove_inline(values, index);
            }
            return;
        }
        if self.toml.get(AUTH).is_some_and(Item::is_inline_table) {
            self.toml.insert(AUTH, Item::Value(Array::new().into()));
            return;
        }
        let mut tables = self.take_tables();
        if index < tables.len() {
            let removed = tables.remove(index);
            let kept =
                earlier_paragraphs(removed.decor().prefix().and_then(RawString::as_str).unwrap_or_default());
            if tables.is_empty() {
                self.toml.insert(AUTH, Item::Value(Array::new().into()));
                if let Some(mut name) = self.toml.key_mut(AUTH) {
                    name.leaf_decor_mut().set_prefix(kept);
                }
                return;
            }
            if let Some(next) = tables.get_mut(index) {
                let own = next.decor().prefix().and_then(RawString::as_str).unwrap_or_default();
                // The first block of a file needs no empty line above it.
                let own = if index == 0 && kept.is_empty() { own.trim_start_matches('\n') } else { own };
                let joined =
                    if kept.is_empty() { own.to_owned() } else { kept + own.trim_start_matches('\n') };
                next.decor_mut().set_prefix(joined);
            } else if !kept.trim().is_empty() {
                let trailing = self.toml.trailing().as_str().unwrap_or_default();
                let joined = kept + trailing;
                self.toml.set_trailing(joined);
            }
        }
        self.toml.insert(AUTH, Item::ArrayOfTables(tables));
    }

    /// Takes the whole section out, with its comments: what the pruning of an old `config.toml` needs.
    pub(super) fn remove_all(&mut self) -> bool {
        self.toml.remove(AUTH).is_some()
    }

    /// A new file with nothing but this one's credentials, as they are written here.
    pub(super) fn credentials_only(&self) -> Self {
        let mut new = Self::empty();
        if let Some((name, item)) = self.toml.get_key_value(AUTH) {
            new.toml.insert_formatted(name, item.clone());
        }
        new
    }

    fn array_mut(&mut self) -> Option<&mut Array> {
        self.toml.get_mut(AUTH).and_then(Item::as_array_mut)
    }

    /// The credentials as `[[auth]]` blocks, taken out of the document. `[auth]` becomes the first of them.
    fn take_tables(&mut self) -> ArrayOfTables {
        match self.toml.get_mut(AUTH).map(std::mem::take) {
            Some(Item::ArrayOfTables(tables)) => tables,
            Some(Item::Table(mut table)) => {
                table.set_dotted(false);
                table.set_implicit(false);
                std::iter::once(table).collect()
            }
            Some(Item::Value(Value::InlineTable(table))) => std::iter::once(table.into_table()).collect(),
            _ => ArrayOfTables::new(),
        }
    }

    /// The comments above an `auth = []` that gives way to `[[auth]]`.
    fn take_key_comments(&mut self) -> String {
        let removed = self.toml.remove_entry(AUTH);
        let comments = removed
            .and_then(|(name, _)| Some(name.leaf_decor().prefix()?.as_str()?.to_owned()))
            .unwrap_or_default();
        if comments.trim().is_empty() { String::new() } else { comments }
    }

    /// Whether nothing is printed behind the credentials.
    fn auth_is_last(&self, tables: &ArrayOfTables) -> bool {
        let last = tables.iter().filter_map(Table::position).max();
        self.toml.iter().filter(|(name, _)| *name != AUTH).all(|(_, item)| latest_position(item) <= last)
    }
}

fn latest_position(item: &Item) -> Option<isize> {
    match item {
        Item::Table(table) => {
            table.iter().filter_map(|(_, inner)| latest_position(inner)).chain(table.position()).max()
        }
        Item::ArrayOfTables(tables) => tables
            .iter()
            .filter_map(|table| {
                table.iter().filter_map(|(_, inner)| latest_position(inner)).chain(table.position()).max()
            })
            .max(),
        _ => None,
    }
}

/// Writes the properties in the order in which hop-client does. Those that are not set are taken out.
fn write_credential(table: &mut dyn TableLike, auth: &Auth) {
    set(table, key::USERNAME, Some(auth.username()));
    set(table, key::PASSWORD, Some(auth.password().expose_secret()));
    set(table, key::PROTOCOL, Some(auth.protocol().name()));
    set(table, key::MECHANISM, Some(auth.mechanism().name()));
    set(table, key::TOKEN_ENDPOINT, auth.token_endpoint());
    set(table, key::TOKEN_COMMAND, auth.token_command());
    set(table, key::HOSTNAME, Some(auth.hostname()).filter(|hostname| !hostname.is_empty()));
    let ca = match auth.protocol() {
        Protocol::SaslSsl => auth.ssl_ca_location().map(|path| path.to_string_lossy().into_owned()),
        Protocol::SaslPlaintext => None,
    };
    set(table, key::SSL_CA_LOCATION, ca.as_deref());
}

fn set(table: &mut dyn TableLike, property: &str, text: Option<&str>) {
    let Some(text) = text else {
        table.remove(property);
        return;
    };
    match table.get_mut(property).and_then(Item::as_value_mut) {
        Some(old) if old.as_str() == Some(text) => {}
        Some(old) => {
            // A comment behind the value stays behind the new one.
            let decor = old.decor().clone();
            *old = basic_string(text);
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(property, Item::Value(basic_string(text)));
        }
    }
}

/// A string in double quotes on one line. Left to itself the library picks among four kinds of quotes, and not all
/// of the parsers that read this file (those of old Python versions) know all four well.
fn basic_string(text: &str) -> Value {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_control() => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted.parse().unwrap_or_else(|_| Value::from(text))
}

fn push_inline(values: &mut Array, auth: &Auth) {
    let indentation = values.iter().last().and_then(|last| {
        last.decor().prefix()?.as_str()?.rsplit_once('\n').map(|(_, spaces)| spaces.to_owned())
    });
    let mut table = InlineTable::new();
    write_credential(&mut table, auth);
    let mut value = Value::from(table);
    match indentation {
        None => value.decor_mut().set_prefix(" "),
        Some(spaces) => {
            // A comment behind the last element stands in what closes the array; it has to stay behind it.
            let trailing = values.trailing().as_str().unwrap_or_default();
            let comment = trailing.trim_end().to_owned();
            value.decor_mut().set_prefix(format!("{comment}\n{spaces}"));
            if !comment.is_empty() {
                values.set_trailing("\n");
            }
        }
    }
    values.push_formatted(value);
}

fn remove_inline(values: &mut Array, index: usize) {
    let removed = values.remove(index);
    let prefix = removed.decor().prefix().and_then(RawString::as_str).unwrap_or_default();
    let after = match values.get(index) {
        Some(next) => next.decor().prefix().and_then(RawString::as_str).unwrap_or_default(),
        None => values.trailing().as_str().unwrap_or_default(),
    };
    // The rest of the line above belongs to what stands there and stays; the rest of the removed line goes.
    let joined = match (prefix.split_once('\n'), after.split_once('\n')) {
        (Some((above, _)), Some((_, rest))) => format!("{above}\n{rest}"),
        (None, _) if index == 0 && !after.contains('\n') && index < values.len() => prefix.to_owned(),
        _ => after.to_owned(),
    };
    match values.get_mut(index) {
        Some(next) => next.decor_mut().set_prefix(joined),
        None => values.set_trailing(joined),
    }
}

/// The part of the comments above a block that an empty line parts from it.
fn earlier_paragraphs(prefix: &str) -> String {
    let lines: Vec<&str> = prefix.split_inclusive('\n').collect();
    let end = lines.iter().rposition(|line| line.trim().is_empty()).map_or(0, |last| last + 1);
    let earlier: String = lines.into_iter().take(end).collect();
    if earlier.contains('#') { earlier } else { String::new() }
}

fn ends_with_blank_line(text: &str) -> bool {
    text.ends_with('\n') && text.lines().last().is_none_or(|line| line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, change: impl FnOnce(&mut CredentialDocument)) -> String {
        let mut document = CredentialDocument::parse(text).unwrap();
        change(&mut document);
        let after = document.to_string();
        // Whatever is written can be read.
        CredentialDocument::parse(&after).unwrap().credentials().unwrap();
        after
    }

    fn new() -> Auth {
        Auth::new("n", "q\"\\").with_hostname("h")
    }

    const NEW: &str = "[[auth]]\nusername = \"n\"\npassword = \"q\\\"\\\\\"\nprotocol = \"SASL_SSL\"\n\
                       mechanism = \"SCRAM-SHA-512\"\nhostname = \"h\"\n";

    #[test]
    fn the_first_credential_makes_the_file() {
        assert_eq!(edited("auth = []", |d| d.push(&new())), NEW);
        assert_eq!(edited("# mine\nauth = []\n", |d| d.push(&new())), format!("# mine\n{NEW}"));
        let mut document = CredentialDocument::empty();
        document.push(&new());
        assert_eq!(document.to_string(), NEW);
    }

    #[test]
    fn a_block_is_added_behind_the_others_after_one_empty_line() {
        let old = "# head\n\n[[auth]] # first\nusername = 'u' # me\npassword = 'p'\nextra = 1\n";
        assert_eq!(edited(old, |d| d.push(&new())), format!("{old}\n{NEW}"));
        assert_eq!(edited(&format!("{old}\n"), |d| d.push(&new())), format!("{old}\n{NEW}"));
        assert_eq!(edited(&format!("{old}# end"), |d| d.push(&new())), format!("{old}# end\n\n{NEW}"));
    }

    #[test]
    fn the_old_single_table_becomes_the_first_block() {
        let old = "# head\n[auth]\nusername = 'u'\npassword = 'p'\n[auth.extra]\nx = 1\n";
        assert_eq!(edited(old, |d| d.push(&new())), format!("{}\n{NEW}", old.replace("[auth]", "[[auth]]")));
        let dotted = "auth.username = 'u'\nauth.password = 'p'\n";
        let after = edited(dotted, |d| d.push(&new()));
        assert_eq!(CredentialDocument::parse(&after).unwrap().credentials().unwrap().len(), 2, "{after}");
        let inline = "auth = { username = 'u', password = 'p' }\n";
        let after = edited(inline, |d| d.push(&new()));
        assert_eq!(CredentialDocument::parse(&after).unwrap().credentials().unwrap().len(), 2, "{after}");
    }

    #[test]
    fn other_tables_stay_where_they_are() {
        let old = "top = 1\n\n[[auth]]\nusername = 'u'\npassword = 'p'\n\n[other] # o\nx = 1\n# end\n";
        let after = edited(old, |d| d.push(&new()));
        assert_eq!(after, old.replace("\n[other]", &format!("\n{NEW}\n[other]")));
        assert_eq!(edited("[other]\nx = 1\n", |d| d.push(&new())), format!("[other]\nx = 1\n\n{NEW}"));
    }

    #[test]
    fn an_inline_array_stays_inline() {
        let after = edited("auth = [{username='u',password='p'}]\n", |d| d.push(&Auth::new("n", "q")));
        assert_eq!(
            after,
            "auth = [{username='u',password='p'}, { username = \"n\", password = \"q\", protocol = \"SASL_SSL\", \
             mechanism = \"SCRAM-SHA-512\" }]\n"
        );
        let old = "auth = [\n  {username='u',password='p'}, # first\n] # all\n";
        let after = edited(old, |d| d.push(&Auth::new("n", "q")));
        assert!(
            after.starts_with("auth = [\n  {username='u',password='p'}, # first\n  { username = "),
            "{after}"
        );
        assert!(after.ends_with("},\n] # all\n"), "{after}");
    }

    #[test]
    fn replacing_keeps_unknown_keys_and_comments_and_drops_what_is_unset() {
        let old = "[[auth]] # first\nusername = 'n'\npassword = 'p' # secret\nssl_ca_location = '/ca'\n\
                   extra = 1\nhostname = 'h'\n";
        assert_eq!(
            edited(old, |d| d.replace(0, &new())),
            "[[auth]] # first\nusername = 'n'\npassword = \"q\\\"\\\\\" # secret\nextra = 1\nhostname = 'h'\n\
             protocol = \"SASL_SSL\"\nmechanism = \"SCRAM-SHA-512\"\n"
        );
        let inline = edited("auth = [{username='n',password='p'}]", |d| d.replace(0, &Auth::new("n", "new")));
        assert!(inline.contains("password=\"new\""), "{inline}");
    }

    #[test]
    fn removing_takes_the_comment_right_above_and_no_other() {
        let old = "# head\n\n# about a\n[[auth]]\nusername = 'a'\npassword = ''\n\n# about b\n[[auth]]\n\
                   username = 'b'\npassword = ''\n\n[other]\nx = 1\n";
        assert_eq!(
            edited(old, |d| d.remove(0)),
            "# head\n\n# about b\n[[auth]]\nusername = 'b'\npassword = ''\n\n[other]\nx = 1\n"
        );
        assert_eq!(
            edited(old, |d| d.remove(1)),
            "# head\n\n# about a\n[[auth]]\nusername = 'a'\npassword = ''\n\n[other]\nx = 1\n"
        );
    }

    #[test]
    fn removing_the_last_leaves_an_empty_list() {
        let text = "# head\n\n[[auth]]\nusername = 'a'\npassword = ''\n";
        assert_eq!(edited(text, |d| d.remove(0)), "# head\n\nauth = []\n");
        assert_eq!(edited("[auth]\nusername = 'a'\npassword = ''\n", |d| d.remove(0)), "auth = []\n");
        assert_eq!(edited("auth = [{username='a',password=''}]\n", |d| d.remove(0)), "auth = []\n");
        assert_eq!(edited("auth = {username='a',password=''}\n", |d| d.remove(0)), "auth = []\n");
        let other = "[[auth]]\nusername = 'a'\npassword = ''\n[other]\nx = 1\n";
        assert_eq!(edited(other, |d| d.remove(0)), "auth = []\n[other]\nx = 1\n");
    }

    #[test]
    fn removing_from_an_inline_array_keeps_the_comments_of_others() {
        let old = "auth = [ # all\n  {username='a',password=''}, # a\n  {username='b',password=''}, # b\n]\n";
        assert_eq!(edited(old, |d| d.remove(0)), "auth = [ # all\n  {username='b',password=''}, # b\n]\n");
        assert_eq!(edited(old, |d| d.remove(1)), "auth = [ # all\n  {username='a',password=''}, # a\n]\n");
        let short = "auth = [{username='a',password=''}, {username='b',password=''}]\n";
        assert_eq!(edited(short, |d| d.remove(0)), "auth = [{username='b',password=''}]\n");
        assert_eq!(edited(short, |d| d.remove(1)), "auth = [{username='a',password=''}]\n");
    }

    #[test]
    fn strings_are_written_in_double_quotes_on_one_line() {
        assert_eq!(basic_string("a\\b\"c\td\ne\u{1}ü").to_string(), "\"a\\\\b\\\"c\\td\\ne\\u0001ü\"");
    }
}
