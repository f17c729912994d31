//! Owners and modes of an installation's files, root beside the service's user, and files that are named on the command
//! line. Tests that need other users run as root, as the full test run does; for others they end at once.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use super::{
    custody::{fixture, fixture_path},
    support::{
        key_files,
        service::{Service, run, run_json, run_with},
    },
};

/// User of the service, another user, and the group of `fsGroup`.
const SERVICE: u32 = 61_001;
const STRANGER: u32 = 61_002;
const SHARED: u32 = 62_000;

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("nothing is tested: only root can act as several users");
    }
    root
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn owner(path: &Path) -> u32 {
    fs::metadata(path).unwrap().uid()
}

/// Every file and folder of an installation.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let inside = |folder: &Path| fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    let mut all = inside(folder);
    all.extend(inside(&folder.join("keys")));
    all
}

/// Runs a command as this user.
fn run_as(user: u32, group: u32, arguments: &[&str], folder: &Path) -> (i32, String) {
    let (code, out, err) = run_with(arguments, folder, |command| {
        command.uid(user).gid(group);
    });
    (code, out + &err)
}

/// An installation in a folder of the service's user, made by root.
fn installation() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(SERVICE), Some(SERVICE)).unwrap();
    run_json(&["init"], folder.path());
    folder
}

#[test]
fn root_beside_the_service_makes_files_of_the_service() {
    if !is_root() {
        return;
    }
    let folder = installation();
    let path = folder.path();
    run_json(&["keys", "generate"], path);
    run_json(&["clients", "create", "backend", "--app", "web"], path);
    let service = Service::of(&path.join("countersign.toml"));
    assert!(everything(path).len() >= 7, "{:?}", everything(path));
    for file in everything(path) {
        assert_eq!(owner(&file), SERVICE, "{}", file.display());
    }
    let status = fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
    for line in ["Uid:", "Gid:"] {
        let ids = format!("{line}\t{SERVICE}\t{SERVICE}\t{SERVICE}\t{SERVICE}");
        assert!(status.contains(&ids), "the server too is not root: {status}");
    }
    service.stop();
    let (code, said) = run_as(SERVICE, SERVICE, &["doctor"], path);
    assert_eq!(code, 0, "{said}");
    let log = run_json(&["rotate", "status"], path).to_string();
    assert!(log.contains("operator (uid 0, process"), "the audit log names who it was: {log}");
}

#[test]
fn a_stranger_is_told_as_whom_to_run_it() {
    if !is_root() {
        return;
    }
    let folder = installation();
    let path = folder.path();
    set_mode(path, 0o755);
    set_mode(path.join("countersign.toml"), 0o644);
    let (code, said) = run_as(STRANGER, STRANGER, &["keys", "list"], path);
    assert_eq!(code, 78, "{said}");
    let told = format!("belongs to user {SERVICE}, and this is user {STRANGER}: run this as user {SERVICE} or as root");
    assert!(said.contains(&told), "{said}");
    assert!(!said.contains("chown"), "a new owner would stop the service: {said}");
}

#[test]
fn every_loose_file_is_named_at_once_with_its_command() {
    if !is_root() {
        return;
    }
    let folder = installation();
    let path = folder.path();
    let key = key_files(path).remove(0);
    chown(&key, Some(STRANGER), None).unwrap();
    for (file, mode) in [
        (key.clone(), 0o666),
        (path.join("sealing.secret"), 0o644),
        (path.join("countersign.toml"), 0o646),
        (path.join("countersign.db"), 0o604),
    ] {
        set_mode(file, mode);
    }
    let (code, said) = run_as(SERVICE, SERVICE, &["config", "check"], path);
    assert_eq!(code, 78, "{said}");
    for told in [
        format!("belongs to user {STRANGER}; only root and user {SERVICE} may own it: chown {SERVICE} keys/"),
        format!("chmod 600 keys/{}", key.file_name().unwrap().to_str().unwrap()),
        "chmod 600 sealing.secret".to_owned(),
        "chmod go-w countersign.toml".to_owned(),
        "chmod 600 countersign.db".to_owned(),
        "the configuration has 5 mistakes".to_owned(),
    ] {
        assert!(said.contains(&told), "{told}\nis not in {said}");
    }
    // Each command is followed, as root.
    for line in said.lines().filter(|line| line.starts_with("  ")) {
        let command = line.rsplit(": ").next().unwrap();
        assert!(Command::new("sh").args(["-c", command]).current_dir(path).status().unwrap().success(), "{command}");
    }
    let (code, said) = run_as(SERVICE, SERVICE, &["doctor"], path);
    assert_eq!(code, 0, "{said}");
    set_mode(path.join("keys"), 0o777);
    let (code, said) = run_as(SERVICE, SERVICE, &["keys", "list"], path);
    assert!(code == 78 && said.contains("chmod go-w keys"), "{said}");
}

