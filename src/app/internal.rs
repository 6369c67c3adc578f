//! The server of the internal address: a socket in the data folder, or a TCP port with a token. Started first
//! and stopped last.

use std::fs::{self, File, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpServer;
use actix_web::dev::ServerHandle;
use secrecy::SecretString;
use thiserror::Error;

use super::data_folder::{DataFolder, FolderError};
use super::options;
use crate::api::internal::{InternalState, RenderMetrics, configure};
use crate::config::{Settings, StoreBackend};

/// The socket's name in the data folder.
const SOCKET: &str = "tidings.sock";
/// The longest path of a socket (`sun_path` of unix(7), with a zero at its end).
const SOCKET_PATH_BYTES: usize = 107;
/// Connections served at once; more wait to be accepted.
const CONNECTIONS: usize = 32;
/// Connections that wait.
const BACKLOG: u32 = 32;
/// Threads for looks that may block.
const BLOCKING_THREADS: usize = 4;
/// For the head of a request, and how long an idle connection is kept.
const HEAD: Duration = Duration::from_secs(5);
/// A shorter token can be guessed.
const LEAST_TOKEN_BYTES: usize = 32;
/// A file with a token is small.
const MOST_TOKEN_BYTES: u64 = 4_096;

/// Why there is no internal address; the text says what to do.
#[derive(Debug, Error)]
pub enum InternalError {
    /// The folder of the socket.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The socket.
    #[error(
        "the internal socket {socket} cannot be opened: {error}; name another folder with --data-dir, or a TCP port with \
         server.internal_listen"
    )]
    Socket {
        /// The address where it should be.
        socket: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The TCP port.
    #[error("server.internal_listen: cannot listen on {address}: {error}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The server's thread.
    #[error("the internal address cannot be served: {0}")]
    Server(io::Error),
    /// The token.
    #[error("server.internal_token_file {file}: {why}")]
    Token {
        /// The file that is named.
        file: PathBuf,
        /// The mistake in it.
        why: String,
    },
}

/// The place of the internal address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InternalAddress {
    /// A socket in the data folder.
    Socket(PathBuf),
    /// A TCP port.
    Tcp(SocketAddr),
}

impl InternalAddress {
    /// The place that the settings name.
    pub fn of(settings: &Settings) -> Self {
        match settings.server.internal_listen {
            Some(address) => Self::Tcp(address),
            None => Self::Socket(settings.store.data_dir.join(SOCKET)),
        }
    }
}

impl std::fmt::Display for InternalAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "http://{address}"),
        }
    }
}

/// The running server, and the data folder it may need.
pub struct Internal {
    /// Its handlers.
    pub state: Arc<InternalState>,
    /// Where it is.
    pub address: InternalAddress,
    handle: ServerHandle,
    _socket: Option<SocketFile>,
    /// Given back last: another process may work in the folder from then on.
    _folder: Option<DataFolder>,
}

impl Internal {
    /// Holds the data folder, where the database or the socket needs it, and begins to answer. Call inside an
    /// actix system.
    ///
    /// # Errors
    /// [`InternalError`], for the operator.
    pub fn open(settings: &Settings, render_metrics: RenderMetrics) -> Result<Self, InternalError> {
        let render_metrics = settings.telemetry.metrics.then_some(render_metrics);
        let database =
            (settings.store.backend == StoreBackend::Sqlite).then(|| options::database_file(settings));
        let wanted = InternalAddress::of(settings);
        let folder = match (&database, &wanted) {
            (None, InternalAddress::Tcp(_)) => None,
            _ => Some(DataFolder::hold(&settings.store.data_dir, database.as_deref())?),
        };
        let opened = match wanted {
            InternalAddress::Socket(path) => {
                let failed = |error| InternalError::Socket { socket: path.clone(), error };
                let (listener, file) = SocketFile::listen(&path).map_err(failed)?;
                (Listener::Socket(listener), InternalAddress::Socket(path), None, Some(file))
            }
            InternalAddress::Tcp(address) => {
                let failed = |error| InternalError::Listen { address, error };
                let token = token(settings)?;
                let listener = super::bind(address, BACKLOG).map_err(failed)?;
                let address = InternalAddress::Tcp(listener.local_addr().map_err(failed)?);
                (Listener::Tcp(listener), address, Some(token), None)
            }
        };
        let (listener, address, token, socket) = opened;
        let state = InternalState::new(render_metrics, token);
        let handle = serve(&state, listener).map_err(InternalError::Server)?;
        Ok(Self { state, address, handle, _socket: socket, _folder: folder })
    }

