//! The unix socket of the ops listener: its mode, its folder, what it replaces, whom it serves, its drain.

use std::{
    fs::{self, Permissions},
    io::{self, Read, Write},
    net::SocketAddr,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{ConnectInfo, Request},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use countersign::listener::{self, Config, LocalAddress, Service as Served, SocketFault, SocketPeer, bind_unix};
use rustix::process::{Signal, Uid, geteuid, getuid};
use tokio::sync::watch;

use super::{
    cli::{eventually, mode},
    support::{
        service::{Service, run, run_json},
        starting_service::StartingService,
    },
};

/// The user `nobody`.
const NOBODY: u32 = 65_534;

/// A folder in which a socket may be.
struct SocketPlace {
    folder: tempfile::TempDir,
    socket: PathBuf,
}

impl SocketPlace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("run/ops.sock");
        Self { folder, socket }
    }

    fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn with_folder(mode: u32) -> Self {
        let place = Self::new();
        fs::create_dir(place.run()).unwrap();
        fs::set_permissions(place.run(), Permissions::from_mode(mode)).unwrap();
        place
    }

    #[track_caller]
    fn refused(&self) -> String {
        bind_unix(&self.socket).expect_err("it must be refused").to_string()
    }
}

/// Asks over the socket, and returns the whole answer.
fn ask(socket: &Path, path: &str, host: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

async fn asked(socket: &Path, path: &'static str) -> io::Result<String> {
    let socket = socket.to_owned();
    tokio::task::spawn_blocking(move || ask(&socket, path, "anything")).await.unwrap()
}

/// An installation with this in its section `[server]`.
fn installation(server: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run_json(&["init"], folder.path());
    let config = folder.path().join("countersign.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\n[server]\n", &format!("\n[server]\n{server}\n"))).unwrap();
    folder
}

#[tokio::test]
async fn the_folder_is_made_and_the_socket_is_its_owners() {
    let place = SocketPlace::new();
    let listener = bind_unix(&place.socket).unwrap();
    assert_eq!((mode(&place.run()), mode(&place.socket)), (0o700, 0o600));
    assert_eq!(fs::metadata(&place.socket).unwrap().uid(), geteuid().as_raw());
    let files: Vec<_> = fs::read_dir(place.run()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["ops.sock"], "nothing else stays");
    drop(listener);
    assert!(!place.socket.exists(), "it is removed with its listener");
}

/// The other half of the test below: binds again and again, while another thread looks at the modes.
#[tokio::test]
#[ignore = "the other half of another test"]
async fn binds_with_a_wide_umask() {
    let place = SocketPlace::new();
    let stop = Arc::new(AtomicBool::new(false));
    let seen = {
        let (stop, files) = (Arc::clone(&stop), [place.run().join(".new"), place.socket.clone()]);
        std::thread::spawn(move || {
            let mut wider = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let found = files.iter().filter_map(|file| fs::symlink_metadata(file).ok());
                wider.extend(found.map(|file| file.mode() & 0o777).filter(|mode| *mode != 0o600));
            }
            wider
        })
    };
    for _ in 0..500 {
        let listener = bind_unix(&place.socket).unwrap();
        assert_eq!((mode(&place.run()), mode(&place.socket)), (0o700, 0o600));
        drop(listener);
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(seen.join().unwrap(), Vec::<u32>::new());
}

