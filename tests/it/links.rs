//! Secret and key files behind symbolic links: the layout in which Kubernetes mounts a secret, and links that lead
//! elsewhere.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rustix::process::Signal;
use serde_json::json;

use super::{
    custody::{PASSPHRASE, fixture_path},
    support::{
        key_files,
        service::{Service, run, run_json, run_with},
    },
};

const SECRET_FILE: &str = "COUNTERSIGN_SEALING__SECRET_FILE";

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Puts a version of these files into a folder, as Kubernetes does: the links to `..data` stay, and a rename replaces
/// `..data`.
fn mount(folder: &Path, version: &str, files: &[(&str, &[u8])]) {
    let inside = folder.join(version);
    fs::create_dir(&inside).unwrap();
    set_mode(&inside, 0o755);
    for (name, bytes) in files {
        fs::write(inside.join(name), bytes).unwrap();
        set_mode(inside.join(name), 0o440);
        if folder.join(name).symlink_metadata().is_err() {
            symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
        }
    }
    symlink(version, folder.join("..data_tmp")).unwrap();
    let replaced = fs::read_link(folder.join("..data"));
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    if let Ok(replaced) = replaced {
        fs::remove_dir_all(folder.join(replaced)).unwrap();
    }
}

/// An installation whose sealing secret is `secrets/sealing.secret`, and whose key is mounted too.
struct Installation {
    folder: tempfile::TempDir,
    /// Line of the sealing secret.
    sealing: Vec<u8>,
    /// File of the key, a link.
    key: PathBuf,
}

impl Installation {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        run_json(&["init"], path);
        let sealing = fs::read(path.join("sealing.secret")).unwrap();
        fs::remove_file(path.join("sealing.secret")).unwrap();
        fs::create_dir(path.join("secrets")).unwrap();
        set_mode(path.join("secrets"), 0o755);
        mount(&path.join("secrets"), "..2026_1", &[("sealing.secret", &sealing)]);
        let key = key_files(path).remove(0);
        let bytes = fs::read(&key).unwrap();
        fs::remove_file(&key).unwrap();
        mount(key.parent().unwrap(), "..2026_1", &[(key.file_name().unwrap().to_str().unwrap(), &bytes)]);
        assert!(fs::read(&key).unwrap() == bytes && key.is_symlink(), "the layout is that of Kubernetes");
        Self { folder, sealing, key }
    }

    fn secrets(&self) -> PathBuf {
        self.folder.path().join("secrets")
    }

    /// Runs a command that reads this file as the sealing secret.
    fn run(&self, arguments: &[&str], secret: &str) -> (i32, String) {
        let (code, out, err) = run_with(arguments, self.folder.path(), |command| {
            command.env(SECRET_FILE, secret);
        });
        (code, out + &err)
    }

    #[track_caller]
    fn assert_refused(&self, secret: &str, told: &str) {
        let (code, said) = self.run(&["config", "check"], secret);
        assert!(code == 78 && said.contains(told), "{code}: {said}\nlacks {told}");
    }

    #[track_caller]
    fn assert_accepted(&self, secret: &str) {
        for command in [&["config", "check"][..], &["doctor"]] {
            let (code, said) = self.run(command, secret);
            assert_eq!(code, 0, "{said}");
        }
    }
}

const MOUNTED: &str = "secrets/sealing.secret";

/// Version that sealed a refresh token.
fn sealing_version(refresh_token: &str) -> u8 {
    BASE64_URL_SAFE_NO_PAD.decode(refresh_token.strip_prefix("csr1_").unwrap()).unwrap()[3]
}

