//! Tokens for OAUTHBEARER: where they come from, and when the next is fetched.
//!
//! A token is good for minutes or an hour. What fetches the next one is a task of its own, at four fifths of the token's
//! life: neither the user's polling nor a login waits for it while the old one is good. Where that fails it is tried again.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Of a token's life, the share after which the next is fetched.
const FRESH_SHARE: f64 = 0.8;
/// A source that fails is asked again after a tenth of what is left of the token, within these bounds.
const SOONEST_RETRY: Duration = Duration::from_secs(1);
const LATEST_RETRY: Duration = Duration::from_secs(60);
/// A token that lasts less counts as one of which that is not known.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);
/// More than any token lasts; the clock cannot be asked for everything.
const LONGEST_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Where bearer tokens come from: a token endpoint, a cloud's metadata service, a file that somebody else renews.
///
/// Asked when the first connection logs in, and before each token ends; by one task at a time. [`Oidc`](super::Oidc) is
/// one, with the feature `http`.
///
/// ```
/// use std::time::Duration;
/// use hop::kafka::sasl::{Token, TokenError, TokenFuture, TokenSource};
/// use hop::kafka::Sasl;
///
/// /// What an agent beside this program writes into a file every few minutes.
/// #[derive(Debug)]
/// struct Agent;
///
/// impl TokenSource for Agent {
///     fn token(&self) -> TokenFuture<'_> {
///         Box::pin(async {
///             let text = std::fs::read_to_string("/run/agent/token").map_err(TokenError::retriable)?;
///             Ok(Token::new(text.trim()).lasting(Duration::from_secs(300)))
///         })
///     }
/// }
///
/// let sasl = Sasl::oauth_bearer_from("instrument-7", Agent);
/// # let _ = sasl;
/// ```
pub trait TokenSource: fmt::Debug + Send + Sync + 'static {
    /// Gets a new token. It should give up by itself after a while: until then nobody asks again.
    fn token(&self) -> TokenFuture<'_>;
}

/// A token that is being fetched.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send + 'a>>;

/// A bearer token (RFC 6750). `Debug` hides it.
#[derive(Debug, Clone)]
pub struct Token {
    text: SecretString,
    lifetime: Option<Duration>,
}

impl Token {
    /// A token of which is not known how long it lasts: fetched anew for each login.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: SecretString::from(text.into()), lifetime: None }
    }

    /// For how long it is good, from when it was asked for.
    #[must_use]
    pub fn lasting(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// The token itself.
    pub fn text(&self) -> &SecretString {
        &self.text
    }

    /// For how long it is good, from when it was asked for; `None` where that is not known.
    pub fn lifetime(&self) -> Option<Duration> {
        self.lifetime
    }
}

/// No token could be got. Never contains a secret.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct TokenError {
    source: Box<dyn StdError + Send + Sync>,
    retriable: bool,
}

impl TokenError {
    /// It may succeed later: the service is out of reach.
    pub fn retriable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { source: source.into(), retriable: true }
    }

    /// It will not succeed until somebody changes something: the service refuses this client.
    pub fn fatal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { source: source.into(), retriable: false }
    }

    /// Whether it may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.retriable
    }
}

/// A source and the newest token from it; shared by all connections of a client.
#[derive(Debug)]
pub(super) struct Tokens {
    source: Box<dyn TokenSource>,
    newest: Mutex<Option<Held>>,
    /// One asks; the others wait for what comes of it.
    asking: Mutex<Option<watch::Receiver<Option<Outcome>>>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What came of asking the source.
type Outcome = Result<(), Arc<TokenError>>;

/// A token in hand.
#[derive(Debug, Clone)]
struct Held {
    text: SecretString,
    asked: Instant,
    lifetime: Option<Duration>,
}

impl Held {
    /// When the next is fetched.
    fn stale_at(&self) -> Option<Instant> {
        self.lifetime.map(|lifetime| self.asked + lifetime.mul_f64(FRESH_SHARE))
    }

    fn ends_at(&self) -> Option<Instant> {
        self.lifetime.map(|lifetime| self.asked + lifetime)
    }

