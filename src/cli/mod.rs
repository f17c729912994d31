//! The command line: one file a command. Data goes to stdout, everything else to stderr.

mod audit;
mod braze;
mod clients;
mod clock;
mod compromise;
mod config;
mod confirmation;
mod context;
mod db;
#[cfg(feature = "sandbox")]
mod demo;
mod doctor;
mod failures;
mod given;
mod healthcheck;
mod init;
mod key_places;
mod keys;
mod local_provider;
mod meta;
mod operators;
mod output;
mod pending;
mod remote;
mod rotate;
mod rotate_show;
mod runtime;
#[cfg(feature = "sandbox")]
mod sandbox;
mod serve;
mod sign_in;
mod target;
mod token;
mod token_text;
mod usage;
mod user_argument;
mod users;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::config::Environment;
use context::{Context, EXIT_USAGE};
use output::Output;

/// The signing server for Braze SDK authentication.
///
/// It holds the RS256 private keys, mints JWTs for logged-in users, and refreshes them when the SDK's auth-failure
/// callback asks.
#[derive(Parser)]
#[command(
    name = "countersign",
    version,
    arg_required_else_help = true,
    after_help = "Try it:       countersign serve --dev\nFor real:     countersign init, then countersign serve\n\n\
        Exit codes:   0 done · 1 failed · 2 wrong usage · 3 warnings, waiting or drift · 4 not reachable or not ready · 5 not known to every node yet · 78 wrong configuration"
)]
struct Cli {
    /// The configuration file [default: `COUNTERSIGN_CONFIG`, else ./countersign.toml, else
    /// /etc/countersign/countersign.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    target: target::TargetFlags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Init(init::Init),
    /// Make, import, list, confirm and stop signing keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Replace keys without one rejected token
    #[command(subcommand)]
    Rotate(rotate::Rotate),
    /// Compare the keys that Braze holds with our records, and repair them
    #[command(subcommand)]
    Braze(braze::Braze),
    /// Make, list and revoke API keys of backends
    #[command(subcommand)]
    Clients(clients::ClientsCommand),
    /// Make, list and revoke operators of the operators' API and the console
    #[command(subcommand)]
    Operators(operators::OperatorsCommand),
    /// Accept a clock that is not trusted
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    /// List, verify and export the audit log, and sign its head
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Opt users out and in, list and end their sessions
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// Mint a token by hand, or inspect one
    #[command(subcommand)]
    Token(token::Token),
    /// Try the credential of an app's user
    #[command(subcommand)]
    SignIn(sign_in::SignInCommand),
    /// Check, show or print a sample of the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Failures(failures::Failures),
    Doctor(doctor::Doctor),
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::SandboxCommand),
    #[cfg(feature = "sandbox")]
    Demo(demo::Demo),
    /// Create, migrate, back up, restore or copy the store
    #[command(subcommand)]
    Db(db::Db),
    Healthcheck(healthcheck::Healthcheck),
    Completions(meta::Completions),
    Man(meta::Man),
    Version(meta::VersionCommand),
}

/// Runs a command; returns the exit code of the process.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> ExitCode {
    runtime::survive_large_files();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json = arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(help) => return usage(&help, json),
    };
    let context = Context::new(cli.config, cli.target, cli.json, environment);
    let here = cli.command.here().map_or(Ok(()), |why| context.stay_here(why));
    match here.map_err(Into::into).and_then(|()| cli.command.run(&context)) {
        Ok(code) => code,
        Err(error) => context.report_error(&error),
    }
}

/// Prints help that was asked for, or the error of mistyped arguments; returns the exit code.
fn usage(help: &clap::Error, json: bool) -> ExitCode {
    if !help.use_stderr() {
        // Where stdout is closed there is nobody to tell.
        let _ = help.print();
        return ExitCode::SUCCESS;
    }
    if json {
        Output { json }.error(&anyhow::anyhow!(sentence(help)));
    } else {
        let _ = help.print();
    }
    ExitCode::from(EXIT_USAGE)
}

/// Returns the text of an error without the usage that follows it.
fn sentence(help: &clap::Error) -> String {
    if help.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command or an argument is missing: --help lists them".to_owned();
    }
    let text = help.to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or(&text);
    let text = text.split("\n\nFor more information").next().unwrap_or(text);
    let paragraphs = text.strip_prefix("error: ").unwrap_or(text).split("\n\n").map(|paragraph| {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        words.join(" ")
    });
    paragraphs.collect::<Vec<_>>().join("; ")
}

impl Command {
    /// Reason why the command works on this machine only; `None` where it, or one of its commands, may ask a service.
    fn here(&self) -> Option<&'static str> {
        match self {
            Self::Serve(_) | Self::Init(_) => Some("it begins a service on this machine"),
            Self::Db(_) => Some("it works on the store itself, on the machine that reaches it"),
            Self::Clock(_) => Some("a clock is accepted on the machine that has it"),
            Self::Token(_) => Some("it signs with the keys, or reads a token, on this machine"),
            Self::SignIn(_) => Some("it tries the configuration of this machine"),
            Self::Healthcheck(_) => Some("give the URL of the readiness check as its argument"),
            #[cfg(feature = "sandbox")]
            Self::Sandbox(_) | Self::Demo(_) => Some("it begins a server on this machine"),
            Self::Completions(_) | Self::Man(_) | Self::Version(_) => Some("it is about the program here"),
            _ => None,
        }
    }

    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Serve(serve) => serve.run(context),
            Self::Init(init) => init.run(context),
            Self::Keys(keys) => keys.run(context),
            Self::Rotate(rotate) => rotate.run(context),
            Self::Braze(braze) => braze.run(context),
            Self::Clients(clients) => clients.run(context),
            Self::Operators(operators) => operators.run(context),
            Self::Clock(clock) => clock.run(context),
            Self::Audit(audit) => audit.run(context),
            Self::Users(users) => users.run(context),
            Self::Token(token) => token.run(context),
            Self::SignIn(sign_in) => sign_in.run(context),
            Self::Config(config) => config.run(context),
            Self::Failures(failures) => failures.run(context),
            Self::Doctor(_) => doctor::run(context),
            #[cfg(feature = "sandbox")]
            Self::Sandbox(sandbox) => sandbox.run(context),
            #[cfg(feature = "sandbox")]
            Self::Demo(demo) => demo.run(context),
            Self::Db(db) => db.run(context),
            Self::Healthcheck(healthcheck) => healthcheck.run(context),
            Self::Completions(completions) => completions.run(context),
            Self::Man(man) => man.run(context),
            Self::Version(_) => meta::version(context),
        }
    }
}
