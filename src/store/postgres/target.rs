//! Connection string of a database: `postgres://user@host/name`, with the parameters of libpq
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>).

use std::{fmt, net::IpAddr};

use tokio_postgres::config::{Host, TargetSessionAttrs};

/// Schemes of a connection string.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// Port of a server whose port is not given.
const PORT: u16 = 5432;
/// Advice for a password in the connection string.
const NO_PASSWORD: &str = "has a password, which `config dump`, process lists and backups of the configuration would \
                           show: write it into a file, and name that in store.password_file";

/// Parameters of libpq that have no effect here, or another place, each with what to do instead.
const REFUSED: [(&str, &str); 9] = [
    ("sslrootcert", "name that file in store.ca_file instead"),
    ("sslcert", "certificates of clients are not supported: use a password"),
    ("sslkey", "certificates of clients are not supported: use a password"),
    ("sslcrl", "lists of revoked certificates are not supported"),
    ("passfile", "name the file in PGPASSFILE, or the password's own file in store.password_file"),
    ("service", "write the host and the database into the URL"),
    ("load_balance_hosts", "leave it out: every node uses the server that takes writes"),
    ("application_name", "leave it out: it is `countersign`"),
    ("gssencmode", "leave it out: it is not supported"),
];

/// Server that the database may be on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) host: Host,
    /// The host's address, where it is not to be looked up.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Unix(folder) => write!(f, "{}/.s.PGSQL.{}", folder.display(), self.port),
            Host::Tcp(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Host::Tcp(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

/// Database to connect to. It shows no password.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::store) struct Target {
    /// All settings but the servers.
    pub(super) settings: tokio_postgres::Config,
    /// Servers, in the order in which they are tried. There is one at least.
    pub(super) servers: Vec<Server>,
    pub(super) database: String,
    /// The connection is encrypted, and the server's certificate and name verified.
    pub(super) tls: bool,
}

/// Reason why a text is no connection string. It shows nothing of the text but names of parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(String);

impl Target {
    /// Reads a connection string.
    ///
    /// # Errors
    /// The reason, with what to do.
    pub(in crate::store) fn parse(url: &str) -> Result<Self, BadUrl> {
        let rest = SCHEMES.iter().find_map(|scheme| url.strip_prefix(scheme)).ok_or_else(|| bad_scheme(url))?;
        let parameters = rest.split_once('?').map_or("", |(_, parameters)| parameters);
        let (ours, theirs) = split_parameters(parameters)?;
        let before = &url[..url.len() - parameters.len()];
        let settings: tokio_postgres::Config = format!("{before}{theirs}").parse().map_err(|why| cannot_read(&why))?;
        if settings.get_password().is_some() {
            return Err(bad(NO_PASSWORD));
        }
        let database = settings.get_dbname().map(str::to_owned);
        let database = database.ok_or_else(|| bad("names no database: write it after the host, `…/countersign`"))?;
        let servers = servers(&settings)?;
        let sockets = servers.iter().filter(|server| matches!(server.host, Host::Unix(_))).count();
        if sockets != 0 && sockets != servers.len() {
            return Err(bad("has both hosts and sockets: name servers of one kind"));
        }
        let is_secure = tls_of(ours.ssl_mode.as_deref())?;
        let attributes = attributes(&settings, ours.has_attributes, servers.len())?;
        Ok(Self { settings: without_servers(&settings, attributes), servers, database, tls: is_secure && sockets == 0 })
    }
}

impl Target {
    /// Returns true where the connection is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.tls
    }

    /// Returns true where all servers are on this machine.
    pub(super) fn is_local(&self) -> bool {
        let is_loopback = |name: &str| name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        self.servers.iter().all(|server| match (&server.host, server.address) {
            (Host::Unix(_), _) => true,
            (_, Some(address)) => address.is_loopback(),
            (Host::Tcp(name), None) => is_loopback(name),
        })
    }

    /// Returns the servers' hosts, but sockets: the address where it is given, the name otherwise.
    pub(in crate::store) fn hosts(&self) -> Vec<String> {
        let host = |server: &Server| match (&server.host, server.address) {
            (Host::Unix(_), _) => None,
            (_, Some(address)) => Some(address.to_string()),
            (Host::Tcp(name), None) => Some(name.clone()),
        };
        self.servers.iter().filter_map(host).collect()
    }

    /// Returns the ports of the servers.
    pub(super) fn ports(&self) -> Vec<u16> {
        self.servers.iter().map(|server| server.port).collect()
    }
}

