//! The operations, asked of another process by the operators' API.

mod client;
mod endpoint;
mod operations;

pub use client::RemoteOperations;
pub use endpoint::{BadEndpoint, Endpoint};
