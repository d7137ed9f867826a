//! Ctrl-C and SIGTERM: an orderly end, and an end all the same where order takes too long.

use std::future::pending;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How long an orderly end may take where a person waits for it.
pub(super) const GRACE: Duration = Duration::from_millis(700);
/// How long it may take where what was acknowledged is still on its way to a disk, which may be a busy one.
#[cfg(feature = "broker")]
pub(super) const GRACE_OF_A_BROKER: Duration = Duration::from_secs(10);
/// A signal that comes this soon after the first is the same one: `timeout` signals its child, and then the group of
/// processes that the child is in.
const SAME: Duration = Duration::from_millis(100);
/// What shells expect of a program that was ended by SIGINT: 128 + 2.
const INTERRUPTED: i32 = 130;

/// Hears of a signal that asks this program to end.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    heard: AtomicBool,
    told: Notify,
}

impl Interrupt {
    /// Begins to listen. From a signal on, an orderly end has so much time.
    ///
    /// The listener has a thread of its own: the main one may be stuck in a write to a pipe that nobody reads, and
    /// must then be ended without its help.
    pub(super) fn listen(grace: Duration) -> Self {
        let interrupt = Self::default();
        let heard = interrupt.clone();
        let (listening, listens) = mpsc::channel();
        thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                let mut signals = Signals::new();
                // Whoever has gone meanwhile need not know.
                let _ = listening.send(());
                signals.next().await;
                heard.0.heard.store(true, Ordering::Relaxed);
                heard.0.told.notify_one();
                sleep(SAME).await;
                // What came meanwhile is heard no more.
                signals = Signals::new();
                // A second one is from somebody who will not wait.
                let _ = timeout(grace.saturating_sub(SAME), signals.next()).await;
            });
            process::exit(INTERRUPTED);
        });
        // A signal that comes from here on is heard. Without a thread there is nobody to hear it, and it ends the program.
        let _ = listens.recv();
        interrupt
    }

    /// Whether the signal has come.
    pub(super) fn is_heard(&self) -> bool {
        self.0.heard.load(Ordering::Relaxed)
    }

    /// Waits for the signal.
    pub(super) async fn heard(&self) {
        self.0.told.notified().await;
    }
}

/// The signals that ask a program to end.
#[cfg(unix)]
struct Signals(Option<[tokio::signal::unix::Signal; 2]>);

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => Self(Some([interrupt, terminate])),
            _ => Self(None),
        }
    }

    async fn next(&mut self) {
        let Some([interrupt, terminate]) = &mut self.0 else { return pending().await };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// The signal that asks a program to end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Self {
        Self
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    }
}