/// Changes an installation as a platform would mount it.
type Mount = fn(&Path);

#[test]
fn mounts_of_platforms_are_accepted() {
    if !is_root() {
        return;
    }
    let group_of_pod: Mount = |path| {
        for file in everything(path) {
            chown(&file, None, Some(SHARED)).unwrap();
            set_mode(&file, if file.is_dir() { 0o2770 } else { 0o660 });
        }
        chown(path, Some(0), Some(SHARED)).unwrap();
        set_mode(path, 0o2775);
    };
    let read_only_volume: Mount = |path| {
        chown(path.join("sealing.secret"), Some(0), Some(SHARED)).unwrap();
        set_mode(path.join("sealing.secret"), 0o440);
    };
    let credential: Mount = |path| {
        let secret = path.join("sealing.secret");
        chown(&secret, Some(0), Some(0)).unwrap();
        set_mode(&secret, 0o400);
        set_list(&secret, SERVICE);
        assert_eq!(fs::metadata(&secret).unwrap().mode() & 0o777, 0o440, "as systemd writes credentials");
    };
    for (name, mount, group) in [
        ("as installed", (|_| {}) as Mount, SERVICE),
        ("fsGroup", group_of_pod, SHARED),
        ("read-only volume with fsGroup", read_only_volume, SHARED),
        ("credential of systemd with a list", credential, SERVICE),
    ] {
        let folder = installation();
        mount(folder.path());
        let (code, said) = run_as(SERVICE, group, &["doctor"], folder.path());
        assert_eq!(code, 0, "{name}: {said}");
        let (code, said) = run_as(SERVICE, group, &["keys", "generate"], folder.path());
        assert_eq!(code, 0, "{name}: {said}");
    }
    for (name, mount, told) in [
        ("a group of others", group_of_pod, format!("gives permissions to group {SHARED}")),
        (
            "a list for others",
            |path: &Path| set_list(&path.join("sealing.secret"), STRANGER),
            format!("user {STRANGER}"),
        ),
    ] as [(&str, Mount, String); 2]
    {
        let folder = installation();
        mount(folder.path());
        let (code, said) = run_as(SERVICE, SERVICE, &["doctor"], folder.path());
        assert!(code == 78 && said.contains(&told), "{name}: {said}");
    }
}

