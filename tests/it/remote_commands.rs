//! Each command gives the same on this machine's store and through the operators' API: the same JSON, the same exit code,
//! the same rows. Two copies of one installation are asked, one each way.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    cli::{eventually, init},
    store_lost::USE_THE_STORE,
    support::service::{PENDING, Service, run, run_json},
};

/// Commands in their order. `{key}` is the first key, `{new}` the newest one, `{fingerprint}` its fingerprint, `{client}` the
/// newest API key.
const COMMANDS: &[&[&str]] = &[
    &["keys", "list"],
    &["keys", "show", "{key}"],
    &["keys", "public"],
    &["keys", "public", "--ring", "nope"],
    &["keys", "generate"],
    &["keys", "generate", "--ring", "nope"],
    &["rotate", "plan"],
    &["rotate", "status"],
    &["braze", "keys", "list"],
    &["braze", "keys", "diff"],
    &["braze", "keys", "apply"],
    &["rotate", "run", "--yes"],
    &["keys", "confirm", "{new}", "--fingerprint", "{fingerprint}"],
    &["keys", "confirm", "{new}", "--fingerprint", "{wrong}"],
    &["rotate", "abort"],
    &["rotate", "rollback"],
    &["keys", "confirm", "{new}", "--deleted"],
    &["keys", "erase", "abcdefgh"],
    &["keys", "compromise", "short"],
    &["keys", "compromise", "{new}", "--yes", "--why", "test"],
    &["keys", "move", "--to", "store", "--wait", "0"],
    &["clients", "create", "backend", "--app", "web", "--expires", "90d"],
    &["clients", "create", "backend", "--app", "nope"],
    &["clients", "list"],
    &["clients", "revoke", "{client}"],
    &["clients", "revoke", "{client}"],
    &["users", "sessions", "u-1"],
    &["users", "opt-out", "u-1"],
    &["users", "opt-out", "u-1", "--app", "nope"],
    &["users", "opt-in", "u-1"],
    &["users", "opt-in", "u-1"],
    &["users", "revoke", "u-1"],
    &["users", "revoke", "--session", "00000000000000000000000000000000"],
    &["users", "revoke", "--everyone", "--yes"],
    &["failures"],
    &["failures", "--app", "nope"],
    &["audit", "verify"],
    &["audit", "checkpoint"],
    &["audit", "key"],
    &["audit", "key", "--replace", "--why", "test"],
    &["audit", "list", "--limit", "3"],
    &["audit", "export", "--to", "{folder}/log"],
    &["doctor"],
];

/// Commands on operators, which only this machine's store and the socket of the service take.
const OF_OPERATORS: &[&[&str]] = &[
    &["operators", "list"],
    &["operators", "create", "eve", "--role", "viewer"],
    &["operators", "create", "eve", "--role", "operator"],
    &["operators", "create", "tim", "--role", "operator", "--expires", "90d"],
    &["operators", "create", "kim", "--role", "viewer", "--expires", "0s"],
    &["operators", "list"],
    &["operators", "revoke", "eve"],
    &["operators", "revoke", "eve"],
    &["operators", "revoke", "nobody"],
    &["operators", "list"],
];

/// Commands that use the store and are no business of another machine.
const HERE: &[&str] = &["serve", "keys import", "keys rewrap", "token", "clock", "db"];

#[test]
fn every_command_of_the_store_is_compared() {
    let missed: Vec<&&[&str]> = USE_THE_STORE
        .iter()
        .filter(|command| !HERE.iter().any(|here| command.join(" ").starts_with(here)))
        .filter(|command| {
            let words = command.iter().take_while(|word| !word.starts_with('-')).count();
            let verb = if command[0] == "braze" { 3 } else { words.min(2) };
            !COMMANDS.iter().chain(OF_OPERATORS).any(|known| known.get(..verb) == command.get(..verb))
        })
        .collect();
    assert!(missed.is_empty(), "not compared: {missed:?}");
}

/// One of the two copies.
struct Copy {
    folder: PathBuf,
    service: Service,
    /// Flags that ask the service; none: the store is asked.
    target: Vec<String>,
}

impl Copy {
    fn of(original: &Path, folder: &Path) -> Self {
        let copied = std::process::Command::new("cp").arg("-a").arg(original.join(".")).arg(folder).status().unwrap();
        assert!(copied.success());
        let config = folder.join("countersign.toml");
        let socket = format!("\n[server]\nops_socket = \"{}\"\n", Self::socket_in(folder).display());
        fs::write(&config, fs::read_to_string(&config).unwrap().replacen("\n[server]\n", &socket, 1)).unwrap();
        let service = Service::of(&config);
        Self { folder: folder.to_owned(), service, target: Vec::new() }
    }

