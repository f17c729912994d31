//! A real PostgreSQL server for tests, from Debian's packages, on a socket in a folder of its own.
//!
//! It writes as durably as it does in production. A shell is its guardian: it makes the folder, and once the test process
//! has ended, however that ended, it stops the server and removes the folder. PostgreSQL refuses to run as root, so
//! that under root all of this belongs to `nobody`.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

const OWNER: &str = "nobody";
/// Settings of every server here: no TCP, and room for the connections of all tests.
const SETTINGS: &str = "listen_addresses = ''\nmax_connections = 400\nautovacuum_naptime = '5s'\n\
                        shared_preload_libraries = 'pg_stat_statements'\n";
/// Number of the next database of this process.
static DATABASE: AtomicU32 = AtomicU32::new(0);

/// A server with a data folder of its own; stopped and removed when dropped.
pub struct Server {
    guarded: Guarded,
    /// Databases that nobody uses any more.
    free: Mutex<Vec<String>>,
}

impl Server {
    /// Makes a data folder, and starts a server on it.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one with more settings.
    pub fn start_with(more: &str) -> Self {
        let initdb = program("initdb");
        let script = format!("{} -D data -A trust -U postgres -E UTF8 --no-sync >initdb.log", initdb.display());
        let stop = format!("{} -D data -m immediate stop", program("pg_ctl").display());
        let server = Self { guarded: Guarded::new(&script, &stop), free: Mutex::default() };
        let settings = format!("unix_socket_directories = '{}'\n{SETTINGS}{more}", server.folder().display());
        server.guarded.write("data/postgresql.auto.conf", &settings);
        server.resume();
        server
    }

    /// The server of all tests of this process that need no server of their own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Ends the server as a crash does: no transaction is finished, nothing is written that was not.
    pub fn crash(&self) {
        self.pg_ctl(&["-m", "immediate", "stop"]);
    }

    /// Starts the server again, and returns when it answers.
    pub fn resume(&self) {
        self.pg_ctl(&["-l", "server.log", "-t", "60", "-s", "start"]);
    }

    /// Makes a standby of this server, which follows it.
    pub fn standby(&self) -> Self {
        let backup = program("pg_basebackup");
        let script =
            format!("{} -h {} -U postgres -D data -R -c fast >backup.log", backup.display(), self.folder().display());
        let stop = format!("{} -D data -m immediate stop", program("pg_ctl").display());
        let server = Self { guarded: Guarded::new(&script, &stop), free: Mutex::default() };
        let settings = format!(
            "unix_socket_directories = '{}'\nprimary_conninfo = 'host={} user=postgres'\n{SETTINGS}",
            server.folder().display(),
            self.folder().display()
        );
        server.guarded.write("data/postgresql.auto.conf", &settings);
        server.resume();
        server
    }

    /// Waits until this standby has all writes of its primary so far.
    pub fn wait_for_writes_of(&self, primary: &Self, database: &str) {
        let written = primary.sql(database, "SELECT pg_current_wal_lsn()");
        let has_all = format!("SELECT pg_last_wal_replay_lsn() >= '{}'", written.trim());
        while self.sql(database, &has_all) != "t\n" {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets this standby follow no more: later writes of its primary never reach it.
    pub fn stop_following(&self) {
        self.sql("postgres", "ALTER SYSTEM SET primary_conninfo = ''");
        self.sql("postgres", "SELECT pg_reload_conf()");
        while self.sql("postgres", "SELECT count(*) FROM pg_stat_wal_receiver") != "0\n" {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes this standby a primary.
    pub fn promote(&self) {
        self.pg_ctl(&["-t", "60", "-s", "promote"]);
    }

    /// Stops all its processes where they are, until that is dropped.
    pub fn hang(&self) -> Hanging {
        let postmaster = self.postmaster();
        let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
        let all = all.filter_map(|name| name.parse().ok());
        Hanging::of(all.filter(|pid| ticks(*pid, postmaster).is_some()).collect())
    }

    fn postmaster(&self) -> u32 {
        let pid = std::fs::read_to_string(self.folder().join("data/postmaster.pid"));
        pid.unwrap().lines().next().unwrap().parse().unwrap()
    }

    fn pg_ctl(&self, arguments: &[&str]) {
        let mut command = as_owner(&program("pg_ctl"));
        command.args(["-D", "data", "-w"]).args(arguments).current_dir(self.folder());
        succeed(command.stdout(Stdio::null()));
    }

    /// Folder of the server's socket.
    pub fn folder(&self) -> &Path {
        &self.guarded.folder
    }

    /// Makes an empty database.
    pub fn database(&'static self) -> Database {
        Database::new(self)
    }

    /// Runs SQL in a database; its rows, one a line, columns apart by `|`.
    #[track_caller]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut command = self.client("psql");
        succeed(command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]))
    }

    /// Begins to count the work anew. Processes that are connected add counts of before later: there should be none.
    pub fn count_anew(&self, database: &str) {
        self.wait_for_the_end_of_clients(database);
        self.sql("postgres", "CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
        self.sql(
            "postgres",
            "SELECT pg_stat_statements_reset(), pg_stat_reset_shared('wal'), pg_stat_reset_shared('bgwriter')",
        );
        self.sql(database, "SELECT pg_stat_reset()");
    }

    /// The work since then. Processes add to it as they end, so that none may be connected any more.
    pub fn work(&self, database: &str) -> Work {
        self.wait_for_the_end_of_clients(database);
        let row = self.sql(
            database,
            "SELECT wal_sync, wal_write, wal_bytes, buffers_checkpoint + buffers_clean + buffers_backend,
                    n_tup_upd, n_tup_hot_upd
             FROM pg_stat_wal, pg_stat_bgwriter, pg_stat_user_tables
             WHERE schemaname = 'countersign' AND relname = 'sessions'",
        );
        let counts: Vec<f64> = row.trim().split('|').map(|count| count.parse().unwrap()).collect();
        let [flushes, log_writes, log_bytes, pages, updates, hot_updates] = counts[..] else { panic!("{row}") };
        let statements = |of: &str| {
            let sql = format!(
                "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements
                 JOIN pg_database ON pg_database.oid = dbid WHERE datname = '{database}' AND query LIKE '{of}'"
            );
            self.sql("postgres", &sql).trim().parse().unwrap()
        };
        let (statements, of_sessions) = (statements("%"), statements("%countersign.sessions%"));
        Work { flushes, statements, of_sessions, log_writes, log_bytes, pages, updates, hot_updates }
    }

    fn wait_for_the_end_of_clients(&self, database: &str) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND backend_type = 'client backend'"
        );
        while self.sql("postgres", &sql) != "0\n" {}
    }

