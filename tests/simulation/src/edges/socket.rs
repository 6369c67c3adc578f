//! Byte streams between devices and processes.

use tokio::io::DuplexStream;

/// One end of a stream.
pub struct SimSocket(pub DuplexStream);
