//! Password file of PostgreSQL's own clients, `.pgpass`
//! (<https://www.postgresql.org/docs/current/libpq-pgpass.html>).

use std::{io, path::Path};

use tokio_postgres::config::Host;
use zeroize::Zeroizing;

use super::target::Server;
use crate::{
    files::{MAX_SECRET_BYTES, Rule, Use, read_given, text},
    secret::Secret,
};

/// Folders of sockets for which libpq says `localhost` in the file, as distributors set them.
const DEFAULT_FOLDERS: [&str; 3] = ["/tmp", "/var/run/postgresql", "/run/postgresql"];

/// Contents of a password file.
pub(super) struct PassFile(Secret<String>);

/// Connection whose password is looked up.
pub(super) struct Login<'a> {
    pub(super) server: &'a Server,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

impl PassFile {
    /// Reads the file; `None` where there is none.
    ///
    /// # Errors
    /// The file cannot be read, or others can. libpq would ignore it then, and nobody would know why.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        let rule = Rule::of_process(false);
        let failed = |why: String| format!("the password file {}: {why}", path.display());
        let (bytes, breaches) = match read_given(path, MAX_SECRET_BYTES, &rule, Use::Secret) {
            Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            read => read.map_err(|why| failed(why.to_string()))?,
        };
        if !breaches.is_empty() {
            return Err(breaches.to_string());
        }
        let text = text(bytes.expose()).map_err(|why| failed(why.to_string()))?;
        Ok(Some(Self(Secret::new(text.to_owned()))))
    }

    /// Returns the password of the first line that fits.
    pub(super) fn password(&self, login: &Login<'_>) -> Option<Secret<String>> {
        let lines = self.0.expose().lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(fields).find_map(|[host, port, database, user, password]| {
            let fits = fits_host(&host, login.server)
                && fits(&port, &login.server.port.to_string())
                && fits(&database, login.database)
                && fits(&user, login.user);
            fits.then(|| Secret::new(unescaped(&password)))
        })
    }
}

/// Field of a line, still with its backslashes.
type Field = Zeroizing<String>;

/// Splits a line at its colons; a backslash takes the meaning of the character behind it. Text behind a fifth colon is
/// ignored.
fn fields(line: &str) -> Option<[Field; 5]> {
    let mut fields: [Field; 5] = Default::default();
    let (mut nth, mut escaped) = (0, false);
    for character in line.chars() {
        if character == ':' && !escaped {
            nth += 1;
            if nth == fields.len() {
                break;
            }
            continue;
        }
        escaped = character == '\\' && !escaped;
        fields[nth].push(character);
    }
    (nth >= 4).then_some(fields)
}

fn fits_host(field: &Field, server: &Server) -> bool {
    match &server.host {
        Host::Tcp(name) => fits(field, name),
        Host::Unix(folder) => {
            let folder = folder.to_string_lossy();
            fits(field, &folder) || (DEFAULT_FOLDERS.contains(&&*folder) && fits(field, "localhost"))
        }
    }
}

fn fits(field: &Field, value: &str) -> bool {
    field.as_str() == "*" || unescaped(field) == value
}

/// Returns a field without the backslashes that take a meaning.
fn unescaped(field: &Field) -> String {
    let mut plain = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        let next = if character == '\\' { characters.next() } else { None };
        plain.push(next.unwrap_or(character));
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn password(text: &str, host: &str, port: u16) -> Option<String> {
        let host = if host.starts_with('/') { Host::Unix(host.into()) } else { Host::Tcp(host.to_owned()) };
        let server = Server { host, address: None, port };
        let file = PassFile(Secret::new(text.to_owned()));
        let found = file.password(&Login { server: &server, database: "c", user: "u" });
        found.map(|password| password.expose().clone())
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# db:5432:c:u:comment\ndb:1:c:u:other\nshort:line\ndb:5432:*:u:one\n*:*:*:*:any";
        assert_eq!(password(text, "db", 5432).as_deref(), Some("one"));
        assert_eq!(password(text, "db", 1).as_deref(), Some("other"));
        assert_eq!(password(text, "::1", 5432).as_deref(), Some("any"));
        assert_eq!(password("db:5432:c:other:no", "db", 5432), None);
    }

    #[test]
    fn a_backslash_takes_the_meaning_of_a_colon() {
        assert_eq!(password(r"\:\:1:5432:c:u:a\:b\\c:ignored", "::1", 5432).as_deref(), Some(r"a:b\c"));
        assert_eq!(password(r"\*:5432:c:u:no", "db", 5432), None, "a name, not the wildcard");
    }

    #[test]
    fn a_socket_is_its_folder_or_localhost() {
        assert_eq!(password("localhost:5432:c:u:it", "/run/postgresql", 5432).as_deref(), Some("it"));
        assert_eq!(password("localhost:5432:c:u:no", "/srv/pg", 5432), None);
        assert_eq!(password("/srv/pg:5432:c:u:it", "/srv/pg", 5432).as_deref(), Some("it"));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".pgpass");
        assert!(PassFile::read(&path).unwrap().is_none());
        std::fs::write(&path, "*:*:*:*:hunter2").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = PassFile::read(&path).err().unwrap();
        assert!(refused.contains("chmod 600") && !refused.contains("hunter2"), "{refused}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(PassFile::read(&path).unwrap().is_some());
    }
}
