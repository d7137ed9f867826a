//! Donuts for every `hop`: in a directory of `PATH`, it is what `hop --plugins` asks about them.

use std::io;

use donut::DonutFormat;
use hop::models::plugin::serve;

fn main() -> io::Result<()> {
    serve(&DonutFormat, &mut io::stdin().lock(), &mut io::stdout().lock())
}
