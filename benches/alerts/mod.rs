//! Made-up alerts, for this package's benchmarks and for those in `bench/peers`.

/// Of plain records in a batch.
const BATCH_BYTES: usize = 256 * 1024;

/// As many alerts of this size as fill a batch, each with numbers of its own.
pub(crate) fn alerts(size: usize) -> Vec<String> {
    (0..BATCH_BYTES.div_ceil(size)).map(|number| alert(number, size)).collect()
}

/// The alert of this number: JSON of about this size, written as Python does.
pub(crate) fn alert(number: usize, size: usize) -> String {
    let mut alert = format!("{{\"id\": {number}, \"positions\": [");
    for field in 0.. {
        if alert.len() + 24 > size {
            break;
        }
        let value = (number * 31 + field * 7919) % 360_000;
        alert.push_str(&format!("{:?}, ", value as f64 / 1000.0));
    }
    alert + "null]}"
}
