//! Connections: TLS, time-outs, and the pool.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{BuildError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres::NoTls;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Target;
use crate::store::Config;

/// Greatest number of connections of a node.
const CONNECTIONS: usize = 8;

/// Reason why no pool can be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum PoolError {
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Makes a pool of connections; none is opened yet.
pub(super) fn pool(_config: &Config, target: &Target) -> Result<Pool, PoolError> {
    // Fast: a connection that is closed is seen without a statement.
    let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let config = target.config.clone();
    let manager = if target.tls {
        Manager::from_config(config, MakeRustlsConnect::new(tls()?), how)
    } else {
        Manager::from_config(config, NoTls, how)
    };
    let wait = Some(Duration::from_secs(5));
    let pool = Pool::builder(manager).max_size(CONNECTIONS).runtime(Runtime::Tokio1);
    Ok(pool.wait_timeout(wait).create_timeout(wait).build()?)
}

/// TLS that verifies the server's certificate against the roots of this machine.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_platform_verifier()?.with_no_client_auth())
}
