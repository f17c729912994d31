//! The sections as they are written, each setting with its default.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};

use super::duration::HumanDuration;
use crate::{custody::Batch, telemetry::LogConfig};

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sections {
    pub(super) server: Server,
    pub(super) store: Store,
    pub(super) sealing: Sealing,
    pub(super) custody: Custody,
    pub(super) limits: Limits,
    pub(super) log: LogConfig,
    pub(super) jwks: Jwks,
    pub(super) braze: BTreeMap<String, Workspace>,
    pub(super) rings: BTreeMap<String, Ring>,
    pub(super) apps: BTreeMap<String, App>,
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// Where apps and backends connect.
    pub listen: SocketAddr,
    /// Metrics and health.
    pub ops_listen: SocketAddr,
    /// Whether something in front ends TLS, so that plain HTTP beyond loopback is meant.
    pub allow_plaintext: bool,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    pub(super) max_connections: NonZeroUsize,
    pub(super) max_connections_per_address: NonZeroUsize,
    pub(super) drain: HumanDuration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            allow_plaintext: false,
            trusted_proxies: Vec::new(),
            max_connections: const { NonZeroUsize::new(10_000).unwrap() },
            max_connections_per_address: const { NonZeroUsize::new(2000).unwrap() },
            drain: HumanDuration(Duration::from_secs(20)),
        }
    }
}

/// Networks, or single addresses, which are networks of one.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let network = |text: &String| {
        let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| address()).map_err(|_| {
            serde::de::Error::custom(format!("{text:?} is neither an address nor a network like 10.0.0.0/8"))
        })
    };
    texts.iter().map(network).collect()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Store {
    pub(super) path: PathBuf,
    pub(super) max_sessions_per_user: NonZeroU32,
}

impl Default for Store {
    fn default() -> Self {
        Self { path: "countersign.db".into(), max_sessions_per_user: const { NonZeroU32::new(50).unwrap() } }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sealing {
    pub(super) secret_file: PathBuf,
    #[serde(skip_serializing)]
    pub(super) secret: Option<Hidden>,
}

impl Default for Sealing {
    fn default() -> Self {
        Self { secret_file: "sealing.secret".into(), secret: None }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Custody {
    pub(super) dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) passphrase_file: Option<PathBuf>,
    #[serde(skip_serializing)]
    pub(super) passphrase: Option<Hidden>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) batch: Batch,
    pub(super) max_wait: HumanDuration,
}

impl Default for Custody {
    fn default() -> Self {
        Self {
            dir: "keys".into(),
            passphrase_file: None,
            passphrase: None,
            threads: None,
            batch: Batch::Auto,
            max_wait: HumanDuration(Duration::from_millis(30)),
        }
    }
}

/// A secret given as a value: never shown, never dumped.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub(super) struct Hidden(pub(super) zeroize::Zeroizing<String>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Limits {
    pub(super) enabled: bool,
    pub(super) per_client: RawQuota,
    pub(super) per_session: RawQuota,
    pub(super) per_address: RawQuota,
    pub(super) failures_per_address: RawQuota,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RawQuota {
    pub(super) per_second: NonZeroU32,
    pub(super) burst: NonZeroU32,
}

const fn quota(per_second: u32, burst: u32) -> RawQuota {
    match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
        (Some(per_second), Some(burst)) => RawQuota { per_second, burst },
        _ => unreachable!(),
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            enabled: true,
            per_client: quota(2000, 4000),
            per_session: quota(5, 200),
            per_address: quota(500, 2000),
            failures_per_address: quota(1, 100),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Jwks {
    pub(super) max_age: HumanDuration,
}

impl Default for Jwks {
    fn default() -> Self {
        Self { max_age: HumanDuration(Duration::from_mins(5)) }
    }
}

/// `[braze.<workspace>]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Workspace {
    pub(super) rest_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api_key_file: Option<PathBuf>,
    #[serde(skip_serializing)]
    pub(super) api_key: Option<Hidden>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ring {
    pub(super) isolate_apps: bool,
    pub(super) rotation: Rotation,
}

/// `[rings.<name>.rotation]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Rotation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) every: Option<HumanDuration>,
    pub(super) standby: bool,
    pub(super) soak: HumanDuration,
    pub(super) margin: HumanDuration,
    pub(super) check_every: HumanDuration,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            every: None,
            standby: false,
            soak: HumanDuration(ADVISED_SOAK),
            margin: HumanDuration(Duration::from_mins(10)),
            check_every: HumanDuration(Duration::from_mins(10)),
        }
    }
}

/// Braze's advice between calls that depend on each other ("API limits").
pub(super) const ADVISED_SOAK: Duration = Duration::from_mins(5);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct App {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sdk_api_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) workspace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) braze_app_id: Option<String>,
    pub(super) ring: String,
    pub(super) lifetime: HumanDuration,
    pub(super) max_user_id_bytes: NonZeroUsize,
    pub(super) allow_invisible_characters: bool,
    pub(super) allowed_origins: Vec<String>,
    pub(super) refresh: Refresh,
    pub(super) claims: Claims,
}

impl Default for App {
    fn default() -> Self {
        Self {
            sdk_api_key: None,
            workspace: None,
            braze_app_id: None,
            ring: "main".to_owned(),
            lifetime: HumanDuration(Duration::from_hours(1)),
            max_user_id_bytes: const { NonZeroUsize::new(512).unwrap() },
            allow_invisible_characters: false,
            allowed_origins: Vec::new(),
            refresh: Refresh::default(),
            claims: Claims::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Refresh {
    pub(super) enabled: bool,
    pub(super) idle: HumanDuration,
    pub(super) absolute: HumanDuration,
    pub(super) retry_window: HumanDuration,
}

impl Default for Refresh {
    fn default() -> Self {
        let days = |days: u64| HumanDuration(Duration::from_hours(24 * days));
        Self { enabled: true, idle: days(30), absolute: days(180), retry_window: days(1) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Claims {
    pub(super) jti: bool,
    pub(super) iat: bool,
    pub(super) aud: bool,
    pub(super) iss: bool,
    pub(super) kid: bool,
}

impl Default for Claims {
    fn default() -> Self {
        Self { jti: true, iat: false, aud: false, iss: false, kid: false }
    }
}
