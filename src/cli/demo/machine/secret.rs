use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{Account, Error};

/// 128 bits from the kernel, in hexadecimal.
pub(crate) fn generate_secret() -> Result<String, Error> {
    let path = "/dev/urandom";
    let mut bytes = [0; 16];
    let mut source = File::open(path).map_err(Error::file("open", path))?;
    source.read_exact(&mut bytes).map_err(Error::file("read", path))?;
    Ok(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

/// Writes a file that nobody but `account` can read.
pub(crate) fn write_private(path: &Path, text: &str, account: &Account) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::file("open", path))?;
    file.write_all(text.as_bytes()).map_err(Error::file("write", path))?;
    account.own(path)
}
