//! README.md and docs/: every command of them is run, here or by the stage of tests/run.sh that the table below names.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::{
    runbook::shell,
    support::service::{PENDING, Service, countersign, run, run_json},
};

/// Documents with `console` blocks, and the first words of commands that this file does not run: who does.
const ELSEWHERE: &[(&str, &str)] = &[
    ("countersign audit", "audit.rs, stage audit"),
    ("countersign clock accept", "db_restore.rs, stage clock"),
    ("countersign failures", "failures_cli.rs"),
    ("countersign keys move", "key_places.rs"),
    ("countersign keys rewrap", "key_places.rs"),
    ("countersign sign-in test", "sign_in_cli.rs"),
    ("createuser", "stage postgres, with the server's own role"),
    ("createdb", "stage postgres: support/postgres.rs makes the databases"),
    ("countersign init --store-url", "postgres_site.rs, stage postgres"),
    ("countersign db copy", "db_copy.rs, and postgres_site.rs in stage postgres"),
    ("pg_dump", "postgres_site.rs, stage postgres"),
    ("pg_restore", "postgres_site.rs, stage postgres"),
    ("countersign db restored", "postgres_site.rs, stage postgres"),
    ("cargo test", "stage test"),
    ("cargo run -- demo", "stage documents, and stage browser with the real SDK"),
    ("cargo install --locked --profile dist --path .", "the workflow release builds this profile"),
    ("npm --prefix clients/web", "stage documents, at its provisioning"),
    ("npm install --no-save @braze/web-sdk", "stage documents, at its provisioning"),
    ("npm ", "stage client: install.mjs follows the READMEs of the clients"),
    ("cd clients/web", "stage client"),
    ("cd clients/react-native", "stage client"),
    ("cd ../../../my-app", "stage client"),
    ("cd clients/node", "stage backends"),
    ("cd ../../../my-backend", "stage backends"),
    ("pip ", "stage backends: packages.sh follows the READMEs"),
    ("javac --release 11", "stage backends"),
    ("jar --create", "stage backends"),
    ("tests/batch/library.sh", "stage batch"),
    ("tests/provision.sh", "every stage"),
    ("tests/run.sh", "itself"),
    ("MUTANTS=", "stage mutants"),
    ("git diff main", "stage mutants"),
    ("IFMA_CPU=", "stage ifma"),
    ("ROTATION_LOAD=full cargo test", "stage rotation, with fewer calls"),
    ("cargo bench", "stage load"),
    ("LOAD_PARTS=postgres cargo bench", "stage load"),
    ("journalctl -u countersign", "request_log.rs: the same lines, from stderr"),
    ("curl -sS --fail-with-body --max-time 5 \"$COUNTERSIGN", "stage documents"),
    ("apt install ./countersign", "stage deb"),
    ("install -m 0755 countersign", "stage unit"),
    ("install -m 0644 deploy/systemd", "stage unit"),
    ("install -D -m 0644 deploy/systemd", "stage unit"),
    ("systemd-sysusers", "stage unit"),
    ("systemd-tmpfiles", "stage unit"),
    ("cd /var/lib/countersign", "stage unit"),
    ("runuser", "stage unit"),
    ("systemctl", "stage unit"),
    ("podman", "stage container"),
    ("install -d -m 0700 -o 65532", "stage container"),
    ("cd deploy/compose", "stage long_compose, in a copy"),
    ("install -d -m 0711 secrets", "stage long_compose"),
    ("(umask 077; openssl", "stage long_compose"),
    ("chown", "stage long_compose"),
    ("docker compose", "stage long_compose, which has no Docker: the commands of the containers"),
    ("kubectl", "stage kubernetes, which has no cluster: the objects and the commands of their pods"),
    ("(umask 077; printf", "stage kubernetes, where the pods' secret is of this form"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md and the pages of docs/, with their text.
fn documents() -> Vec<(String, String)> {
    let mut paths = vec![
        root().join("README.md"),
        root().join("SECURITY.md"),
        root().join("clients/README.md"),
        root().join("clients/backends/README.md"),
        root().join("clients/java/README.md"),
        root().join("clients/node/README.md"),
        root().join("clients/python/README.md"),
        root().join("clients/react-native/README.md"),
        root().join("clients/web/README.md"),
    ];
    for folder in ["docs", "docs/clients"] {
        paths.extend(fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    let name = |path: &PathBuf| path.strip_prefix(root()).unwrap().display().to_string();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    text.split(&fence).skip(1).map(|behind| behind.split("```").next().unwrap()).collect()
}

/// The commands of a `console` block, without comments.
fn commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| line.strip_prefix("$ "));
    lines.map(|line| line.split("  #").next().unwrap().trim().to_owned()).collect()
}

/// The commands of the block that holds these words.
fn commands_with(name: &str, words: &str) -> Vec<String> {
    let text = document(name);
    let found: Vec<&str> = blocks(&text, "console").into_iter().filter(|block| block.contains(words)).collect();
    assert_eq!(found.len(), 1, "{name}: blocks with {words}");
    commands(found[0])
}

async fn succeed(command: &str, folder: &Path) -> String {
    let (code, said) = shell(command, folder).await;
    assert_eq!(code, 0, "{command}\n{said}");
    said
}

/// Commands that the tests of this file run, by their first words.
const HERE: &[&str] = &[
    "cargo run -- serve --dev",
    "curl -sS --fail-with-body --max-time 5 https://auth.example.com/",
    "countersign init\n",
    "countersign init --passphrase-file",
    "countersign clients create",
    "countersign doctor",
    "countersign serve",
    "countersign users",
    "countersign sandbox",
    "install -d -m 0700 site",
];

#[test]
fn every_command_has_a_test() {
    let mut used = vec![false; ELSEWHERE.len()];
    for (name, text) in documents() {
        for command in blocks(&text, "console").into_iter().flat_map(commands) {
            let elsewhere = ELSEWHERE.iter().position(|(words, _)| command.starts_with(words));
            if let Some(index) = elsewhere {
                used[index] = true;
            }
            let here = HERE.iter().any(|words| format!("{command}\n").starts_with(words));
            assert!(here != elsewhere.is_some(), "{name}: no test, or two, for: {command}");
        }
    }
    for (used, (words, _)) in used.iter().zip(ELSEWHERE) {
        assert!(used, "no document has: {words}");
    }
}

/// Languages of blocks in each document, of which docs/testing.md says who runs them.
const LANGUAGES: &[(&str, &[&str])] = &[
    ("README.md", &["console", "json", "js"]),
    ("clients/java/README.md", &["console"]),
    ("clients/node/README.md", &["console"]),
    ("clients/python/README.md", &["console"]),
    ("clients/react-native/README.md", &["console", "ts"]),
    ("clients/web/README.md", &["console", "ts"]),
    ("docs/backend.md", &["console", "csharp", "go", "java", "js", "php", "python", "ruby"]),
    ("docs/clients.md", &["json"]),
    ("docs/clients/android.md", &["kotlin"]),
    ("docs/clients/flutter.md", &["dart"]),
    ("docs/clients/ios.md", &["swift"]),
    ("docs/clients/react-native.md", &["ts"]),
    ("docs/clients/web.md", &["js"]),
    ("docs/compose.md", &["console"]),
    ("docs/deploy.md", &["console", "ini", "nginx"]),
    ("docs/kubernetes.md", &["console"]),
    ("docs/operator.md", &["console"]),
    ("docs/performance.md", &["console"]),
    ("docs/postgresql.md", &["console", "sql", "toml"]),
    ("docs/sandbox.md", &["console", "js"]),
    ("docs/scale.md", &["console"]),
    ("docs/sign-in-opaque.md", &["toml"]),
    ("docs/sign-in.md", &["console", "toml"]),
    ("docs/testing.md", &["console"]),
];

#[test]
fn every_block_is_in_a_language_that_is_run_or_named() {
    for (name, text) in documents() {
        let expected =
            LANGUAGES.iter().find(|(document, _)| *document == name).map_or(&[][..], |(_, languages)| languages);
        // Every second fence opens a block.
        for fence in text.lines().filter(|line| line.trim_start().starts_with("```")).step_by(2) {
            let language = fence.trim_start().trim_start_matches('`');
            assert!(expected.contains(&language), "{name} has a block in {language:?}, which nothing runs");
        }
    }
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_lead_to_what_exists() {
    let mut checked = 0;
    for (name, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|behind| behind.split(')').next()) {
            if target.starts_with("http") {
                continue;
            }
            let (file, section) = target.split_once('#').unwrap_or((target, ""));
            let page = root().join(&name);
            let path = if file.is_empty() { page } else { page.parent().unwrap().join(file) };
            assert!(path.exists(), "{name}: {target}");
            if !section.is_empty() {
                let page = fs::read_to_string(&path).unwrap();
                let mut headings = page.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|line| anchor(line.trim_start_matches('#').trim()) == section),
                    "{name}: {target}"
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked} links");
}

#[test]
fn stages_that_documents_name_exist() {
    let stages = document("tests/stages.sh").replace(['(', ')', '\n'], " ");
    let exists = |stage: &str| stages.split_whitespace().any(|word| word == stage);
    for (name, text) in documents() {
        for behind in text.split("tests/run.sh ").skip(1) {
            let end = behind.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(behind.len());
            let stage = &behind[..end];
            assert!(
                stage.is_empty() || !behind[end..].starts_with('`') || exists(stage) || stage == "nightly",
                "{name}: {stage}"
            );
        }
    }
    // docs/testing.md has every stage in a row of a table, in their order.
    let testing = document("docs/testing.md");
    let rows = testing.lines().filter_map(|row| row.strip_prefix("| `")?.split(" | ").next());
    let described: Vec<&str> =
        rows.flat_map(|cell| cell.split("`, `")).map(|name| name.trim_end_matches('`')).collect();
    let listed = ["STAGES=(", "NIGHTLY=("].map(|list| {
        let scripts = document("tests/stages.sh");
        scripts.split(list).nth(1).unwrap().split(')').next().unwrap().to_owned()
    });
    let listed = listed.join(" ");
    let listed: Vec<&str> = listed.split_whitespace().collect();
    assert_eq!(described.get(..listed.len()), Some(&listed[..]), "docs/testing.md");
    for (words, by) in ELSEWHERE {
        for stage in by.split("stage ").skip(1).filter_map(|behind| behind.split([',', ':', ' ']).next()) {
            assert!(exists(stage), "{words}: {by}");
        }
    }
}

/// Commands that stand within sentences and tables: the program knows their words and flags.
#[test]
fn commands_within_sentences_exist() {
    let folder = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for (name, text) in documents() {
        for command in text.split("`countersign ").skip(1).filter_map(|behind| behind.split('`').next()) {
            let words: Vec<&str> = command.split_whitespace().collect();
            let verbs = words.iter().take_while(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
            let verbs: Vec<&str> = verbs.copied().take_while(|word| !word.starts_with('-')).collect();
            let (status, help, _) = run(&[&verbs[..], &["--help"]].concat(), folder.path());
            assert_eq!(status, 0, "{name}: countersign {command}");
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(help.contains(flag), "{name}: countersign {command} has no {flag}");
            }
            checked += 1;
        }
    }
    assert!(checked > 15, "{checked} commands");
}

/// Each row of the README's table of commands.
#[test]
fn the_table_of_commands_is_complete() {
    let readme = document("README.md");
    let table = readme.split("| command | what it does |").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut listed = Vec::new();
    let folder = tempfile::tempdir().unwrap();
    for row in table.lines().filter(|row| row.starts_with("| `")) {
        let cell = row.trim_start_matches("| ").split(" | ").next().unwrap();
        for command in cell.split('`').filter(|part| part.bytes().any(|b| b.is_ascii_lowercase())) {
            let command = command.replace("\\|", "").replace(['[', ']'], "");
            let mut words = command.split_whitespace();
            let verb = words.next().unwrap();
            listed.push(verb.to_owned());
            let (_, help, _) = run(&[verb, "--help"], folder.path());
            for word in words.filter(|word| *word != "keys") {
                let known = help.split_whitespace().any(|known| known == word);
                let nested = run(&[verb, "keys", word, "--help"], folder.path()).0 == 0;
                assert!(known || nested, "countersign {verb} has no {word}");
            }
        }
    }
    let (_, help, _) = run(&["--help"], folder.path());
    let section = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    for verb in section.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()) {
        assert!(verb.is_empty() || verb == "help" || listed.iter().any(|known| known == verb), "README lacks {verb}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs curl; tests/run.sh runs it"]
async fn an_installation_by_the_commands_of_the_readme() {
    let folder = tempfile::tempdir().unwrap();
    let mut api_key = String::new();
    let steps = commands_with("README.md", "countersign init");
    for step in steps.iter().filter(|step| step.starts_with("countersign ") && *step != "countersign serve") {
        let said = succeed(step, folder.path()).await;
        if step.contains("clients create") {
            api_key = said.lines().find(|line| line.starts_with("csk1_")).unwrap().to_owned();
        }
    }
    assert_eq!(steps.last().unwrap(), "countersign serve");
    let service = Service::of(&folder.path().join("countersign.toml"));
    for command in commands_with("README.md", "curl") {
        let command = command.replace("https://auth.example.com", &service.url);
        let answer = succeed(&format!("export COUNTERSIGN_API_KEY={api_key}; {command}"), folder.path()).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        // The sample answer has the members of a real one.
        let sample: Value = serde_json::from_str(blocks(&document("README.md"), "json")[0]).unwrap();
        let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(members(&answer), members(&sample));
        the_refresh_of_the_guide(&service, &answer).await;
    }
}

/// The body that docs/clients.md shows, with this answer's refresh token.
async fn the_refresh_of_the_guide(service: &Service, answer: &Value) {
    let mut body: Value = serde_json::from_str(blocks(&document("docs/clients.md"), "json")[0]).unwrap();
    body["refresh_token"] = answer["refresh_token"].clone();
    let refreshed = service.post("/v1/token/refresh", None, &body).await.unwrap();
    assert_eq!(refreshed.status, 200, "{}", String::from_utf8_lossy(&refreshed.body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_by_the_commands_of_the_guides() {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = folder.path().join("passphrase");
    fs::write(&passphrase, "a passphrase of the test\n").unwrap();
    fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
    let steps = commands_with("docs/deploy.md", "init --passphrase-file");
    let [before @ .., last] = &steps[..] else { panic!("no commands") };
    assert_eq!(last, "countersign serve");
    let said = succeed(&before.join(" && "), folder.path()).await;
    let api_key = said.lines().find(|line| line.starts_with("csk1_")).unwrap();
    let site = folder.path().join("site");
    let service = Service::of(&site.join("countersign.toml"));
    assert_eq!(service.generate(api_key, "u-1").await.status, 200);
    for step in commands_with("docs/operator.md", "users opt-out") {
        // With and without what is in brackets.
        let optional = step.find('[').map(|from| (from, step.find(']').unwrap()));
        let without = optional.map_or(step.clone(), |(from, to)| format!("{}{}", &step[..from], &step[to + 1..]));
        for step in [step.replace(['[', ']'], ""), without] {
            let (code, said) = shell(&step, &site).await;
            assert!([0, PENDING].contains(&code), "{step}\n{said}");
            if step.contains("opt-out") {
                assert_eq!(service.generate(api_key, "u-1").await.status, 403, "{step}");
                succeed("countersign users opt-in u-1 --app web; countersign users opt-in u-1", &site).await;
            }
        }
    }
    assert_eq!(service.generate(api_key, "u-1").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs curl; tests/run.sh runs it"]
async fn the_curl_command_of_serve_dev_works_as_printed() {
    for name in ["README.md", "docs/backend.md"] {
        assert!(commands_with(name, "serve --dev")[0].starts_with("cargo run -- serve --dev"), "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = countersign();
    command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut printed = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    while !printed.contains("Stop: Ctrl-C") {
        assert_ne!(out.read_line(&mut printed).unwrap(), 0, "{printed}");
    }
    let curl = printed.split("A token for user u-1:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let said = succeed(curl, folder.path()).await;
    // The local provider is the sandbox's.
    if cfg!(feature = "sandbox") {
        let exchange = printed.split("of a local provider):\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let said = succeed(exchange, folder.path()).await;
        assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["status"], json!("success"), "{said}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["status"], json!("success"));
}

/// The command, and the SDK's options that the page shows for it: the address and the app's key are those printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_by_the_command_of_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let made = run_json(&["init"], folder.path());
    fs::write(folder.path().join("public.pem"), made["public_key"].as_str().unwrap()).unwrap();
    let [command] = &commands_with("docs/sandbox.md", "countersign sandbox")[..] else { panic!("one command") };
    let arguments = command.split_whitespace().skip(1).chain(["--json", "--listen", "127.0.0.1:0"]);
    let mut child = countersign().args(arguments).current_dir(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let page = document("docs/sandbox.md");
    let options = blocks(&page, "js")[0];
    let key = options.split('\'').nth(1).unwrap();
    assert!(line.contains(key), "{line} has no {key}");
    let (_, help, _) = run(&["sandbox", "--help"], folder.path());
    let address = options.split("baseUrl: 'http://").nth(1).unwrap().split('\'').next().unwrap();
    assert!(help.contains(&format!("[default: {address}]")), "{address}");
}