    /// When to ask again after a failure: soon while the token serves, and it may help.
    fn retry_at(&self, now: Instant, may_help: bool) -> Instant {
        let left = self.ends_at().map_or(Duration::ZERO, |ends| ends.saturating_duration_since(now));
        let soon = may_help && !left.is_zero();
        now + if soon { (left / 10).clamp(SOONEST_RETRY, LATEST_RETRY) } else { LATEST_RETRY }
    }
}

impl Tokens {
    pub(super) fn new(source: impl TokenSource) -> Self {
        Self {
            source: Box::new(source),
            newest: Mutex::default(),
            asking: Mutex::default(),
            keeper: Mutex::default(),
        }
    }

    /// Sees to it that there is a token to log in with; waits only where none is good.
    ///
    /// Dropping the future does not end what it waits for: whoever comes next gets that.
    pub(super) async fn prepare(self: &Arc<Self>) -> Outcome {
        if !self.is_good() {
            outcome(self.ask()).await?;
        }
        let mut keeper = lock(&self.keeper);
        if keeper.as_ref().is_none_or(JoinHandle::is_finished) && self.is_good() {
            *keeper = Some(tokio::spawn(keep_fresh(Arc::downgrade(self))));
        }
        Ok(())
    }

    /// The newest token.
    pub(super) fn newest(&self) -> Option<SecretString> {
        lock(&self.newest).as_ref().map(|held| held.text.clone())
    }

    /// When the newest token ends, where that is known.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        lock(&self.newest).as_ref().and_then(Held::ends_at)
    }

