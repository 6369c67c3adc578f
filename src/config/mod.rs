//! The settings, read from four layers and checked as a whole before anything starts.
//!
//! `config/default.toml` (built in, explains every key) ← a file ← `TIDINGS__SECTION__KEY` ← the command
//! line. Each section is one struct with a `validate`; rules between sections are in `rules.rs`. Mistakes are
//! collected, not only the first, and each names its key, where the value came from and what to write
//! instead. Secrets are never printed.
//!
//! To add a key: put it with its explanation into `config/default.toml` (its value there also fixes its
//! type), add the field to the section's struct, and bound it in that struct's `validate`.

mod audit;
mod auth;
mod broken;
mod bus;
mod choice;
mod conversations;
mod dump;
mod gateway;
mod layers;
mod limits;
mod links;
mod network;
mod presence;
mod privacy;
mod problems;
mod proxies;
mod receipts;
mod rules;
mod schema;
mod server;
mod store;
mod strays;
mod telemetry;
#[cfg(test)]
mod tests;
mod units;
mod writer;

use std::path::PathBuf;

use serde::de::DeserializeOwned;

pub use audit::AuditSettings;
pub use auth::{AuthSettings, ExternalSettings, SignUps};
pub use bus::{BusBackend, BusMac, BusSettings, RedisSettings};
pub use conversations::ConversationsSettings;
pub use gateway::GatewaySettings;
pub use limits::LimitsSettings;
pub use network::Network;
pub use presence::PresenceSettings;
pub use privacy::PrivacySettings;
pub use problems::ConfigErrors;
pub use proxies::TrustedProxies;
pub use receipts::ReceiptsSettings;
pub use server::{Directory, ProxyHeader, Role, ServerSettings};
pub use store::{PostgresSettings, SqliteSettings, StoreBackend, StoreSettings, Synchronous};
pub use telemetry::{LogFormat, TelemetrySettings};
pub use writer::WriterSettings;

use layers::Tree;
use problems::Problems;

/// The sources of settings beside the built-in defaults.
#[derive(Debug, Default)]
pub struct LoadOptions<E> {
    /// A TOML file; it must exist when given.
    pub file: Option<PathBuf>,
    /// [`process_environment`], or a test's: names that begin with `TIDINGS__` are settings. Others that
    /// begin with `TIDINGS_` and mean nothing cause a warning.
    pub environment: E,
    /// `("server.listen", "0.0.0.0:8080")` and the like, from the command line.
    pub overrides: Vec<(String, String)>,
}

/// The process's own environment, for [`LoadOptions::environment`]. What is not Unicode is no setting and is
/// left out.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Everything that can be set, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Sockets, threads and what this process does.
    pub server: ServerSettings,
    /// WebSocket connections.
    pub gateway: GatewaySettings,
    /// The limits of requests.
    pub limits: LimitsSettings,
    /// Tokens, passwords and signing up.
    pub auth: AuthSettings,
    /// The channel that a server begins with.
    pub conversations: ConversationsSettings,
    /// The database of the log.
    pub store: StoreSettings,
    /// How sends are batched.
    pub writer: WriterSettings,
    /// How events reach other processes.
    pub bus: BusSettings,
    /// Online, away, typing.
    pub presence: PresenceSettings,
    /// Read and delivered positions.
    pub receipts: ReceiptsSettings,
    /// What strangers may do to users who have chosen nothing.
    pub privacy: PrivacySettings,
    /// What operators, owners and users did.
    pub audit: AuditSettings,
    /// Logs and metrics.
    pub telemetry: TelemetrySettings,
    tree: Tree,
    /// The warnings from reading the layers.
    read_warnings: Vec<String>,
}

impl Settings {
    /// Reads all layers and checks them.
    ///
    /// # Errors
    /// Every mistake that does not follow from another one, each with its place and the remedy. Print it and
    /// stop.
    pub fn load<E>(options: LoadOptions<E>) -> Result<Self, ConfigErrors>
    where
        E: IntoIterator<Item = (String, String)>,
    {
        let mut problems = Problems::default();
        let tree = layers::read(options, &mut problems);
        let settings = Self::from_tree(tree, &mut problems);
        match settings {
            Some(settings) if problems.is_empty() => Ok(settings),
            _ => Err(problems.into_errors()),
        }
    }

