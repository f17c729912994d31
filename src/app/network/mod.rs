//! Network that this machine keeps from the service: `IPAddressDeny=` of its unit, or a packet filter. A connection whose packets
//! are dropped gets no error, and waits until its time limit, so that nothing but these checks tells the reason.
//!
//! [`check_unit`] asks systemd about the unit, from a command beside it. [`check_process`] and [`warn`] find out what this process
//! itself may send to.

mod probe;
mod proxies;
mod remotes;
mod unit;

use std::net::IpAddr;

use hyper_util::client::proxy::matcher::Matcher;
use tokio::net::lookup_host;

pub(super) use self::remotes::Remote;
use self::unit::{UNIT, UnitRules};
use crate::{
    config::Settings,
    operate::{Check, Health},
};

/// Variable that systemd sets for the processes of a unit (systemd.exec(5)).
const INVOCATION: &str = "INVOCATION_ID";

/// Judge of the addresses to which packets may go.
enum Gate {
    /// This process tries. The proxies are those of its environment.
    Process(Matcher),
    /// The rules of the service's unit.
    Unit(UnitRules),
}

impl Gate {
    fn forbids(&self, address: IpAddr) -> bool {
        match self {
            Self::Process(_) => probe::is_forbidden(address),
            Self::Unit(rules) => rules.forbid(address),
        }
    }

    fn proxies(&self) -> &Matcher {
        match self {
            Self::Process(proxies) => proxies,
            Self::Unit(rules) => &rules.proxies,
        }
    }

    fn finding(&self, address: IpAddr) -> String {
        match self {
            Self::Process(_) => {
                format!(
                    "packets of this process to {address} are dropped, by IPAddressDeny= of its unit or by a packet filter"
                )
            }
            Self::Unit(_) => format!("the unit {UNIT} drops packets to {address} (IPAddressDeny=)"),
        }
    }
}

/// Checks that the unit of the service lets it reach what the configuration names. No check where systemd has no such unit, or
/// has one of another installation.
pub async fn check_unit(settings: &Settings) -> Vec<Check> {
    let (remotes, folder) = (Remote::of(settings), settings.folder().to_owned());
    if remotes.is_empty() {
        return Vec::new();
    }
    let asked = tokio::task::spawn_blocking(move || UnitRules::ask(&folder)).await;
    let Some(rules) = asked.ok().flatten() else { return Vec::new() };
    let found = find(&remotes, &Gate::Unit(rules)).await;
    if found.is_empty() {
        let text = format!("the unit {UNIT} lets the service reach what the configuration names");
        return vec![Check::new("network", Health::Ok, text)];
    }
    found
}

/// Checks that this process may send to what the configuration names, where it runs in a unit of systemd.
pub(super) async fn check_process(remotes: &[Remote]) -> Vec<Check> {
    if is_in_a_unit() { find(remotes, &Gate::Process(proxies::of_process())).await } else { Vec::new() }
}

#[expect(clippy::disallowed_methods, reason = "systemd's variable is no setting")]
fn is_in_a_unit() -> bool {
    std::env::var_os(INVOCATION).is_some()
}

/// Logs what [`check_process`] finds.
pub(super) async fn warn(remotes: Vec<Remote>) {
    for Check { what, text, .. } in check_process(&remotes).await {
        tracing::warn!("{what}: {text}");
    }
}

async fn find(remotes: &[Remote], gate: &Gate) -> Vec<Check> {
    let name_servers = name_servers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    let (mut found, mut discoveries) = (Vec::new(), Vec::new());
    for remote in remotes {
        let remote = remote.clone().behind(gate.proxies());
        let finding = judge(&remote, gate, &name_servers).await;
        // One that is denied itself has no answer.
        if finding.is_none() {
            discoveries.push(tokio::spawn(remote.discovered()));
        }
        found.extend(finding);
    }
    for discovery in discoveries {
        if let Ok(Some(remote)) = discovery.await {
            found.extend(judge(&remote, gate, &name_servers).await);
        }
    }
    found
}

async fn judge(remote: &Remote, gate: &Gate, name_servers: &[IpAddr]) -> Option<Check> {
    let finding = forbidden(remote, gate, name_servers).await?;
    let text = format!("{finding}: {}", remote.drop_in.advice());
    Some(Check::new(format!("network to {}", remote.setting), Health::Wrong, text))
}

