//! What all connections of a broker have in common.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::cluster::{Cluster, Now};
use super::faults::{Faults, What};
use super::settings::{Fsync, Settings};

/// Of answers that are being written, in all.
const MOST_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// Of the buffers that connections keep between answers, in all.
const MOST_KEPT_BYTES: usize = 64 * 1024 * 1024;
/// Of large requests that are being read, in all; none may ask for more by itself.
pub(super) const MOST_REQUEST_KIB: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Shared {
    cluster: Mutex<Cluster>,
    pub(super) settings: Arc<Settings>,
    pub(super) faults: Mutex<Faults>,
    /// Something may be due earlier than the clock's task knows.
    hurry: Notify,
    answer_bytes: Arc<AtomicUsize>,
    kept_bytes: Arc<AtomicUsize>,
    pub(super) request_kib: Semaphore,
    /// Counts how often all connections were ended.
    pub(super) hang_ups: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(cluster: Cluster, settings: Arc<Settings>) -> Self {
        Self {
            cluster: Mutex::new(cluster),
            settings,
            faults: Mutex::default(),
            hurry: Notify::new(),
            answer_bytes: Arc::default(),
            kept_bytes: Arc::default(),
            request_kib: Semaphore::new(MOST_REQUEST_KIB),
            hang_ups: watch::Sender::new(0),
        }
    }

    pub(super) fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong over this request.
    pub(super) fn fault_over(&self, node: i32, api: i16) -> What {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).over(node, api)
    }

    /// Has the clock's task look again at what is due.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Does what is due when it is due, for as long as it is polled.
    pub(super) async fn keep_time(&self) {
        loop {
            let next = self.cluster().tick(now());
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.hurry.notified() => {}
            }
        }
    }

    /// Brings what was written to the disk, as often as was asked for.
    pub(super) async fn keep_synced(&self) {
        let Fsync::Every(interval) = self.settings.fsync else { return };
        loop {
            tokio::time::sleep(interval).await;
            self.sync().await;
        }
    }

    /// Brings what was written to the disk.
    pub(super) async fn sync(&self) {
        let files = self.cluster().files_to_sync();
        let synced =
            tokio::task::spawn_blocking(move || files.iter().try_for_each(std::fs::File::sync_data)).await;
        if let Ok(Err(error)) = synced {
            tracing::error!("cannot bring what was written to the disk: {error}");
        }
    }

    /// How many bytes of answers may still be held.
    pub(super) fn answer_bytes_left(&self) -> usize {
        MOST_ANSWER_BYTES.saturating_sub(self.answer_bytes.load(Ordering::Relaxed))
    }

    /// Counts an answer's bytes for as long as it is held.
    pub(super) fn hold_answer(&self, bytes: usize) -> Held {
        Held::new(&self.answer_bytes, bytes)
    }

    /// Counts a buffer for as long as it is kept; `None` where all that are kept would then be too much.
    pub(super) fn keep_buffer(&self, bytes: usize) -> Option<Held> {
        let kept = self.kept_bytes.load(Ordering::Relaxed).saturating_add(bytes);
        (kept <= MOST_KEPT_BYTES).then(|| Held::new(&self.kept_bytes, bytes))
    }
}

/// Bytes that are counted among others.
#[derive(Debug)]
pub(super) struct Held {
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl Held {
    fn new(total: &Arc<AtomicUsize>, bytes: usize) -> Self {
        total.fetch_add(bytes, Ordering::Relaxed);
        Self { total: Arc::clone(total), bytes }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The time.
pub(super) fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_ms: i64::try_from(unix.as_millis()).unwrap_or(i64::MAX) }
}
