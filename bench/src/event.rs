//! Events as Marathon writes them, with a number in everything that has to be unique.

use std::io::Write;

/// A host in Marathon's own examples.
const AGENT: &str = "20150516-151938-1029963786-5050-2012-S1";

/// A day's time stamp that is as many milliseconds after midnight; unique for 86 million events.
fn write_time(out: &mut Vec<u8>, number: u64) {
    let (ms, s, min, h) = (number % 1000, number / 1000 % 60, number / 60_000 % 60, number / 3_600_000 % 24);
    // Writing into memory cannot fail.
    let _ = write!(out, "2015-05-25T{h:02}:{min:02}:{s:02}.{ms:03}Z");
}

/// A task's id as Marathon makes them, of its app's last name and a number.
pub(crate) fn task_id(app: &str, number: u64) -> String {
    let name = app.trim_start_matches('/').replace('/', "_");
    format!("{name}.3f1c5e0a-9d5b-11e9-8f3c-{number:012}")
}

/// The JSON of a `status_update_event`; `number` makes its time stamp unique.
pub(crate) fn write_status(out: &mut Vec<u8>, app: &str, task: &str, status: &str, number: u64) {
    let _ = write!(
        out,
        "{{\"slaveId\":\"{AGENT}\",\"taskId\":\"{task}\",\"taskStatus\":\"{status}\",\"message\":\"\",\
         \"appId\":\"{app}\",\"host\":\"slave1.dev\",\"ipAddresses\":[{{\"ipAddress\":\"10.0.0.7\",\
         \"protocol\":\"IPv4\"}}],\"ports\":[31004,31005],\"version\":\"2015-05-25T15:12:19.075Z\",\
         \"eventType\":\"status_update_event\",\"timestamp\":\""
    );
    write_time(out, number);
    out.extend_from_slice(b"\"}");
}

/// A whole request `POST /v1/queue` with that event.
pub(crate) fn write_post(out: &mut Vec<u8>, app: &str, task: &str, status: &str, number: u64) {
    let mut body = Vec::with_capacity(512);
    write_status(&mut body, app, task, status, number);
    let _ = write!(
        out,
        "POST /v1/queue HTTP/1.1\r\nHost: mconn\r\nContent-Type: application/json\r\nAccept: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(&body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn an_event_is_json_and_its_time_is_a_time() {
        let mut out = Vec::new();
        write_status(&mut out, "/bench/1", &task_id("/bench/1", 7), "TASK_RUNNING", 3_723_004);
        let event: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(event["taskId"], "bench_1.3f1c5e0a-9d5b-11e9-8f3c-000000000007");
        assert_eq!(event["timestamp"], "2015-05-25T01:02:03.004Z");
    }
}
