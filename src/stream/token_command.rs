//! Tokens that a command prints: what a user who has them from elsewhere names as `token_command`.

use std::fmt;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use crate::kafka::sasl::{Token, TokenError, TokenFuture, TokenSource, claims, seconds};

/// Some commands ask a service that asks another.
const PATIENCE: Duration = Duration::from_secs(60);
/// No token is near this size.
const MOST_BYTES: u64 = 256 * 1024;
/// What is shown of what a command that fails has to say.
const MOST_SHOWN: usize = 300;

/// A shell command that prints a JSON web token which says when it ends.
pub(super) struct TokenCommand {
    command: String,
}

impl TokenCommand {
    pub(super) fn new(command: &str) -> Self {
        Self { command: command.to_owned() }
    }

    /// Dropping the future ends the command.
    async fn run(&self) -> Result<Token, TokenError> {
        match timeout(PATIENCE, self.output()).await {
            Ok(printed) => token(printed?.trim()).map_err(TokenError::fatal),
            Err(_) => Err(TokenError::retriable(format!(
                "the token command did not end within {} s",
                PATIENCE.as_secs()
            ))),
        }
    }

    async fn output(&self) -> Result<String, TokenError> {
        let (shell, option) = if cfg!(windows) { ("cmd", "/C") } else { ("/bin/sh", "-c") };
        let mut child = Command::new(shell)
            .args([option, &self.command])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| TokenError::fatal(format!("the token command cannot be run: {error}")))?;
        let (printed, said) = (child.stdout.take(), child.stderr.take());
        let (printed, said) = tokio::join!(text(printed), text(said));
        let failed = |error| TokenError::retriable(format!("the token command cannot be read from: {error}"));
        let (printed, said) = (printed.map_err(failed)?, said.map_err(failed)?);
        if u64::try_from(printed.len()).unwrap_or(u64::MAX) >= MOST_BYTES {
            return Err(TokenError::fatal("the token command prints more than any token has"));
        }
        let status = child.wait().await.map_err(failed)?;
        if status.success() {
            return Ok(printed);
        }
        let said: String =
            said.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_SHOWN).collect();
        Err(TokenError::retriable(format!("the token command failed ({status}): {said}")))
    }
}

/// What a stream says, up to a bound: the command may write no further then.
async fn text(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(MOST_BYTES).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The token that was printed. As with hop-client, it must say whose it is and when it ends; a broker checks the rest.
fn token(printed: &str) -> Result<Token, &'static str> {
    let claims = claims(printed).ok_or("what the token command prints is no JSON web token")?;
    if claims.get("sub").is_none() {
        return Err(
            "the token that the token command prints does not say whose it is: there is no `sub` in it",
        );
    }
    let ends = claims.get("exp").and_then(serde_json::Value::as_f64);
    let ends =
        ends.ok_or("the token that the token command prints does not say when it ends: no `exp` is in it")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    Ok(Token::new(printed).lasting(seconds(ends - now).unwrap_or_default()))
}

impl TokenSource for TokenCommand {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(self.run())
    }
}

impl fmt::Debug for TokenCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A command line may well have a secret in it.
        f.debug_struct("TokenCommand").finish_non_exhaustive()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn jwt(claims: &str) -> String {
        format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims))
    }

    async fn run(command: &str) -> Result<Token, TokenError> {
        TokenCommand::new(command).token().await
    }

    #[tokio::test]
    async fn what_is_printed_is_the_token_and_says_when_it_ends() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let expected = jwt(&format!(r#"{{"sub": "me", "exp": {}}}"#, now + 600));
        let token = run(&format!("echo '{expected}'")).await.unwrap();
        assert_eq!(token.text().expose_secret(), expected);
        assert!((590..=600).contains(&token.lifetime().unwrap().as_secs()));
        let over = run(&format!("echo {}", jwt(r#"{"sub": "me", "exp": 1}"#))).await.unwrap();
        assert_eq!(over.lifetime(), Some(Duration::ZERO));
    }

    #[tokio::test]
    async fn what_is_no_token_says_so() {
        for (command, words) in [
            ("echo no-token".to_owned(), "no JSON web token"),
            ("printf a.b.c".to_owned(), "no JSON web token"),
            (format!("echo {}", jwt(r#"{"exp": 1}"#)), "whose it is"),
            (format!("echo {}", jwt(r#"{"sub": "me", "exp": "soon"}"#)), "when it ends"),
            ("echo 'not today' >&2; exit 3".to_owned(), "failed (exit status: 3): not today"),
            ("/nonexistent/command".to_owned(), "failed (exit status: 127)"),
            ("yes".to_owned(), "more than any token has"),
        ] {
            let error = run(&command).await.unwrap_err().to_string();
            assert!(error.contains(words), "{command}: {error}");
        }
    }

    #[test]
    fn a_command_is_not_shown() {
        assert!(!format!("{:?}", TokenCommand::new("get --key hidden")).contains("hidden"));
    }
}
