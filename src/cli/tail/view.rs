mod json;
mod text;

use std::io::{self, IsTerminal as _, Write};

use anstream::AutoStream;
use clap::ValueEnum;

use super::state::Line;
use json::Json;
use text::Text;

pub(super) use text::plain;

/// The form of what is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Text on a terminal, JSON lines otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// An object a line, for programs.
    Json,
}

/// Shows lines on stdout.
#[derive(Debug)]
pub(super) enum View {
    Text(Text),
    Json(Json),
}

impl View {
    pub(super) fn new(output: Output) -> Self {
        match (output, io::stdout().is_terminal()) {
            (Output::Text, _) | (Output::Auto, true) => Self::Text(Text::default()),
            (Output::Json, _) | (Output::Auto, false) => Self::Json(Json::default()),
        }
    }

    /// Names the columns of the key, by which people know a row.
    pub(super) fn set_key(&mut self, key: &[String]) {
        if let Self::Text(text) = self {
            text.set_key(key);
        }
    }

    /// Writes `lines` in one go.
    pub(super) fn show(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut buffer = Vec::new();
        for line in lines {
            match self {
                Self::Text(text) => text.write(&mut buffer, line)?,
                Self::Json(json) => json.write(&mut buffer, line)?,
            }
        }
        // Colours are dropped where stdout does not take them.
        let mut out: Box<dyn Write> = match self {
            Self::Text(_) => Box::new(AutoStream::auto(io::stdout()).lock()),
            Self::Json(_) => Box::new(io::stdout().lock()),
        };
        out.write_all(&buffer)?;
        out.flush()
    }
}
