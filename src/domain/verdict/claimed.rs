//! Whom a request to Braze is for.

/// The users whom a request names: every user id in its body together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Nobody: anonymous traffic.
    Nobody,
    /// This user.
    User(String),
    /// More than one, or some rows name one and some do not; in words.
    Conflicting(String),
}

impl Claimed {
    /// Of a request whose rows (events and attributes) name these users or none, and which itself names these.
    pub fn of<'a>(rows: impl IntoIterator<Item = Option<&'a str>>, request: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut users, mut nameless) = (Vec::new(), 0);
        let mut add = |user: &'a str| {
            if !users.contains(&user) {
                users.push(user);
            }
        };
        request.into_iter().for_each(&mut add);
        for row in rows {
            match row {
                Some(user) => add(user),
                None => nameless += 1,
            }
        }
        match (users[..].as_ref(), nameless) {
            ([], _) => Self::Nobody,
            ([user], 0) => Self::User((*user).to_owned()),
            ([user], rows) => {
                Self::Conflicting(format!("the request is for {user:?}, but {rows} of its rows name nobody"))
            }
            (users, _) => Self::Conflicting(format!("the request names more than one user: {users:?}")),
        }
    }
}
