//! Keeps one event on one line: what could break a line, or make a terminal do something, is written as an escape.

use std::fmt::Write as _;

/// Line and paragraph separators break lines in some viewers, the others turn the direction of the text around.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push_char(line: &mut String, c: char) {
    match c {
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        // Writing to a String cannot fail.
        c if u32::from(c) < 0x100 => drop(write!(line, "\\x{:02x}", u32::from(c))),
        c => drop(write!(line, "\\u{{{:x}}}", u32::from(c))),
    }
}

/// Appends `text` without anything unsafe.
pub(super) fn push(line: &mut String, text: &str) {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        line.push_str(text);
        return;
    }
    for c in text.chars() {
        if is_unsafe(c) { push_char(line, c) } else { line.push(c) }
    }
}

/// Appends a field's value: as it is if it is one plain word, else in quotes.
pub(super) fn push_value(line: &mut String, text: &str) {
    let quoted = text.len() > 1 && text.starts_with('"') && text.ends_with('"');
    let needs_quotes =
        text.is_empty() || text.contains(|c: char| matches!(c, '"' | '=' | '(' | ')') || c.is_whitespace());
    if quoted || !needs_quotes {
        return push(line, text);
    }
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            c if is_unsafe(c) => push_char(line, c),
            c => line.push(c),
        }
    }
    line.push('"');
}

/// Appends a JSON string.
pub(super) fn push_json(line: &mut String, text: &str) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            // All that are unsafe lie below 0x10000, so one escape is enough.
            c if is_unsafe(c) => drop(write!(line, "\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(push: fn(&mut String, &str), text: &str) -> String {
        let mut line = String::new();
        push(&mut line, text);
        line
    }

    #[test]
    fn nothing_breaks_a_line() {
        assert_eq!(with(push, "plain \"text\" \\n"), "plain \"text\" \\n");
        assert_eq!(with(push, "a\r\n\tb\u{1b}[31m\u{7f}\u{85}"), "a\\r\\n\\tb\\x1b[31m\\x7f\\x85");
        assert_eq!(with(push, "ä\u{2028}\u{202e}"), "ä\\u{2028}\\u{202e}");
    }

    #[test]
    fn values_are_quoted_when_they_are_no_plain_word() {
        let cases = [("word", "word"), ("two words", "\"two words\""), ("", "\"\""), ("a=b", "\"a=b\"")];
        for (text, wanted) in cases {
            assert_eq!(with(push_value, text), wanted);
        }
        assert_eq!(with(push_value, "say \"hi\"\n"), "\"say \\\"hi\\\"\\n\"");
        assert_eq!(with(push_value, "\"from debug\""), "\"from debug\"");
    }

    #[test]
    fn json_strings_are_read_back_as_they_were() {
        for text in ["plain", "a\"b\\c\n\r\t\u{1b}\u{85}\u{2028}\u{2066}ä😀"] {
            let json = with(push_json, text);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            assert!(!json.chars().any(is_unsafe), "{json}");
        }
    }
}