#[test]
fn the_socket_has_its_mode_from_its_first_moment_on() {
    let test = "ops_socket::binds_with_a_wide_umask";
    let mut other = Command::new("sh");
    other.args(["-c", "umask 0000; exec \"$0\" --exact \"$1\" --ignored"]);
    let output = other.arg(std::env::current_exe().unwrap()).arg(test).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn a_socket_on_which_nobody_answers_is_replaced() {
    let place = SocketPlace::with_folder(0o700);
    drop(UnixListener::bind(&place.socket).unwrap());
    // One that was killed before its socket had its name left this.
    drop(UnixListener::bind(place.run().join(".new")).unwrap());
    let stale = fs::metadata(&place.socket).unwrap().ino();
    let _listener = bind_unix(&place.socket).unwrap();
    assert_ne!(fs::metadata(&place.socket).unwrap().ino(), stale);
    UnixStream::connect(&place.socket).unwrap();
}

#[tokio::test]
async fn a_socket_on_which_somebody_answers_stays() {
    let place = SocketPlace::new();
    let first = bind_unix(&place.socket).unwrap();
    let inode = fs::metadata(&place.socket).unwrap().ino();
    let second = bind_unix(&place.socket).unwrap_err();
    assert!(matches!(second.fault, SocketFault::InUse), "{second}");
    assert!(second.to_string().contains("another process answers on this socket: stop it"), "{second}");
    assert_eq!(fs::metadata(&place.socket).unwrap().ino(), inode);
    drop(first);
}

#[tokio::test]
async fn a_socket_of_another_process_is_not_removed() {
    let place = SocketPlace::new();
    let ours = bind_unix(&place.socket).unwrap();
    fs::remove_file(&place.socket).unwrap();
    let theirs = UnixListener::bind(&place.socket).unwrap();
    drop(ours);
    UnixStream::connect(&place.socket).unwrap();
    drop(theirs);
}

#[tokio::test]
async fn what_is_no_socket_is_never_replaced() {
    let place = SocketPlace::with_folder(0o700);
    fs::write(&place.socket, "kept").unwrap();
    assert!(place.refused().contains("this is a file and no socket, and is not replaced: remove it"));
    assert_eq!(fs::read_to_string(&place.socket).unwrap(), "kept");
    fs::rename(&place.socket, place.run().join("kept")).unwrap();
    symlink(place.run().join("kept"), &place.socket).unwrap();
    assert!(place.refused().contains("this is a link and no socket"));
    fs::remove_file(&place.socket).unwrap();
    fs::create_dir(&place.socket).unwrap();
    assert!(place.refused().contains("this is a folder and no socket"));
}

#[tokio::test]
async fn a_folder_that_others_may_enter_is_refused() {
    for mode in [0o701, 0o710, 0o750, 0o755, 0o777, 0o1777] {
        let why = SocketPlace::with_folder(mode).refused();
        assert!(why.contains(&format!("has the mode {mode:04o}, and must have 0700")), "{why}");
        assert!(why.contains("run `chmod 0700 /"), "{why}");
    }
    let place = SocketPlace::with_folder(0o700);
    let link = place.folder.path().join("link");
    symlink(place.run(), &link).unwrap();
    let why = bind_unix(&link.join("ops.sock")).unwrap_err().to_string();
    assert!(why.contains("it must be a folder, and no link"), "{why}");
    let why = bind_unix(&place.folder.path().join("a/b/ops.sock")).unwrap_err().to_string();
    assert!(why.contains("cannot be made") && why.contains("install -d -m 0700"), "{why}");
    let why = bind_unix(&place.run().join("x".repeat(120))).unwrap_err().to_string();
    assert!(why.contains("the path is too long for a socket"), "{why}");
    let why = bind_unix(Path::new("ops.sock")).unwrap_err().to_string();
    assert!(why.contains("must be an absolute path"), "{why}");
}

#[tokio::test]
async fn a_folder_of_another_user_is_refused() {
    if !getuid().is_root() {
        // Only root can give a folder away.
        return;
    }
    let place = SocketPlace::with_folder(0o700);
    std::os::unix::fs::chown(place.run(), Some(NOBODY), None).unwrap();
    let why = place.refused();
    assert!(why.contains("belongs to user 65534, and this process is user 0: give it to this user"), "{why}");
}

/// Serves the extensions of each request on this socket.
fn serve(place: &SocketPlace) -> (watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let seen = |peer: Option<Extension<SocketPeer>>, local: Option<Extension<LocalAddress>>, request: Request| async move {
        let client = request.extensions().get::<ConnectInfo<SocketAddr>>();
        format!("{:?} {} {}", peer.map(|peer| peer.0.uid), local.is_some(), client.is_some())
    };
    let service = Served {
        router: Router::new().route("/", get(seen)),
        tells_local_address: true,
        deadline: Duration::from_secs(15),
        raw_refusal: Arc::new(|status: StatusCode| (HeaderMap::new(), Bytes::from(status.as_str().to_owned()))),
        metrics: None,
    };
    let (stop, stopping) = watch::channel(false);
    let listener = bind_unix(&place.socket).unwrap();
    (stop, tokio::spawn(listener::serve_unix(listener, Config::default(), service, stopping)))
}

#[tokio::test]
async fn a_request_knows_the_user_at_the_other_end() {
    let place = SocketPlace::new();
    let (stop, serving) = serve(&place);
    let answer = asked(&place.socket, "/").await.unwrap();
    assert!(answer.ends_with(&format!("Some({}) false false", geteuid().as_raw())), "{answer}");
    stop.send(true).unwrap();
    serving.await.unwrap();
    assert!(!place.socket.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_is_closed_at_once() {
    if !getuid().is_root() {
        // Only root can become another user.
        return;
    }
    let place = SocketPlace::new();
    let (_stop, _serving) = serve(&place);
    // The kernel would stop that user before: this is the second door.
    for (path, mode) in [(place.folder.path(), 0o755), (&place.run(), 0o755), (&place.socket, 0o666)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let socket = place.socket.clone();
    let asked_by = |uid: u32| {
        let socket = socket.clone();
        // On Linux a thread can have a user of its own.
        tokio::task::spawn_blocking(move || {
            std::thread::spawn(move || {
                let uid = Uid::from_raw(uid);
                rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
                ask(&socket, "/", "a")
            })
            .join()
            .unwrap()
        })
    };
    let refused = asked_by(NOBODY).await.unwrap();
    assert!(refused.as_ref().map_or(true, String::is_empty), "{refused:?}");
    let answer = asked_by(0).await.unwrap().unwrap();
    assert!(answer.ends_with("Some(0) false false"), "{answer}");
}

#[tokio::test]
async fn the_service_serves_its_ops_routes_on_it() {
    let place = SocketPlace::new();
    let service = Service::dev_with(|command| {
        command.env("COUNTERSIGN_SERVER__OPS_SOCKET", &place.socket);
    });
    assert_eq!((mode(&place.run()), mode(&place.socket)), (0o700, 0o600));
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = asked(&place.socket, path).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
    }
    let answer = asked(&place.socket, "/v1/token/generate").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let (status, _, log) = service.stop();
    assert!(status.success() && !place.socket.exists(), "{log}");
}

#[tokio::test]
async fn a_killed_service_leaves_a_socket_that_the_next_one_replaces() {
    let place = SocketPlace::new();
    let folder = installation(&format!("ops_socket = {:?}", place.socket));
    let config = folder.path().join("countersign.toml");
    let mut killed = Service::of(&config);
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert_eq!(UnixStream::connect(&place.socket).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let service = Service::of(&config);
    asked(&place.socket, "/healthz").await.unwrap();
    // A second one beside it says what is wrong, and leaves the socket alone.
    let config = config.to_str().unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--config", config];
    let (code, _, err) = run(&arguments, folder.path());
    assert!(code != 0 && err.contains("another process answers on this socket: stop it"), "{code}: {err}");
    let answer = asked(&place.socket, "/healthz").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    drop(service);
}

/// As on the ops listener: health is told until the end of the drain, and the socket is gone afterwards.
#[tokio::test]
async fn it_reports_the_drain() {
    let place = SocketPlace::new();
    let folder = installation(&format!("ops_socket = {:?}\nshutdown_delay = \"60s\"", place.socket));
    let mut service = Service::of(&folder.path().join("countersign.toml"));
    service.signal(Signal::TERM);
    let is_draining = async || asked(&place.socket, "/readyz").await.unwrap().starts_with("HTTP/1.1 503");
    eventually(is_draining).await;
    service.signal(Signal::TERM);
    let (status, _, log) = service.wait();
    assert!(status.success() && !place.socket.exists(), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_there_while_the_store_is_out_of_reach() {
    let place = SocketPlace::new();
    let folder = installation(&format!("ops_socket = {:?}", place.socket));
    let config = folder.path().join("countersign.toml");
    let with_store = fs::read_to_string(&config).unwrap();
    let absent = folder.path().join("absent").to_str().unwrap().replace('/', "%2F");
    let url = format!("[store]\nurl = \"postgres://u@{absent}:5432/store\"\n");
    fs::write(&config, with_store.replacen("[store]\n", &url, 1)).unwrap();
    let mut service = StartingService::of(&config).await;
    let answer = asked(&place.socket, "/readyz").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("the start waits for the store"), "{answer}");
    // The store is there again: the same socket goes on.
    fs::write(&config, with_store).unwrap();
    service.signal(Signal::HUP);
    service.wait_for(StartingService::ready).await;
    let is_ready =
        async || asked(&place.socket, "/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"));
    eventually(is_ready).await;
}