    fn socket_in(folder: &Path) -> PathBuf {
        folder.join("run/ops.sock")
    }

    fn socket(&self) -> PathBuf {
        Self::socket_in(&self.folder)
    }

    /// The same by the store, whatever the target.
    fn stored(&self, arguments: &[&str]) -> Value {
        run_json(arguments, &self.folder)
    }

    fn fill(&self, argument: &str) -> String {
        let newest = |list: Value| list.as_array().unwrap().last().cloned().unwrap_or_default();
        let key = |key: Value| key["kid"].as_str().unwrap().to_owned();
        match argument {
            "{key}" => key(self.stored(&["keys", "list"])[0].clone()),
            "{new}" => key(newest(self.stored(&["keys", "list"]))),
            "{fingerprint}" => {
                let shown = self.stored(&["keys", "show", &self.fill("{new}")]);
                shown["fingerprint"].as_str().unwrap().to_owned()
            }
            "{wrong}" => "ab".repeat(32),
            "{client}" => newest(self.stored(&["clients", "list"]))["id"].as_str().unwrap().to_owned(),
            other => other.replace("{folder}", self.folder.to_str().unwrap()),
        }
    }

    /// Exit code and answer of a command, or its error, without what differs between any two runs.
    fn asked(&self, command: &[&str]) -> (i32, Value) {
        let filled: Vec<String> = command.iter().map(|argument| self.fill(argument)).collect();
        let arguments: Vec<&str> = filled.iter().chain(&self.target).map(String::as_str).chain(["--json"]).collect();
        let signed_before = self.signed();
        let (code, out, err) = run(&arguments, &self.folder);
        let said = if out.is_empty() { err.lines().last().unwrap_or_default() } else { out.lines().next().unwrap() };
        let answer: Value = serde_json::from_str(said).unwrap_or_else(|_| panic!("{arguments:?}: {out}{err}"));
        if let Some(compared) = answer["checkpoints"].as_i64() {
            assert!((signed_before..=self.signed()).contains(&compared), "every checkpoint on record: {answer}");
        }
        (if code == PENDING { 0 } else { code }, self.comparable(answer))
    }

    /// Number of checkpoints on record.
    fn signed(&self) -> i64 {
        let store = Connection::open(self.folder.join("countersign.db")).unwrap();
        store.query_row("SELECT count(*) FROM audit_checkpoints", [], |row| row.get(0)).unwrap()
    }

    fn names(&self) -> Vec<(String, String)> {
        let mut names = vec![(self.folder.display().to_string(), "FOLDER".to_owned())];
        for (number, key) in self.stored(&["keys", "list"]).as_array().unwrap().iter().enumerate() {
            let kid = key["kid"].as_str().unwrap();
            names.push((kid.to_owned(), format!("key {number}")));
            names.push((kid[..8].to_owned(), format!("k{number}")));
        }
        let rings = self.stored_status();
        let nodes = rings[0]["nodes"].as_array().unwrap().iter();
        names.extend(nodes.map(|node| (node["node"].as_str().unwrap().to_owned(), "NODE".to_owned())));
        names
    }

    /// The status, whose exit code tells of a rotation in progress.
    fn stored_status(&self) -> Value {
        let (_, out, err) = run(&["rotate", "status", "--json"], &self.folder);
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"))
    }

    fn comparable(&self, answer: Value) -> Value {
        comparable(answer, &self.names())
    }

