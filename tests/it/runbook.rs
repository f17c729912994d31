//! The runbook, keys/README.md: every command of it is run, section by section, each beside a local Braze.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    key_files,
    rotation::{app_id, local_braze},
    service::{run, run_json},
};

const RUNBOOK: &str = include_str!("../../keys/README.md");

/// The commands of a section: each line of its `sh` blocks.
fn commands(section: &str) -> Vec<&str> {
    let blocks = section.split("```sh\n").skip(1).filter_map(|behind| behind.split("```").next());
    blocks.flat_map(str::lines).filter(|line| !line.is_empty()).collect()
}

fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    RUNBOOK.split("\n## ").skip(1).map(|section| section.split_once('\n').unwrap())
}

/// Says where the app is at Braze, or that people look after it, and that nobody waits.
fn configure(folder: &Path, url: &str, by_hand: bool) {
    use std::os::unix::fs::PermissionsExt;
    let config = folder.join("countersign.toml");
    let place = format!("[apps.web]\nworkspace = \"main\"\nbraze_app_id = \"{}\"\n", app_id("web"));
    let place = if by_hand { "[apps.web]\n" } else { &place };
    let workspace = format!("[braze.main]\nrest_url = \"{url}\"\napi_key_file = \"braze.key\"\n");
    let text = fs::read_to_string(&config).unwrap().replace("[apps.web]\n", place);
    fs::write(&config, format!("{text}\n{workspace}\n[rings.main.rotation]\nsoak = \"0s\"\n")).unwrap();
    fs::write(folder.join("braze.key"), countersign::sandbox::REST_API_KEY).unwrap();
    fs::set_permissions(folder.join("braze.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

/// The ids that a command's placeholders stand for, as things are before it.
fn filled_in(command: &str, folder: &Path) -> String {
    if !command.contains("NEW") && !command.contains("ACTIVE") {
        return command.to_owned();
    }
    let (_, out, _) = run(&["keys", "list", "--json"], folder);
    let keys: Value = serde_json::from_str(&out).unwrap_or_default();
    let of = |state: &str| {
        let key = keys.as_array().and_then(|keys| keys.iter().rev().find(|key| key["state"] == state));
        key.map(|key| key["kid"].as_str().unwrap().to_owned())
    };
    // Where the store is gone, the file tells.
    let file = || key_files(folder)[0].file_stem().unwrap().to_str().unwrap().to_owned();
    let active = of("active").unwrap_or_else(file);
    command.replace("NEW", &of("pending").unwrap_or_default()).replace("ACTIVE", &active)
}

/// Runs a line as people would; its exit code and what it said.
async fn shell(command: &str, folder: &Path) -> (i32, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_countersign")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-e", "-o", "pipefail", "-c", command]).current_dir(folder).env("PATH", path).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().unwrap_or(-1), text)
}

/// Returns whether the doctor complains of nothing but the short soak.
fn is_hasty_only(code: i32, said: &str) -> bool {
    let complaints: Vec<&str> = said.lines().filter(|line| !line.starts_with("ok ")).collect();
    code == 3 && matches!(complaints[..], [only] if only.starts_with("warning") && only.contains("] soak is shorter"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_runbook_does_what_it_says() {
    let mut ran = 0;
    for (title, section) in sections() {
        let (braze, url, serving) = local_braze(Duration::ZERO).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        if !section.contains("countersign init\n") {
            let made = run_json(&["init"], path);
            configure(path, &url, title.contains("by hand"));
            braze.add_key("web", made["public_key"].as_str().unwrap(), "the first").unwrap();
        }
        for line in commands(section) {
            let (code, said) = shell(&filled_in(line, path), path).await;
            let expected = if line.contains("# exits with 3") { 3 } else { 0 };
            assert!(code == expected || is_hasty_only(code, &said), "{title}: {line} exits with {code}\n{said}");
            ran += 1;
        }
        serving.abort();
    }
    assert!(ran > 30, "{ran} commands");
}
