//! Processes on a processor of their own, and their CPU time and memory.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use rustix::{
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// Processor of the measured server; the load uses the others, if there are any.
pub const MEASURED_CPU: usize = 0;

/// Ticks per second in `/proc`; the same on every Linux for these architectures.
const USER_HZ: u32 = 100;

/// Returns the processors that this process may use.
fn all_cpus() -> CpuSet {
    static ALL: OnceLock<CpuSet> = OnceLock::new();
    *ALL.get_or_init(|| sched_getaffinity(None).unwrap())
}

/// Pins this thread, and those it starts later, to the processor of the measured server.
pub fn pin_to_the_measured() {
    let mut set = CpuSet::new();
    set.set(MEASURED_CPU);
    sched_setaffinity(None, &set).unwrap();
}

/// Pins this thread, and those it starts later, to the other processors; a single processor is shared.
pub fn pin_to_the_others() {
    let mut set = all_cpus();
    set.unset(MEASURED_CPU);
    if set.count() > 0 {
        sched_setaffinity(None, &set).unwrap();
    }
}

/// Lets this thread, and those it starts later, use every processor.
pub fn unpin() {
    sched_setaffinity(None, &all_cpus()).unwrap();
}

/// Returns the CPU time of this thread so far.
pub fn this_thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A process that is killed on drop.
pub struct Process(Child);

impl Process {
    /// Starts a command on the processor of the measured server, and waits for its first line, the ready line;
    /// returns both. Its standard error goes to a file, if one is given.
    pub fn start(command: &Command, log: Option<fs::File>) -> io::Result<(Self, String)> {
        // The process is killed when this program ends, in whatever way.
        let mut pinned = Command::new("setpriv");
        pinned
            .args(["--pdeathsig", "KILL", "taskset", "-c", &MEASURED_CPU.to_string()])
            .arg(command.get_program())
            .args(command.get_args());
        pinned.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(log) = log {
            pinned.stderr(log);
        }
        let mut process = Self(pinned.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let (mut line, output) = (String::new(), process.0.stdout.take());
        BufReader::new(output.ok_or(io::ErrorKind::BrokenPipe)?).read_line(&mut line)?;
        if line.is_empty() { Err(io::Error::other("it ended before it was ready")) } else { Ok((process, line)) }
    }

    /// Returns the CPU time of the process so far, user and system, to ten milliseconds. It includes threads that
    /// ended.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // The command's name, in parentheses, may contain any character; after it comes the state, field 3 of
        // proc(5).
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        let ticks = |field: usize| fields.split_whitespace().nth(field - 3)?.parse::<u32>().ok();
        Duration::from_secs(1) / USER_HZ * (ticks(14).unwrap() + ticks(15).unwrap())
    }

    /// Returns the CPU time so far of the running threads, user and system, by name; threads that differ only in a number
    /// count together. It is exact to the nanosecond, unlike [`Self::cpu`], and has no thread that ended.
    pub fn cpu_by_thread(&self) -> BTreeMap<String, Duration> {
        let mut times = BTreeMap::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap() {
            let read = |file| fs::read_to_string(thread.as_ref().unwrap().path().join(file));
            // A thread may have ended meanwhile.
            let (Ok(name), Ok(spent)) = (read("comm"), read("schedstat")) else { continue };
            let name = name.trim().trim_end_matches(|last: char| last.is_ascii_digit() || last == '-');
            // The first field is the time on the processor, in nanoseconds.
            let nanos = spent.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default();
            *times.entry(name.to_owned()).or_default() += Duration::from_nanos(nanos);
        }
        times
    }

    /// Returns the resident memory, in megabytes.
    pub fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
