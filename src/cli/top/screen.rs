//! A terminal that is drawn on in place, and is as it was afterwards, however this ends.

use std::io;

use terminal_size::{Height, Width, terminal_size_of};

use super::view::Size;
use crate::cli::output::{Output, Written};

/// The screen that is kept beside the one with the command line; no cursor; and both back.
const OPEN: &str = "\x1b[?1049h\x1b[?25l";
const CLOSE: &str = "\x1b[?25h\x1b[?1049l";
const TOP_LEFT: &str = "\x1b[H";
/// What follows in the line, and below it.
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Where nothing says how large it is.
const USUAL: Size = Size { lines: 24, columns: 80 };

/// The screen of standard output.
#[derive(Debug)]
pub(super) struct Screen(Output);

impl Screen {
    pub(super) fn open() -> Self {
        let mut output = Output::new();
        // What cannot be written shows when it is drawn.
        let _ = output.write(OPEN.as_bytes());
        Self(output)
    }

    /// Draws lines over what was there. A line is cleared before it is written: behind one that fills the screen the
    /// cursor stands on its last character.
    pub(super) fn draw(&mut self, text: &str, size: Size) -> Written {
        let mut drawn = TOP_LEFT.to_owned();
        let mut count = 0;
        for line in text.lines() {
            drawn.extend([if count > 0 { "\r\n" } else { "" }, CLEAR_LINE, line]);
            count += 1;
        }
        if count < size.lines {
            drawn.extend(["\r\n", CLEAR_BELOW]);
        }
        self.0.write(drawn.as_bytes())?;
        self.0.flush()
    }

    /// How large it is now.
    pub(super) fn size() -> Size {
        let told = |variable| std::env::var(variable).ok()?.parse().ok().filter(|&count| count > 0);
        match terminal_size_of(io::stdout()) {
            Some((Width(columns), Height(lines))) => Size { lines: lines.into(), columns: columns.into() },
            None => Size {
                lines: told("LINES").unwrap_or(USUAL.lines),
                columns: told("COLUMNS").unwrap_or(USUAL.columns),
            },
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may have gone.
        let _ = self.0.write(CLOSE.as_bytes()).and_then(|()| self.0.flush());
    }
}
