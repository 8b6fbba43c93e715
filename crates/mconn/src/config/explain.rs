//! The configuration for people: every value with its origin, for `mconn check`.

use std::fmt::Write as _;

use super::resolved::Config;

/// One line per setting: key, value, origin; aligned by the longest key and value, secrets masked. Control characters
/// in values are escaped.
pub(crate) fn explain(config: &Config) -> String {
    let rows: Vec<(&str, String, String)> = config
        .values()
        .iter()
        .map(|v| {
            let shown =
                if v.shown.is_empty() { "(empty)".to_owned() } else { v.shown.escape_debug().to_string() };
            (v.setting.key, shown, v.origin.to_string())
        })
        .collect();
    // One very long value must not push every origin out of sight.
    const WIDEST: usize = 48;
    let key = rows.iter().map(|(key, ..)| key.len()).max().unwrap_or(0);
    let value = rows.iter().map(|(_, value, _)| value.chars().count()).max().unwrap_or(0).min(WIDEST);
    let mut text = String::new();
    for (name, shown, origin) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:key$}  {shown:value$}  {origin}");
    }
    text
}
