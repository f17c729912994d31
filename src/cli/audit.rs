//! `countersign audit`: read, verify and export the audit log, sign its head, show and change the key for that.

use std::{
    fs,
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    context::{Access, Context, EXIT_WARNINGS, UsageError},
    output::{on_one_line, table},
    target::Target,
};
use crate::{
    audit::{Checkpoint, SignedNote, VerifiedLog, VerifierKey},
    domain::audit::AuditEvent,
    files::write_fault,
    operate::{OperationErrorKind, Operations, PrintedCheckpoint, verify_export},
};

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// List records of the audit log, the last ones unless told otherwise
    List {
        /// Index of the first record
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
        /// Number of records
        #[arg(long, default_value = "50", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Write every record to a file, one a line with exactly its bytes, and a checkpoint to FILE.checkpoint
    Export {
        /// File to write; it must not exist
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    Verify(Verify),
    /// Sign the head of the log, and print the checkpoint
    ///
    /// Keep it where nobody can change it who can change this store: it proves later which records there were.
    Checkpoint(CheckpointOptions),
    /// Print the key that verifies checkpoints, or replace it
    Key(KeyOptions),
}

/// Verify the audit log: its records, its columns, its head and its checkpoints
///
/// Everything is computed anew from the stored records. Exit code 0: the log is whole; 1: it was changed; 3: it is whole,
/// with records that a restore lost or that wait. Only a checkpoint that was kept elsewhere shows that somebody who has the
/// store and the sealing secret wrote another log.
#[derive(Args)]
pub(super) struct Verify {
    /// File with a checkpoint that was kept elsewhere; repeat it for more
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Key that verifies checkpoints, as `countersign audit key` printed it; the default is the one in the store
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<VerifierKey>,
    /// Verify an export instead of the store, with FILE.checkpoint if it is there; it needs no configuration, and --key
    #[arg(long, value_name = "FILE", requires = "keys")]
    file: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct CheckpointOptions {
    /// Begin a new epoch first: after a fork that you have looked into
    #[arg(long, requires = "why")]
    new_epoch: bool,
    /// Reason for the new epoch, for its first record
    #[arg(long, value_name = "TEXT", requires = "new_epoch")]
    why: Option<String>,
}

#[derive(Args)]
pub(super) struct KeyOptions {
    /// Make a new key; both sign the record of it and the next checkpoint
    #[arg(long, requires = "why")]
    replace: bool,
    /// Reason for the new key, for its record
    #[arg(long, value_name = "TEXT", requires = "replace")]
    why: Option<String>,
}

impl AuditCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { from, limit } => list(context, from, limit),
            Self::Export { to } => export(context, &to),
            Self::Verify(verify) => return verify.run(context),
            Self::Checkpoint(options) => checkpoint(context, options),
            Self::Key(options) => key(context, options),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn list(context: &Context, from: Option<u64>, limit: u32) -> anyhow::Result<()> {
    let records = context.with_operations(Access::Read, async |ops| Ok(ops.audit_records(from, limit).await?))?;
    let rows = records.iter().map(|record| row(record.index, &record.event));
    let text = table(&["INDEX", "TIME", "ACTOR", "ACTION", "OUTCOME", "TARGET", "WHY"], rows);
    context.output.answer(&serde_json::to_value(&records)?, text)
}

fn row(index: u64, event: &AuditEvent) -> [String; 7] {
    let target = &event.target;
    let parts = [
        ("ring", target.ring.as_ref().map(ToString::to_string)),
        ("key", target.kid.as_ref().map(ToString::to_string)),
        ("app", target.app.as_ref().map(ToString::to_string)),
        ("user", target.user.map(|user| user.to_string())),
        ("session", target.session.map(|session| session.to_string())),
        ("client", target.client.as_ref().map(ToString::to_string)),
        ("api key", target.api_key.as_ref().map(ToString::to_string)),
    ];
    let parts = parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    [
        index.to_string(),
        event.at.to_string(),
        event.actor.name.clone(),
        event.action.as_str().to_owned(),
        event.outcome.as_str().to_owned(),
        parts.collect::<Vec<_>>().join(", "),
        event.why.clone(),
    ]
}

fn export(context: &Context, to: &Path) -> anyhow::Result<()> {
    let beside = checkpoint_beside(to);
    let (records, newest) = match context.target()? {
        Target::Local => context.with_operator(async |operator, _| {
            let mut file = NewFile::create(to)?;
            let (records, newest) = operator.audit().export(|leaf| Ok(file.write(&[leaf, "\n"])?)).await?;
            file.finish()?;
            Ok((records, newest))
        })?,
        Target::Remote(_) => context.with_operations(Access::Change, async |ops| export_remote(ops, to).await)?,
    };
    if let Some(newest) = &newest {
        let mut file = NewFile::create(&beside)?;
        file.write(&[&newest.note])?;
        file.finish()?;
    }
    let size = newest.as_ref().map(|newest| newest.size);
    let text = match size {
        Some(size) => format!(
            "{records} records are in {}, and a checkpoint of {size} of them is in {}.",
            to.display(),
            beside.display()
        ),
        None => format!("{records} records are in {}; there is no checkpoint yet.", to.display()),
    };
    context.output.answer(&json!({ "records": records, "file": to, "checkpoint_size": size }), text)
}

/// Writes the records of a service that is asked; returns their number, and a new checkpoint. There is none where the log
/// is another one than was signed: it is exported all the same, as evidence.
async fn export_remote(ops: &dyn Operations, to: &Path) -> anyhow::Result<(u64, Option<PrintedCheckpoint>)> {
    let newest = match ops.audit_checkpoint(None).await {
        Ok(newest) => Some(newest),
        Err(error) if error.kind == OperationErrorKind::Conflict => None,
        Err(error) => return Err(error.into()),
    };
    let (mut file, mut records) = (NewFile::create(to)?, 0);
    loop {
        let leaves = ops.audit_leaves(records, EXPORTED_AT_ONCE).await?;
        for leaf in &leaves {
            file.write(&[leaf, "\n"])?;
        }
        records += leaves.len() as u64;
        if leaves.len() < EXPORTED_AT_ONCE as usize {
            break;
        }
    }
    file.finish()?;
    Ok((records, newest))
}

/// New file that only its owner may read. Its errors name it, and say what to do.
struct NewFile<'a> {
    path: &'a Path,
    file: BufWriter<fs::File>,
}

impl<'a> NewFile<'a> {
    fn create(path: &'a Path) -> io::Result<Self> {
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|why| Self::fault(path, "made", &why))?;
        Ok(Self { path, file: BufWriter::new(file) })
    }

    fn write(&mut self, parts: &[&str]) -> io::Result<()> {
        let mut parts = parts.iter();
        parts
            .try_for_each(|part| self.file.write_all(part.as_bytes()))
            .map_err(|why| Self::fault(self.path, "written", &why))
    }

    fn finish(mut self) -> io::Result<()> {
        self.file.flush().map_err(|why| Self::fault(self.path, "written", &why))
    }

    fn fault(path: &Path, what: &str, why: &io::Error) -> io::Error {
        io::Error::new(why.kind(), format!("{} cannot be {what}: {}", path.display(), write_fault(path, why)))
    }
}