    /// The defaults with a free port, a cheap password hash, no limits per address and no conversation: what
    /// in-process tests start from.
    pub fn for_tests() -> Self {
        let overrides = [
            ("server.listen", "127.0.0.1:0"),
            ("server.workers", "2"),
            ("auth.argon2_memory_kib", "64"),
            ("auth.argon2_iterations", "1"),
            ("auth.sign_ins_per_minute", "0"),
            ("auth.sign_ins_per_account_per_minute", "0"),
            ("auth.sign_ins_per_ip_per_minute", "0"),
            ("auth.sign_ups_per_ip_per_minute", "0"),
            ("gateway.hellos_per_ip_per_second", "0"),
            ("conversations.default", ""),
        ];
        Self::built_in_with(&overrides)
    }

    /// The built-in defaults, without any other layer.
    pub fn built_in() -> Self {
        Self::built_in_with(&[])
    }

    fn built_in_with(overrides: &[(&str, &str)]) -> Self {
        let overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self::load(LoadOptions { file: None, environment: [], overrides: overrides.collect() })
            .unwrap_or_else(|errors| unreachable!("the built-in defaults hold: {errors}"))
    }

    /// Warnings about values that are legal but probably not meant; log each line at start.
    pub fn warnings(&self) -> Vec<String> {
        self.read_warnings.iter().cloned().chain(rules::warnings(self)).collect()
    }

    /// All settings in force as TOML, each with its origin in a comment, secrets as `(hidden)`. `explain`:
    /// with the explanation of each key above it.
    pub fn dump(&self, explain: bool) -> String {
        dump::dump(&self.tree, explain)
    }

    /// The built-in file, with every key, its default and its explanation.
    pub fn defaults() -> &'static str {
        schema::DEFAULT_TOML
    }

    fn from_tree(tree: Tree, problems: &mut Problems) -> Option<Self> {
        let server = section::<ServerSettings>(&tree, "server", problems);
        let gateway = section::<GatewaySettings>(&tree, "gateway", problems);
        let limits = section::<LimitsSettings>(&tree, "limits", problems);
        let auth = section::<AuthSettings>(&tree, "auth", problems);
        let conversations = section::<ConversationsSettings>(&tree, "conversations", problems);
        let store = section::<StoreSettings>(&tree, "store", problems);
        let writer = section::<WriterSettings>(&tree, "writer", problems);
        let bus = section::<BusSettings>(&tree, "bus", problems);
        let presence = section::<PresenceSettings>(&tree, "presence", problems);
        let privacy = section::<PrivacySettings>(&tree, "privacy", problems);
        let receipts = section::<ReceiptsSettings>(&tree, "receipts", problems);
        let audit = section::<AuditSettings>(&tree, "audit", problems);
        let telemetry = section::<TelemetrySettings>(&tree, "telemetry", problems);
        let settings = Self {
            server: server?,
            gateway: gateway?,
            limits: limits?,
            auth: auth?,
            conversations: conversations?,
            store: store?,
            writer: writer?,
            bus: bus?,
            presence: presence?,
            receipts: receipts?,
            privacy: privacy?,
            audit: audit?,
            telemetry: telemetry?,
            tree,
            read_warnings: problems.take_warnings(),
        };
        settings.validate(problems);
        problems.locate(|key| settings.tree.origin(key));
        Some(settings)
    }

    fn validate(&self, problems: &mut Problems) {
        self.server.validate(&mut problems.of("server"));
        self.gateway.validate(&mut problems.of("gateway"));
        self.limits.validate(&mut problems.of("limits"));
        self.auth.validate(&mut problems.of("auth"));
        self.conversations.validate(&mut problems.of("conversations"));
        self.store.validate(&mut problems.of("store"));
        self.writer.validate(&mut problems.of("writer"));
        self.bus.validate(&mut problems.of("bus"));
        self.presence.validate(&mut problems.of("presence"));
        self.privacy.validate(&mut problems.of("privacy"));
        self.receipts.validate(&mut problems.of("receipts"));
        self.audit.validate(&mut problems.of("audit"));
        self.telemetry.validate(&mut problems.of("telemetry"));
        rules::validate(self, problems);
    }
}

/// Reads one section; a mistake the schema cannot see (a word that is no choice, a number too large) is noted
/// with its path.
fn section<T: DeserializeOwned>(tree: &Tree, name: &str, problems: &mut Problems) -> Option<T> {
    match serde_path_to_error::deserialize(tree.section(name)) {
        Ok(section) => Some(section),
        Err(error) => {
            let key = format!("{name}.{}", error.path());
            let place = tree.origin(&key);
            problems.add(&key, place, layers::explain(error.inner()));
            None
        }
    }
}
