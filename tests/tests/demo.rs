//! `mconn demo`, as `make demo` starts it.

use std::path::Path;

use mconn_tests::Mconn;

#[test]
fn the_story_is_told_to_its_end() {
    let mut demo = Mconn::start(&["demo", "--for", "25s", "--speed", "20"], &[], Path::new("/"));
    assert_eq!(demo.exit_code(), 0, "{}", demo.output());
    let told = demo.output();
    for part in [
        "presets",
        "start four tasks",
        "GET http://127.0.0.1:",
        "scale up to six",
        "kill one",
        "roll out a new version",
        "delete /shop/web",
        "Moin, Moin",
        "Tschues",
        "the end",
        "it stays up",
        "=== summary",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
}

#[test]
fn a_short_time_ends_it_early_and_well() {
    let mut demo = Mconn::start(&["demo", "--for", "1s"], &[], Path::new("/"));
    assert_eq!(demo.exit_code(), 0, "{}", demo.output());
    assert!(demo.output().contains("=== summary"));
}

#[test]
fn ctrl_c_ends_it_with_a_summary() {
    let mut demo = Mconn::start(&["demo"], &[], Path::new("/"));
    demo.wait_for("presets");
    demo.signal("INT");
    assert_eq!(demo.exit_code(), 0, "{}", demo.output());
    assert!(demo.output().contains("=== summary"));
}
