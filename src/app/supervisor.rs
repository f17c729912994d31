//! Messages to the supervisor of this process: systemd, with `Type=notify`.

pub(super) use sd_notify::NotifyState as Notice;

/// Sends messages to systemd, where it supervises this process.
pub(super) fn notify(notices: &[Notice<'_>]) {
    if let Err(why) = sd_notify::notify(notices) {
        tracing::debug!(%why, "systemd could not be notified");
    }
}
