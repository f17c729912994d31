//! `countersign db copy`: a site moves to another store, and nothing is lost; what cannot be copied rightly is refused, and
//! leaves nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, types::Value as Column};
use serde_json::Value;

use crate::{
    cli::init,
    support::service::{Service, run, run_ending, run_json},
};

/// Values of every table that a copy has, in order.
pub(crate) fn contents(store: &Path) -> Vec<(String, Vec<Vec<Column>>)> {
    let connection = Connection::open(store).unwrap();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
                 AND name NOT IN ('nodes', 'leases', 'ends', 'ends_dates', 'followers') ORDER BY name";
    let mut statement = connection.prepare(names).unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<Vec<String>, _>>().unwrap();
    let rows = |name: &str| {
        let condition = if name == "meta" { "WHERE name NOT IN ('check', 'latest_time')" } else { "" };
        let mut statement = connection.prepare(&format!("SELECT * FROM {name} {condition} ORDER BY 1, 2")).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect()).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    names
        .into_iter()
        .map(|name| {
            let rows = rows(&name);
            (name, rows)
        })
        .collect()
}

/// Number of rows in the log of ends.
fn logged(store: &Path) -> u32 {
    let connection = Connection::open(store).unwrap();
    connection.query_row("SELECT count(*) FROM ends", [], |row| row.get(0)).unwrap()
}

/// A site that has been in use, and its service is stopped.
pub(crate) struct Installation {
    folder: tempfile::TempDir,
    api_key: String,
    /// Refresh tokens: of a session that goes on, and of one that was revoked.
    live: String,
    revoked: String,
}

impl Installation {
    pub(crate) async fn used() -> Self {
        let (folder, _) = init(&[]);
        let path = folder.path();
        let api_key = run_json(&["clients", "create", "backend", "--app", "web"], path);
        let api_key = api_key["api_key"].as_str().unwrap().to_owned();
        let service = Service::of(&path.join("countersign.toml"));
        let live = service.generate(&api_key, "u-1").await.ok().text("refresh_token");
        let live = service.refresh(&live).await.unwrap().ok().text("refresh_token");
        let revoked = service.generate(&api_key, "u-2").await.ok().text("refresh_token");
        run_ending(&["users", "revoke", "u-2"], path);
        run_ending(&["users", "opt-out", "u-3"], path);
        service.stop();
        Self { folder, api_key, live, revoked }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn copy(&self, from: &str, to: &str) -> Value {
        run_json(&["db", "copy", "--from", from, "--to", to], self.path())
    }

    /// Copies; the error.
    #[track_caller]
    pub(crate) fn refused(&self, from: &str, to: &str) -> String {
        let (code, _, err) = run(&["db", "copy", "--from", from, "--to", to], self.path());
        assert_eq!(code, 1, "{err}");
        err
    }

    /// Puts a line into `[store]`.
    pub(crate) fn configure(&self, line: &str) {
        let config = fs::read_to_string(self.at("countersign.toml")).unwrap();
        let config = config.replacen("\n[store]\n", &format!("\n[store]\n{line}\n"), 1);
        fs::write(self.at("countersign.toml"), config).unwrap();
    }

    /// Checks that the site goes on where it was; the refresh token that follows the live one.
    pub(crate) async fn goes_on(&mut self) {
        let (code, out, err) = run(&["doctor"], self.path());
        assert!([0, 3].contains(&code), "{out}{err}");
        let service = Service::of(&self.at("countersign.toml"));
        self.live = service.refresh(&self.live).await.unwrap().ok().text("refresh_token");
        service.refresh(&self.revoked).await.unwrap().problem(401, "invalid_token");
        service.generate(&self.api_key, "u-3").await.problem(403, "opted_out");
        service.stop();
    }
}

pub(crate) fn rows(copied: &Value, table: &str) -> u64 {
    let tables = copied["tables"].as_array().unwrap();
    tables.iter().find(|one| one["name"] == table).unwrap()["rows"].as_u64().unwrap()
}

#[tokio::test]
async fn a_copy_has_everything_and_the_site_goes_on_with_it() {
    let mut site = Installation::used().await;
    let copied = site.copy("sqlite:countersign.db", "sqlite:copy.db");
    assert_eq!((rows(&copied, "sessions"), rows(&copied, "opt_outs"), rows(&copied, "api_keys")), (2, 1, 1));
    assert_eq!(contents(&site.at("countersign.db")), contents(&site.at("copy.db")));
    assert_eq!(crate::cli::mode(&site.at("copy.db")), 0o600);
    let (from, to) = ("countersign.db", "copy.db");
    assert!(logged(&site.at(from)) > 0 && logged(&site.at(to)) == 0, "what was copied did not end now");
    site.configure("path = \"copy.db\"");
    site.goes_on().await;
    run_json(&["users", "opt-out", "u-4"], site.path());
    assert_eq!(logged(&site.at("copy.db")), 1, "an end in the new store is");
}

#[tokio::test]
async fn what_cannot_be_copied_is_refused_and_leaves_nothing() {
    let site = Installation::used().await;
    // SQLite leaves files beside a store that was only read.
    let is_made = |name: &String| !name.starts_with("countersign.db-");
    let names = || {
        let names = fs::read_dir(site.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(is_made).collect::<BTreeSet<_>>()
    };
    let before = names();
    assert!(site.refused("sqlite:countersign.db", "sqlite:countersign.db").contains("both the source and the target"));
    assert!(site.refused("sqlite:none.db", "sqlite:copy.db").contains("none.db does not exist"));
    assert!(site.refused("sqlite:sealing.secret", "sqlite:copy.db").contains("sealing.secret"));
    assert!(site.refused("sqlite:countersign.db", "sqlite:none/copy.db").contains("none"));
    for place in ["countersign.db", "sqlite:", "mysql://x", "sqlite://countersign.db"] {
        let (code, _, err) = run(&["db", "copy", "--from", place, "--to", "sqlite:copy.db"], site.path());
        assert!(code == 2 && err.contains("write sqlite:FILE or postgres://"), "{err}");
    }
    fs::write(site.at("password"), "x").unwrap();
    let with_password = ["db", "copy", "--from", "sqlite:a", "--to", "sqlite:b", "--to-password-file", "password"];
    let (code, _, err) = run(&with_password, site.path());
    assert!(code == 2 && err.contains("is for a postgres:// URL"), "{err}");
    fs::remove_file(site.at("password")).unwrap();
    assert_eq!(names(), before);
    site.copy("sqlite:countersign.db", "sqlite:copy.db");
    assert!(site.refused("sqlite:countersign.db", "sqlite:copy.db").contains("copy.db exists"));

    let service = Service::of(&site.at("countersign.toml"));
    crate::cli::eventually(async || {
        run(&["db", "copy", "--from", "sqlite:countersign.db", "--to", "sqlite:other.db"], site.path())
            .2
            .contains("stop every node")
    })
    .await;
    service.stop();
    site.copy("sqlite:countersign.db", "sqlite:third.db");
}
