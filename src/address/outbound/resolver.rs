//! Name resolution of outbound requests: the addresses that are checked are the ones that are dialled.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::reach::Reach;

/// Lookups that may run at once: a lookup holds a thread until the system's resolver gives up, longer than any request.
const LOOKUPS: usize = 16;

/// Lookups of one host that may run at once, so that a name that resolves slowly stops no other.
const LOOKUPS_OF_HOST: usize = 2;

/// Source of the addresses of a name.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// Returns the addresses of a host; their port has no meaning.
    async fn lookup(&self, host: &str) -> io::Result<Vec<SocketAddr>>;
}

/// Resolver of the operating system.
pub struct SystemLookup {
    permits: Arc<Semaphore>,
    /// By host. Hosts come from the configuration and from documents of configured issuers.
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Default for SystemLookup {
    fn default() -> Self {
        Self::new()
    }
}

impl SystemLookup {
    /// Makes a resolver that has looked nothing up yet.
    pub fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(LOOKUPS)), hosts: Mutex::default() }
    }

    fn permits_of(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Semaphore::new(LOOKUPS_OF_HOST));
        Arc::clone(hosts.entry(host.to_owned()).or_insert_with(made))
    }
}

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        let host = host.to_owned();
        let of_host = self.permits_of(&host).acquire_owned().await.map_err(io::Error::other)?;
        let permit = self.permits.clone().acquire_owned().await.map_err(io::Error::other)?;
        let lookup = tokio::task::spawn_blocking(move || {
            let found = (host.as_str(), 0).to_socket_addrs().map(Iterator::collect);
            drop((permit, of_host));
            found
        });
        lookup.await.map_err(io::Error::other)?
    }
}

/// All addresses of a name are such that they must not be dialled.
#[derive(Debug, thiserror::Error)]
#[error("the host has no address that may be dialled")]
pub struct ForbiddenAddress;

/// The operating system knows no address of a name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NameNotFound(pub String);

/// Resolver that leaves out addresses that must not be dialled.
pub struct CheckedResolver {
    pub lookup: Arc<dyn Lookup>,
    pub reach: Reach,
}

impl CheckedResolver {
    /// Resolves names by the operating system.
    pub fn system(reach: Reach) -> Self {
        Self { lookup: Arc::new(SystemLookup::new()), reach }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, reach) = (self.lookup.clone(), self.reach);
        Box::pin(async move {
            let found = lookup.lookup(name.as_str()).await.map_err(|why| NameNotFound(why.to_string()))?;
            let allowed: Vec<_> = found.into_iter().filter(|address| reach.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(ForbiddenAddress.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
