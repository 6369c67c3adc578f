//! The command line of Tidings; all work is done by the library.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tidings::app::admin::{self, AdminClient, SuspendedContent};
use tidings::app::{self, Announcement, App, Stopping, signals};
use tidings::config::{LoadOptions, Settings, StoreBackend, process_environment};
use tidings::environment::SystemEnvironment;
use tidings::panics;
use tidings::telemetry::build::VERSION_AND_COMMIT;
use tidings::telemetry::logging;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A self-hosted, actor-based realtime chat server for online games and apps.
///
/// Without a command it serves: an embedded SQLite file in ./data, an in-process bus, and a web client, on
/// http://127.0.0.1:8080. `tidings config default` explains every setting.
#[derive(Debug, Parser)]
#[command(name = "tidings", version = VERSION_AND_COMMIT, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct SettingsArgs {
    /// A TOML file with settings; what it leaves out keeps its default.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the database and the keys; the first run makes it [store.data_dir].
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// The address to listen on; port 0 takes a free one [server.listen].
    #[arg(long, global = true, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The part of the work this process takes on: all, gateway, api, relay (repeat for several)
    /// [server.roles].
    #[arg(long, global = true, value_name = "ROLE")]
    role: Vec<String>,
    /// Any other setting, e.g. --set limits.sends_per_second=100 (repeat for several).
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default).
    Serve,
    /// Check or print the settings.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Bring the tables of a Postgres database up to this release; run it before the servers of a new
    /// release.
    Migrate {
        /// Also make this role, or correct the one that is there: what servers connect as, with no more
        /// rights than they need.
        #[arg(long, value_name = "ROLE")]
        grants: Option<String>,
    },
    /// Check everything that a start needs, and say how to correct each failure.
    Doctor,
    /// Show the state of each part of a running server on this machine: queues, sessions, leases, pools.
    Inspect {
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look after the accounts of a running server: find, suspend, sign out, erase, export; read the audit
    /// log.
    Admin(AdminArgs),
}

/// What an operator does through a running server.
#[derive(Debug, Args)]
struct AdminArgs {
    /// Your name in the audit log; without it the name of the account you are signed in with.
    #[arg(long = "as", global = true, value_name = "NAME")]
    operator: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, clap::Args)]
