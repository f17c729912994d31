//! `countersign keys`: the key ceremony.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Subcommand;
use zeroize::Zeroizing;

use super::{context::Context, output::table};
use crate::domain::{
    ids::RingName,
    key::{KeyRecord, KeyState},
};

#[derive(Subcommand)]
pub(super) enum Keys {
    /// Make a key; it signs nothing before it is activated
    Generate {
        /// The ring it is for
        #[arg(long, default_value = "main")]
        ring: RingName,
        /// Its size: 2048 (Braze's recommendation), 3072 or 4096
        #[arg(long, default_value_t = 2048)]
        bits: u32,
    },
    /// Take in a private key in PEM: PKCS#1, PKCS#8 or encrypted PKCS#8
    Import {
        /// The file; - reads stdin
        file: PathBuf,
        /// The ring it is for
        #[arg(long, default_value = "main")]
        ring: RingName,
        /// A file with the passphrase that opens it
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// List the keys on record, oldest first
    List,
    /// Show one key
    Show {
        /// Its id, or enough of its beginning
        kid: String,
    },
    /// Print the public key to paste into Braze
    Public {
        /// Its id, or enough of its beginning [default: the active key of the ring]
        kid: Option<String>,
        /// The ring whose active key is meant
        #[arg(long, default_value = "main", conflicts_with = "kid")]
        ring: RingName,
    },
    /// Let a key sign for its ring; the key that signed until now retires
    ///
    /// Braze must hold the public key for every app of the ring before: a token signed with a key that Braze does not
    /// have is rejected (error 27). Running servers follow within 2 s. The retiring key must stay at Braze until its last
    /// tokens have expired.
    Activate {
        /// Its id, or enough of its beginning
        kid: String,
        /// You have seen the public key at Braze, for every app of the ring
        #[arg(long, required = true)]
        published_at_braze: bool,
    },
}

impl Keys {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Generate { ring, bits } => generate(context, ring, bits),
            Self::Import { file, ring, passphrase_file } => import(context, &file, ring, passphrase_file.as_deref()),
            Self::List => list(context),
            Self::Show { kid } => show(context, &kid),
            Self::Public { kid, ring } => public(context, kid.as_deref(), &ring),
            Self::Activate { kid, published_at_braze: _ } => activate(context, &kid),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn generate(context: &Context, ring: RingName, bits: u32) -> anyhow::Result<()> {
    let key = context.with_house(async |house, _| Ok(house.ceremony().generate(ring, bits).await?))?;
    taken(context, &key)
}

fn import(
    context: &Context,
    file: &std::path::Path,
    ring: RingName,
    passphrase: Option<&std::path::Path>,
) -> anyhow::Result<()> {
    let pem = read_secret(file)?;
    let passphrase = passphrase.map(read_passphrase).transpose()?;
    let key =
        context.with_house(async |house, _| Ok(house.ceremony().import(ring, &pem, passphrase.as_ref()).await?))?;
    taken(context, &key)
}

fn taken(context: &Context, key: &KeyRecord) -> anyhow::Result<()> {
    context.output.answer(key, &key.public_key)?;
    context.output.remark(format_args!(
        "Key {} is on record for ring {}. Next:\n  1. add the public key above to every app of the ring at Braze\n  \
         2. countersign keys activate {} --published-at-braze",
        key.kid, key.ring, key.kid
    ));
    Ok(())
}

fn list(context: &Context) -> anyhow::Result<()> {
    let keys = context.with_house(async |house, _| Ok(house.ceremony().list().await?))?;
    let rows = keys.iter().map(|key| {
        [
            key.kid.to_string(),
            key.ring.to_string(),
            key.state.as_str().to_owned(),
            key.bits.to_string(),
            key.changed.to_string(),
        ]
    });
    context.output.answer(&keys, table(&["KID", "RING", "STATE", "BITS", "SINCE"], rows))
}

fn show(context: &Context, kid: &str) -> anyhow::Result<()> {
    let key = context.with_house(async |house, _| Ok(house.ceremony().find(kid).await?))?;
    let text = format!(
        "kid      {}\nring     {}\nstate    {}, since {}\nbits     {}\ncustody  {} ({})\ncreated  {}\n\n{}",
        key.kid,
        key.ring,
        key.state.as_str(),
        key.changed,
        key.bits,
        key.custody,
        key.locator,
        key.created,
        key.public_key
    );
    context.output.answer(&key, text)
}

fn public(context: &Context, kid: Option<&str>, ring: &RingName) -> anyhow::Result<()> {
    let key = context.with_house(async |house, _| {
        let ceremony = house.ceremony();
        if let Some(kid) = kid {
            return Ok(ceremony.find(kid).await?);
        }
        let mut keys = ceremony.list().await?;
        keys.retain(|key| key.ring == *ring && key.state == KeyState::Active);
        keys.pop().with_context(|| format!("ring {ring} has no active key (`countersign keys list`)"))
    })?;
    context.output.answer(&serde_json::json!({ "kid": key.kid, "public_key": key.public_key }), &key.public_key)
}

fn activate(context: &Context, kid: &str) -> anyhow::Result<()> {
    let (activated, longest) = context.with_house(async |house, settings| {
        let ceremony = house.ceremony();
        let key = ceremony.find(kid).await?;
        Ok((ceremony.activate(&key.kid).await?, settings.longest_life(&key.ring)))
    })?;
    let value = serde_json::json!({ "active": activated.key, "retiring": activated.retiring });
    let mut text = format!("Key {} signs for ring {}.", activated.key.kid, activated.key.ring);
    if let Some(retiring) = &activated.retiring {
        let safe = retiring.changed.plus(longest);
        let _ = write!(
            text,
            "\nKey {} retires: leave it at Braze until {safe}, when its last token has expired.",
            retiring.kid
        );
    }
    context.output.answer(&value, text)
}

/// Reads a file that holds a secret, or stdin.
pub(super) fn read_secret(file: &std::path::Path) -> anyhow::Result<crate::secret::Secret<Vec<u8>>> {
    use std::io::Read;
    let mut bytes = Vec::with_capacity(64 * 1024 + 1);
    let limit = 64 * 1024 + 1;
    let read = if file == std::path::Path::new("-") {
        std::io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(limit).read_to_end(&mut bytes))
    };
    let secret = crate::secret::Secret::new(bytes);
    read.with_context(|| file.display().to_string())?;
    Ok(secret)
}

/// Reads a passphrase: the file's first line.
pub(super) fn read_passphrase(file: &std::path::Path) -> anyhow::Result<crate::secret::Secret<String>> {
    let bytes = read_secret(file)?;
    let text = Zeroizing::new(String::from_utf8(bytes.expose().clone()).with_context(|| file.display().to_string())?);
    let line = text.lines().next().filter(|line| !line.is_empty());
    let line = line.with_context(|| format!("{}: holds no passphrase", file.display()))?;
    Ok(crate::secret::Secret::new(line.to_owned()))
}