/// Says what is forbidden of the way to a machine, if anything is: all name servers that its name needs, or one of its
/// addresses.
async fn forbidden(remote: &Remote, gate: &Gate, name_servers: &[IpAddr]) -> Option<String> {
    let forbids = |address: &&IpAddr| !address.is_loopback() && gate.forbids(**address);
    if let Ok(address) = remote.host.parse::<IpAddr>() {
        return Some(&address).filter(forbids).map(|address| gate.finding(*address));
    }
    let silent = name_servers.iter().filter(forbids).count();
    if let Some(first) = name_servers.first().filter(|_| silent == name_servers.len()) {
        return Some(format!("{}, which is a name server of this machine (/etc/resolv.conf)", gate.finding(*first)));
    }
    let found: Vec<IpAddr> = lookup_host((remote.host.as_str(), 0)).await.ok()?.map(|found| found.ip()).collect();
    found.iter().find(forbids).map(|address| gate.finding(*address))
}

/// Reads the name servers of resolv.conf(5).
fn name_servers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| line.strip_prefix("nameserver")?.trim().split('%').next()?.parse().ok();
    text.lines().filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        remotes::{DropIn, Way},
        *,
    };

    fn remote(host: &str) -> Remote {
        Remote { setting: "store.url".to_owned(), host: host.to_owned(), drop_in: DropIn::Postgresql, way: Way::Direct }
    }

    fn unit(allow: &str) -> Gate {
        Gate::Unit(UnitRules::of("::/0 0.0.0.0/0", allow, "HTTPS_PROXY=http://192.0.2.8:3128 'NAME=two words'"))
    }

    #[tokio::test]
    async fn an_address_that_the_unit_forbids_is_found_with_its_drop_in() {
        let found =
            find(&[remote("192.0.2.20"), remote("127.0.0.1"), remote("::1")], &unit("127.0.0.0/8 ::1/128")).await;
        let [Check { what, health: Health::Wrong, text }] = &found[..] else { unreachable!("{found:?}") };
        assert_eq!(what, "network to store.url");
        assert!(text.contains("drops packets to 192.0.2.20"), "{text}");
        assert!(text.contains("drop-ins/postgresql.conf"), "{text}");
        assert!(find(&[remote("192.0.2.20")], &unit("192.0.2.20/32")).await.is_empty());
    }

    #[tokio::test]
    async fn behind_a_proxy_only_the_proxy_must_be_open() {
        let url = "https://rest.example.com".parse().unwrap();
        let braze = Remote {
            setting: "braze.main.rest_url".to_owned(),
            drop_in: DropIn::Braze,
            way: Way::Proxied(url),
            ..remote("rest.example.com")
        };
        assert!(find(std::slice::from_ref(&braze), &unit("192.0.2.8/32")).await.is_empty());
        let found = find(&[braze], &unit("192.0.2.53/32")).await;
        let [Check { what, text, .. }] = &found[..] else { unreachable!("{found:?}") };
        assert_eq!(what, "network to braze.main.rest_url through a proxy");
        assert!(text.contains("drops packets to 192.0.2.8") && text.contains("drop-ins/braze.conf"), "{text}");
    }

    #[tokio::test]
    async fn a_name_needs_one_name_server() {
        let name = remote("localhost");
        let (near, far) =
            (["127.0.0.53".parse().unwrap()], ["192.0.2.53".parse().unwrap(), "192.0.2.54".parse().unwrap()]);
        let gate = unit("192.0.2.54/32");
        assert_eq!(forbidden(&name, &gate, &near).await, None);
        assert_eq!(forbidden(&name, &gate, &far).await, None, "one of them answers");
        let finding = forbidden(&name, &unit(""), &far).await.unwrap();
        assert!(finding.contains("192.0.2.53 (IPAddressDeny=), which is a name server"), "{finding}");
    }

    #[test]
    fn name_servers_are_read() {
        let text = "# comment\nsearch example.com\nnameserver 192.0.2.53\nnameserver\tfe80::1%eth0\noptions edns0\n";
        let expected: [IpAddr; 2] = ["192.0.2.53".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(name_servers(text), expected);
    }
}