/// Shows the servers and the database.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = |server: &Server| match &server.host {
            Host::Unix(folder) => Some((folder.clone(), server.port)),
            Host::Tcp(_) => None,
        };
        if let Some((folder, port)) = self.servers.first().and_then(folder) {
            let database = &self.database;
            write!(f, "postgres:///{database}?host={}", folder.display())?;
            return if port == PORT { Ok(()) } else { write!(f, "&port={port}") };
        }
        let servers: Vec<String> = self.servers.iter().map(ToString::to_string).collect();
        write!(f, "postgres://{}/{}", servers.join(","), self.database)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Parameters that are read here.
#[derive(Default)]
struct OurParameters {
    ssl_mode: Option<String>,
    has_attributes: bool,
}

/// Takes the parameters that are read here out of the others, and refuses those that have no effect.
fn split_parameters(parameters: &str) -> Result<(OurParameters, String), BadUrl> {
    let (mut ours, mut theirs) = (OurParameters::default(), Vec::new());
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or_else(|| bad("has a parameter without a value"))?;
        if let Some((name, instead)) = REFUSED.iter().find(|(refused, _)| name == *refused) {
            return Err(bad(format_args!("has the parameter {name}: {instead}")));
        }
        match name {
            "sslmode" => ours.ssl_mode = Some(value.to_owned()),
            "host" => theirs.extend(value.split(',').map(|host| format!("host={host}"))),
            _ => theirs.push(parameter.to_owned()),
        }
        ours.has_attributes |= name == "target_session_attrs";
    }
    Ok((ours, theirs.join("&")))
}

/// Returns true where the connection is to be encrypted. Where it is, the certificate is always verified.
fn tls_of(mode: Option<&str>) -> Result<bool, BadUrl> {
    match mode {
        None | Some("verify-full" | "verify-ca" | "require") => Ok(true),
        Some("disable") => Ok(false),
        Some("prefer" | "allow") => Err(bad(
            "has an sslmode that may send everything in the clear: leave it out (TLS with a verified certificate), or \
             say sslmode=disable where nobody else can read the connection",
        )),
        Some(_) => Err(bad("has an unknown sslmode: it is verify-full, which is the default, or disable")),
    }
}

/// Returns the servers, each with its port.
fn servers(settings: &tokio_postgres::Config) -> Result<Vec<Server>, BadUrl> {
    let (hosts, addresses, ports) = (settings.get_hosts(), settings.get_hostaddrs(), settings.get_ports());
    let is_empty = |host: &Host| matches!(host, Host::Tcp(name) if name.trim().is_empty());
    if hosts.is_empty() || hosts.iter().any(is_empty) {
        return Err(bad("names no host: `postgres://db.example.com/countersign`, or the folder of a socket, \
             `postgres:///countersign?host=/run/postgresql`"));
    }
    if !addresses.is_empty() && addresses.len() != hosts.len() {
        return Err(bad("must have one hostaddr for each host, or none"));
    }
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(bad("must have one port for each host, or one for all"));
    }
    let port = |nth: usize| ports.get(nth).or(ports.first()).copied().unwrap_or(PORT);
    let server = |(nth, host): (usize, &Host)| Server {
        host: host.clone(),
        address: addresses.get(nth).copied(),
        port: port(nth),
    };
    Ok(hosts.iter().enumerate().map(server).collect())
}

/// Returns the condition on a server. Of several servers only the one that takes writes is of use.
fn attributes(settings: &tokio_postgres::Config, given: bool, servers: usize) -> Result<TargetSessionAttrs, BadUrl> {
    match settings.get_target_session_attrs() {
        TargetSessionAttrs::ReadOnly => Err(bad("has target_session_attrs=read-only: the store must take writes")),
        _ if !given && servers > 1 => Ok(TargetSessionAttrs::ReadWrite),
        given => Ok(given),
    }
}

