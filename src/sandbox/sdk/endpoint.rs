//! Endpoints of the SDKs.

/// An endpoint of the SDKs, below `/api/v3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Data,
    ContentCards,
    FeatureFlags,
    Banners,
    PushUnregister,
    /// An endpoint whose answer the SDK reads for errors only.
    Other(&'static str),
}

impl Endpoint {
    /// Every endpoint.
    pub(super) const ALL: [Self; 9] = [
        Self::Data,
        Self::ContentCards,
        Self::FeatureFlags,
        Self::Banners,
        Self::PushUnregister,
        Self::Other("/template"),
        Self::Other("/dust/config"),
        Self::Other("/conversational_chat/config"),
        Self::Other("/conversational_chat/message"),
    ];

    /// Returns the path below `/api/v3`.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Data => "/data/",
            Self::ContentCards => "/content_cards/sync",
            Self::FeatureFlags => "/feature_flags/sync",
            Self::Banners => "/banners/sync",
            Self::PushUnregister => "/push/unregister",
            Self::Other(path) => path,
        }
    }
}
