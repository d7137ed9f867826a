//! Prints made-up alerts, one a line: what is written is made before anything is measured.
//!
//! `alerts COUNT SIZE` prints so many of about this size.

#[path = "../../../../benches/alerts/mod.rs"]
#[allow(dead_code, reason = "alerts by the batch are for others")]
mod alerts;

use std::io::{self, BufWriter, Write};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, size] = &arguments[..] else {
        eprintln!("usage: alerts COUNT SIZE");
        std::process::exit(2);
    };
    let size = size.parse().expect("a size");
    let mut out = BufWriter::new(io::stdout().lock());
    for number in 0..count.parse().expect("a number of alerts") {
        writeln!(out, "{}", alerts::alert(number, size))?;
    }
    out.flush()
}