    /// Answers nothing any more, and gives the folder back.
    pub async fn close(self) {
        self.handle.stop(false).await;
    }
}

/// The secret that callers over TCP have to know.
///
/// # Errors
/// [`InternalError::Token`].
pub fn token(settings: &Settings) -> Result<SecretString, InternalError> {
    let file = &settings.server.internal_token_file;
    let failed = |why: String| InternalError::Token { file: file.clone(), why };
    let size = fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if size > MOST_TOKEN_BYTES {
        return Err(failed("is too large for a secret".to_owned()));
    }
    let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let token = text.trim();
    if token.len() < LEAST_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(failed(format!(
            "holds no secret of {LEAST_TOKEN_BYTES} visible ASCII characters or more: make one with `openssl rand -hex 32`"
        )));
    }
    Ok(token.to_owned().into())
}

/// A socket's file, removed when this is dropped.
struct SocketFile(PathBuf);

impl SocketFile {
    /// Listens at `path` for this user alone. What a dead process left there is replaced: the caller holds
    /// the folder. The file gets its rights before it gets its name, so nobody else can ever connect.
    fn listen(path: &Path) -> io::Result<(UnixListener, Self)> {
        let new = path.with_extension("sock.new");
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let listener = UnixListener::bind(&SocketPath::of(&new)?.path)?;
        let file = Self(path.to_owned());
        fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        fs::rename(&new, path)?;
        Ok((listener, file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone; the next start replaces what is left.
        let _ = fs::remove_file(&self.0);
    }
}

/// A path of a socket that the operating system takes.
pub struct SocketPath {
    /// The path; it holds as long as this lives.
    pub path: PathBuf,
    _folder: Option<File>,
}

impl SocketPath {
    /// A path that is too long is replaced by one through its folder's open file, which Linux has.
    ///
    /// # Errors
    /// The path is too long, and its folder cannot be opened.
    pub fn of(socket: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Ok(Self { path: socket.to_owned(), _folder: None });
        };
        if socket.as_os_str().len() <= SOCKET_PATH_BYTES {
            return Ok(Self { path: socket.to_owned(), _folder: None });
        }
        let folder = File::open(folder)?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }
}

enum Listener {
    Socket(UnixListener),
    Tcp(TcpListener),
}

/// Serves on one thread of its own.
fn serve(state: &Arc<InternalState>, listener: Listener) -> io::Result<ServerHandle> {
    let state = Arc::clone(state);
    let app = move || {
        let state = Arc::clone(&state);
        actix_web::App::new().configure(|config| configure(config, state))
    };
    let server = HttpServer::new(app)
        .workers(1)
        .worker_max_blocking_threads(BLOCKING_THREADS)
        .max_connections(CONNECTIONS)
        .client_request_timeout(HEAD)
        .keep_alive(HEAD)
        .shutdown_timeout(1)
        .disable_signals();
    let server = match listener {
        Listener::Socket(listener) => server.listen_uds(listener)?,
        Listener::Tcp(listener) => server.listen(listener)?,
    };
    let server = server.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_is_private_replaces_a_stale_one_and_goes_with_its_server() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(SOCKET);
        for _ in 0..2 {
            let (_listener, file) = SocketFile::listen(&path).expect("it listens");
            assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, 0o600);
            UnixStream::connect(&path).expect("it is reached");
            // As a process that was killed leaves it.
            std::mem::forget(file);
        }
        UnixStream::connect(&path).expect_err("nobody listens");
        let (_listener, file) = SocketFile::listen(&path).expect("it listens");
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_works_all_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("d".repeat(120));
        fs::create_dir(&deep).expect("a folder");
        let path = deep.join(SOCKET);
        UnixListener::bind(&path).expect_err("too long");
        let (_listener, _file) = SocketFile::listen(&path).expect("it listens");
        let reached = SocketPath::of(&path).expect("it is named otherwise");
        UnixStream::connect(&reached.path).expect("it is reached");
    }
}
