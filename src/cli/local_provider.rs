//! Local OpenID provider beside `serve --dev`, so that sign-in by credential can be tried at once. A build without the
//! sandbox has none.

/// Provider that is bound to its address.
#[cfg(feature = "sandbox")]
pub(super) struct LocalProvider {
    sandbox: crate::sandbox::Sandbox,
}

#[cfg(not(feature = "sandbox"))]
pub(super) enum LocalProvider {}

#[cfg(feature = "sandbox")]
impl LocalProvider {
    /// Binds a free port of loopback.
    pub(super) async fn bind() -> anyhow::Result<Option<Self>> {
        use std::{net::SocketAddr, sync::Arc};

        use crate::{
            clock::SystemClock,
            sandbox::{LocalBraze, Sandbox, Switches},
        };

        let braze = Arc::new(LocalBraze::new(Arc::new(SystemClock), Switches::default(), |_| {}));
        Ok(Some(Self { sandbox: Sandbox::bind(SocketAddr::from(([127, 0, 0, 1], 0)), braze).await? }))
    }

    /// Returns the provider's issuer.
    pub(super) fn issuer(&self) -> String {
        format!("{}{}", self.sandbox.url(), crate::sandbox::ISSUER_PATH)
    }

    /// Serves until the future is dropped.
    pub(super) async fn serve(self) -> std::convert::Infallible {
        crate::sandbox::serve(self.sandbox).await
    }
}

#[cfg(not(feature = "sandbox"))]
impl LocalProvider {
    pub(super) fn bind() -> std::future::Ready<anyhow::Result<Option<Self>>> {
        std::future::ready(Ok(None))
    }

    pub(super) fn issuer(&self) -> String {
        match *self {}
    }

    pub(super) fn serve(self) -> std::future::Pending<std::convert::Infallible> {
        match self {}
    }
}
