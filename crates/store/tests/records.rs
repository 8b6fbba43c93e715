//! Golden forms of what is stored: a change here breaks data directories that exist.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use mconn_model::{ModuleName, Timestamp};
use mconn_store::{
    MemoryStore, Seq, contract, decode_item, decode_journal_entry, decode_preset, encode_item,
    encode_journal_entry, encode_preset,
};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn the_memory_store_keeps_the_contract() {
    // Nothing survives a process here, so opening again is keeping the same value.
    contract::check(|store: Option<MemoryStore>| async { store.unwrap_or_default() }).await;
    let limited = || MemoryStore::with_record_limit(250_000);
    contract::check(|store: Option<MemoryStore>| async { store.unwrap_or_else(limited) }).await;
}

#[test]
fn presets_have_the_originals_shape() {
    let golden = r#"{"appId":"/group/app","moduleName":"HelloWorld","status":"enabled","options":{"actions":{"add":"Moin, Moin","remove":"Tschues"}},"lastEdit":false,"owner":"ops"}"#;
    let preset = decode_preset(golden.as_bytes()).unwrap();
    assert!(preset.is_enabled() && preset.last_edit.is_none());
    assert_eq!(text(&encode_preset(&preset)), golden);
    let edited = golden.replace("false", "1435909578085");
    let preset = decode_preset(edited.as_bytes()).unwrap();
    assert_eq!(preset.last_edit, Some(Timestamp::from_millis(1_435_909_578_085)));
    assert_eq!(text(&encode_preset(&preset)), edited);
}

#[test]
fn a_preset_without_status_is_disabled() {
    for status in ["1", "true", "null", "[\"enabled\"]"] {
        let text = format!(r#"{{"appId":"web","moduleName":"Test","status":{status}}}"#);
        assert!(!decode_preset(text.as_bytes()).unwrap().is_enabled(), "{status}");
    }
    let preset = decode_preset(br#"{"appId":"web","moduleName":"Test"}"#).unwrap();
    assert!(!preset.is_enabled());
    assert_eq!(preset.app.as_str(), "/web");
}

#[test]
fn inventory_items_have_the_originals_shape() {
    let golden = r#"{"customData":"Moin, Moin","taskData":{"taskId":"bridged-webapp.1","taskStatus":"TASK_RUNNING","appId":"/bridged-webapp","host":"slave1.dev","ports":[31004,31005],"eventType":"status_update_event","timestamp":1435909578085}}"#;
    let item = decode_item("bridged-webapp.1", golden.as_bytes()).unwrap();
    assert_eq!(text(&encode_item(&item)), golden);
}

#[test]
fn journal_entries_of_version_1_read_for_ever() {
    let golden = r#"{"v":1,"at":1435909578085,"owed":["Test","HelloWorld"],"task":{"taskId":"t","taskStatus":"TASK_FANCY","appId":"/a","ports":[1],"timestamp":"2015-05-25T15:12:24.140Z"}}"#;
    let entry = decode_journal_entry(Seq(7), golden.as_bytes()).unwrap();
    assert_eq!(text(&encode_journal_entry(&entry)), golden);
    let newer = golden.replace(r#""v":1"#, r#""v":2,"later":true"#);
    assert_eq!(decode_journal_entry(Seq(7), newer.as_bytes()).unwrap(), entry, "additions do no harm");
}

#[test]
fn the_source_of_a_task_is_an_addition() {
    let golden = r#"{"customData":1,"taskData":{"source":"east","taskId":"t","taskStatus":"TASK_RUNNING","appId":"/a","ports":[]}}"#;
    let item = decode_item("t@east", golden.as_bytes()).unwrap();
    assert_eq!(item.event.source.as_ref().map(mconn_model::SourceId::as_str), Some("east"));
    assert_eq!(text(&encode_item(&item)), golden);
    let none = decode_item("t", golden.replace(r#""source":"east","#, "").as_bytes()).unwrap();
    assert_eq!(none.event.source, None, "what is stored without a source has none");
}

#[test]
fn broken_records_say_what_is_wrong() {
    let error = decode_journal_entry(Seq(1), b"{\"v\":1").unwrap_err().to_string();
    assert!(error.starts_with("not a journal entry: "), "{error}");
    let error = decode_preset(br#"{"appId":"/","moduleName":"Test"}"#).unwrap_err().to_string();
    assert_eq!(error, "not a preset: app id must not be empty");
    assert!(ModuleName::new("a/b").is_err());
}
