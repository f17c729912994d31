//! Reader of a file that a person named. It waits for nobody for ever, and reads no more than a key file may have.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    path::Path,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, Mode, OFlags, PROC_SUPER_MAGIC, fstat, fstatfs, open},
};

use super::{
    Bounds, Breaches, Rule, Use, folder_of,
    links::{Opened, open_file},
};
use crate::secret::Secret;

/// Largest file with a secret or a key.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;
/// Longest wait for somebody who opens a pipe to write to it.
const WAIT_FOR_WRITER: Duration = Duration::from_secs(2);
/// Longest wait for bytes of a writer: it may be asking a person for a passphrase.
const WAIT_FOR_BYTES: Duration = Duration::from_mins(1);

/// Reads a file, or stdin for `-`; returns its bytes, and the breaches of the rule by its owner and mode. A pipe, e.g. of
/// `<(command)`, is read while somebody writes to it.
///
/// # Errors
/// The file cannot be opened or read, is larger than `limit`, is no file and no pipe, or nobody writes to the pipe.
pub fn read_given(path: &Path, limit: usize, rule: &Rule, purpose: Use) -> io::Result<(Secret<Vec<u8>>, Breaches)> {
    // A buffer that never grows leaves no copy in memory.
    let mut bytes = Secret::new(Vec::with_capacity(limit + 1));
    let breaches = read_into(bytes.expose_mut(), path, limit, rule, purpose)?;
    if bytes.expose().len() > limit {
        let text = format!("is larger than {} KiB: this is not the right file", limit / 1024);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok((bytes, breaches))
}

/// Reads at most one byte more than `limit`.
fn read_into(bytes: &mut Vec<u8>, path: &Path, limit: usize, rule: &Rule, purpose: Use) -> io::Result<Breaches> {
    let most = limit as u64 + 1;
    if path == Path::new("-") {
        io::stdin().take(most).read_to_end(bytes)?;
        return Ok(Breaches::default());
    }
    let Opened { file, by_link } = open_given(path, purpose)?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => {
            let mut breaches = rule.judge_open(&file, path, purpose)?;
            if by_link {
                breaches.extend(rule.judge_links(path));
            }
            file.take(most).read_to_end(bytes)?;
            Ok(breaches)
        }
        FileType::Fifo => {
            read_pipe(file, limit, bytes)?;
            Ok(Breaches::default())
        }
        FileType::Directory => Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder: name a file in it")),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "is neither a file nor a pipe; `-` reads stdin")),
    }
}

/// Opens a file. A link to a secret must stay on the mount of its folder, unless it is one of the kernel's, to what the
/// caller of this process has opened for it.
fn open_given(path: &Path, purpose: Use) -> io::Result<Opened> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let folder = open(folder_of(path), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    if purpose != Use::Secret || path.file_name().is_none() || is_descriptor(path, &folder) {
        return Ok(Opened { file: open(path, flags, Mode::empty())?.into(), by_link: false });
    }
    open_file(folder, path, flags, Bounds::Mount)
}

/// Returns true for `/dev/stdin`, and for files such as `/dev/fd/63`, which is what `<(command)` stands for.
fn is_descriptor(path: &Path, folder: impl AsFd) -> bool {
    path == Path::new("/dev/stdin") || fstatfs(folder).is_ok_and(|found| found.f_type == PROC_SUPER_MAGIC)
}

fn read_pipe(mut pipe: File, limit: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = zeroize::Zeroizing::new([0; 4096]);
    while bytes.len() <= limit {
        match pipe.read(&mut *chunk) {
            // The writer may not have opened the pipe yet.
            Ok(0) if bytes.is_empty() => wait(&pipe, WAIT_FOR_WRITER, PollFlags::IN)?,
            Ok(0) => return Ok(()),
            Ok(read) => bytes.extend_from_slice(&chunk[..read.min(limit + 1 - bytes.len())]),
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                wait(&pipe, WAIT_FOR_BYTES, PollFlags::IN | PollFlags::HUP)?;
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

/// Waits for one of these events.
fn wait(pipe: &File, longest: Duration, events: PollFlags) -> io::Result<()> {
    let longest = Timespec { tv_sec: longest.as_secs().cast_signed(), tv_nsec: 0 };
    let mut polled = [PollFd::new(pipe, PollFlags::IN)];
    poll(&mut polled, Some(&longest))?;
    if polled[0].revents().intersects(events) {
        return Ok(());
    }
    let text = "is a pipe that nobody writes to: name a file, or use `-` for stdin";
    Err(io::Error::new(io::ErrorKind::TimedOut, text))
}
