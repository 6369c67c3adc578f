//! The PROXY protocol, versions 1 and 2: what a proxy says of its client before the client's first byte.
//!
//! Exactly the header is read, so what follows is the HTTP server's. Its meaning is the business of `ppp`.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How a header of version 2 begins.
const BINARY: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How one of version 1 begins, which is a line.
const TEXT: &[u8] = b"PROXY ";
/// The longest line of version 1.
const MAX_LINE_BYTES: usize = 107;
/// What version 2 may add to the addresses: proxies send a name of a host, a certificate's name, an id.
const MAX_REST_BYTES: usize = 4_096;

/// Reads the header. Answers the client's address; `None`: the proxy connects for itself, for a health check.
///
/// # Errors
/// It is no header, or it is cut off or too long.
pub async fn client(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; BINARY.len()];
    stream.read_exact(&mut header).await?;
    if header == BINARY {
        let mut fixed = [0; 4];
        stream.read_exact(&mut fixed).await?;
        let rest = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if rest > MAX_REST_BYTES {
            return Err(invalid());
        }
        header.extend(fixed);
        let begin = header.len();
        header.resize(begin + rest, 0);
        stream.read_exact(&mut header[begin..]).await?;
    } else if header.starts_with(TEXT) {
        while !header.ends_with(b"\r\n") {
            if header.len() == MAX_LINE_BYTES {
                return Err(invalid());
            }
            header.push(stream.read_u8().await?);
        }
    } else {
        return Err(invalid());
    }
    source(&header)
}

fn source(header: &[u8]) -> io::Result<Option<SocketAddr>> {
    Ok(match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(line)) => match line.addresses {
            v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Unknown => None,
        },
        HeaderResult::V2(Ok(v2::Header { command: v2::Command::Proxy, addresses, .. })) => match addresses {
            v2::Addresses::IPv4(ip) => Some((ip.source_address, ip.source_port).into()),
            v2::Addresses::IPv6(ip) => Some((ip.source_address, ip.source_port).into()),
            v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
        },
        HeaderResult::V2(Ok(v2::Header { command: v2::Command::Local, .. })) => None,
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => return Err(invalid()),
    })
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no header of the PROXY protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2_header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("it is short").to_be_bytes();
        [&BINARY[..], &[0x20 | command, family], &length, rest].concat()
    }

    /// What is read of `bytes`, and what is left for the HTTP server.
    async fn read(bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, Vec<u8>) {
        let mut left = bytes;
        let read = client(&mut left).await;
        (read, left.to_vec())
    }

    fn at(text: &str) -> Option<SocketAddr> {
        Some(text.parse().expect("an address"))
    }

    #[tokio::test]
    async fn a_header_names_the_client_and_nothing_after_it_is_read() {
        let v4 = [203, 0, 113, 9, 10, 0, 0, 1, 0x9c, 0x41, 0, 80];
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        v6[15] = 7;
        v6[32..34].copy_from_slice(&[0x9c, 0x41]);
        // A name of a host after the addresses.
        let named = [&v4[..], &[2, 0, 4], b"chat"].concat();
        for (header, client) in [
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 40001 80\r\n".to_vec(), at("203.0.113.9:40001")),
            (b"PROXY TCP6 2001:db8::7 fd00::1 40001 80\r\n".to_vec(), at("[2001:db8::7]:40001")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN 203.0.113.9 10.0.0.1 40001 80\r\n".to_vec(), None),
            (v2_header(1, 0x11, &v4), at("203.0.113.9:40001")),
            (v2_header(1, 0x21, &v6), at("[2001:db8::7]:40001")),
            (v2_header(1, 0x11, &named), at("203.0.113.9:40001")),
            (v2_header(0, 0x11, &v4), None),
            (v2_header(0, 0, &[]), None),
            (v2_header(1, 0, &[]), None),
        ] {
            let (read, left) = read(&[&header[..], b"GET / HTTP/1.1\r\n"].concat()).await;
            assert_eq!(read.expect("a header"), client, "{header:?}");
            assert_eq!(left, b"GET / HTTP/1.1\r\n", "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_and_bounded() {
        let long_line = [b"PROXY TCP4 ", &[b'1'; 200][..], b"\r\n"].concat();
        for bytes in [
            &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
            b"PROXY TCP4 203.0.113.9 10.0.0.1 40001\r\nGET / HTTP/1.1\r\n",
            b"PROXY TCP4 203.0.113.9",
            b"PROXY TCP4 not.an.address 10.0.0.1 40001 80\r\n",
            b"PRO",
            &long_line,
            &v2_header(1, 0x11, &[1, 2, 3]),
            &v2_header(9, 0x11, &[0; 12]),
            &v2_header(1, 0x11, &[0; 12])[..20],
            &v2_header(1, 0x11, &[0; 5_000]),
        ] {
            let (read, left) = read(bytes).await;
            assert!(read.is_err(), "{bytes:?}");
            assert!(bytes.len() - left.len() <= MAX_LINE_BYTES + 12, "{bytes:?}");
        }
    }
}
