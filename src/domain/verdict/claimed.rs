//! Users that a request to Braze names.

/// Users that a request names, by all user ids in its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// No user: anonymous traffic.
    Nobody,
    /// Exactly one user.
    User(String),
    /// More than one user, or rows with and rows without a user; the text says which.
    Conflicting(String),
}

impl Claimed {
    /// Collects the users of a request's rows (events and attributes), each with a user or none, and of the request
    /// itself.
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
