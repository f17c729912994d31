//! A command on a terminal, with somebody who types.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::Path,
    process::Stdio,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::service::countersign;

/// Runs a command to its end on a terminal, on which `typed` is typed; exit code, and what the terminal showed.
pub fn on_terminal(arguments: &[&str], folder: &Path, typed: &str) -> (i32, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let theirs = || Stdio::from(OpenOptions::new().read(true).write(true).open(&name).unwrap());
    let mut command = countersign();
    command.args(arguments).current_dir(folder).stdin(theirs()).stdout(theirs()).stderr(theirs());
    let mut child = command.spawn().unwrap();
    // The command's ends of the terminal are open here too, until this is dropped.
    drop(command);
    let mut ours = File::from(ours);
    ours.write_all(typed.as_bytes()).unwrap();
    let mut shown = Vec::new();
    // Linux reports EIO once nobody has the other end open.
    let _ = ours.read_to_end(&mut shown);
    (child.wait().unwrap().code().unwrap_or(-1), String::from_utf8(shown).unwrap())
}