    /// The CPU time of all its processes so far, also of those that ended.
    pub fn cpu(&self) -> Duration {
        let pid = self.postmaster();
        let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
        let ticks = all.filter_map(|name| ticks(name.parse().ok()?, pid)).sum::<u32>();
        Duration::from_secs(1) / 100 * ticks
    }

    /// A client program of PostgreSQL, told to use this server.
    pub fn client(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command.arg("-h").arg(self.folder()).args(["-U", "postgres"]);
        command
    }

    /// Address of a database of this server.
    pub fn url(&self, database: &str) -> String {
        url(self.folder(), 5432, database)
    }
}

/// Processes that are stopped until this is dropped.
pub struct Hanging(Vec<rustix::process::Pid>);

impl Hanging {
    fn of(pids: Vec<u32>) -> Self {
        let pids = pids.into_iter().map(|pid| rustix::process::Pid::from_raw(pid.cast_signed()).unwrap());
        let hanging = Self(pids.collect());
        assert!(!hanging.0.is_empty());
        hanging.signal(rustix::process::Signal::STOP);
        hanging
    }

    fn signal(&self, signal: rustix::process::Signal) {
        for pid in &self.0 {
            // A child that ended meanwhile is no matter.
            let _ = rustix::process::kill_process(*pid, signal);
        }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::CONT);
    }
}

/// Work of a server, as it counts it itself.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Flushes of the log to the disk.
    pub flushes: f64,
    /// All statements: also what a node asks every second, however many requests it has.
    pub statements: f64,
    /// Those on the table of sessions.
    pub of_sessions: f64,
    pub log_writes: f64,
    pub log_bytes: f64,
    /// Pages of tables and indexes written.
    pub pages: f64,
    /// Updates of sessions, and those of them that changed no index.
    pub updates: f64,
    pub hot_updates: f64,
}

/// CPU time of a process in hundredths of a second, if it is the postmaster, with its former children, or a child of it.
fn ticks(pid: u32, postmaster: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The fields of proc(5) from 3 on; the name before may have any character.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u32>().ok();
    let last = if pid == postmaster { 17 } else { 15 };
    let ours = pid == postmaster || field(4) == Some(postmaster);
    ours.then(|| (14..=last).filter_map(field).sum())
}

/// pgbouncer in transaction mode, in front of a server.
pub struct Pooler(Guarded);

impl Pooler {
    /// Starts pgbouncer in front of this server.
    pub fn start(server: &Server) -> Self {
        let pgbouncer = program("pgbouncer");
        let stop = "kill -INT \"$(cat pgbouncer.pid)\"";
        let pooler = Self(Guarded::new(":", stop));
        let folder = pooler.0.folder.display();
        // Few connections to the server for many clients: statements of one client run on many of them.
        let config = format!(
            "[databases]\n* = host={} user=postgres\n[pgbouncer]\nunix_socket_dir = {folder}\nlisten_port = 6432\n\
             pidfile = {folder}/pgbouncer.pid\nlogfile = {folder}/pgbouncer.log\nauth_type = any\n\
             pool_mode = transaction\nmax_client_conn = 2000\ndefault_pool_size = 6\nserver_idle_timeout = 5\n\
             ignore_startup_parameters = extra_float_digits\n",
            server.folder().display()
        );
        pooler.0.write("pgbouncer.ini", &config);
        succeed(as_owner(&pgbouncer).args(["-q", "-d", "pgbouncer.ini"]).current_dir(&pooler.0.folder));
        // It may have left the foreground before it listens.
        let socket = pooler.0.folder.join(".s.PGSQL.6432");
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        pooler
    }

