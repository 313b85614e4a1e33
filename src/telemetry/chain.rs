use std::error::Error;
use std::fmt;

/// An error with everything that led to it, on one line: `a: b: c`.
///
/// Some libraries print their source themselves; a source that the text before it ends with is not printed again.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printed = self.0.to_string();
        f.write_str(&printed)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !printed.ends_with(&text) {
                write!(f, ": {text}")?;
                printed = text;
            }
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    fn chain(texts: &[&'static str]) -> Link {
        let (first, rest) = texts.split_first().expect("not empty");
        Link { text: first, source: (!rest.is_empty()).then(|| Box::new(chain(rest))) }
    }

    #[test]
    fn every_cause_is_printed_once() {
        for (texts, printed) in [
            (&["alone"][..], "alone"),
            (&["lost the connection", "refused", "errno 111"], "lost the connection: refused: errno 111"),
            (&["lost: refused", "refused", "errno 111"], "lost: refused: errno 111"),
            (&["db error", "db error", "db error"], "db error"),
        ] {
            assert_eq!(Chain(&chain(texts)).to_string(), printed);
        }
    }
}
