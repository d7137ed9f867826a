//! What reading records takes from the allocator: nothing for a record.

#![expect(clippy::expect_used, reason = "tests say what is wrong by panicking")]

use allocation_counter::measure;
use bytes::Bytes;
use hop::wire::Compression;
use hop::wire::record::{BatchBuilder, Batches, DecodeLimits, HeaderRef, ProducerStamp};

fn batch(codec: Compression, records: usize) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for number in 0..records {
        let header = HeaderRef { key: b"_format", value: Some(b"json") };
        let value = format!("{{\"number\": {number}}}");
        builder.append(0, Some(b"key"), Some(value.as_bytes()), &[header, header]).expect("it fits");
    }
    builder.finish(ProducerStamp::NONE).expect("it can be compressed")
}

/// How often memory is asked for while a batch and all in it are read.
fn allocations(batch: &Bytes) -> u64 {
    let mut records = 0;
    let info = measure(|| {
        for batch in Batches::new(batch.clone(), DecodeLimits::default()).flatten() {
            for record in batch.records().flatten() {
                records += record.headers().flatten().count();
            }
        }
    });
    assert!(records > 0);
    info.count_total
}

#[test]
fn reading_an_uncompressed_batch_allocates_nothing_per_record() {
    let many = batch(Compression::None, 10_000);
    // What is found out once about this processor is none of a batch's.
    allocations(&many);
    assert_eq!(allocations(&many), 0);
}

#[test]
fn reading_a_compressed_batch_allocates_for_the_whole_of_it() {
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let many = allocations(&batch(codec, 10_000));
        assert!(many < 100, "{codec:?}: {many}");
    }
}
