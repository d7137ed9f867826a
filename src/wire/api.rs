//! The requests that this client speaks, in which versions, and what each version brings.
//!
//! One table. The oldest version of each is one that Kafka 2.1 reads; the newest is used where the broker knows it.
//! Fetch and Produce stop before topics are named by id.

use std::fmt;

use kafka_protocol::protocol::Request;

/// A range of versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    /// The oldest.
    pub min: i16,
    /// The newest.
    pub max: i16,
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.min, self.max)
    }
}

/// A request of the protocol, as this client speaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Api {
    /// Its number on the wire.
    pub key: i16,
    /// Its name in the protocol.
    pub name: &'static str,
    /// The versions spoken.
    pub versions: VersionRange,
    /// What versions bring that matters to this client, oldest first.
    pub brings: &'static [(i16, &'static str)],
}

/// Every request spoken, by key.
pub const APIS: &[Api] = &[
    Api {
        key: 0,
        name: "Produce",
        versions: VersionRange { min: 3, max: 12 },
        brings: &[
            (3, "record batches with headers (KIP-98)"),
            (7, "zstd (KIP-110)"),
            (8, "which records of a batch are at fault (KIP-467)"),
            (9, "compact encoding (KIP-482)"),
            (10, "the new leader in the answer (KIP-951)"),
        ],
    },
    Api {
        key: 1,
        name: "Fetch",
        versions: VersionRange { min: 4, max: 12 },
        brings: &[
            (4, "committed reads (KIP-98)"),
            (5, "where the log begins (KIP-107)"),
            (7, "sessions (KIP-227)"),
            (9, "leader epochs (KIP-320)"),
            (10, "zstd (KIP-110)"),
            (11, "the nearest replica (KIP-392)"),
            (12, "compact encoding (KIP-482)"),
        ],
    },
    Api {
        key: 2,
        name: "ListOffsets",
        versions: VersionRange { min: 2, max: 9 },
        brings: &[
            (2, "the last stable offset (KIP-98)"),
            (4, "leader epochs (KIP-320)"),
            (6, "compact encoding (KIP-482)"),
            (7, "the offset of the newest timestamp (KIP-734)"),
        ],
    },
    Api {
        key: 3,
        name: "Metadata",
        versions: VersionRange { min: 4, max: 12 },
        brings: &[
            (4, "asking without creating topics (KIP-204)"),
            (7, "leader epochs (KIP-320)"),
            (9, "compact encoding (KIP-482)"),
            (10, "topic ids (KIP-516)"),
        ],
    },
    Api {
        key: 17,
        name: "SaslHandshake",
        versions: VersionRange { min: 1, max: 1 },
        brings: &[(1, "tokens in SaslAuthenticate (KIP-152)")],
    },
    Api {
        key: 18,
        name: "ApiVersions",
        versions: VersionRange { min: 0, max: 3 },
        brings: &[(3, "the client's name and version (KIP-511)")],
    },
    Api {
        key: 22,
        name: "InitProducerId",
        versions: VersionRange { min: 0, max: 4 },
        brings: &[(2, "compact encoding (KIP-482)"), (3, "raising one's own epoch (KIP-360)")],
    },
    Api {
        key: 36,
        name: "SaslAuthenticate",
        versions: VersionRange { min: 0, max: 2 },
        brings: &[(1, "how long the session lasts (KIP-368)"), (2, "compact encoding (KIP-482)")],
    },
];

/// The versions of `R` that are spoken; none (`0..-1`) of a request that is not in the table.
pub fn spoken<R: Request>() -> VersionRange {
    find(R::KEY).map_or(VersionRange { min: 0, max: -1 }, |api| api.versions)
}

/// The name of a request, for messages.
pub fn api_name(key: i16) -> &'static str {
    find(key).map_or("unknown", |api| api.name)
}

fn find(key: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key == key)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiKey;

    use super::*;

    #[test]
    fn the_table_agrees_with_the_schemas() {
        for api in APIS {
            let key = ApiKey::try_from(api.key).unwrap();
            assert_eq!(format!("{key:?}").trim_end_matches("Key"), api.name);
            let known = key.valid_versions();
            assert!(known.min <= api.versions.min && api.versions.max <= known.max, "{}", api.name);
            for (version, feature) in api.brings {
                assert!((api.versions.min..=api.versions.max).contains(version), "{}: {feature}", api.name);
            }
        }
        assert!(APIS.is_sorted_by_key(|api| api.key));
    }

    #[test]
    fn what_is_not_in_the_table_is_not_spoken() {
        let range = spoken::<kafka_protocol::messages::CreateTopicsRequest>();
        assert!(range.min > range.max);
        assert_eq!(api_name(19), "unknown");
    }
}
