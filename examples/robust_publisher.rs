//! Publishes each line of standard input, a JSON value, so that none is lost: not while the network is away, and not if
//! this program is killed. Started again on the same journal, it sends what was left.
//!
//! `cargo run --example robust_publisher -- kafka://HOST/TOPIC publisher.journal <alerts.jsonl`

use std::error::Error;
use std::io::Write;

use hop::models::JsonBlob;
use hop::{Auth, Stream};

// More than one thread: reading a line may take a while, and messages are sent meanwhile.
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(journal)) = (arguments.next(), arguments.next()) else {
        return Err("usage: robust_publisher URL JOURNAL".into());
    };
    let out = Stream::new(Auth::load()?).robust_writer(&url, journal).open().await?;
    for line in std::io::stdin().lines() {
        out.write(&JsonBlob::load(line?.as_bytes())?).await?;
        // From here on it is the journal's: whoever handed it in may forget it.
        writeln!(std::io::stdout(), "accepted")?;
    }
    out.close().await?;
    Ok(())
}
