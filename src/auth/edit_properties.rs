//! Whatever a credential file looks like and whatever is done to it, it says what it should afterwards, and what else
//! was in it is still there.

use proptest::prelude::*;

use super::document::CredentialDocument;
use super::{Auth, CredentialLabel, ExposeSecret as _};

/// Credentials as pairs that can be compared: name and host, and password.
type Plain = Vec<(CredentialLabel, String)>;

#[derive(Debug, Clone)]
enum Change {
    Push(Auth),
    Replace(usize, Auth),
    Remove(usize),
}

fn plain(document: &CredentialDocument) -> Plain {
    document.credentials().unwrap().iter().map(pair).collect()
}

fn pair(auth: &Auth) -> (CredentialLabel, String) {
    (CredentialLabel::from(auth), auth.password().expose_secret().to_owned())
}

fn auth() -> impl Strategy<Value = Auth> {
    ("\\PC{0,6}", any::<String>(), "[a-z]{0,3}(:9092)?")
        .prop_map(|(username, password, hostname)| Auth::new(username, password).with_hostname(hostname))
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        auth().prop_map(Change::Push),
        (0..4_usize, auth()).prop_map(|(index, auth)| Change::Replace(index, auth)),
        (0..4_usize).prop_map(Change::Remove),
    ]
}

/// What may stand between blocks: nothing, empty lines, comments in one paragraph or two.
fn gap() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "\n",
        "\n\n",
        "# near\n",
        "# far\n\n",
        "\n# far\n\n# near\n",
        "  # far\n  \n",
    ])
}

fn file() -> impl Strategy<Value = String> {
    let block = (gap(), prop::bool::ANY, 0..100_u32).prop_map(|(gap, extra, n)| {
        let extra = if extra { "other = [1, 2] # kept\n[auth.sub]\nx = 1\n" } else { "" };
        format!("{gap}[[auth]] # block\nusername = 'u{n}'\npassword = \"\" # word\n{extra}")
    });
    let element = (prop::bool::ANY, 0..100_u32).prop_map(|(long, n)| {
        let lead = if long { "\n  " } else { " " };
        format!("{lead}{{ username = 'u{n}', password = '' }}")
    });
    let credentials = prop_oneof![
        prop::collection::vec(block, 0..4).prop_map(|blocks| blocks.concat()),
        (gap(), prop::collection::vec(element, 0..4), prop::sample::select(vec!["", ",", ", # end\n", "\n"]))
            .prop_map(|(gap, elements, end)| {
                let end = if elements.is_empty() { "" } else { end };
                format!("{gap}auth = [{}{end}] # array\n", elements.join(","))
            }),
        gap().prop_map(|gap| format!("{gap}[auth] # single\nusername = 'u'\npassword = ''\n")),
    ];
    (prop::bool::ANY, credentials, gap(), prop::bool::ANY, gap()).prop_map(
        |(top, credentials, gap, table, end)| {
            let top = if top { "top = 'kept'\n" } else { "" };
            let table = if table { "[table] # kept\nkey = 1\n" } else { "" };
            format!("{top}{credentials}{gap}{table}{end}")
        },
    )
}

proptest! {
    #[test]
    fn a_changed_file_says_what_it_should(text in file(), changes in prop::collection::vec(change(), 0..6)) {
        let mut document = CredentialDocument::parse(&text).unwrap();
        let mut expected = if document.has_auth() { plain(&document) } else { Plain::new() };
        let changed = document.has_auth() || changes.iter().any(|change| matches!(change, Change::Push(_)));
        for change in &changes {
            match change {
                Change::Push(auth) => {
                    document.push(auth);
                    expected.push(pair(auth));
                }
                Change::Replace(index, auth) if *index < expected.len() => {
                    document.replace(*index, auth);
                    expected[*index] = pair(auth);
                }
                Change::Remove(index) if *index < expected.len() => {
                    document.remove(*index);
                    expected.remove(*index);
                }
                _ => {}
            }
        }

        let after = document.to_string();
        let again = CredentialDocument::parse(&after).unwrap();
        if changed {
            prop_assert_eq!(plain(&again), expected, "{}", after);
        }
        for (kept, what) in [("top = 'kept'", "a key"), ("[table] # kept\nkey = 1", "a table")] {
            prop_assert_eq!(text.contains(kept), after.contains(kept), "{} in\n{}", what, after);
        }
        let far = |text: &str| text.matches("# far").count();
        prop_assert!(far(&after) >= far(&text), "a comment was lost:\n{}\n---\n{}", text, after);
        if changes.is_empty() {
            prop_assert_eq!(after, text);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        if let Ok(document) = CredentialDocument::parse(&text) {
            let _ = document.credentials();
        }
    }
}
