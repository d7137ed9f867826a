//! The ratios that hop's record batches are held to, measured in one run: `cargo run --release`.
//!
//! Each round times all of them one after the other, so that what else the machine does hits them alike; the medians
//! of the rounds are compared. Ends with 1 where, uncompressed, hop reads records of 100 B less than 5 times as fast as
//! `kafka-protocol` or slower than krafka, or writes them less than 3 times as fast as `kafka-protocol`.
//!
//! The larger the record, the more of the time goes to the checksum and to copying, which all do alike: at 100 KiB
//! there is little else, so larger records are shown and not held to a ratio.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use bench_peers::{CODECS, SIZES, hop_client, kafka_protocol_records, krafka_records, records};
use hop::wire::Compression;

const ROUNDS: usize = 31;
const HELD_SIZE: usize = 100;
const READ_RATIO: f64 = 5.0;
const KRAFKA_RATIO: f64 = 1.0;
const WRITE_RATIO: f64 = 3.0;

fn main() -> ExitCode {
    let mut missed = 0;
    for codec in CODECS {
        for size in SIZES {
            let records = records(size);
            let batch = hop_client::write(codec, &records);
            let reading = medians([
                &mut || hop_client::read(black_box(&batch)),
                &mut || kafka_protocol_records::read(black_box(&batch)),
                &mut || krafka_records::read(black_box(&batch)),
            ]);
            let writing = medians([
                &mut || hop_client::write(codec, black_box(&records)).len(),
                &mut || kafka_protocol_records::write(codec, black_box(&records)).len(),
                &mut || krafka_records::write(codec, black_box(&records)).len(),
            ]);
            for (what, [own, kafka_protocol, krafka], least) in
                [("read", reading, READ_RATIO), ("write", writing, WRITE_RATIO)]
            {
                let (first, second) = (kafka_protocol / own, krafka / own);
                let held = codec != Compression::None
                    || size != HELD_SIZE
                    || first >= least && (what == "write" || second >= KRAFKA_RATIO);
                missed += usize::from(!held);
                let per_record = |nanoseconds: f64| nanoseconds / records.len() as f64;
                println!(
                    "{what:5} {:6} {size:6} B: hop {:9.0} ns a record, kafka-protocol {:9.0} ns ({first:4.1}x), \
                     krafka {:9.0} ns ({second:4.1}x){}",
                    codec.name(),
                    per_record(own),
                    per_record(kafka_protocol),
                    per_record(krafka),
                    if held { "" } else { "  TOO SLOW" },
                );
            }
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Nanoseconds for a batch, each the median of its rounds.
fn medians(mut tasks: [&mut dyn FnMut() -> usize; 3]) -> [f64; 3] {
    let mut rounds: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (task, times) in tasks.iter_mut().zip(&mut rounds) {
            // Long enough for the clock, whatever the codec.
            let (started, mut runs) = (Instant::now(), 0);
            while runs < 3 || started.elapsed().as_micros() < 300 {
                black_box(task());
                runs += 1;
            }
            times.push(started.elapsed().as_nanos() as f64 / f64::from(runs));
        }
    }
    rounds.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}
