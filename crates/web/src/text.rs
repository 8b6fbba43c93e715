//! Foreign text in log lines.

use std::fmt::{self, Write};

/// Shows foreign text on one line: control characters are escaped.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.contains(char::is_control) {
            return f.write_str(self.0);
        }
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Escaped;

    #[test]
    fn control_characters_cannot_make_a_second_line() {
        assert_eq!(Escaped("a\nb\u{1b}[31m ä").to_string(), "a\\nb\\u{1b}[31m ä");
    }
}
