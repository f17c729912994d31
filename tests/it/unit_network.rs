//! Doctor and the network that the service's unit denies: a `systemctl` of the test's own answers as systemd's does. The stage `unit`
//! has systemd itself, and machines of every kind.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;

use crate::support::service::{run_json, run_with};

/// An installation that names a proxy, a workspace and a receiver of events elsewhere; doctor asks none of them.
fn installation() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run_json(&["init"], folder.path());
    let config = folder.path().join("countersign.toml");
    let text = fs::read_to_string(&config).unwrap();
    let named = text
        .replace("# trusted_proxies = []", "trusted_proxies = [\"127.0.0.1\", \"10.77.0.5\"]")
        .replace("# url_file = \"webhook.url\"", "url_file = \"webhook.url\"\nallow_private_addresses = true")
        .replace("# secret_file = \"webhook.secret\"", "secret_file = \"webhook.secret\"");
    let braze = "[braze.main]\nrest_url = \"https://[fd00:77::1]:8443\"\napi_key = \"key\"\n";
    fs::write(&config, format!("{named}\n{braze}")).unwrap();
    for (name, content) in [
        ("webhook.url", "https://10.77.0.2/hooks/secret-path".to_owned()),
        ("webhook.secret", format!("whsec_{}", "QUFB".repeat(8))),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

/// Doctor's findings about the network, by subject, while `systemctl show` prints this.
fn findings(folder: &Path, shown: &str) -> Vec<(String, String, String)> {
    let programs = tempfile::tempdir().unwrap();
    let systemctl = programs.path().join("systemctl");
    let script =
        format!("#!/bin/sh\n[ \"$1 $2\" = 'show countersign.service' ] || exit 1\ncat <<'END'\n{shown}\nEND\n");
    fs::write(&systemctl, script).unwrap();
    // Root's doctor works as the installation's owner.
    for path in [programs.path(), &systemctl] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let (_, out, err) = run_with(&["doctor", "--json"], folder, |command| {
        command.env("PATH", path);
    });
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let text = |check: &Value, name: &str| check[name].as_str().unwrap().to_owned();
    let all = report["findings"].as_array().unwrap();
    let all = all.iter().map(|check| (text(check, "what"), text(check, "health"), text(check, "text")));
    all.filter(|(what, ..)| what.starts_with("network")).collect()
}

fn shown(folder: &Path, denied: &str, allowed: &str) -> String {
    format!("WorkingDirectory={}\nIPAddressAllow={allowed}\nIPAddressDeny={denied}\nLoadState=loaded", folder.display())
}

const ALL: &str = "::/0 0.0.0.0/0";
const LOCALHOST: &str = "127.0.0.0/8 ::1/128";

#[test]
fn each_drop_in_that_is_missing_is_named() {
    let folder = installation();
    let found = findings(folder.path(), &shown(folder.path(), ALL, LOCALHOST));
    let expected = [
        ("braze.main.rest_url", "fd00:77::1", "braze"),
        ("failures.webhook", "10.77.0.2", "webhook"),
        ("server.trusted_proxies", "10.77.0.5", "proxy"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((what, health, text), (setting, address, drop_in)) in found.iter().zip(expected) {
        assert_eq!((what.as_str(), health.as_str()), (format!("network to {setting}").as_str(), "wrong"));
        let begin = format!("the unit countersign.service drops packets to {address} (IPAddressDeny=): copy ");
        assert!(text.starts_with(&format!("{begin}deploy/systemd/drop-ins/{drop_in}.conf")), "{text}");
        assert!(!text.contains("secret-path"), "{text}");
    }
}

#[test]
fn what_a_drop_in_opens_is_no_finding() {
    let folder = installation();
    let allowed = format!("{LOCALHOST} 10.77.0.0/24");
    let found = findings(folder.path(), &shown(folder.path(), ALL, &allowed));
    assert!(matches!(&found[..], [(what, ..)] if what == "network to braze.main.rest_url"), "{found:?}");
    let found = findings(folder.path(), &shown(folder.path(), "", LOCALHOST));
    assert!(matches!(&found[..], [(what, health, _)] if what == "network" && health == "ok"), "{found:?}");
}

#[test]
fn without_a_unit_of_this_installation_there_is_no_finding() {
    let folder = installation();
    let other = tempfile::tempdir().unwrap();
    assert_eq!(findings(folder.path(), &shown(other.path(), ALL, LOCALHOST)), []);
    let absent = "WorkingDirectory=\nIPAddressAllow=\nIPAddressDeny=\nLoadState=not-found";
    assert_eq!(findings(folder.path(), absent), []);
    assert_eq!(findings(folder.path(), "System has not been booted with systemd as init system"), []);
}
