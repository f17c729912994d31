//! Names of processes, from which another process of the same machine sees that one has ended.
//!
//! A name is `HOST-PID-MACHINE-BEGUN-RANDOM`. `MACHINE` stands for the boot and the namespace of process ids: where it
//! is equal, and `HOST`, too (copies of a virtual machine have one boot), the process id means the same. `BEGUN` is the
//! time since boot at which the process began, so that its id, given to another process later, is not taken for it.

use std::{fs, process, sync::LazyLock};

use aws_lc_rs::digest::{SHA256, digest};
use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
    system::uname,
};

use crate::clock::{BootId, Clock, SystemClock};

/// Bytes of `MACHINE`.
const MACHINE_BYTES: usize = 8;

/// Returns the name of this process among those of all machines. The random bytes tell processes apart whose machines are
/// not known, as two containers may have the same host name and process id.
pub fn process_name(random: [u8; 2]) -> String {
    let (host, id, random) = (host(), process::id(), hex::encode(random));
    match (&*MACHINE, stat("self").map(|stat| stat.begun)) {
        (Some(machine), Some(begun)) => format!("{host}-{id}-{machine}-{begun:x}-{random}"),
        _ => format!("{host}-{id}-{random}"),
    }
}

fn host() -> String {
    uname().nodename().to_string_lossy().replace(|c: char| !c.is_ascii_graphic(), "?")
}

/// Returns true where this is the name of a process of this machine that has ended. Where that is not certain, e.g. for a
/// process in another container, it returns false.
pub(super) fn has_ended(name: &str) -> bool {
    let mut parts = name.rsplitn(5, '-').skip(1);
    let (Some(begun), Some(machine), Some(id)) = (parts.next(), parts.next(), parts.next()) else { return false };
    if MACHINE.as_deref() != Some(machine) || parts.next() != Some(&host()) {
        return false;
    }
    let (Ok(begun), Some(pid)) = (u64::from_str_radix(begun, 16), id.parse().ok().and_then(Pid::from_raw)) else {
        return false;
    };
    if test_kill_process(pid) == Err(Errno::SRCH) {
        return true;
    }
    stat(id).is_some_and(|stat| stat.begun != begun || stat.is_over)
}

/// The boot and the namespaces of this process, in which its id and its begin have their meaning.
static MACHINE: LazyLock<Option<String>> = LazyLock::new(|| {
    let BootId(boot) = SystemClock.boot_id();
    let namespace = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).ok();
    // A kernel without namespaces of time has one time.
    let known = format!("{:?}", (boot?, namespace("pid")?, namespace("time")));
    Some(hex::encode(&digest(&SHA256, known.as_bytes()).as_ref()[..MACHINE_BYTES]))
});

/// Fields of `/proc/PID/stat`.
struct Stat {
    /// Time since boot at which the process began, in the kernel's unit.
    begun: u64,
    /// It has ended, and its parent has not noticed yet.
    is_over: bool,
}

fn stat(id: &str) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The fields of proc(5) from the third on; the name before them may have any character.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let is_over = matches!(field(3)?, "Z" | "X") && matches!(field(20)?, "0" | "1");
    Some(Stat { begun: field(22)?.parse().ok()?, is_over })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// The name that a process with this id and begin would have here.
    fn name(id: u32, begun: u64) -> String {
        format!("{}-{id}-{}-{begun:x}-0102", host(), MACHINE.as_deref().unwrap())
    }

    #[test]
    fn this_process_has_not_ended() {
        let own = process_name([1, 2]);
        assert!(own.ends_with("-0102") && own.contains(&format!("-{}-", process::id())), "{own}");
        assert!(!has_ended(&own));
        assert_ne!(own, process_name([1, 3]));
    }

    #[test]
    fn a_process_has_ended_once_it_is_killed() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let name = name(child.id(), stat(&child.id().to_string()).unwrap().begun);
        assert!(!has_ended(&name));
        child.kill().unwrap();
        // Its parent, this process, has not asked for it yet.
        while !has_ended(&name) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(has_ended(&name));
    }

    #[test]
    fn a_process_id_that_another_process_has_now_is_no_proof_of_life() {
        let begun = stat("self").unwrap().begun;
        assert!(!has_ended(&name(process::id(), begun)));
        assert!(has_ended(&name(process::id(), begun + 1)));
    }

    #[test]
    fn what_is_not_known_to_have_ended_has_not() {
        let over = name(process::id(), stat("self").unwrap().begun + 1);
        assert!(has_ended(&over));
        // A copy of this virtual machine, with the memory of its kernel.
        let copy = format!("copy-{over}");
        let elsewhere = name(1, 1).replace(MACHINE.as_deref().unwrap(), "0123456789abcdef");
        for name in [
            &elsewhere,
            &copy,
            "host-1-0102",
            "node a",
            "",
            "-----",
            "a-b-c-d-e",
            &name(0, 1),
            &name(1, 1).replace("-1-", "-x-"),
        ] {
            assert!(!has_ended(name), "{name}");
        }
    }
}