struct AccountName {
    /// An id or a username.
    user: String,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Find users by words in their names, or by id.
    Find {
        /// The beginnings of words, or an id.
        text: String,
    },
    /// Show one user.
    Show(AccountName),
    /// Keep an account out: its connections end, and it cannot come back before the end.
    Suspend {
        /// An id or a username.
        user: String,
        /// For how long, such as 90s, 30m, 12h, 7d or 4w; without it there is no end.
        #[arg(long = "for", value_name = "TIME", value_parser = admin::duration)]
        duration: Option<Duration>,
        /// Why, for the user to read.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Remove the account's messages and reactions too.
        #[arg(long)]
        remove_content: bool,
    },
    /// Let a suspended account in again.
    Lift(AccountName),
    /// List suspended accounts.
    Suspensions,
    /// End all sign-ins of an account.
    SignOut(AccountName),
    /// Replace the password of an account by one that signs in once, within a day, and end its sign-ins.
    OneTimePassword(AccountName),
    /// End the second factor of an account whose user has lost the app. Make sure first who asks you for it.
    EndSecondFactor(AccountName),
    /// Erase an account, for good. This cannot be undone.
    Erase {
        /// An id or a username.
        user: String,
        /// Say that you mean it.
        #[arg(long)]
        yes: bool,
    },
    /// Print everything kept about an account, one JSON object per line.
    Export(AccountName),
    /// Print the audit log, one JSON object per line.
    Audit {
        /// How many of the newest entries.
        #[arg(long, value_name = "COUNT", default_value_t = 50)]
        last: u64,
        /// Go on with those that are added.
        #[arg(long)]
        follow: bool,
        /// Check the chain of hashes from the oldest entry to the newest instead.
        #[arg(long, conflicts_with_all = ["last", "follow"])]
        verify: bool,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check file, environment and flags; name every mistake with its place and its remedy.
    Check,
    /// Print every setting and its source; secrets are hidden.
    Dump {
        /// Explain each key.
        #[arg(long)]
        explain: bool,
    },
    /// Print the built-in file: every key with its default and its explanation.
    Default,
}

impl SettingsArgs {
    fn load(self) -> anyhow::Result<Settings> {
        let mut overrides = Vec::new();
        for pair in self.set {
            let (key, value) = pair.split_once('=').with_context(|| {
                format!("--set {pair}: write SECTION.KEY=VALUE, e.g. limits.body_bytes=4096")
            })?;
            overrides.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        overrides.extend(self.data_dir.map(|dir| ("store.data_dir".to_owned(), dir)));
        overrides.extend(self.listen.map(|address| ("server.listen".to_owned(), address)));
        if !self.role.is_empty() {
            overrides.push(("server.roles".to_owned(), self.role.join(",")));
        }
        let options = LoadOptions { file: self.config, environment: process_environment(), overrides };
        Settings::load(options).map_err(|errors| anyhow::anyhow!("{errors}"))
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let code = run(cli).unwrap_or_else(|error| {
        say_error(&error);
        ExitCode::FAILURE
    });
    logging::finish();
    code
}

/// Reports why the process ends.
fn say_error(error: &anyhow::Error) {
    if let Some(wait) = say(std::io::stderr(), format!("tidings: {error:#}")) {
        let _ = wait.recv_timeout(Duration::from_secs(1));
    }
}

/// Writes a line from a thread of its own, because the stream may be closed, or a pipe that nobody reads. The
/// receiver gets a message when the line is written.
fn say(mut stream: impl Write + Send + 'static, line: String) -> Option<mpsc::Receiver<()>> {
    let (said, wait) = mpsc::channel();
    let speak = move || {
        // There is no other place to report it.
        let _ = stream.write_all(format!("{line}\n").as_bytes());
        let _ = said.send(());
    };
    std::thread::Builder::new().spawn(speak).ok().map(|_| wait)
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let load = || cli.settings.load();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => in_system(serve(load()?)),
        Command::Config { command: ConfigCommand::Check } => {
            let warnings = load()?.warnings();
            let text: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            let verdict = match warnings.len() {
                0 => "the settings are good".to_owned(),
                1 => "the settings are good, with one warning".to_owned(),
                count => format!("the settings are good, with {count} warnings"),
            };
            print(&format!("{text}{verdict}\n"))
        }
        Command::Config { command: ConfigCommand::Dump { explain } } => print(&load()?.dump(explain)),
        Command::Config { command: ConfigCommand::Default } => print(Settings::defaults()),
        Command::Migrate { grants } => in_system(migrate(load()?, grants)),
        Command::Doctor => in_system(doctor(load()?)),
        Command::Inspect { json } => in_system(inspect(load()?, json)),
        Command::Admin(args) => in_system(administer(load()?, args)),
    }
}

/// Writes the answer of a command. The reader of the pipe may have gone.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// Runs on an actix system whose own thread is a multi-thread tokio runtime: database drivers and log
/// consumers share it, the server's workers and the actors' arbiter have theirs.
fn in_system(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runner = actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .worker_threads(2)
            .build()
            // Without a runtime there is no log to report through.
            .expect("the operating system lets a process start threads")
    });
    runner.block_on(work)
}

async fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    let clock = SystemEnvironment::shared();
    // Escape codes are useful on a screen only, not in a file or a pipe.
    let colours = std::io::stderr().is_terminal() && !is_set("NO_COLOR");
    logging::init(&settings.telemetry, colours, move || clock.monotonic_ms())?;
    panics::install(logging::finish, panic_points());
    // Before anything is announced, because a supervisor that reads the announcement may stop the server at
    // once.
    let stop = signals::watch()?;
    tokio::pin!(stop);
    let embedded = settings.store.backend == StoreBackend::Sqlite;
    let building = App::build(settings);
    tokio::pin!(building);
    let app = tokio::select! {
        built = &mut building => built?,
        () = &mut stop => {
            // An embedded database that is being opened is closed in order; a database server may never
            // answer.
            if embedded {
                building.await?.close().await;
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    let announce = |announcement: &Announcement<'_>| {
        // Standard output may be closed. The server serves nevertheless.
        let _ = writeln!(std::io::stdout(), "{}", app::banner(announcement));
        tracing::info!(address = %announcement.public, internal = %announcement.internal, "serving");
    };
    let on_stop = |stopping: Stopping| {
        say(std::io::stdout(), stopping.line(std::io::stdin().is_terminal()));
        if stopping.is_deadline {
            signals::end_after(stopping.at_most);
        }
    };
    app.serve(announce, stop, on_stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the environment has this variable, with any value but the empty one.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// The folder through which tests ask a debug build to panic. A release build ignores the variable.
fn panic_points() -> Option<PathBuf> {
    let set = cfg!(debug_assertions).then(process_environment)?;
    set.into_iter().find(|(name, _)| name == "TIDINGS_PANIC_POINTS").map(|(_, folder)| folder.into())
}

async fn migrate(settings: Settings, grants: Option<String>) -> anyhow::Result<ExitCode> {
    let lines = app::migrate(&settings, grants.as_deref()).await?;
    print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

async fn doctor(settings: Settings) -> anyhow::Result<ExitCode> {
    let report = app::doctor::examine(&settings).await;
    print(&report.to_string())?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn inspect(settings: Settings, json: bool) -> anyhow::Result<ExitCode> {
    let shown = app::inspect::inspect(&settings).await?;
    let text = if json { shown } else { app::inspect::table(&shown) };
    print(&format!("{text}\n"))
}

async fn administer(settings: Settings, args: AdminArgs) -> anyhow::Result<ExitCode> {
    let own = || {
        let set: HashMap<String, String> = process_environment().collect();
        ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| set.get(*name).cloned())
    };
    let name =
        args.operator.or_else(own).context("say who you are with --as NAME: the audit log names you")?;
    let operator = AdminClient::new(&settings, name);
    let show = |users: Vec<serde_json::Value>| match args.json {
        true => print(&format!("{}\n", serde_json::Value::from(users))),
        false => print(&admin::table(&users)),
    };
    let line = |line: &str| _ = print(&format!("{line}\n"));
    match args.command {
        AdminCommand::Find { text } => {
            let found = operator.find(&text).await?;
            show(found["users"].as_array().cloned().unwrap_or_default())
        }
        AdminCommand::Show(AccountName { user }) => show(vec![operator.show(&user).await?]),
        AdminCommand::Suspend { user, duration, reason, remove_content } => {
            let content = if remove_content { SuspendedContent::Remove } else { SuspendedContent::Keep };
            show(vec![operator.suspend(&user, duration, reason, content).await?])
        }
        AdminCommand::Lift(AccountName { user }) => show(vec![operator.lift(&user).await?]),
        AdminCommand::Suspensions => show(operator.suspensions().await?),
        AdminCommand::SignOut(AccountName { user }) => {
            operator.sign_out(&user).await?;
            print("all sign-ins ended\n")
        }
        AdminCommand::OneTimePassword(AccountName { user }) => {
            let password = operator.one_time_password(&user).await?;
            eprintln!(
                "This password signs in once, within a day. The user then sets a password of their own."
            );
            print(&format!("{password}\n"))
        }
        AdminCommand::EndSecondFactor(AccountName { user }) => {
            operator.end_second_factor(&user).await?;
            print("sign-ins need no code any more; the user can set up a new app\n")
        }
        AdminCommand::Erase { yes: false, user } => {
            anyhow::bail!(
                "erasing {user} cannot be undone; look with `tidings admin show {user}`, then repeat with --yes"
            )
        }
        AdminCommand::Erase { user, .. } => {
            operator.erase(&user).await?;
            print("erased; what the account wrote is removed now\n")
        }
        AdminCommand::Export(AccountName { user }) => {
            operator.export(&user, |part| _ = print(part)).await?;
            Ok(ExitCode::SUCCESS)
        }
        AdminCommand::Audit { verify: true, .. } => {
            let count = operator.verify().await?;
            print(&format!("{count} entries, each follows the one before it\n"))
        }
        AdminCommand::Audit { last, follow, .. } => {
            operator.audit(last, follow, line).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
