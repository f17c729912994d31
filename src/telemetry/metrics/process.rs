//! Standard metrics of the process (`process_…`), from Linux's `/proc`. Elsewhere there are none.

use std::{fmt, time::Duration};

use procfs::{
    ProcResult,
    process::{LimitValue, Process, Stat},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use rustix::time::{ClockId, clock_gettime};

/// Collector of the process's metrics, which are read at each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    /// Unix time at which the process started, in seconds. It is found once: setting the clock must not look like a
    /// restart.
    started: Option<f64>,
}

/// Use of resources at one moment.
struct Usage {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_fds: u64,
    max_fds: Option<u64>,
}

impl ProcessCollector {
    pub(super) fn new() -> Self {
        Self { started: started().ok() }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = |name, help, unit: Option<Unit>, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?)
        };
        if let Some(started) = self.started {
            let help = "Start time of the process since the Unix epoch.";
            metric("process_start_time", help, Some(Unit::Seconds), &ConstGauge::new(started))?;
        }
        // Where `/proc` is not mounted, these are absent.
        let Ok(usage) = usage() else { return Ok(()) };
        let (cpu, resident) = (ConstCounter::new(usage.cpu_seconds), ConstGauge::new(usage.resident_bytes));
        metric("process_cpu", "User and system CPU time of the process.", Some(Unit::Seconds), &cpu)?;
        metric("process_resident_memory", "Resident memory of the process.", Some(Unit::Bytes), &resident)?;
        let virtual_memory = ConstGauge::new(usage.virtual_bytes);
        metric("process_virtual_memory", "Virtual memory of the process.", Some(Unit::Bytes), &virtual_memory)?;
        metric("process_open_fds", "Open file descriptors.", None, &ConstGauge::new(usage.open_fds))?;
        match usage.max_fds {
            Some(most) => metric("process_max_fds", "Most open file descriptors.", None, &ConstGauge::new(most)),
            None => Ok(()),
        }
    }
}

/// Returns the start of the process as Unix time. `/proc/stat`, which has the start of the machine, is hidden in units
/// with `ProcSubset=pid`; the clock that counts from there is not.
fn started() -> ProcResult<f64> {
    let stat = Process::myself()?.stat()?;
    let booted = seconds(ClockId::Realtime) - seconds(ClockId::Boottime);
    Ok(booted + ticks(stat.starttime))
}

fn usage() -> ProcResult<Usage> {
    let process = Process::myself()?;
    let stat: Stat = process.stat()?;
    let max_fds = match process.limits()?.max_open_files.soft_limit {
        LimitValue::Value(limit) => Some(limit),
        LimitValue::Unlimited => None,
    };
    Ok(Usage {
        cpu_seconds: ticks(stat.utime + stat.stime),
        resident_bytes: stat.rss * procfs::page_size(),
        virtual_bytes: stat.vsize,
        open_fds: process.fd_count()? as u64,
        max_fds,
    })
}

fn ticks(ticks: u64) -> f64 {
    Duration::from_secs(ticks).as_secs_f64() / Duration::from_secs(procfs::ticks_per_second()).as_secs_f64()
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    Duration::try_from(time).unwrap_or_default().as_secs_f64()
}
