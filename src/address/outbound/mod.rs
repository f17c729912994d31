//! The rule for requests that this service makes: the URLs that may be requested, and the addresses that may be dialled
//! for them. The address that is checked is the one that is dialled.

mod destination;
mod reach;
mod resolver;

pub use destination::{Destination, ForbiddenUrl};
pub use reach::Reach;
pub use resolver::{CheckedResolver, ForbiddenAddress, Lookup, NameNotFound, SystemLookup};
