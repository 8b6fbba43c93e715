//! Exact lines.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use jiff::tz::TimeZone;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

/// Collects what is written, one item per write.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<String>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: Format, colours: bool, development: bool, log: impl FnOnce()) -> Vec<String> {
    let memory = Memory::default();
    let now = Arc::new(|| jiff::Timestamp::from_millisecond(1_432_566_744_140).unwrap());
    let writer = memory.clone();
    let lines = Lines {
        writer: move || writer.clone(),
        clock: Clock::new(now, TimeZone::fixed(jiff::tz::offset(2))),
        format,
        colours,
        development,
    };
    tracing::subscriber::with_default(Registry::default().with(lines), log);
    memory.0.lock().unwrap().clone()
}

fn check_classic(log: impl FnOnce(), wanted: &str) {
    assert_eq!(logged(Format::Classic, false, false, log), [format!("[25-05-2015 17:12:24] {wanted}\n")]);
}

fn check_json(log: impl FnOnce(), wanted: &str) {
    let lines = logged(Format::Json, true, true, log);
    assert_eq!(lines, [format!("{{\"ts\":\"2015-05-25T15:12:24.140Z\",{wanted}}}\n")]);
    serde_json::from_str::<serde_json::Value>(&lines[0]).unwrap();
}

#[derive(Debug, thiserror::Error)]
#[error("could not fetch")]
struct Outer(#[source] io::Error);

#[test]
fn classic_lines_are_those_of_the_original() {
    check_classic(
        || tracing::info!("MConn \"1\" is ready to rumble"),
        "[INFO] MConn \"1\" is ready to rumble (App)",
    );
    check_classic(
        || tracing::info!(target: "mconn_web::access", "GET \"/v1/ping\" 200 3 127.0.0.1"),
        "[INFO] GET \"/v1/ping\" 200 3 127.0.0.1 (Middlewares)",
    );
    check_classic(
        || tracing::debug!(target: "mconn_queue", "Now \"{}\" tasks in queue", 3),
        "[DEBUG] Now \"3\" tasks in queue (QueueManager)",
    );
    check_classic(
        || tracing::warn!(context = "Module.HelloWorld.Pause", "worker has finished work, pausing"),
        "[WARN] worker has finished work, pausing (Module.HelloWorld.Pause)",
    );
    check_classic(|| tracing::info!(context = %"Module.Test", "hi"), "[INFO] hi (Module.Test)");
}

#[test]
fn fields_stand_between_message_and_context() {
    let error = Outer(io::Error::other("connection refused"));
    check_classic(
        || {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                tasks = 3,
                held = true,
                share = 0.5,
                app = %"/web",
                name = ?"two words",
                "no list"
            );
        },
        "[ERROR] no list error=\"could not fetch: connection refused\" tasks=3 held=true share=0.5 app=/web \
         name=\"two words\" (App)",
    );
    check_classic(|| tracing::info!(tasks = 3), "[INFO] tasks=3 (App)");
}

#[test]
fn control_characters_stay_on_their_line() {
    check_classic(
        || {
            let forged = "x\r\n[25-05-2015 17:12:24] [INFO] forged (App)\u{1b}[2J";
            tracing::info!(id = "a\nb", "task \"{forged}\" created");
        },
        "[INFO] task \"x\\r\\n[25-05-2015 17:12:24] [INFO] forged (App)\\x1b[2J\" created id=\"a\\nb\" (App)",
    );
}

#[test]
fn json_lines_are_objects() {
    check_json(
        || tracing::warn!(context = "Module.Test", tasks = 3, app = "/we\"b", nan = f64::NAN, "held\n"),
        "\"level\":\"WARN\",\"context\":\"Module.Test\",\"message\":\"held\\n\",\
         \"fields\":{\"tasks\":3,\"app\":\"/we\\\"b\",\"nan\":\"NaN\"}",
    );
    check_json(
        || tracing::info!("Resuming queue"),
        "\"level\":\"INFO\",\"context\":\"App\",\"message\":\"Resuming queue\",\"fields\":{}",
    );
}

#[test]
fn colours_follow_level_and_development() {
    let all = || {
        tracing::error!("e");
        tracing::warn!("w");
        tracing::info!("i");
        tracing::debug!("d");
    };
    let colours = |development| {
        let lines = logged(Format::Classic, true, development, all);
        lines.iter().map(|line| line.split_once("[25-").unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(colours(false), [RED, "", "", YELLOW]);
    assert_eq!(colours(true), [RED, RED, "", YELLOW]);
    let lines = logged(Format::Classic, true, false, all);
    assert_eq!(lines[0], "\u{1b}[31m[25-05-2015 17:12:24] [ERROR] e (App)\u{1b}[39m\n");
}

#[test]
fn a_value_that_logs_while_it_is_shown_does_not_lose_a_line() {
    struct Chatty;
    impl std::fmt::Display for Chatty {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            tracing::info!("inner");
            f.write_str("outer")
        }
    }
    let lines = logged(Format::Classic, false, false, || tracing::info!("{Chatty}"));
    assert!(lines.last().unwrap().ends_with("[INFO] outer (App)\n"), "{lines:?}");
}
