//! The operations, asked of another process by the operators' API.

mod endpoint;

pub use endpoint::{BadEndpoint, Endpoint};
