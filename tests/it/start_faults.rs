//! Starts on a machine that keeps something from the service: each is one sentence that says what to do.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
};

use crate::support::service::{Service, by_shell, countersign, run_json, run_with};

fn installation() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run_json(&["init"], folder.path());
    folder
}

const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = installation();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for arguments in [["serve", "--listen", &address], ["serve", "--ops-listen", &address]] {
        let other = if arguments[1] == "--listen" { "--ops-listen" } else { "--listen" };
        let arguments = [&arguments[..], &[other, "127.0.0.1:0"]].concat();
        let (code, _, err) = run_with(&arguments, folder.path(), |_| {});
        assert_eq!(code, 1, "{err}");
        let expected = format!("{address} is already in use: stop the process that listens there");
        assert!(err.contains(&expected), "{err}");
    }
}

/// Which limit a listener meets depends on how many files the runtime has open before: each limit is tried until one is met there.
#[test]
fn too_few_files_for_a_listener_are_named() {
    let folder = installation();
    let met = (4..40).find_map(|limit| {
        let mut command = countersign();
        command.args(SERVE).current_dir(folder.path());
        by_shell(&mut command, &["env"], &format!("ulimit -n {limit}; exec \"$@\""));
        let said = first_line_with(&mut command, &["may open no more files", "\"ready\"", " ready "]);
        assert!(!said.contains("ready"), "with {limit} files it serves, and no lower limit was named");
        assert!(said.contains("may open no more files"), "with {limit} files: {said}");
        said.contains("cannot listen on").then_some(said)
    });
    let met = met.unwrap();
    assert!(met.contains("`LimitNOFILE=` in a unit"), "{met}");
}

#[test]
fn too_few_files_for_the_connections_are_named() {
    let folder = installation();
    let service = Service::of_with(&folder.path().join("countersign.toml"), |command| {
        by_shell(command, &["env"], "ulimit -n 300; exec \"$@\"");
    });
    let (_, _, log) = service.stop();
    assert!(log.contains("the process may open 300 files, and server.max_connections is"), "{log}");
    assert!(log.contains("`LimitNOFILE=` in a unit"), "{log}");
}

#[test]
fn memory_that_may_not_be_locked_is_named() {
    let folder = installation();
    let service = Service::of_with(&folder.path().join("countersign.toml"), |command| {
        by_shell(command, &["env"], "ulimit -l 64; exec \"$@\"");
    });
    let (_, _, log) = service.stop();
    assert!(log.contains("memory may be swapped") && log.contains("`LimitMEMLOCK=infinity` in a unit"), "{log}");
}

#[test]
fn a_folder_of_the_store_that_is_read_only_is_named() {
    if !rustix::process::geteuid().is_root() {
        println!("nothing is tested: only root can mount");
        return;
    }
    let folder = installation();
    let path = folder.path().display();
    let script = format!("mount --bind {path} {path}; mount -o remount,bind,ro {path}; cd {path}; exec \"$@\"");
    let unshare = ["unshare", "--mount", "--propagation", "private"];
    let (code, out, err) =
        run_with(&["users", "opt-out", "u-1"], folder.path(), |command| by_shell(command, &unshare, &script));
    if err.contains("unshare failed") || err.contains("permission denied") {
        println!("nothing is tested: this container cannot mount: {err}");
        return;
    }
    let said = out + &err;
    assert!(code == 1 && said.contains(&format!("{path} is on a read-only mount: mount it for writing")), "{said}");

    let mut command = countersign();
    command.args(SERVE).current_dir(folder.path());
    by_shell(&mut command, &unshare, &script);
    let said = first_line_with(&mut command, &["the service cannot start without the store"]);
    assert!(said.contains(&format!("{path} is on a read-only mount: mount it for writing")), "{said}");
}

/// Runs a program until it says one of these texts or ends. Returns that line, or all that it said.
fn first_line_with(command: &mut Command, texts: &[&str]) -> String {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if texts.iter().any(|text| line.contains(text)) {
            said = line;
            break;
        }
        said += &line;
        said.push('\n');
    }
    let _ = child.kill();
    child.wait().unwrap();
    said
}