/// Copies all settings but the servers.
fn without_servers(from: &tokio_postgres::Config, attributes: TargetSessionAttrs) -> tokio_postgres::Config {
    let mut to = tokio_postgres::Config::new();
    if let Some(user) = from.get_user() {
        to.user(user);
    }
    if let Some(database) = from.get_dbname() {
        to.dbname(database);
    }
    if let Some(options) = from.get_options() {
        to.options(options);
    }
    if let Some(timeout) = from.get_connect_timeout() {
        to.connect_timeout(*timeout);
    }
    if let Some(timeout) = from.get_tcp_user_timeout() {
        to.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = from.get_keepalives_interval() {
        to.keepalives_interval(interval);
    }
    if let Some(retries) = from.get_keepalives_retries() {
        to.keepalives_retries(retries);
    }
    to.keepalives(from.get_keepalives());
    to.keepalives_idle(from.get_keepalives_idle());
    to.ssl_negotiation(from.get_ssl_negotiation());
    to.channel_binding(from.get_channel_binding());
    to.target_session_attrs(attributes);
    to
}

fn bad(why: impl fmt::Display) -> BadUrl {
    BadUrl(why.to_string())
}

/// Names what a text is that has not the right scheme.
fn bad_scheme(text: &str) -> BadUrl {
    const INSTEAD: &str = "write postgres://USER@HOST/DATABASE";
    match text.split_once(':') {
        Some(("sqlite", _)) => bad("is of SQLite: leave store.url out, and name the file in store.path"),
        // Anything else before a colon may be a user, with the password behind it.
        Some((scheme, rest)) if rest.starts_with("//") && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            bad(format_args!("has the scheme {scheme}, which is not PostgreSQL's: {INSTEAD}"))
        }
        _ => bad(format_args!("is no URL: {INSTEAD}")),
    }
}

/// Names what the driver could not read. Its message has names of parameters and no value.
fn cannot_read(why: &tokio_postgres::Error) -> BadUrl {
    let why = std::error::Error::source(why).map_or_else(|| why.to_string(), ToString::to_string);
    bad(format_args!("cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    fn refused(url: &str) -> String {
        Target::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn tls_is_the_default_but_on_sockets() {
        for url in ["postgres://u@db/c", "postgresql://db/c?sslmode=require", "postgres://db/c?sslmode=verify-full"] {
            assert!(parse(url).tls, "{url}");
        }
        for url in ["postgres://db/c?sslmode=disable", "postgres:///c?host=/run/postgresql", "postgres://%2Ftmp/c"] {
            assert!(!parse(url).tls, "{url}");
        }
        assert!(refused("postgres://db/c?sslmode=prefer").contains("in the clear"));
        assert!(refused("postgres://db/c?sslmode=on").contains("verify-full"));
    }

    #[test]
    fn several_servers_must_take_writes() {
        let target = parse("postgres://u@one:6000,two,[::1]:7/c?connect_timeout=3");
        assert_eq!(target.to_string(), "postgres://one:6000,two:5432,[::1]:7/c");
        assert_eq!(target.settings.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(target.settings.get_user(), Some("u"));
        assert_eq!(parse("postgres:///c?host=one,two").servers.len(), 2);
        let any = parse("postgres://one,two/c?target_session_attrs=any");
        assert_eq!(any.settings.get_target_session_attrs(), TargetSessionAttrs::Any);
        assert_eq!(parse("postgres://one/c").settings.get_target_session_attrs(), TargetSessionAttrs::Any);
    }

    #[test]
    fn a_socket_is_shown_by_its_folder() {
        assert_eq!(parse("postgres://u@/c?host=/run/pg").to_string(), "postgres:///c?host=/run/pg");
        assert_eq!(parse("postgres://%2Frun%2Fpg:6432/c").to_string(), "postgres:///c?host=/run/pg&port=6432");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, why) in [
            ("mysql://u:hunter2@db/c", "scheme mysql"),
            ("u:hunter2@db/c", "is no URL"),
            ("host=db password=hunter2", "is no URL"),
            ("sqlite:countersign.db", "store.path"),
            ("postgres:///c", "names no host"),
            ("postgres://one,/c", "names no host"),
            ("postgres://db", "names no database"),
            ("postgres://db/", "names no database"),
            ("postgres://u:hunter2@db/c", "store.password_file"),
            ("postgres://db/c?password=hunter2", "store.password_file"),
            ("postgres://db/c?%70assword=hunter2", "store.password_file"),
            ("postgres://db/c?sslrootcert=hunter2", "store.ca_file"),
            ("postgres://db/c?hunter=2", "unknown option `hunter`"),
            ("postgres://db:x/c", "port"),
            ("postgres://db/c?target_session_attrs=read-only", "must take writes"),
            ("postgres://db,%2Ftmp/c", "servers of one kind"),
        ] {
            let error = refused(url);
            assert!(error.contains(why), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
