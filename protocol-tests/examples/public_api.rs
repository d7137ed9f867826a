//! Lists the public items of a library from what rustdoc says of it in JSON: see `scripts/public-api`.

use std::io::{self, Write};

use public_api::Builder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let json = std::env::args_os().nth(1).ok_or("usage: public_api RUSTDOC.json")?;
    // What follows from an item by derives and by traits of its own is one line each; what every type has is none.
    let api =
        Builder::from_rustdoc_json(json).omit_blanket_impls(true).omit_auto_trait_impls(true).build()?;
    let mut out = io::stdout().lock();
    for item in api.items() {
        writeln!(out, "{item}")?;
    }
    Ok(())
}
