use super::*;

#[test]
fn the_service_is_what_the_metadata_name() {
    let named = br#"{"LargeMessageUploadEndpoint": "https://store.test/lm", "other": 1}"#;
    assert_eq!(endpoint(named).as_deref(), Some("https://store.test/lm"));
    for nothing in ["", "[]", "{}", r#"{"LargeMessageUploadEndpoint": 1}"#, "\u{feff}{}"] {
        assert_eq!(endpoint(nothing.as_bytes()), None, "{nothing}");
    }
}
