//! ns, bytes and allocations per record, of hop and of its peers: `cargo bench`. `items` are records.
//!
//! Batches to be read are all written by hop.

use bench_peers::{CODECS, SIZES, hop_client as own, records};
use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use hop::wire::Compression;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn bench_read(bencher: Bencher<'_, '_>, size: usize, codec: Compression, read: impl Fn(&Bytes) -> usize) {
    let records = records(size);
    let batch = own::write(codec, &records);
    counted(bencher, &records).bench_local(|| read(black_box(&batch)));
}

fn bench_write(
    bencher: Bencher<'_, '_>,
    size: usize,
    codec: Compression,
    write: impl Fn(Compression, &[(Bytes, Bytes)]) -> Bytes,
) {
    let records = records(size);
    counted(bencher, &records).bench_local(|| write(codec, black_box(&records)));
}

fn counted<'a, 'b>(bencher: Bencher<'a, 'b>, records: &[(Bytes, Bytes)]) -> Bencher<'a, 'b> {
    let bytes: usize = records.iter().map(|(key, value)| key.len() + value.len()).sum();
    bencher.counter(ItemsCount::new(records.len())).counter(BytesCount::new(bytes))
}

macro_rules! of {
    ($($peer:ident)+) => {$(
        mod $peer {
            use super::*;

            #[divan::bench(args = CODECS, consts = SIZES)]
            fn read<const SIZE: usize>(bencher: Bencher<'_, '_>, codec: Compression) {
                bench_read(bencher, SIZE, codec, bench_peers::$peer::read);
            }

            #[divan::bench(args = CODECS, consts = SIZES)]
            fn write<const SIZE: usize>(bencher: Bencher<'_, '_>, codec: Compression) {
                bench_write(bencher, SIZE, codec, bench_peers::$peer::write);
            }
        }
    )+};
}

// The names are those of the modules measured.
of! { hop_client kafka_protocol_records krafka_records }
