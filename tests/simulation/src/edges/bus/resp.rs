//! The part of Redis's protocol (RESP3) that the product's client speaks.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// More words than any command has.
const MOST_WORDS: usize = 1 << 16;
/// More bytes than any word has.
const MOST_BYTES: usize = 1 << 26;

/// A command and its arguments.
pub type Command = Vec<Vec<u8>>;

/// An answer, or something that was not asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A number.
    Integer(u64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Several.
    Array(Vec<Self>),
    /// Something of pub/sub.
    Push(Vec<Self>),
    /// A refusal.
    Error(&'static str),
}

impl Reply {
    /// Text.
    pub fn text(text: &str) -> Self {
        Self::Bulk(text.as_bytes().to_vec())
    }

    /// Appends it to `bytes`.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Nil => bytes.extend_from_slice(b"_\r\n"),
            Self::Integer(number) => head(bytes, ':', *number),
            Self::Error(text) => bytes.extend_from_slice(format!("-{text}\r\n").as_bytes()),
            Self::Bulk(content) => {
                head(bytes, '$', content.len() as u64);
                bytes.extend_from_slice(content);
                bytes.extend_from_slice(b"\r\n");
            }
            Self::Array(items) => all(bytes, '*', items),
            Self::Push(items) => all(bytes, '>', items),
        }
    }
}

fn head(bytes: &mut Vec<u8>, kind: char, number: u64) {
    bytes.extend_from_slice(format!("{kind}{number}\r\n").as_bytes());
}

fn all(bytes: &mut Vec<u8>, kind: char, items: &[Reply]) {
    head(bytes, kind, items.len() as u64);
    items.iter().for_each(|item| item.write(bytes));
}

/// Reads a command; `None` at the end of the stream.
///
/// # Errors
/// When the bytes are no command.
pub async fn read_command(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Command>> {
    let Some(words) = number(from, b'*', MOST_WORDS).await? else { return Ok(None) };
    let mut command = Vec::with_capacity(words);
    for _ in 0..words {
        let length = number(from, b'$', MOST_BYTES).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut word = vec![0; length + 2];
        from.read_exact(&mut word).await?;
        word.truncate(length);
        command.push(word);
    }
    Ok(Some(command))
}

async fn number(from: &mut (impl AsyncBufRead + Unpin), kind: u8, most: usize) -> io::Result<Option<usize>> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    let digits = line.strip_suffix(b"\r\n").and_then(|line| line.strip_prefix(&[kind]));
    let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    number.filter(|number| *number <= most).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn commands_are_read_until_the_end() {
        let mut bytes = &b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n*1\r\n$4\r\nROLE\r\n"[..];
        assert_eq!(read_command(&mut bytes).await.unwrap(), Some(vec![b"GET".to_vec(), b"a\r\nb".to_vec()]));
        assert_eq!(read_command(&mut bytes).await.unwrap(), Some(vec![b"ROLE".to_vec()]));
        assert_eq!(read_command(&mut bytes).await.unwrap(), None);
        assert!(read_command(&mut &b"hello\r\n"[..]).await.is_err());
    }

    #[test]
    fn replies_are_written_as_the_client_reads_them() {
        let reply =
            Reply::Push(vec![Reply::text("message"), Reply::Array(vec![Reply::Integer(7), Reply::Nil])]);
        let mut bytes = Vec::new();
        reply.write(&mut bytes);
        assert_eq!(bytes, b">2\r\n$7\r\nmessage\r\n*2\r\n:7\r\n_\r\n");
    }
}