    /// Asks the source, unless it is being asked.
    fn ask(self: &Arc<Self>) -> watch::Receiver<Option<Outcome>> {
        let mut asking = lock(&self.asking);
        // One that has ended without an outcome has gone with its runtime.
        let under_way = |asked: &&watch::Receiver<Option<Outcome>>| {
            asked.borrow().is_none() && asked.has_changed().is_ok()
        };
        if let Some(asked) = asking.as_ref().filter(under_way) {
            return asked.clone();
        }
        let (tell, told) = watch::channel(None);
        *asking = Some(told.clone());
        let tokens = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = tokens.fetch().await.map_err(Arc::new);
            // Nobody may wait any more.
            drop(tell.send(Some(outcome)));
        });
        told
    }

    async fn fetch(&self) -> Result<(), TokenError> {
        let asked = Instant::now();
        let Token { text, lifetime } = self.source.token().await?;
        tracing::debug!(lifetime = ?lifetime, "a token was fetched");
        // One that is over when it comes is for a login at once, if the clocks differ.
        let lifetime = lifetime.filter(|lifetime| *lifetime >= SHORTEST_LIFE);
        let lifetime = lifetime.map(|lifetime| lifetime.min(LONGEST_LIFE));
        *lock(&self.newest) = Some(Held { text, asked, lifetime });
        Ok(())
    }

    fn is_good(&self) -> bool {
        self.ends_at().is_some_and(|ends| Instant::now() < ends)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn outcome(mut asked: watch::Receiver<Option<Outcome>>) -> Outcome {
    let told = asked.wait_for(Option::is_some).await;
    let outcome = told.ok().and_then(|told| told.clone());
    outcome.unwrap_or_else(|| Err(Arc::new(TokenError::retriable("asking for a token was given up"))))
}

/// Fetches each token before the one before it ends, while there is a client that may want it.
async fn keep_fresh(tokens: Weak<Tokens>) {
    let held = || tokens.upgrade().and_then(|tokens| lock(&tokens.newest).clone());
    let mut at = held().and_then(|held| held.stale_at());
    while let Some(when) = at {
        sleep_until(when).await;
        let Some(asked) = tokens.upgrade().map(|tokens| tokens.ask()) else { return };
        at = match outcome(asked).await {
            Ok(()) => held().and_then(|held| held.stale_at()),
            Err(error) => {
                tracing::warn!(%error, "no new token yet; it is tried again");
                held().map(|held| held.retry_at(Instant::now(), error.is_retriable()))
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use secrecy::ExposeSecret as _;
    use tokio::time::{advance, sleep};

    use super::*;

    /// Gives `1`, `2` and so on, each good for 100 s; or fails, from the call on that is named.
    #[derive(Debug)]
    struct Counting {
        asked: Arc<AtomicUsize>,
        fails_from: usize,
        lifetime: Option<Duration>,
    }

    impl TokenSource for Counting {
        fn token(&self) -> TokenFuture<'_> {
            Box::pin(async {
                let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
                sleep(Duration::from_millis(10)).await;
                if number >= self.fails_from {
                    return Err(TokenError::retriable("the service is down"));
                }
                let token = Token::new(number.to_string());
                Ok(match self.lifetime {
                    Some(lifetime) => token.lasting(lifetime),
                    None => token,
                })
            })
        }
    }

    fn tokens(fails_from: usize, lifetime: Option<Duration>) -> (Arc<Tokens>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let source = Counting { asked: Arc::clone(&asked), fails_from, lifetime };
        (Arc::new(Tokens::new(source)), asked)
    }

    const LIFE: Option<Duration> = Some(Duration::from_secs(100));

    fn newest(tokens: &Tokens) -> String {
        tokens.newest().unwrap().expose_secret().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn logins_at_one_time_ask_once() {
        for lifetime in [LIFE, None] {
            let (tokens, asked) = tokens(9, lifetime);
            let (a, b, c) = tokio::join!(tokens.prepare(), tokens.prepare(), tokens.prepare());
            assert!(a.is_ok() && b.is_ok() && c.is_ok());
            assert_eq!(asked.load(Ordering::Relaxed), 1);
            assert_eq!(newest(&tokens), "1");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_is_fetched_before_the_one_ends_and_nobody_asks() {
        let (tokens, asked) = tokens(9, LIFE);
        tokens.prepare().await.unwrap();
        sleep(Duration::from_secs(79)).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        sleep(Duration::from_secs(2)).await;
        assert_eq!((asked.load(Ordering::Relaxed), newest(&tokens)), (2, "2".to_owned()));
        sleep(Duration::from_secs(81)).await;
        assert_eq!(newest(&tokens), "3");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_is_asked_again_while_the_old_token_serves() {
        let (tokens, asked) = tokens(2, LIFE);
        tokens.prepare().await.unwrap();
        sleep(Duration::from_secs(90)).await;
        let tries = asked.load(Ordering::Relaxed);
        assert!((4..12).contains(&tries), "{tries}");
        tokens.prepare().await.unwrap();
        assert_eq!(newest(&tokens), "1");
        // It is over: whoever logs in now is told, and it is asked about less often.
        sleep(Duration::from_secs(11)).await;
        let error = tokens.prepare().await.unwrap_err();
        assert!(error.is_retriable());
        assert_eq!(error.to_string(), "the service is down");
    }

    /// Gives one token, and then never answers.
    #[derive(Debug, Default)]
    struct Stuck(AtomicUsize);

    impl TokenSource for Stuck {
        fn token(&self) -> TokenFuture<'_> {
            Box::pin(async {
                if self.0.fetch_add(1, Ordering::Relaxed) > 0 {
                    std::future::pending::<()>().await;
                }
                Ok(Token::new("1").lasting(Duration::from_secs(100)))
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_the_source_while_the_token_is_good() {
        let tokens = Arc::new(Tokens::new(Stuck::default()));
        tokens.prepare().await.unwrap();
        sleep(Duration::from_secs(95)).await;
        let before = Instant::now();
        tokens.prepare().await.unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_waiting_leaves_the_token_to_the_next() {
        let (tokens, asked) = tokens(9, LIFE);
        assert!(tokio::time::timeout(Duration::from_millis(5), tokens.prepare()).await.is_err());
        sleep(Duration::from_millis(6)).await;
        tokens.prepare().await.unwrap();
        assert_eq!((asked.load(Ordering::Relaxed), newest(&tokens)), (1, "1".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_client_nothing_is_fetched() {
        let (tokens, asked) = tokens(9, LIFE);
        tokens.prepare().await.unwrap();
        drop(tokens);
        advance(Duration::from_secs(1_000)).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_unknown_life_is_fetched_for_each_login() {
        let (tokens, asked) = tokens(9, None);
        tokens.prepare().await.unwrap();
        tokens.prepare().await.unwrap();
        assert_eq!((asked.load(Ordering::Relaxed), newest(&tokens)), (2, "2".to_owned()));
        assert_eq!(tokens.ends_at(), None);
    }

    #[test]
    fn tokens_are_not_shown() {
        let token = Token::new("hidden-words").lasting(Duration::from_secs(1));
        assert!(!format!("{token:?}").contains("hidden"));
    }
}