/// The layout of deploy/countersign.service: secrets of root, data of the service.
#[test]
fn commands_of_root_and_the_unit_share_an_installation() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    let [etc, var, credentials] = ["etc", "var", "credentials"].map(|name| folder.path().join(name));
    for folder in [&etc, &var, &credentials] {
        fs::create_dir(folder).unwrap();
        set_mode(folder, 0o700);
    }
    chown(&var, Some(SERVICE), Some(SERVICE)).unwrap();
    run_json(&["init"], &var);
    for name in ["countersign.toml", "sealing.secret"] {
        fs::rename(var.join(name), etc.join(name)).unwrap();
        chown(etc.join(name), Some(0), Some(0)).unwrap();
    }
    let config = etc.join("countersign.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text
        .replace("# path = \"countersign.db\"", &format!("path = {:?}", var.join("countersign.db")))
        .replace("# dir = \"keys\"", &format!("dir = {:?}", var.join("keys")));
    fs::write(&config, text).unwrap();
    let key = run_json(&["--config", config.to_str().unwrap(), "keys", "generate"], Path::new("/"));
    for file in everything(&var) {
        assert_eq!(owner(&file), SERVICE, "{}", file.display());
    }
    for name in ["countersign.toml", "sealing.secret"] {
        fs::copy(etc.join(name), credentials.join(name)).unwrap();
        set_mode(credentials.join(name), 0o400);
        set_list(&credentials.join(name), SERVICE);
    }
    set_mode(&credentials, 0o755);
    let credential = credentials.join("countersign.toml");
    let (code, said) = run_as(SERVICE, SERVICE, &["--config", credential.to_str().unwrap(), "keys", "list"], &var);
    assert!(code == 0 && said.contains(key["kid"].as_str().unwrap()), "{said}");
    let (code, said) = run_as(SERVICE, SERVICE, &["--config", credential.to_str().unwrap(), "doctor"], &var);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn the_configuration_of_somebody_else_opens_no_file_of_root() {
    if !is_root() {
        return;
    }
    let folder = installation();
    let path = folder.path();
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::copy(path.join("sealing.secret"), secret.path()).unwrap();
    set_mode(secret.path(), 0o600);
    let config = fs::read_to_string(path.join("countersign.toml")).unwrap();
    let named = config.replace("# secret_file = \"sealing.secret\"", &format!("secret_file = {:?}", secret.path()));
    fs::write(path.join("countersign.toml"), named).unwrap();
    let (code, _, err) = run(&["keys", "list"], path);
    assert!(code == 78 && err.contains(&format!("cannot be read by user {SERVICE}: Permission denied")), "{err}");
    assert!(err.contains(&format!("(This ran as user {SERVICE}")), "{err}");
}

/// Gives this user the right to read a file, by an access control list.
fn set_list(file: &Path, user: u32) {
    let mut list = vec![2, 0, 0, 0];
    for (tag, permissions, id) in
        [(1_u16, 4_u16, u32::MAX), (2, 4, user), (4, 0, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    rustix::fs::setxattr(file, "system.posix_acl_access", &list, rustix::fs::XattrFlags::empty()).unwrap();
}

#[test]
fn secrets_of_docker_need_a_read_only_mount_and_the_setting() {
    if !is_root() {
        return;
    }
    let folder = installation();
    let path = folder.path();
    let mounted = path.join("secrets");
    fs::create_dir(&mounted).unwrap();
    let inside = |options: &str, setting: &str| {
        let script = format!(
            "mount -t tmpfs -o mode=755 tmpfs secrets && cp sealing.secret secrets/ && chmod 444 secrets/sealing.secret \
             && mount -o remount,{options} secrets && exec setpriv --reuid {SERVICE} --regid {SERVICE} --clear-groups \
             {} doctor",
            env!("CARGO_BIN_EXE_countersign")
        );
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-ec", &script])
            .current_dir(path)
            .env("COUNTERSIGN_SEALING__SECRET_FILE", mounted.join("sealing.secret"))
            .env("COUNTERSIGN_SECRETS__ALLOW_WORLD_READABLE", setting)
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = inside("ro", "true");
    if said.contains("Operation not permitted") || said.contains("permission denied") {
        println!("nothing is tested: this container cannot mount: {said}");
        return;
    }
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = inside("ro", "false");
    assert!(code == Some(78) && said.contains("set `allow_world_readable = true` in [secrets]"), "{said}");
    let (code, said) = inside("rw", "true");
    assert!(code == Some(78) && said.contains("chmod 600"), "{said}");
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn an_init_that_fails_leaves_nothing_and_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let failing = |variable: &'static str, value: &'static str| {
        run_with(&["init", "--dir", "a/b"], path, |command| {
            command.env(variable, value);
        })
    };
    for (variable, value) in [
        ("COUNTERSIGN_STORE__PATH", "/nowhere/countersign.db"),
        ("COUNTERSIGN_CUSTODY__DIR", "/nowhere"),
        ("COUNTERSIGN_SEALING__SECRET", "1:canary"),
        ("COUNTERSIGN_SERVER__LISTEN", "0.0.0.0:1"),
    ] {
        let (code, _, err) = failing(variable, value);
        assert_ne!(code, 0);
        assert_eq!(names(path), [""; 0], "{variable}: {err}");
    }
    // What was there stays.
    fs::create_dir_all(path.join("a/b/keys")).unwrap();
    set_mode(path.join("a/b/keys"), 0o700);
    fs::write(path.join("a/b/notes"), "").unwrap();
    failing("COUNTERSIGN_CUSTODY__DIR", "/nowhere");
    let mut left = names(&path.join("a/b"));
    left.sort();
    assert_eq!(left, ["keys", "notes"]);
    run_json(&["init", "--dir", "a/b"], path);
    // A folder that is refused is named by its path, also where it is the current one.
    let open = path.join("open");
    fs::create_dir(&open).unwrap();
    set_mode(&open, 0o777);
    let (code, _, err) = run(&["init"], &open);
    let folder = fs::canonicalize(&open).unwrap();
    assert!(code == 1 && err.contains(&format!("chmod go-w {}", folder.display())), "{err}");
    assert_eq!(names(&open), [""; 0]);
}

#[test]
fn an_init_that_was_killed_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let config = path.join("countersign.toml");
    let first = run_json(&["init"], path);
    let secret = fs::read(path.join("sealing.secret")).unwrap();
    // Killed before its last step.
    fs::rename(&config, path.join("countersign.toml.new")).unwrap();
    let second = run_json(&["init"], path);
    assert_eq!((&first["kid"], &first["public_key"]), (&second["kid"], &second["public_key"]));
    assert_eq!(fs::read(path.join("sealing.secret")).unwrap(), secret);
    assert!(config.exists() && !path.join("countersign.toml.new").exists());
    // Killed before the store was made.
    fs::remove_file(&config).unwrap();
    for name in names(path).iter().filter(|name| name.starts_with("countersign.db")) {
        fs::remove_file(path.join(name)).unwrap();
    }
    for name in names(&path.join("keys")) {
        fs::remove_file(path.join("keys").join(name)).unwrap();
    }
    run_json(&["init"], path);
    assert_eq!(fs::read(path.join("sealing.secret")).unwrap(), secret);
    assert_eq!(run_json(&["doctor"], path)["health"], "ok");
    // Killed while it wrote the secret.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sealing.secret.new"), "1:01").unwrap();
    run_json(&["init"], folder.path());
    assert_eq!(run_json(&["doctor"], folder.path())["health"], "ok");
    assert!(!folder.path().join("sealing.secret.new").exists());
}

#[test]
fn init_names_a_folder_that_is_not_ours() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    let site = folder.path().join("site");
    let (code, said) = run_as(STRANGER, STRANGER, &["init", "--dir", site.to_str().unwrap()], Path::new("/"));
    assert!(code == 1 && said.contains(&format!("{}: Permission denied", site.display())), "{said}");
    fs::create_dir(&site).unwrap();
    chown(&site, Some(SERVICE), None).unwrap();
    let (code, said) = run_as(STRANGER, STRANGER, &["init", "--dir", site.to_str().unwrap()], Path::new("/"));
    let told = format!("{} belongs to user {SERVICE}, and this is user {STRANGER}", site.display());
    assert!(code == 1 && said.contains(&told), "{said}");
    assert!(names(&site).is_empty());
}

#[test]
fn a_named_pipe_that_nobody_writes_to_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_json(&["init"], path);
    rustix::fs::mkfifoat(rustix::fs::CWD, path.join("pipe"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    for arguments in [
        &["keys", "import", "pipe"][..],
        &["keys", "import", fixture_path("rsa-3072.pkcs8.pem").to_str().unwrap(), "--passphrase-file", "pipe"],
        &["token", "inspect", "a.b.c", "--public-key", "pipe"],
        &["--config", "pipe", "keys", "list"],
    ] {
        let begun = Instant::now();
        let (code, _, err) = run(arguments, path);
        assert!(code != 0 && err.contains("a pipe that nobody writes to"), "{arguments:?}: {code} {err}");
        assert!(begun.elapsed() < Duration::from_mins(2), "{arguments:?}");
    }
    let (code, _, err) = run(&["keys", "import", "keys"], path);
    assert!(code == 1 && err.contains("is a folder"), "{err}");
    let (code, _, err) = run(&["keys", "import", "/dev/null"], path);
    assert!(code == 1 && err.contains("neither a file nor a pipe"), "{err}");
}

/// A longer one would be cut off, and a part of it would be the passphrase.
#[test]
fn a_named_file_that_is_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_json(&["init"], path);
    fs::write(path.join("large"), "x".repeat((64 << 10) + 1)).unwrap();
    let key = fixture_path("rsa-3072.pkcs8.pem");
    for arguments in [
        &["keys", "import", "large"][..],
        &["keys", "import", key.to_str().unwrap(), "--passphrase-file", "large"],
        &["token", "inspect", "a.b.c", "--public-key", "large"],
    ] {
        let (code, _, err) = run(arguments, path);
        assert!(code == 1 && err.contains("large: is larger than 64 KiB"), "{arguments:?}: {code} {err}");
    }
    fs::write(path.join("large"), "#".repeat((1 << 20) + 1)).unwrap();
    let (code, _, err) = run(&["--config", "large", "keys", "list"], path);
    assert!(code == 78 && err.contains("large: is larger than 1024 KiB"), "{code} {err}");
}

#[test]
fn a_key_comes_through_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_json(&["init"], path);
    let program = env!("CARGO_BIN_EXE_countersign");
    let key = fixture_path("rsa-3072.pkcs8.pem");
    let script = format!(
        "cat '{0}' | {program} keys import -; (sleep 1; cat '{0}') | {program} keys import /dev/stdin",
        key.display()
    );
    let output = Command::new("sh").args(["-c", &script]).current_dir(path).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(said.matches("BEGIN PUBLIC KEY").count() + said.matches("on record already").count(), 2, "{said}");
}

#[test]
fn an_imported_file_that_others_may_read_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_json(&["init"], path);
    fs::write(path.join("key.pem"), fixture("rsa-3072.pkcs8.pem")).unwrap();
    fs::write(path.join("passphrase"), "pw\n").unwrap();
    set_mode(path.join("key.pem"), 0o666);
    set_mode(path.join("passphrase"), 0o600);
    let (code, _, err) = run(&["keys", "import", "key.pem", "--passphrase-file", "passphrase"], path);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("warning: key.pem may be changed by every user (mode 0666): chmod 600 key.pem"), "{err}");
    assert!(!err.contains("warning: passphrase"), "{err}");
}