#[tokio::test]
async fn a_service_reads_mounted_secrets_and_a_reload_reads_their_next_version() {
    let installed = Installation::new();
    installed.assert_accepted(MOUNTED);
    let (code, said) = installed.run(&["clients", "create", "backend", "--app", "web", "--json"], MOUNTED);
    assert_eq!(code, 0, "{said}");
    let created: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    let key = created["api_key"].as_str().unwrap();
    let service = Service::of_with(&installed.folder.path().join("countersign.toml"), |command| {
        command.env(SECRET_FILE, MOUNTED);
    });
    let begun = async |user: String| {
        service.generate(key, &user).await.ok().json()["refresh_token"].as_str().unwrap().to_owned()
    };
    let first = begun("u-1".to_owned()).await;
    assert_eq!(sealing_version(&first), 1);
    let second = format!("2:{}\n", "0f1e2d3c4b5a69788796a5b4c3d2e1f0".repeat(2));
    let both = [&installed.sealing[..], second.as_bytes()].concat();
    for (version, sealing, newest) in [("..2026_2", &both[..], 2), ("..2026_3", second.as_bytes(), 2)] {
        mount(&installed.secrets(), version, &[("sealing.secret", sealing)]);
        service.signal(Signal::HUP);
        for round in 0.. {
            // Both versions open the first token; the second one alone does not.
            let refreshed = service.post("/v1/token/refresh", None, &json!({ "refresh_token": first })).await.unwrap();
            if sealing_version(&begun(format!("u-{version}-{round}")).await) == newest
                && (refreshed.status == 200) == (version == "..2026_2")
            {
                break;
            }
            assert!(round < 1200, "{version} is not in force");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let (status, _, err) = service.stop();
    assert!(status.success() && !err.contains("reload refused"), "{err}");
}

#[test]
fn a_link_that_leaves_its_mount_is_refused_with_the_remedy() {
    let installed = Installation::new();
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let target = elsewhere.path().join("sealing.secret");
    fs::write(&target, &installed.sealing).unwrap();
    set_mode(&target, 0o600);
    assert_ne!(
        fs::metadata(elsewhere.path()).unwrap().dev(),
        fs::metadata(installed.folder.path()).unwrap().dev(),
        "the test needs two mounts"
    );
    for (name, target) in [("away", target.as_path()), ("magic", Path::new("/proc/self/fd/0"))] {
        symlink(target, installed.secrets().join(name)).unwrap();
        let told = format!(
            "secrets/{name} is a link that leaves the mount of its folder, or leads in a circle: name the file itself, \
             whose path `readlink -f secrets/{name}` prints"
        );
        installed.assert_refused(&format!("secrets/{name}"), &told);
    }
    // The remedy works.
    installed.assert_accepted(target.to_str().unwrap());
    symlink("..data/nothing", installed.secrets().join("nothing")).unwrap();
    installed.assert_refused("secrets/nothing", "is a link to a file that does not exist");
}

#[test]
fn links_on_one_mount_are_followed() {
    let installed = Installation::new();
    let path = installed.folder.path();
    symlink("secrets/sealing.secret", path.join("relative")).unwrap();
    installed.assert_accepted("relative");
    symlink(installed.secrets().join("..data/sealing.secret"), path.join("absolute")).unwrap();
    // An absolute link begins on the mount of `/`.
    if fs::metadata("/").unwrap().dev() == fs::metadata(path).unwrap().dev() {
        installed.assert_accepted("absolute");
    } else {
        installed.assert_refused("absolute", "is a link that leaves the mount");
    }
}

#[test]
fn whoever_may_change_the_way_to_a_secret_is_named() {
    let installed = Installation::new();
    let keys = installed.key.parent().unwrap();
    for version in [installed.secrets().join("..2026_1"), keys.join("..2026_1")] {
        set_mode(&version, 0o777);
        let shown = version.strip_prefix(installed.folder.path()).unwrap().display().to_string();
        installed
            .assert_refused(MOUNTED, &format!("{shown}: may be changed by every user (mode 0777): chmod go-w {shown}"));
        set_mode(&version, 0o755);
    }
    // The mode of the target counts.
    let target = installed.secrets().join("..2026_1/sealing.secret");
    set_mode(&target, 0o444);
    installed.assert_refused(MOUNTED, "secrets/sealing.secret: may be read by every user (mode 0444)");
    set_mode(&target, 0o440);
    if rustix::process::geteuid().is_root() {
        let link = installed.secrets().join("..data");
        std::os::unix::fs::lchown(&link, Some(61_002), None).unwrap();
        installed.assert_refused(
            MOUNTED,
            "secrets/..data: is a link of user 61002; only root and user 0 may own it: chown -h",
        );
        std::os::unix::fs::lchown(&link, Some(0), None).unwrap();
        chown(installed.secrets().join("..2026_1"), Some(61_002), None).unwrap();
        installed.assert_refused(MOUNTED, "secrets/..2026_1: belongs to user 61002");
        chown(installed.secrets().join("..2026_1"), Some(0), None).unwrap();
    }
    installed.assert_accepted(MOUNTED);
}

#[test]
fn a_key_that_a_link_leads_to_is_erased_with_the_link() {
    let installed = Installation::new();
    let target = fs::canonicalize(&installed.key).unwrap();
    let inode = installed.folder.path().join("inode");
    fs::hard_link(&target, &inode).unwrap();
    let kid = installed.key.file_stem().unwrap().to_str().unwrap();
    let (code, said) = installed.run(&["keys", "compromise", kid, "--yes"], MOUNTED);
    assert_eq!(code, 3, "work at Braze remains: {said}");
    assert!(installed.key.symlink_metadata().is_err(), "the link is gone");
    assert_eq!(fs::read(&inode).unwrap(), b"", "and the key");
}

#[test]
fn a_link_is_not_replaced_by_an_encrypted_key() {
    let installed = Installation::new();
    let bytes = fs::read(&installed.key).unwrap();
    let (code, _, err) = run_with(&["keys", "rewrap"], installed.folder.path(), |command| {
        command.env(SECRET_FILE, MOUNTED).env("COUNTERSIGN_CUSTODY__PASSPHRASE", PASSPHRASE);
    });
    assert!(code == 1 && err.contains("it is a link: encrypt the key where it comes from"), "{code}: {err}");
    assert!(installed.key.is_symlink() && fs::read(&installed.key).unwrap() == bytes);
}

/// Runs a script in a mount namespace of its own; none where that is refused.
fn in_namespace(installed: &Installation, script: &str) -> Option<(i32, String)> {
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-ec", script])
        .current_dir(installed.folder.path())
        .env(SECRET_FILE, MOUNTED)
        .env("COUNTERSIGN", env!("CARGO_BIN_EXE_countersign"))
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let refused = said.contains("unshare failed") || said.contains("mount: ");
    if refused {
        println!("nothing is tested: this container cannot mount: {said}");
    }
    (!refused).then(|| (output.status.code().unwrap(), said))
}

#[test]
fn a_key_on_a_read_only_mount_says_where_to_remove_it() {
    let installed = Installation::new();
    let bytes = fs::read(&installed.key).unwrap();
    let kid = installed.key.file_stem().unwrap().to_str().unwrap();
    let script = format!(
        "mount --bind keys keys; mount -o remount,bind,ro keys; \
         $COUNTERSIGN doctor >/dev/null && exec $COUNTERSIGN keys compromise {kid} --yes"
    );
    let Some((code, said)) = in_namespace(&installed, &script) else { return };
    assert!(code != 0 && said.contains("take the key out of what is mounted there"), "{code}: {said}");
    assert_eq!(fs::read(&installed.key).unwrap(), bytes);
}

/// Volumes as Kubernetes mounts secrets with `fsGroup`: read-only, and the folder has the sticky bit.
#[test]
fn secrets_and_keys_of_kubernetes_are_accepted_as_they_are_mounted() {
    let installed = Installation::new();
    let script = "chown -hR 61001:61001 .
        for folder in secrets keys; do
            cp -a $folder $folder.copy
            mount -t tmpfs tmpfs $folder
            cp -a $folder.copy/. $folder/
            chown -hR 0:62000 $folder
            chmod 3777 $folder
            chmod 2755 $folder/..2026_1
            chmod 440 $folder/..2026_1/*
            test $folder = secrets || chmod 440 $folder/installation.id
            mount -o remount,ro $folder
        done
        as() { setpriv --reuid 61001 --regid 61001 --groups $1 $COUNTERSIGN config check || echo refused; }
        as 62000
        as 61001
        setpriv --reuid 61001 --regid 61001 --groups 62000 $COUNTERSIGN doctor";
    let Some((code, said)) = in_namespace(&installed, script) else { return };
    assert!(code == 0 && said.matches("refused").count() == 1, "{said}");
    assert!(said.contains("secrets/sealing.secret: gives permissions to group 62000"), "{said}");
}

#[test]
fn a_file_that_is_itself_a_mount_is_no_link() {
    let installed = Installation::new();
    fs::write(installed.folder.path().join("plain"), "").unwrap();
    let script = format!("mount --bind {MOUNTED} plain; {SECRET_FILE}=plain exec $COUNTERSIGN doctor");
    let Some((code, said)) = in_namespace(&installed, &script) else { return };
    assert_eq!(code, 0, "{said}");
}

#[test]
fn what_the_shell_has_opened_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_json(&["init"], path);
    let key = fixture_path("rsa-2048.encrypted.pem");
    let script = format!(
        "exec {} keys import <(cat '{}') --passphrase-file <(echo {PASSPHRASE})",
        env!("CARGO_BIN_EXE_countersign"),
        key.display()
    );
    let output = Command::new("bash").args(["-c", &script]).current_dir(path).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && said.contains("BEGIN PUBLIC KEY"), "{said}");
    // A link of a person to such a file is one to another mount.
    symlink("/dev/stdin", path.join("input")).unwrap();
    let (code, _, err) = run(&["keys", "import", "input"], path);
    assert!(code == 1 && err.contains("input: is a link that leaves the mount of its folder"), "{err}");
}

#[test]
fn init_names_a_link_and_not_what_it_leads_to_today() {
    let (folder, secrets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    mount(secrets.path(), "..2026_1", &[("passphrase", PASSPHRASE.as_bytes())]);
    set_mode(secrets.path().join("..2026_1/passphrase"), 0o400);
    let link = secrets.path().join("passphrase");
    run_json(&["init", "--passphrase-file", link.to_str().unwrap()], folder.path());
    mount(secrets.path(), "..2026_2", &[("passphrase", PASSPHRASE.as_bytes())]);
    set_mode(secrets.path().join("..2026_2/passphrase"), 0o400);
    assert_eq!(run_json(&["doctor"], folder.path())["health"], "ok");
}
