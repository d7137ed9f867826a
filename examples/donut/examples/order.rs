//! Publishes a donut and reads it back, on a broker of its own: `cargo run -p donut --example order`.

use std::sync::Arc;

use donut::{Donut, DonutFormat};
use hop::Stream;
use hop::broker::Broker;
use hop::models::Registry;
use hop::stream::StartPosition;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().topic("bakery", 1).start().await?;
    let url = format!("kafka://{}/bakery", broker.address());

    let mut registry = Registry::standard();
    registry.register(Arc::new(DonutFormat));
    let stream = Stream::anonymous().registry(registry);

    let order = Donut::load(b"flavour: vanilla\nglaze: maple\ntoppings: nuts, more nuts\n")?;
    stream.writer(&url).open().await?.write(&order).await?.await?;

    let mut orders = stream.reader(&url).start_at(StartPosition::Earliest).open().await?;
    let received = orders.next().await?.ok_or("no order")?;
    assert_eq!(received.model().downcast_ref(), Some(&order));
    print_out(received.model().to_string())?;
    Ok(())
}

fn print_out(order: String) -> std::io::Result<()> {
    use std::io::Write as _;
    std::io::stdout().write_all(order.as_bytes())
}