    /// Stops it where it is, until that is dropped.
    pub fn hang(&self) -> Hanging {
        let pid = std::fs::read_to_string(self.0.folder.join("pgbouncer.pid")).unwrap();
        Hanging::of(vec![pid.trim().parse().unwrap()])
    }

    /// The one in front of the shared server.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Pooler> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Server::shared()))
    }

    /// Address of a database of the server behind it.
    pub fn url(&self, database: &str) -> String {
        url(&self.0.folder, 6432, database)
    }
}

/// A database of a server; another test gets it when this is dropped.
pub struct Database {
    server: &'static Server,
    pub name: String,
}

impl Database {
    fn new(server: &'static Server) -> Self {
        // To drop a database takes a checkpoint, which takes seconds; to drop a schema takes milliseconds.
        let used = server.free.lock().unwrap().pop();
        if let Some(name) = used {
            let reset = "SET client_min_messages = error; DROP SCHEMA IF EXISTS countersign CASCADE";
            server.sql(&name, reset);
            return Self { server, name };
        }
        let name = format!("test_{}", DATABASE.fetch_add(1, Ordering::Relaxed));
        server.sql("postgres", &format!("CREATE DATABASE {name}"));
        Self { server, name }
    }

    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }

    /// Runs SQL; what PostgreSQL says where it refuses it.
    pub fn try_sql(&self, sql: &str) -> Result<(), String> {
        let mut command = self.server.client("psql");
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.name, "-c", sql]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    /// Copies this database to another by PostgreSQL's own tools.
    pub fn dump_and_restore(&self) -> Self {
        let dump = succeed(self.server.client("pg_dump").arg(&self.name));
        let copy = Self::new(self.server);
        let mut psql = self.server.client("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &copy.name]);
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        copy
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.server.free.lock().unwrap().push(std::mem::take(&mut self.name));
    }
}

/// A folder of what runs in it, and the shell that ends that and removes the folder.
struct Guarded {
    guardian: Child,
    folder: PathBuf,
}

impl Guarded {
    /// `begin` runs in the new folder, `end` once this is dropped or its process has ended.
    fn new(begin: &str, end: &str) -> Self {
        // Short, because the path of a socket has 107 bytes at most.
        let script = format!(
            "set -e; folder=$(mktemp -d /tmp/pg-XXXXXX); cd \"$folder\"; {begin}; echo \"$folder\"; exec >/dev/null 2>&1\n\
             set +e; trap '' INT TERM HUP; cat; {end}; cd /; rm -rf \"$folder\""
        );
        let mut command = as_owner(Path::new("sh"));
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut guardian = command.spawn().unwrap();
        let mut folder = String::new();
        BufReader::new(guardian.stdout.take().unwrap()).read_line(&mut folder).unwrap();
        assert!(!folder.is_empty(), "no folder for a server");
        Self { guardian, folder: folder.trim_end().into() }
    }

    /// Writes a file of the owner.
    fn write(&self, name: &str, text: &str) {
        let mut command = as_owner(Path::new("tee"));
        let mut tee = command.arg(self.folder.join(name)).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        tee.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(tee.wait().unwrap().success());
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}

/// Address of a database at a socket.
fn url(folder: &Path, port: u16, database: &str) -> String {
    let host = folder.to_str().unwrap().replace('/', "%2F");
    format!("postgres://postgres@{host}:{port}/{database}")
}

/// Address of a database on two servers, of which the one that takes writes is used.
pub fn url_of_both(one: &Server, other: &Server, database: &str) -> String {
    let host = |server: &Server| format!("{}:5432", server.folder().to_str().unwrap().replace('/', "%2F"));
    format!("postgres://postgres@{},{}/{database}?target_session_attrs=read-write", host(one), host(other))
}

/// A command of a user that is not root.
fn as_owner(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", OWNER, "--regid", "nogroup", "--clear-groups", "--"]).arg(program);
    // Folders of this PATH may be open to root only.
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    command
}

#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    let shown = (&command, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Path of a program of the packages `postgresql` and `pgbouncer`.
fn program(name: &str) -> PathBuf {
    // Debian keeps the server's programs in folders of their versions; the newest is the last. They come before PATH,
    // which may have folders that the server's user cannot enter.
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|found| found.map(|version| version.unwrap().path().join("bin")).collect())
        .unwrap_or_default();
    folders.sort();
    folders.reverse();
    let path = std::env::var_os("PATH").unwrap();
    folders.extend(std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]));
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("missing: {name} (tests/provision.sh postgres installs it)"))
}
