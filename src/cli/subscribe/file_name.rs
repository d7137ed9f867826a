//! The names of stored messages.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use super::format::rfc3339;
use super::template::{self, Piece};
use crate::stream::Metadata;

/// A template of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct FileName(Vec<Piece<Field>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Topic,
    Partition,
    Offset,
    Id,
    Time,
}

const FIELDS: [(&str, Field); 5] = [
    ("topic", Field::Topic),
    ("partition", Field::Partition),
    ("offset", Field::Offset),
    ("id", Field::Id),
    ("time", Field::Time),
];

impl FileName {
    /// The name of a message's file, below the directory.
    pub(super) fn of(&self, metadata: &Metadata) -> PathBuf {
        let mut name = String::new();
        for piece in &self.0 {
            let field = match piece {
                Piece::Text(text) => {
                    name.push_str(text);
                    continue;
                }
                Piece::Field(field) => field,
            };
            // Writing to a string does not fail.
            let _ = match field {
                // A broker that is hostile may say anything.
                Field::Topic => {
                    name.write_str(&metadata.topic.replace(['/', '\\', '\0'], "_").replace("..", "__"))
                }
                Field::Partition => write!(name, "{}", metadata.partition),
                Field::Offset => write!(name, "{}", metadata.offset),
                Field::Id => match metadata.id() {
                    Some(id) => write!(name, "{id}"),
                    // Messages of other programs have none, and must not share a file.
                    None => write!(name, "{}-{}", metadata.partition, metadata.offset),
                },
                // Colons are not for all file systems.
                Field::Time => name.write_str(&rfc3339(metadata.timestamp).replace([':', '-'], "")),
            };
        }
        PathBuf::from(name)
    }

    fn tells_apart(&self) -> bool {
        self.0.contains(&Piece::Field(Field::Id))
            || (self.0.contains(&Piece::Field(Field::Partition))
                && self.0.contains(&Piece::Field(Field::Offset)))
    }
}

impl FromStr for FileName {
    type Err = String;

    fn from_str(template: &str) -> Result<Self, String> {
        let name = Self(template::parse(template, &FIELDS)?);
        if !name.tells_apart() {
            return Err(
                "it must have {id}, or {partition} and {offset}: each message needs a file of its own"
                    .to_owned(),
            );
        }
        if !Path::new(template).components().all(|part| matches!(part, Component::Normal(_)))
            || template.ends_with('/')
        {
            return Err("it must stay below the directory, and end in a name".to_owned());
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Header, Headers};

    fn metadata(topic: &str, id: Option<&'static [u8]>) -> Metadata {
        let headers: Headers = id.map(|id| Header::new("_id", Some(id.into()))).into_iter().collect();
        Metadata::for_tests(topic, 3, 42, 1_500, headers)
    }

    fn name(template: &str, metadata: &Metadata) -> String {
        template.parse::<FileName>().unwrap().of(metadata).display().to_string()
    }

    #[test]
    fn names_are_made_of_what_tells_messages_apart() {
        let with_id = metadata("gcn.circular", Some(&[7; 16]));
        for (template, expected) in [
            ("{topic}-{partition}-{offset}", "gcn.circular-3-42"),
            ("{topic}/{id}.json", "gcn.circular/07070707-0707-0707-0707-070707070707.json"),
            ("{time}_{partition}{offset}", "19700101T000001.500Z_342"),
        ] {
            assert_eq!(name(template, &with_id), expected);
        }
        assert_eq!(name("{id}", &metadata("t", None)), "3-42");
        assert_eq!(name("{topic}/{id}", &metadata("../../etc/x", None)), "______etc_x/3-42");
    }

    #[test]
    fn a_template_that_leads_elsewhere_or_to_one_file_is_refused() {
        for template in [
            "{topic}",
            "{offset}",
            "",
            "{id",
            "{who}{id}",
            "/{id}",
            "../{id}",
            "{id}/../../x",
            "{id}/",
            "./{id}",
        ] {
            assert!(template.parse::<FileName>().is_err(), "{template}");
        }
    }
}
