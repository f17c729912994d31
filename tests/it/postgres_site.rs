//! A site on PostgreSQL, by the commands of an operator: set up, further nodes, moved there and back, restored.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    cli::eventually,
    db_copy::{Installation, contents, rows},
    support::{
        postgres::{Database, Pooler, Server},
        service::{Service, run, run_ending, run_json},
    },
};

/// A folder that was set up on a database.
fn set_up(url: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run_json(&["init", "--store-url", url], folder.path());
    folder
}

fn config(folder: &Path) -> String {
    fs::read_to_string(folder.join("countersign.toml")).unwrap()
}

fn api_key(folder: &Path) -> String {
    run_json(&["clients", "create", "backend", "--app", "web"], folder)["api_key"].as_str().unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn init_sets_a_site_up_and_further_nodes_need_its_files_only() {
    let database = Server::shared().database();
    let folder = set_up(&database.url());
    let path = folder.path();
    assert!(config(path).contains(&format!("\nurl = \"{}\"\n", database.url())));
    assert!(!path.join("countersign.db").exists());
    let key = api_key(path);
    let other = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-a").arg(path.join(".")).arg(other.path()).status().unwrap();
    assert!(copied.success());
    let (one, two) = (Service::of(&path.join("countersign.toml")), Service::of(&other.path().join("countersign.toml")));
    let token = one.generate(&key, "u-1").await.ok().text("refresh_token");
    let token = two.refresh(&token).await.unwrap().ok().text("refresh_token");
    run_ending(&["users", "revoke", "u-1"], path);
    two.refresh(&token).await.unwrap().problem(401, "invalid_token");
    let (code, out, err) = run(&["doctor"], path);
    assert!(out.contains("PostgreSQL") && out.contains("ms a round trip"), "{out}{err}");
    assert!([0, 3].contains(&code) && findings(&out).is_empty(), "{out}{err}");
    for (command, instead) in [
        (&["db", "backup", "--to", "b"][..], "pg_dump --format=custom --schema=countersign --file=b"),
        (&["db", "restore", "--from", "b"], "pg_restore --clean --if-exists --single-transaction --dbname="),
    ] {
        let (code, _, err) = run(command, path);
        assert!(code == 1 && err.contains(instead) && err.contains(&database.url()), "{err}");
    }
    assert_eq!(run_json(&["db", "migrate"], path)["found"], run_json(&["db", "migrate"], path)["known"]);
    let (code, _, err) = run(&["db", "create"], path);
    assert!(code == 1 && err.contains(&database.name), "{err}");
}

/// Findings of `doctor` that are not well. A busy machine answers late, which it warns of, too: that is none here.
fn findings(out: &str) -> Vec<&str> {
    out.lines().filter(|line| !line.starts_with("ok ") && !line.contains(" latency: ")).collect()
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn an_init_that_failed_can_be_repeated() {
    let database = Server::shared().database();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // Nothing is left of one that did not reach the database.
    let nowhere = database.url().replace(&database.name, "no_such_database");
    let (code, _, err) = run(&["init", "--store-url", &nowhere], path);
    assert!(code == 1 && err.contains("createdb"), "{err}");
    assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    // The tables are made, and the first key is refused.
    database.sql(
        "CREATE FUNCTION public.fail() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF to_regclass('countersign.keys') IS NOT NULL THEN \
         EXECUTE 'ALTER TABLE countersign.keys DROP CONSTRAINT IF EXISTS none, ADD CONSTRAINT none CHECK (false)'; END IF; END $$",
    );
    database.sql(
        "CREATE EVENT TRIGGER fail ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION public.fail()",
    );
    let (code, _, err) = run(&["init", "--store-url", &database.url()], path);
    assert_eq!(code, 1, "{err}");
    assert!(!path.join("countersign.toml").exists() && path.join("sealing.secret").exists());
    database.sql("DROP EVENT TRIGGER fail");
    database.sql("DROP FUNCTION public.fail()");
    database.sql("ALTER TABLE countersign.keys DROP CONSTRAINT none");
    run_json(&["init", "--store-url", &database.url()], path);
    // The key file of the first attempt is left, since nobody knew whether its record was written.
    let (code, out, err) = run(&["doctor"], path);
    let wrong = findings(&out);
    assert!(code == 3 && wrong.len() == 1 && wrong[0].contains("no record names it"), "{out}{err}");
    // Another site does not take it over.
    let other = tempfile::tempdir().unwrap();
    let (code, _, err) = run(&["init", "--store-url", &database.url()], other.path());
    assert!(code == 1 && err.contains("sealing secret"), "{err}");
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}

async fn moves_there_and_back(database: &Database, url: &str) {
    let mut site = Installation::used().await;
    let to = database.url();
    let copied = site.copy("sqlite:countersign.db", &to);
    assert_eq!((rows(&copied, "sessions"), rows(&copied, "opt_outs"), rows(&copied, "api_keys")), (2, 1, 1));
    let again = site.refused("sqlite:countersign.db", &to);
    assert!(again.contains("has rows in the table sessions"), "{again}");
    site.copy(&to, "sqlite:unused.db");
    assert_eq!(contents(&site.at("countersign.db")), contents(&site.at("unused.db")));
    site.configure(&format!("url = \"{url}\""));
    site.goes_on().await;
    let log = run_json(&["keys", "list"], site.path());
    site.copy(&to, "sqlite:back.db");
    site.configure("path = \"back.db\"");
    let config = fs::read_to_string(site.at("countersign.toml")).unwrap();
    fs::write(site.at("countersign.toml"), config.replace(&format!("url = \"{url}\"\n"), "")).unwrap();
    site.goes_on().await;
    assert_eq!(run_json(&["keys", "list"], site.path()), log);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_site_moves_to_a_database_and_back() {
    let database = Server::shared().database();
    moves_there_and_back(&database, &database.url()).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_site_moves_to_a_database_behind_pgbouncer_and_back() {
    let database = Server::shared().database();
    moves_there_and_back(&database, &Pooler::shared().url(&database.name)).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_copy_that_differs_or_ends_early_leaves_nothing() {
    let database = Server::shared().database();
    let site = Installation::used().await;
    // A rule of the database that changes what is copied.
    database.sql(
        "CREATE FUNCTION public.change() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF to_regclass('countersign.sessions') IS NOT NULL THEN EXECUTE 'CREATE OR REPLACE RULE lose AS ON INSERT TO \
         countersign.opt_outs DO INSTEAD NOTHING'; END IF; END $$",
    );
    database.sql("CREATE EVENT TRIGGER change ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION public.change()");
    let error = site.refused("sqlite:countersign.db", &database.url());
    assert!(error.contains("opt_outs was copied wrong (0 rows of 1"), "{error}");
    assert_eq!(database.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'countersign'").trim(), "0");
    database.sql("DROP EVENT TRIGGER change");
    database.sql("DROP FUNCTION public.change()");
    site.copy("sqlite:countersign.db", &database.url());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_restored_database_brings_no_session_back() {
    let database = Server::shared().database();
    let folder = set_up(&database.url());
    let path = folder.path();
    let key = api_key(path);
    let service = Service::of(&path.join("countersign.toml"));
    let old = service.generate(&key, "u-1").await.ok().text("refresh_token");
    let dumped =
        Server::shared().client("pg_dump").args(["--format=custom", "--schema=countersign", &database.name]).output();
    fs::write(path.join("dump"), dumped.unwrap().stdout).unwrap();
    run_ending(&["users", "revoke", "u-1"], path);
    service.stop();
    let mut restore = Server::shared().client("pg_restore");
    restore.args(["--clean", "--if-exists", "--single-transaction", "-d", &database.name]).arg(path.join("dump"));
    assert!(restore.stdin(Stdio::null()).status().unwrap().success());

    let tomorrow = run(&["db", "restored", "--before", "2999-01-01T00:00:00Z"], path);
    assert!(tomorrow.0 == 1 && tomorrow.2.contains("is not over yet"), "{tomorrow:?}");
    let nonsense = run(&["db", "restored", "--before", "yesterday"], path);
    assert!(nonsense.0 == 2 && nonsense.2.contains("2026-11-21T07:05:00Z"), "{nonsense:?}");
    let restored: Value = run_json(&["db", "restored"], path);
    assert_eq!((restored["api_keys"][0]["client"].as_str(), restored["opt_outs"].as_u64()), (Some("backend"), Some(0)));
    let service = Service::of(&path.join("countersign.toml"));
    service.refresh(&old).await.unwrap().problem(401, "invalid_token");
    let new = service.generate(&key, "u-1").await.ok().text("refresh_token");
    // A second time, with the time of the restore, it ends nothing that began since.
    let until = restored["ended_until"].as_i64().unwrap();
    let until = countersign::clock::UnixMillis(until).to_string();
    run_json(&["db", "restored", "--before", &until, "--revoke-clients"], path);
    service.refresh(&new).await.unwrap().ok();
    eventually(async || service.generate(&key, "u-1").await.status == 401).await;
}
