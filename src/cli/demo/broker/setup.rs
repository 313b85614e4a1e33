use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::super::machine::{Account, Error, generate_secret, make_private, remove, write_private};
use super::address::USER;
use super::control::Control;
use super::layout::Layout;

/// Beyond this much memory a broker stops reading from publishers. Idle, it takes 130 MB.
const MEMORY_BYTES: u64 = 512 << 20;
/// With less space than this on the disk it stops reading from publishers; the machine's other users come first.
const DISK_FREE_BYTES: u64 = 50_000_000;

/// Makes an empty broker in the folder.
pub(super) fn init(layout: &Layout, account: &Account) -> Result<(), Error> {
    let data = layout.data();
    remove(&data)?;
    make_private(&data, account)?;
    layout.log().clear()?;
    let cookie = layout.cookie();
    if cookie.exists() {
        fs::remove_file(&cookie).map_err(Error::file("remove", &cookie))?;
    }
    write_private(&cookie, &generate_secret()?, account)?;
    fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400))
        .map_err(Error::file("change the mode of", &cookie))?;
    write_private(&layout.plugins(), "[].\n", account)
}

/// Writes what depends on the ports.
pub(super) fn configure(control: &Control) -> Result<(), Error> {
    let (layout, account, address) = (control.layout(), control.account(), control.address());
    let text = format!(
        "listeners.tcp.private = 127.0.0.1:{port}
default_user = {USER}
default_pass = {password}
loopback_users = none
vm_memory_high_watermark.absolute = {MEMORY_BYTES}
disk_free_limit.absolute = {DISK_FREE_BYTES}
log.console = true
log.console.level = info
log.file = false
",
        port = address.port(),
        password = address.password,
    );
    write_private(&layout.config(), &text, account)?;
    write_private(&layout.address(), &address.to_text(), account)
}