    /// Number of rows of each table that commands change, and the acts on record.
    fn rows(&self) -> (Vec<(&'static str, i64)>, Value) {
        const TABLES: [&str; 10] = [
            "keys",
            "sealed_keys",
            "publications",
            "rotations",
            "api_keys",
            "opt_outs",
            "sessions",
            "user_ends",
            "app_ends",
            "operators",
        ];
        let store = Connection::open(self.folder.join("countersign.db")).unwrap();
        let count = |table| {
            let rows = store.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
            (table, rows.unwrap())
        };
        let acts = self.stored(&["audit", "list", "--limit", "1000"]);
        // Whatever a service does by itself, it does in its time.
        let asked = |act: &&Value| {
            let actor = act["event"]["actor"].as_str().unwrap();
            actor.starts_with("operator") || actor.ends_with("through the socket")
        };
        let acts: Vec<Value> = acts.as_array().unwrap().iter().filter(asked).map(|act| act["event"].clone()).collect();
        (TABLES.map(count).to_vec(), self.comparable(json!(acts)))
    }
}

/// Members that differ between any two runs. The number of checkpoints is one of them: a service looks at its log every 2 s
/// and signs once for all changes of keys that one look finds, and the two copies look at different times
/// (`tests/it/audit_checkpoints.rs`). Each copy compares its own, every one on record. An end is pending or not as busy as
/// the machine is.
const RANDOM: &[&str] = &["actor", "request_id", "by", "index", "public_key", "checkpoints", "pending"];

/// Replaces what differs between any two runs: times, random ids, signatures, names of nodes and operators.
fn comparable(answer: Value, names: &[(String, String)]) -> Value {
    match answer {
        Value::Object(members) => members
            .into_iter()
            .filter(|(name, _)| !RANDOM.contains(&name.as_str()))
            .map(|(name, value)| (text(&name, names), comparable(value, names)))
            .collect(),
        Value::Array(elements) => elements.into_iter().map(|element| comparable(element, names)).collect(),
        Value::String(string) => json!(text(&string, names)),
        Value::Number(number) if number.as_i64().is_some_and(|number| number > 1_000_000_000) => json!("TIME"),
        other => other,
    }
}

fn text(given: &str, names: &[(String, String)]) -> String {
    let replaced = names.iter().fold(given.to_owned(), |text, (from, to)| text.replace(from, to));
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || "_+/=-".contains(c);
    let mut shown = String::new();
    let mut word = String::new();
    for c in replaced.chars().chain(['\n']) {
        if is_of_word(c) {
            word.push(c);
            continue;
        }
        let is_random = word.len() >= 40 || (word.len() >= 16 && word.bytes().any(|b| b.is_ascii_digit()));
        shown.push_str(if is_random { "RANDOM" } else { &word });
        shown.push(c);
        word.clear();
    }
    // Fractions of a second end without their zeros, and without a fraction there is none.
    without_digits(&shown).replace(".0Z", "Z").trim_end().to_owned()
}

/// Replaces each number by one zero, however many digits it has.
fn without_digits(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if shown.ends_with('0') => {}
            '0'..='9' => shown.push('0'),
            other => shown.push(other),
        }
    }
    shown
}

#[track_caller]
fn assert_same(commands: &[&[&str]], here: &Copy, afar: &Copy) {
    let compared = commands.iter().map(|command| (command, here.asked(command), afar.asked(command)));
    let different: Vec<String> = compared
        .filter(|(_, here, afar)| here != afar)
        .map(|(command, here, afar)| format!("{command:?}\n here {here:?}\n afar {afar:?}"))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_is_the_same_here_and_from_afar() {
    let (original, _) = init(&[]);
    let path = original.path();
    let config = path.join("countersign.toml");
    // The services leave the rotation to the commands.
    let quiet = "\n[rings.main.rotation]\ncheck_every = \"1h\"\nsoak = \"1h\"\n";
    // Nobody answers there: doctor says so, wherever it runs.
    let away = "\n[[apps.web.sign_in]]\nkind = \"session_endpoint\"\nurl = \"http://127.0.0.1:1/session\"\n\
        cookies = [\"session\"]\nuser_id = \"/id\"\n";
    let origins = "\n[apps.web]\nallowed_origins = [\"https://www.example.com\"]\n";
    let text = fs::read_to_string(&config).unwrap().replacen("\n[apps.web]\n", origins, 1);
    fs::write(&config, text + quiet + away).unwrap();
    let api_key = run_json(&["clients", "create", "first", "--app", "web"], path)["api_key"].clone();
    let service = Service::of(&config);
    service.generate(api_key.as_str().unwrap(), "u-1").await;
    service.stop();
    let token = run_json(&["operators", "create", "ana", "--role", "operator"], path)["operator_token"].clone();
    let file = path.join("token");
    fs::write(&file, token.as_str().unwrap()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let here = Copy::of(path, folders[0].path());
    let mut afar = Copy::of(path, folders[1].path());
    afar.target = ["--url", &afar.service.ops_url, "--token-file", &afar.folder.join("token").display().to_string()]
        .map(str::to_owned)
        .to_vec();
    for copy in [&here, &afar] {
        eventually(async || copy.stored_status()[0]["nodes"].as_array().is_some_and(|nodes| nodes.len() == 1)).await;
    }
    assert_same(COMMANDS, &here, &afar);
    let (_, doctor) = afar.asked(&["doctor"]);
    assert!(doctor.to_string().contains("sign-in to web by the session endpoint"), "{doctor}");
    afar.target = vec!["--url".to_owned(), format!("unix:{}", afar.socket().display())];
    assert_same(OF_OPERATORS, &here, &afar);
    assert_eq!(here.rows(), afar.rows());
    let exported = |copy: &Copy| fs::read_to_string(copy.folder.join("log")).unwrap().lines().count();
    assert!(exported(&here) > 20 && exported(&here) == exported(&afar));
}
