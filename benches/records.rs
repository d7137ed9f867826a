//! How fast batches of records are written and read, for each compression and size of record, and how long it takes to
//! find a key's partition.
//!
//! `cargo bench -p hop-client`; a batch holds 256 KiB of JSON alerts. `items` are records, and allocations are those of
//! a batch. `bench/peers` measures the same beside other clients.

mod alerts;

use alerts::alerts;
use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use hop::kafka::partitioner::{Partitioner, Place, Unplaced};
use hop::wire::Compression;
use hop::wire::record::{BatchBuilder, Batches, DecodeLimits, ProducerStamp};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const SIZES: [usize; 3] = [100, 1024, 100 * 1024];

fn main() {
    divan::main();
}

#[divan::bench(args = CODECS, consts = SIZES)]
fn read<const SIZE: usize>(bencher: Bencher<'_, '_>, codec: Compression) {
    let records = alerts(SIZE);
    let batch = write_batch(codec, &records);
    counted(bencher, &records).bench_local(|| {
        for batch in Batches::new(batch.clone(), DecodeLimits::default()).flatten() {
            for record in batch.records().flatten() {
                black_box(record.value);
            }
        }
    });
}

#[divan::bench(args = CODECS, consts = SIZES)]
fn write<const SIZE: usize>(bencher: Bencher<'_, '_>, codec: Compression) {
    let records = alerts(SIZE);
    counted(bencher, &records).bench_local(|| write_batch(codec, black_box(&records)));
}

#[divan::bench(args = ["consistent_random", "murmur2_random"], consts = [8, 20, 100])]
fn place<const BYTES: usize>(bencher: Bencher<'_, '_>, partitioner: &str) {
    let partitioner: Partitioner = partitioner.parse().unwrap_or_default();
    let key = [b'k'; BYTES];
    bencher.bench_local(|| {
        partitioner.place(&Unplaced::new("topic", Some(black_box(&key)), None), black_box(12))
    });
}

fn counted<'a, 'b>(bencher: Bencher<'a, 'b>, records: &[String]) -> Bencher<'a, 'b> {
    bencher
        .counter(ItemsCount::new(records.len()))
        .counter(BytesCount::new(records.iter().map(String::len).sum::<usize>()))
}

fn write_batch(codec: Compression, records: &[String]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for record in records {
        // A record that does not fit would show as a batch that is too small.
        let _ = builder.append(1_700_000_000_000, None, Some(record.as_bytes()), &[]);
    }
    builder.finish(ProducerStamp::NONE).unwrap_or_default()
}
