//! The length in front of every request and answer: four bytes, big-endian, of what follows them.
//!
//! A peer that is no Kafka broker gives itself away here: its first bytes, read as a length, are text or TLS.

/// The length of the frame behind `prefix`, if it is one that may be.
///
/// # Errors
///
/// [`FrameError`] for a negative length, and for one above `most` bytes.
pub fn frame_length(prefix: [u8; 4], most: usize) -> Result<usize, FrameError> {
    let stated = i32::from_be_bytes(prefix);
    match usize::try_from(stated) {
        Ok(length) if length <= most => Ok(length),
        _ => Err(FrameError { prefix, most }),
    }
}

/// A frame that states a length which cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {} bytes is announced, and at most {most} are taken", i32::from_be_bytes(*prefix))]
pub struct FrameError {
    prefix: [u8; 4],
    most: usize,
}

impl FrameError {
    /// What the first bytes say of the peer, when they are not those of a broker, and what to do about it. `tls` is
    /// whether this connection speaks TLS.
    pub fn evidence(&self, tls: bool) -> Option<String> {
        let evidence = match &self.prefix {
            // Handshake and alert records begin with their type, and the version from SSL 3.0 on.
            [0x15 | 0x16, 3, 0..=4, _] if !tls => {
                "it speaks TLS, and this connection does not; use TLS, or its port without"
            }
            b"HTTP" => "it answers as a web server does; check the host and port",
            b"SSH-" => "it answers as an SSH server does; check the host and port",
            prefix if prefix.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') => {
                return Some(format!(
                    "it answers with text that begins with '{}'; check the host and port",
                    String::from_utf8_lossy(prefix)
                ));
            }
            _ => return None,
        };
        Some(evidence.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1000;

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(frame_length([0, 0, 0, 0], MOST), Ok(0));
        assert_eq!(frame_length([0, 0, 3, 232], MOST), Ok(1000));
        assert!(frame_length([0, 0, 3, 233], MOST).is_err());
        let negative = frame_length([0xff, 0xff, 0xff, 0xff], MOST).unwrap_err();
        assert!(negative.to_string().contains("-1 bytes"), "{negative}");
    }

    #[test]
    fn peers_that_are_no_brokers_give_themselves_away() {
        let evidence = |prefix: &[u8; 4], tls| {
            frame_length(*prefix, MOST).unwrap_err().evidence(tls).unwrap_or_default()
        };
        assert!(evidence(b"HTTP", false).contains("web server"));
        assert!(evidence(b"SSH-", true).contains("SSH"));
        assert!(evidence(b"220 ", false).contains("'220 '"));
        assert!(evidence(&[0x15, 3, 3, 0], false).contains("TLS"));
        assert_eq!(evidence(&[0x15, 3, 3, 0], true), "");
        assert_eq!(evidence(&[0x7f, 0xff, 0xff, 0xff], false), "");
    }
}
