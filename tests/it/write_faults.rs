//! Files and folders that cannot be written, and limits that are too low for a command: each is one sentence that says what
//! to do.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use crate::support::service::{by_shell, run_json, run_with};

/// Users that root acts as, since root may write everywhere and start any number of threads. The second one has no other
/// process.
const WRITER: u32 = 61_011;
const STARTER: u32 = 61_012;

/// Installation with a folder `out` and a backup, all of this user, or of the own user for others than root.
struct Installation {
    folder: tempfile::TempDir,
    user: u32,
}

impl Installation {
    fn of(user: u32) -> Self {
        let own = rustix::process::geteuid();
        let user = if own.is_root() { user } else { own.as_raw() };
        let folder = tempfile::tempdir().unwrap();
        chown(folder.path(), Some(user), None).unwrap();
        // Root makes the files as that user.
        run_json(&["init"], folder.path());
        run_json(&["db", "backup", "--to", "backup"], folder.path());
        fs::create_dir(folder.path().join("out")).unwrap();
        chown(folder.path().join("out"), Some(user), None).unwrap();
        Self { folder, user }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command as the user, behind another one with its arguments. Returns its code, and what it said.
    fn run_behind(&self, wrapper: &str, arguments: &[&str]) -> (i32, String) {
        let (code, out, err) = run_with(arguments, self.path(), |command| {
            by_shell(command, &["env"], &format!("exec {wrapper} \"$@\""));
            if rustix::process::geteuid().is_root() {
                command.uid(self.user).gid(self.user);
            }
        });
        (code, out + &err)
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_named_with_its_command() {
    for (closed, command) in [
        ("keys", "keys generate"),
        ("out", "db backup --to out/copy"),
        ("out", "audit export --to out/log"),
        ("out", "init --dir out"),
        ("out", "init --dir out/deeper"),
        (".", "users opt-out u-1"),
        (".", "db restore --from out/backup"),
        (".", "db create"),
    ] {
        let installation = Installation::of(WRITER);
        let arguments: Vec<&str> = command.split(' ').collect();
        if arguments[0] == "db" && closed == "." {
            fs::rename(installation.path().join("backup"), installation.path().join("out/backup")).unwrap();
            fs::remove_file(installation.path().join("countersign.db")).unwrap();
        }
        let folder = installation.path().join(closed).canonicalize().unwrap();
        set_mode(&folder, 0o500);
        let (code, said) = installation.run_behind("", &arguments);
        let (shown, user) = (folder.display(), installation.user);
        let told = format!("{shown} cannot be written by this user (uid {user}), its owner: chmod u+wx {shown}");
        assert!(code == 1 && said.contains(&told), "{command}: {said}");
        assert_eq!(said.trim().lines().filter(|line| line.starts_with("countersign:")).count(), 1, "{command}: {said}");
        // The command is followed.
        let remedy = &told[told.rfind("chmod").unwrap()..];
        assert!(Command::new("sh").args(["-c", remedy]).status().unwrap().success(), "{remedy}");
        let (code, said) = installation.run_behind("", &arguments);
        assert_eq!(code, 0, "{command}: {said}");
    }
}

#[test]
fn a_folder_of_somebody_else_is_named_with_its_owner() {
    let installation = Installation::of(WRITER);
    let (code, said) = installation.run_behind("", &["audit", "export", "--to", "/usr/log"]);
    let told = format!("give it to that user (chown {} /usr), or run this as its owner, user 0", installation.user);
    assert!(code == 1 && said.contains(&told), "{said}");
}

#[test]
fn a_folder_that_is_missing_is_named_with_its_command() {
    let installation = Installation::of(WRITER);
    for command in [["db", "backup", "--to", "none/copy"], ["audit", "export", "--to", "none/log"]] {
        let (code, said) = installation.run_behind("", &command);
        assert!(code == 1 && said.contains("make its folder first (`mkdir -p none`)"), "{command:?}: {said}");
    }
}

#[test]
fn a_file_that_may_not_grow_is_named() {
    let installation = Installation::of(WRITER);
    for (limit, command, named) in [
        (0, "init --dir out", "out/sealing.secret.new: File too large"),
        (0, "users opt-out u-1", "the store countersign.db"),
        (100_000, "db backup --to out/copy", "out/copy: "),
        (100_000, "init --dir out", "the store out/countersign.db"),
        (10, "audit export --to out/log", "the store countersign.db"),
    ] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let (code, said) = installation.run_behind(&format!("prlimit --fsize={limit}"), &arguments);
        assert!(code == 1 && said.contains(named), "{command}: {code} {said}");
        let told =
            format!("this process may write files of at most {limit} bytes: raise the limit (`LimitFSIZE=` in a unit");
        assert!(said.contains(&told), "{command}: {said}");
        assert_eq!(fs::read_dir(installation.path().join("out")).unwrap().count(), 0, "{command} leaves nothing");
    }
    let script = "sh -ec 'exec prlimit --fsize=0 \"$@\" >out/completions' sh";
    let (code, said) = installation.run_behind(script, &["completions", "bash"]);
    let told = "the answer cannot be written to stdout: File too large (os error 27): this process may write files of at most 0 bytes";
    assert!(code == 1 && said.contains(told), "{code} {said}");
}

/// How many threads a start needs depends on the processors: more are allowed until one suffices.
#[test]
fn too_few_threads_are_named() {
    const TOLD: &str =
        "this process may start no more threads; raise the limit (`TasksMax=` and `LimitNPROC=` in a unit";
    let installation = Installation::of(STARTER);
    for server in ["serve", "serve --dev", "sandbox", "demo"] {
        let (code, said) = installation.run_behind("prlimit --nproc=1", &server.split(' ').collect::<Vec<_>>());
        assert!(code == 1 && said.contains(&format!("the service cannot start: {TOLD}")), "{server}: {said}");
    }
    for arguments in [&["keys", "list"][..], &["users", "opt-out", "u-1"][..], &["db", "backup", "--to", "out/copy"]] {
        let (mut limit, mut step) = (1, 1);
        loop {
            let (code, said) = installation.run_behind(&format!("prlimit --nproc={limit}"), arguments);
            if code == 0 {
                assert!(limit > 1, "there was no limit: {said}");
                break;
            }
            assert!(code == 1 && said.contains(TOLD), "with {limit}: {code} {said}");
            (limit, step) = (limit + step, limit);
        }
    }
}
