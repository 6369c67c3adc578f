//! Why a node cannot start.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use super::data_folder::FolderError;
use super::internal::InternalError;
use crate::identity::IdentityError;
use crate::store::StoreError;
use crate::store::postgres::OpenError;

/// Why a node cannot start; its text says what to do.
#[derive(Debug, Error)]
pub enum AppError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The embedded database cannot be opened.
    #[error("{0}")]
    Database(String),
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The internal address.
    #[error(transparent)]
    Internal(#[from] InternalError),
    /// Keys, password parameters, the external issuer.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The address.
    #[error(
        "cannot listen on {address}: {error}; choose another with --listen HOST:PORT (port 0 selects a free port)"
    )]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The server's threads.
    #[error("the server failed: {0}")]
    Server(#[from] io::Error),
    /// The exporter of metrics could not be installed.
    #[error(transparent)]
    Metrics(#[from] crate::telemetry::exporter::ExporterError),
    /// The revocations in the store could not be read.
    #[error("the list of revoked tokens could not be read: the database is unavailable")]
    Revocations,
    /// The log could not be read at start.
    #[error("the end of the log could not be read: {0}")]
    LogEnd(String),
    /// The bus's settings.
    #[error("{0}")]
    Bus(String),
    /// The database server.
    #[error(transparent)]
    Postgres(#[from] OpenError),
    /// The database server does not answer.
    #[error("{0}")]
    Away(String),
    /// The tables could not be brought up to date.
    #[error("{0}")]
    Migrate(String),
}
