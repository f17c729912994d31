//! POSIX access control lists, as Linux stores them (`linux/posix_acl_xattr.h`).
//!
//! A file that has one shows its mask as the group bits of its mode: systemd gives a service's credentials to the
//! service's user by such an entry, and their mode is 0440 although the group may not read them.

use super::user::User;

/// Extended attribute that holds the list.
pub(super) const ATTRIBUTE: &str = "system.posix_acl_access";

/// The version that precedes the entries.
const VERSION: [u8; 4] = [2, 0, 0, 0];
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;

/// Entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: u16,
    permissions: u16,
    id: u32,
}

/// Access control list of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccessList(Vec<Entry>);

impl AccessList {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (entries, rest) = bytes.strip_prefix(&VERSION)?.as_chunks::<8>();
        let entry = |bytes: &[u8; 8]| {
            let [t0, t1, p0, p1, i0, i1, i2, i3] = *bytes;
            Entry {
                tag: u16::from_le_bytes([t0, t1]),
                permissions: u16::from_le_bytes([p0, p1]),
                id: u32::from_le_bytes([i0, i1, i2, i3]),
            }
        };
        rest.is_empty().then(|| Self(entries.iter().map(entry).collect()))
    }

    /// Names a user or group, other than root and this user's, that has one of these permissions.
    pub(super) fn foreign(&self, owning_group: u32, user: &User, refused: u32) -> Option<String> {
        let mask = self.0.iter().find(|entry| entry.tag == MASK).map_or(0o7, |entry| entry.permissions);
        self.0.iter().filter(|entry| u32::from(entry.permissions & mask) & refused != 0).find_map(|entry| {
            match entry.tag {
                USER if entry.id != 0 && entry.id != user.uid() => Some(format!("user {}", entry.id)),
                OWNING_GROUP if !user.is_in(owning_group) => Some(format!("group {owning_group}")),
                GROUP if !user.is_in(entry.id) => Some(format!("group {}", entry.id)),
                _ => None,
            }
        })
    }
}
