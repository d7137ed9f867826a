//! What a message costs that is accepted by way of a journal: appended to a file, and with the operating system.
//!
//! `cargo bench -p hop-client --bench journal`; messages of 1 KiB of JSON, on the file system of the build directory.
//! There is no broker: nothing is sent meanwhile.

mod alerts;

use alerts::alerts;
use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher};
use hop::Stream;
use hop::stream::{Fsync, Outgoing};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 100, sample_size = 1000)]
fn accept_without_fsync(bencher: Bencher<'_, '_>) {
    accept(bencher, Fsync::Never);
}

#[divan::bench(sample_count = 20, sample_size = 10)]
fn accept_with_fsync(bencher: Bencher<'_, '_>) {
    accept(bencher, Fsync::Always);
}

#[expect(clippy::unwrap_used, reason = "without a journal there is nothing to measure")]
fn accept(bencher: Bencher<'_, '_>, fsync: Fsync) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let out = runtime.block_on(async {
        let writer =
            Stream::anonymous().robust_writer("kafka://localhost:1/nobody", directory.path().join("journal"));
        writer.fsync(fsync).open().await.unwrap()
    });
    let alert = alerts(1024).swap_remove(0);
    bencher
        .counter(BytesCount::of_str(&alert))
        .with_inputs(|| Outgoing::raw(alert.clone()).header("_format", "json"))
        .bench_local_values(|message| runtime.block_on(out.write_raw(message)).unwrap());
}
