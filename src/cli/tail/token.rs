use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::Error;
use crate::config;

const VARIABLE: &str = "TIDEGATE_TOKEN";

/// The token to show, and where a new one would be found.
pub(super) struct Token {
    file: Option<PathBuf>,
    token: Option<String>,
}

impl Token {
    pub(super) fn new(file: Option<PathBuf>) -> Result<Self, Error> {
        let mut token = Self { file, token: None };
        token.token = token.read()?;
        Ok(token)
    }

    pub(super) fn get(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Reads the file once more; whether there is another token now. A variable does not change.
    pub(super) fn renew(&mut self) -> Result<bool, Error> {
        let token = self.read()?;
        let renewed = token.is_some() && token != self.token;
        self.token = token;
        Ok(renewed)
    }

    fn read(&self) -> Result<Option<String>, Error> {
        match &self.file {
            None => config::variable(VARIABLE).map_err(Error::Environment),
            Some(path) => match read_file(path) {
                Ok(text) => Ok(Some(text.trim().to_owned())),
                Err(source) => Err(Error::TokenFile { path: path.clone(), source }),
            },
        }
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    /// What no header takes is no token.
    const MOST_BYTES: u64 = 64 << 10;
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_token_is_new_only_if_its_file_says_something_else() {
        let path = std::env::temp_dir().join(format!("tidegate-token-{}", std::process::id()));
        fs::write(&path, "first\n").expect("writable");
        let mut token = Token::new(Some(path.clone())).expect("readable");
        assert_eq!(token.get(), Some("first"));
        assert!(!token.renew().expect("readable"));
        fs::write(&path, "second\n").expect("writable");
        assert!(token.renew().expect("readable"));
        assert_eq!(token.get(), Some("second"));
        fs::remove_file(&path).expect("there");
        assert!(token.renew().is_err());
    }
}
