//! Ctrl-C and SIGTERM: an orderly end, and an end all the same where order takes too long.

use std::future::pending;
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

/// How long an orderly end may take.
const GRACE: Duration = Duration::from_millis(700);
/// What shells expect of a program that was ended by SIGINT: 128 + 2.
const INTERRUPTED: i32 = 130;

/// Hears of a signal that asks this program to end.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(Arc<Notify>);

impl Interrupt {
    /// Begins to listen.
    ///
    /// The listener has a thread of its own: the main one may be stuck in a write to a pipe that nobody reads, and
    /// must then be ended without its help.
    pub(super) fn listen() -> Self {
        let interrupt = Self(Arc::default());
        let heard = interrupt.clone();
        thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
                return;
            };
            runtime.block_on(signal());
            heard.0.notify_one();
            thread::sleep(GRACE);
            process::exit(INTERRUPTED);
        });
        interrupt
    }

    /// Waits for the signal.
    pub(super) async fn heard(&self) {
        self.0.notified().await;
    }
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}
