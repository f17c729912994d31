//! Logins at identity providers as keyed hashes: a session keeps those of its login, and a logout at the provider finds
//! it by them.

use aws_lc_rs::hmac;

use super::{
    sealing::UserHashKey,
    sign_in::{ProviderLogin, ProviderLogout},
};
use crate::clock::UnixMillis;

/// Keyed hash of a login at a provider, or of a part of it. [`UserHashKey`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginHash(pub [u8; 16]);

/// Login at a provider, as a session and its refresh tokens keep it: without the provider's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginRecord {
    /// Hash of issuer and subject.
    pub subject: LoginHash,
    /// Hash of issuer and `sid`; of issuer and subject, for sessions without `sid`, where the credential has none.
    pub session: LoginHash,
    /// Time of issue of the credential.
    pub issued: UnixMillis,
}

/// Logins that a logout at a provider ends, as the store keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutRecord {
    /// Hash of issuer and `jti` of the logout token.
    pub id: LoginHash,
    pub ended: Vec<EndedLogin>,
    /// Time until which the ended logins are remembered.
    pub remembered_until: UnixMillis,
}

/// Login that ended: [`LoginRecord::subject`] or [`LoginRecord::session`] of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedLogin {
    pub login: LoginHash,
    /// Credentials that were issued later belong to a new login.
    pub issued_until: UnixMillis,
}

impl UserHashKey {
    /// Hashes a login at a provider.
    pub fn hash_login(&self, login: &ProviderLogin) -> LoginRecord {
        let (issuer, subject) = (&login.issuer, &login.subject);
        let session = match &login.sid {
            Some(sid) => self.login_hash(LoginPart::Sid, issuer, sid),
            None => self.login_hash(LoginPart::SubjectWithoutSid, issuer, subject),
        };
        LoginRecord { subject: self.login_hash(LoginPart::Subject, issuer, subject), session, issued: login.issued }
    }

    /// Hashes the logins that a logout at a provider ends (OpenID Connect Back-Channel Logout 1.0 §2.4): those of its
    /// `sid`, or all of its subject where it names none. Sessions whose credential had no `sid` cannot be told apart,
    /// so a logout that names `sid` and subject ends those of the subject, too.
    pub fn hash_logout(&self, logout: &ProviderLogout) -> LogoutRecord {
        let issuer = &logout.issuer;
        let of_subject = |part| {
            let login = |subject: &String| self.login_hash(part, issuer, subject);
            logout.subject.as_ref().map(login).map(|login| EndedLogin { login, issued_until: logout.issued })
        };
        let ended = match &logout.sid {
            // A provider's session does not come back, so neither do its credentials, whatever their time of issue.
            Some(sid) => {
                let login = self.login_hash(LoginPart::Sid, issuer, sid);
                let of_sid = EndedLogin { login, issued_until: UnixMillis(i64::MAX) };
                [Some(of_sid), of_subject(LoginPart::SubjectWithoutSid)].into_iter().flatten().collect()
            }
            None => of_subject(LoginPart::Subject).into_iter().collect(),
        };
        let id = self.login_hash(LoginPart::LogoutToken, issuer, &logout.id);
        LogoutRecord { id, ended, remembered_until: logout.remembered_until.max(logout.expires) }
    }

    /// Hashes `part ‖ length of the issuer (8) ‖ issuer ‖ value`. The first byte is in no user id, so that this is no
    /// hash of one.
    fn login_hash(&self, part: LoginPart, issuer: &str, value: &str) -> LoginHash {
        let mut context = hmac::Context::with_key(self.mac());
        context.update(&[part as u8]);
        context.update(&(issuer.len() as u64).to_be_bytes());
        context.update(issuer.as_bytes());
        context.update(value.as_bytes());
        let mut hash = [0; 16];
        let tag = context.sign();
        hash.copy_from_slice(&tag.as_ref()[..16]);
        LoginHash(hash)
    }
}

/// Part of a login that is hashed. The numbers must never change; they are control characters, which no user id has.
#[derive(Clone, Copy)]
enum LoginPart {
    Subject = 1,
    Sid = 2,
    SubjectWithoutSid = 3,
    LogoutToken = 4,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(issuer: &str, subject: &str, sid: Option<&str>) -> ProviderLogin {
        let sid = sid.map(str::to_owned);
        ProviderLogin { issuer: issuer.to_owned(), subject: subject.to_owned(), sid, issued: UnixMillis(5) }
    }

    fn logout(subject: Option<&str>, sid: Option<&str>) -> ProviderLogout {
        let text = |text: &str| text.to_owned();
        ProviderLogout {
            issuer: text("https://a"),
            subject: subject.map(text),
            sid: sid.map(text),
            id: text("1"),
            issued: UnixMillis(7),
            expires: UnixMillis(9),
            remembered_until: UnixMillis(8),
        }
    }

    /// Returns the latest time of issue of credentials of this login that the logout ends.
    fn ended_until(logout: &ProviderLogout, login: &ProviderLogin) -> Option<i64> {
        let key = UserHashKey::new([7; 32]);
        let record = key.hash_login(login);
        let ended = key.hash_logout(logout).ended;
        let meant = ended.iter().filter(|ended| [record.subject, record.session].contains(&ended.login));
        meant.map(|ended| ended.issued_until.0).max()
    }

    #[test]
    fn a_logout_ends_its_sid_or_all_of_its_subject() {
        let (with_sid, without) = (login("https://a", "u", Some("s")), login("https://a", "u", None));
        assert_eq!(ended_until(&logout(Some("u"), None), &with_sid), Some(7));
        assert_eq!(ended_until(&logout(Some("u"), None), &without), Some(7));
        assert_eq!(ended_until(&logout(None, Some("s")), &with_sid), Some(i64::MAX));
        assert_eq!(ended_until(&logout(None, Some("s")), &without), None);
        assert_eq!(ended_until(&logout(Some("u"), Some("s")), &with_sid), Some(i64::MAX));
        assert_eq!(ended_until(&logout(Some("u"), Some("s")), &without), Some(7));
        let other_sid = login("https://a", "u", Some("t"));
        assert_eq!(ended_until(&logout(Some("u"), Some("s")), &other_sid), None);
    }

    #[test]
    fn other_issuers_and_other_parts_have_other_hashes() {
        for other in
            [login("https://b", "u", Some("s")), login("https://au", "", Some("s")), login("https://a", "s", None)]
        {
            assert_eq!(ended_until(&logout(Some("u"), None), &other), None, "{other:?}");
            assert_eq!(ended_until(&logout(Some("u"), Some("s")), &other), None, "{other:?}");
        }
        let key = UserHashKey::new([7; 32]);
        assert_ne!(
            key.hash_login(&login("https://a", "u", None)).subject,
            UserHashKey::new([8; 32]).hash_login(&login("https://a", "u", None)).subject
        );
    }

    #[test]
    fn a_logout_is_remembered_at_least_as_long_as_its_token() {
        assert_eq!(UserHashKey::new([7; 32]).hash_logout(&logout(Some("u"), None)).remembered_until, UnixMillis(9));
    }
}
