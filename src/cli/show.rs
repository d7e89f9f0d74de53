//! What a command prints: objects for programs, lines and tables for people.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::failure::{Failure, Family};

/// Where output goes, and in which form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    json: bool,
    quiet: bool,
}

impl Show {
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Whether progress is of use to anybody.
    pub(super) fn wants_progress(self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// `object` for a program, or what `people` prints.
    pub(super) fn answer(
        self,
        object: &impl Serialize,
        people: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut text = Vec::new();
        if self.json {
            text = json_line(object)?;
        } else {
            people(&mut text).map_err(Failure::output)?;
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(&text).and_then(|()| stdout.flush()).map_err(Failure::output)
    }

    /// [`Self::answer`] where standard output is taken by data: the object goes to standard error.
    pub(super) fn answer_aside(self, object: &impl Serialize) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let text = json_line(object)?;
        io::stderr()
            .write_all(&text)
            .map_err(|error| Failure::io("writing to standard error", None, error))
    }

    /// Something worth knowing that is no part of the answer.
    pub(super) fn note(self, text: &str) {
        if self.quiet {
            return;
        }
        // A note that cannot be written is not worth failing for.
        drop(if self.json {
            writeln!(io::stderr(), "{}", serde_json::json!({ "note": text }))
        } else {
            writeln!(io::stderr(), "portcullis: {}", printable_lines(text))
        });
    }
}

fn json_line(object: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut text = serde_json::to_vec(object)
        .map_err(|error| Failure::new(Family::Internal, "json", error.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// Rows of cells, padded to line up; the last column is not padded.
pub(super) fn table<const N: usize>(
    out: &mut dyn Write,
    head: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: [&str; N]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            text.push_str(cell);
            let pad = width.saturating_sub(cell.chars().count()) + 2;
            text.extend(core::iter::repeat_n(' ', pad));
        }
        writeln!(out, "{}", text.trim_end())
    };
    line(head)?;
    rows.iter().try_for_each(|row| line(row.each_ref().map(String::as_str)))
}

/// Names and values, one a line, lined up. Control characters are shown escaped: what others wrote
/// does not steer this terminal.
pub(super) fn fields(out: &mut dyn Write, fields: &[(&str, String)]) -> io::Result<()> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    fields.iter().try_for_each(|(name, value)| {
        let line = format!("{name:width$}  {}", printable(value));
        writeln!(out, "{}", line.trim_end())
    })
}

/// `text` with control characters escaped.
pub(super) fn printable(text: &str) -> String {
    escaped(text, char::is_control)
}

/// `text`, which may have several lines, with every other control character escaped.
pub(super) fn printable_lines(text: &str) -> String {
    escaped(text, |c| c.is_control() && c != '\n')
}

fn escaped(text: &str, is_unwanted: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unwanted(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_with_their_last_word() {
        let mut out = Vec::new();
        let rows = [["a".to_owned(), "long cell".to_owned()], ["bb".to_owned(), String::new()]];
        table(&mut out, ["ID", "STATE"], &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "ID  STATE\na   long cell\nbb\n");
    }

    #[test]
    fn text_of_others_steers_no_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(printable_lines("a\u{1b}[31m\nb"), "a\\u{1b}[31m\nb");
    }
}