fn checkpoint_beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".checkpoint");
    name.into()
}

fn checkpoint(context: &Context, options: CheckpointOptions) -> anyhow::Result<()> {
    let why = options.why.filter(|_| options.new_epoch);
    let printed =
        context.with_operations(Access::Change, async |ops| Ok(ops.audit_checkpoint(why.as_deref()).await?))?;
    context.output.answer(&printed, &printed.note)
}

fn key(context: &Context, options: KeyOptions) -> anyhow::Result<()> {
    let Some(why) = options.why.filter(|_| options.replace) else {
        let key = context.with_operations(Access::Read, async |ops| Ok(ops.audit_key().await?))?;
        return context.output.answer(&json!({ "key": key }), key);
    };
    let replaced = context.with_operations(Access::Destroy, async |ops| Ok(ops.replace_audit_key(&why).await?))?;
    context.output.remark(format_args!(
        "This key signs from now on. The checkpoint with the signatures of both:\n{}",
        replaced.checkpoint.note
    ));
    context.output.answer(&serde_json::to_value(&replaced)?, &replaced.key)
}

/// Number of records that are asked for at once.
const EXPORTED_AT_ONCE: u32 = 1000;

/// Longest checkpoint that is read from a file, in bytes.
const MAX_CHECKPOINT: u64 = 64 << 10;

impl Verify {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let beside = self
            .file
            .as_deref()
            .map(checkpoint_beside)
            .filter(|beside| beside.exists() && !self.checkpoints.contains(beside));
        let files = beside.iter().chain(&self.checkpoints);
        let given = files.map(|file| read(file)).collect::<anyhow::Result<Vec<_>>>()?;
        let verified = if let Some(file) = &self.file {
            context.stay_here("it reads the export in that file")?;
            let lines = fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
            verify_export(BufReader::new(lines), &given, &self.keys)?
        } else {
            let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
            context.with_operations(Access::Read, async |ops| Ok(ops.verify_audit(&given, &keys).await?))?
        };
        context.output.answer(&verified, text(&verified))?;
        Ok(match (verified.is_wrong(), verified.findings.count) {
            (true, _) => ExitCode::FAILURE,
            (false, 0) => ExitCode::SUCCESS,
            (false, _) => ExitCode::from(EXIT_WARNINGS),
        })
    }
}

/// Reads a checkpoint, which is compared under the name of its file.
fn read(file: &Path) -> anyhow::Result<(String, String)> {
    let name = file.display().to_string();
    let mut text = String::new();
    let opened = fs::File::open(file).map_err(|why| UsageError::new(format!("{name} cannot be read: {why}")))?;
    opened.take(MAX_CHECKPOINT).read_to_string(&mut text).with_context(|| format!("{name} cannot be read"))?;
    if text.is_empty() {
        bail!("{name} is empty");
    }
    // What was pasted may have lost its last newline, and may have gained a carriage return.
    let text = text.replace("\r\n", "\n");
    let text = format!("{}\n", text.trim_end());
    // A file given by mistake says nothing about the log.
    let note = text.parse::<SignedNote>().ok().and_then(|note| Checkpoint::of(&note).ok());
    if note.is_none() {
        return Err(UsageError::new(format!("{name} is no checkpoint of countersign")).into());
    }
    Ok((name, text))
}

fn text(verified: &VerifiedLog) -> String {
    let VerifiedLog { records, epoch, checkpoints, findings, .. } = verified;
    let mut lines: Vec<String> = findings.first.iter().map(|finding| on_one_line(&format!("{finding}."))).collect();
    let hidden = findings.count.saturating_sub(findings.first.len() as u64);
    if hidden > 0 {
        lines.push(format!("{hidden} more findings."));
    }
    let standing = if verified.is_wrong() { "The log was changed" } else { "The log is whole" };
    let compared = match checkpoints {
        0 => {
            "no checkpoint was compared with it, so that nothing shows whether its last records are missing".to_owned()
        }
        1 => "it agrees with 1 checkpoint".to_owned(),
        more => format!("it agrees with {more} checkpoints"),
    };
    let compared = if verified.is_wrong() && *checkpoints == 0 { "it agrees with no checkpoint" } else { &compared };
    lines.push(format!("{standing}: {records} records, epoch {epoch}; {compared}."));
    lines.join("\n")
}
