//! Rules of the service's unit for addresses (systemd.resource-control(5)), and its variables (systemd.exec(5)), as systemd tells
//! them.

use std::{
    fs,
    net::IpAddr,
    path::Path,
    process::{Command, Stdio},
};

use hyper_util::client::proxy::matcher::Matcher;
use ipnet::IpNet;

use super::proxies;

/// Name of the unit in deploy/systemd.
pub(super) const UNIT: &str = "countersign.service";

/// Addresses that a unit denies, those that it allows all the same, and the proxies that its variables name.
pub(super) struct UnitRules {
    denied: Vec<IpNet>,
    allowed: Vec<IpNet>,
    pub(super) proxies: Matcher,
}

impl UnitRules {
    /// Asks systemd for the rules of the unit whose service works in this folder. `None` where there is no systemd, or no such
    /// unit.
    pub(super) fn ask(folder: &Path) -> Option<Self> {
        let properties = "--property=LoadState,WorkingDirectory,IPAddressDeny,IPAddressAllow,Environment";
        let asked = Command::new("systemctl").args(["show", UNIT, properties]).stdin(Stdio::null()).output().ok()?;
        Self::read(&String::from_utf8_lossy(&asked.stdout), folder)
    }

    fn read(answer: &str, folder: &Path) -> Option<Self> {
        let value = |name| answer.lines().find_map(|line: &str| line.strip_prefix(name)?.strip_prefix('='));
        let works_in = value("WorkingDirectory")?.trim_start_matches('!');
        if value("LoadState")? != "loaded" || !is_same_folder(works_in.as_ref(), folder) {
            return None;
        }
        Some(Self::of(value("IPAddressDeny")?, value("IPAddressAllow")?, value("Environment").unwrap_or_default()))
    }

    /// Rules of these lists. The variables are quoted as for a shell.
    pub(super) fn of(denied: &str, allowed: &str, environment: &str) -> Self {
        let list = |text: &str| text.split_whitespace().filter_map(|network| network.parse().ok()).collect();
        let proxies = proxies::of_variables(&shlex::split(environment).unwrap_or_default());
        Self { denied: list(denied), allowed: list(allowed), proxies }
    }

    /// Returns true where packets to this address are dropped.
    pub(super) fn forbid(&self, address: IpAddr) -> bool {
        let names = |list: &[IpNet]| list.iter().any(|network| network.contains(&address));
        names(&self.denied) && !names(&self.allowed)
    }
}

/// Compares folders behind links. An empty path is the folder that this process works in.
fn is_same_folder(one: &Path, other: &Path) -> bool {
    let behind_links =
        |path: &Path| fs::canonicalize(if path.as_os_str().is_empty() { ".".as_ref() } else { path }).ok();
    behind_links(one).is_some_and(|one| Some(one) == behind_links(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(folder: &Path, state: &str) -> String {
        let folder = folder.display();
        format!(
            "WorkingDirectory={folder}\nIPAddressAllow=127.0.0.0/8 ::1/128 192.0.2.0/24\nIPAddressDeny=::/0 0.0.0.0/0\nLoadState={state}\n"
        )
    }

    #[test]
    fn what_is_allowed_wins_over_what_is_denied() {
        let folder = tempfile::tempdir().unwrap();
        let rules = UnitRules::read(&answer(folder.path(), "loaded"), folder.path()).unwrap();
        for (address, forbidden) in
            [("127.0.0.1", false), ("::1", false), ("192.0.2.20", false), ("192.0.3.20", true), ("2001:db8::1", true)]
        {
            assert_eq!(rules.forbid(address.parse().unwrap()), forbidden, "{address}");
        }
        let open = UnitRules::of("", "127.0.0.0/8 ::1/128", "");
        assert!(!open.forbid("192.0.3.20".parse().unwrap()));
    }

    #[test]
    fn another_installations_unit_says_nothing() {
        let [folder, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        assert!(UnitRules::read(&answer(other.path(), "loaded"), folder.path()).is_none());
        assert!(UnitRules::read(&answer(folder.path(), "not-found"), folder.path()).is_none());
        assert!(UnitRules::read("", folder.path()).is_none());
    }
}
