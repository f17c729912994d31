//! Connections: TLS, passwords, time-outs, and the pool.

use std::{
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{Connect, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{
    CancelToken, Client, Config as PgConfig, Connection, NoTls, Socket,
    config::{Host, SslMode},
    tls::TlsStream,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    Target,
    errors::{explain, takes_no_writes},
    passfile::{Login, PassFile},
    target::Server,
};
use crate::store::Config;

/// Name of this program in the server's list of connections.
const APPLICATION: &str = "countersign";
/// Name of PostgreSQL's protocol in TLS.
const PROTOCOL: &[u8] = b"postgresql";
/// Silence after which the system asks whether the server is still there, and the time between its questions.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Number of questions without an answer after which a connection is given up.
const KEEPALIVE_QUESTIONS: u32 = 3;
/// Longest time for which the end of a statement on the server is asked for.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes connections to the first server that takes them.
#[derive(Clone)]
pub(super) struct Connector(Arc<Servers>);

struct Servers {
    /// Settings of one connection to each server, in the order in which they are tried.
    settings: Vec<PgConfig>,
    /// The server that was connected to last: it is tried first.
    last: AtomicUsize,
    tls: Option<MakeRustlsConnect>,
    /// Longest time for a connection to one server, so that there is some left for the others.
    share: Duration,
}

impl Connector {
    /// Prepares connections. It reads the files that they need and connects to nothing.
    ///
    /// # Errors
    /// The reason, with the file where it is about one.
    pub(super) fn new(config: &Config, target: &Target) -> Result<Self, String> {
        let tls = target.tls.then(|| tls(config.ca_file.as_deref())).transpose()?;
        let share = config.timeout / u32::try_from(target.servers.len()).unwrap_or(u32::MAX);
        let passwords = if config.password.is_some() { None } else { pass_file(config)? };
        let settings = |server| settings(config, target, server, passwords.as_ref(), share);
        let settings = target.servers.iter().map(settings).collect();
        Ok(Self(Arc::new(Servers { settings, last: AtomicUsize::new(0), tls: tls.map(MakeRustlsConnect::new), share })))
    }

    /// Makes a pool of such connections; none is opened yet.
    pub(super) fn pool(&self, config: &Config) -> Result<Pool, String> {
        // Fast: a connection that is closed is seen without a statement.
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(PgConfig::new(), self.clone(), how);
        let size = usize::try_from(config.connections.get()).unwrap_or(usize::MAX);
        let pool = Pool::builder(manager).max_size(size).runtime(Runtime::Tokio1);
        let wait = Some(config.timeout);
        pool.wait_timeout(wait).create_timeout(wait).build().map_err(|why| why.to_string())
    }

    /// Asks the server to end the statement of a connection, without waiting for that.
    pub(super) fn cancel(&self, token: CancelToken) {
        let tls = self.0.tls.clone();
        tokio::spawn(timeout(CANCEL_TIMEOUT, async move {
            match tls {
                Some(tls) => token.cancel_query(tls).await,
                None => token.cancel_query(NoTls).await,
            }
        }));
    }
}

/// What the pool runs and waits for.
type Opened = Result<(Client, JoinHandle<()>), tokio_postgres::Error>;

impl Connect for Connector {
    fn connect(&self, _: &PgConfig) -> Pin<Box<dyn Future<Output = Opened> + Send + '_>> {
        let servers = Arc::clone(&self.0);
        Box::pin(async move { servers.connect().await })
    }
}

impl Servers {
    async fn connect(&self) -> Opened {
        let (count, first) = (self.settings.len(), self.last.load(Ordering::Relaxed));
        let mut failure = None;
        for nth in (0..count).map(|step| (first + step) % count) {
            match timeout(self.share, self.connect_to(&self.settings[nth])).await {
                Ok(Ok(opened)) => {
                    self.last.store(nth, Ordering::Relaxed);
                    return Ok(opened);
                }
                // A standby that takes no writes is as it should be: another server's reason says more.
                Ok(Err(why)) if failure.is_none() || !takes_no_writes(&why) => failure = Some(why),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        match failure {
            Some(why) => Err(why),
            // No server answered in time: the pool gives up at about the same moment.
            None => std::future::pending().await,
        }
    }

    async fn connect_to(&self, settings: &PgConfig) -> Opened {
        match &self.tls {
            Some(tls) => settings.connect(tls.clone()).await.map(|(client, connection)| (client, run(connection))),
            None => settings.connect(NoTls).await.map(|(client, connection)| (client, run(connection))),
        }
    }
}

/// Runs a connection until it ends. The statements that wait for it fail then, so that nobody else need be told.
fn run<S: TlsStream + Unpin + Send + 'static>(connection: Connection<Socket, S>) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(why) = connection.await {
            tracing::debug!(why = explain(&why), "a connection to the database ended");
        }
    })
}

/// Returns the settings of a connection to one server.
fn settings(
    config: &Config,
    target: &Target,
    server: &Server,
    passwords: Option<&PassFile>,
    share: Duration,
) -> PgConfig {
    let mut settings = target.settings.clone();
    match &server.host {
        Host::Tcp(name) => settings.host(name),
        Host::Unix(folder) => settings.host_path(folder),
    };
    if let Some(address) = server.address {
        settings.hostaddr(address);
    }
    settings.port(server.port).application_name(APPLICATION);
    settings.ssl_mode(if target.tls { SslMode::Require } else { SslMode::Disable });
    let longest = settings.get_connect_timeout().map_or(share, |given| share.min(*given));
    settings.connect_timeout(longest);
    if settings.get_tcp_user_timeout().is_none() {
        settings.tcp_user_timeout(config.timeout);
    }
    // The driver's default of two hours is longer than the memory of most firewalls.
    settings.keepalives_idle(settings.get_keepalives_idle().min(KEEPALIVE));
    settings.keepalives_interval(settings.get_keepalives_interval().unwrap_or(KEEPALIVE));
    settings.keepalives_retries(settings.get_keepalives_retries().unwrap_or(KEEPALIVE_QUESTIONS));
    if let Some(password) = &config.password {
        settings.password(password.expose());
    } else {
        let login = Login { server, database: &target.database, user: target.settings.get_user().unwrap_or_default() };
        if let Some(password) = passwords.and_then(|file| file.password(&login)) {
            settings.password(password.expose());
        }
    }
    settings
}

fn pass_file(config: &Config) -> Result<Option<PassFile>, String> {
    config.pass_file.as_deref().map_or(Ok(None), PassFile::read)
}

/// TLS that verifies the server's certificate and name: against the authorities in a file, or those that this machine
/// trusts.
fn tls(authorities: Option<&Path>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|why| format!("TLS cannot be set up: {why}"))?;
    let mut config = if let Some(file) = authorities {
        builder.with_root_certificates(roots(file)?).with_no_client_auth()
    } else {
        let trusted = builder.with_platform_verifier();
        let trusted = trusted.map_err(|why| format!("the certificates that this machine trusts: {why}"))?;
        trusted.with_no_client_auth()
    };
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

/// Reads the certificates of authorities from a PEM file.
fn roots(file: &Path) -> Result<RootCertStore, String> {
    let failed = |why: &dyn std::fmt::Display| format!("store.ca_file {}: {why}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|why| failed(&why))? {
        let certificate = certificate.map_err(|why| failed(&why))?;
        roots.add(certificate).map_err(|why| failed(&why))?;
    }
    if roots.is_empty() { Err(failed(&"has no certificate in PEM form")) } else { Ok(roots) }
}
