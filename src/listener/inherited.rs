//! Listening sockets of the process that started this one (`sd_listen_fds(3)`).

use std::env;

use super::socket::{ListenError, Listener, adopt};

/// Variable with the names of the sockets, in their order, separated by colons (`FileDescriptorName=` of a unit).
const NAMES: &str = "LISTEN_FDNAMES";

/// Sockets that this process inherited.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Socket for apps and back ends.
    pub public: Option<Listener>,
    /// Socket of the ops routes.
    pub ops: Option<Listener>,
}

/// Use of an inherited socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Public,
    Ops,
}

impl Role {
    /// Returns the use of the socket with this name at this position. Other names, such as the one that systemd gives by
    /// default, mean nothing.
    fn of(index: usize, name: Option<&str>) -> Option<Self> {
        match (name, index) {
            (Some("public"), _) => Some(Self::Public),
            (Some("ops"), _) => Some(Self::Ops),
            (_, index) => [Self::Public, Self::Ops].get(index).copied(),
        }
    }
}

/// Returns the inherited sockets: those named `public` and `ops`, in any order; without such names the first is the public one,
/// the second ops. A second call returns none. Call it within the runtime, before other threads read the environment: it clears
/// `LISTEN_FDS` and `LISTEN_PID`.
///
/// # Errors
/// [`ListenError::Inherited`] where one is not a listening TCP socket, [`ListenError::Surplus`] where two are for one use.
pub fn inherited() -> Result<Inherited, ListenError> {
    let names = names();
    let mut sockets = listenfd::ListenFd::from_env();
    let mut inherited = Inherited::default();
    for index in 0..sockets.len() {
        let place = match Role::of(index, names.split(':').nth(index)) {
            Some(Role::Public) => &mut inherited.public,
            Some(Role::Ops) => &mut inherited.ops,
            None => return Err(ListenError::Surplus { index }),
        };
        if place.is_some() {
            return Err(ListenError::Surplus { index });
        }
        let socket = sockets.take_tcp_listener(index).and_then(|socket| socket.map(adopt).transpose());
        *place = socket.map_err(|why| ListenError::Inherited { index, why })?;
    }
    Ok(inherited)
}

#[expect(clippy::disallowed_methods, reason = "systemd's variable is no setting")]
fn names() -> String {
    env::var(NAMES).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_before_the_order() {
        use Role::{Ops, Public};
        for (index, name, role) in [
            (0, None, Some(Public)),
            (1, None, Some(Ops)),
            (2, None, None),
            (0, Some("ops"), Some(Ops)),
            (1, Some("public"), Some(Public)),
            (0, Some("countersign.socket"), Some(Public)),
            (1, Some(""), Some(Ops)),
            (2, Some("public"), Some(Public)),
        ] {
            assert_eq!(Role::of(index, name), role, "{index} {name:?}");
        }
    }
}
