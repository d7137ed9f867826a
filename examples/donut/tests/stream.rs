//! Donuts in a program: on a broker, in every form, and where they are none.

#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use std::sync::Arc;

use donut::{Donut, DonutFormat};
use hop::Stream;
use hop::broker::Broker;
use hop::models::{Blob, JsonBlob, Registry, WireForm};
use hop::stream::{NextError, StartPosition};

fn donut() -> Donut {
    Donut::load("flavour: vanilla\nglaze: maple\ntoppings: nuts, crème brûlée\n".as_bytes()).unwrap()
}

fn registry() -> Registry {
    let mut registry = Registry::standard();
    registry.register(Arc::new(DonutFormat));
    registry
}

#[tokio::test]
async fn a_donut_is_a_donut_in_every_form() {
    let broker = Broker::builder().topic("bakery", 1).start().await.unwrap();
    let url = format!("kafka://{}/bakery", broker.address());
    let stream = Stream::anonymous().registry(registry());
    for form in [WireForm::Json, WireForm::Original, WireForm::Envelope] {
        let writer = stream.writer(&url).wire_form(form).open().await.unwrap();
        writer.write(&donut()).await.unwrap().await.unwrap();
    }
    let mut reader = stream.reader(&url).start_at(StartPosition::Earliest).open().await.unwrap();
    let mut read = 0;
    while let Some(message) = reader.next().await.unwrap() {
        assert_eq!(message.model().downcast_ref(), Some(&donut()));
        assert!(message.warning().is_none());
        read += 1;
    }
    assert_eq!(read, 3);

    // Who does not know donuts sees what was sent, and is told.
    let mut reader = Stream::anonymous().reader(&url).start_at(StartPosition::Earliest).open().await.unwrap();
    let message = reader.next().await.unwrap().unwrap();
    assert!(message.model().downcast_ref::<Blob>().is_some());
    assert!(message.warning().unwrap().to_string().contains("\"donut\" is not known"));
}

#[tokio::test]
async fn what_is_no_donut_is_an_error_of_its_own_words_and_the_next_is_read() {
    let broker = Broker::builder().topic("bakery", 1).start().await.unwrap();
    let url = format!("kafka://{}/bakery", broker.address());
    let stream = Stream::anonymous().registry(registry());
    let writer = stream.writer(&url).open().await.unwrap();
    let bagel = hop::stream::Outgoing::raw(&b"flavour: plain\nhole: large\n"[..]).header("_format", "donut");
    writer.write_raw(bagel).await.unwrap().await.unwrap();
    writer.write(&donut()).await.unwrap().await.unwrap();
    let mut reader = stream.reader(&url).start_at(StartPosition::Earliest).open().await.unwrap();
    match reader.next().await {
        Err(NextError::Unreadable(unreadable)) => {
            let error = unreadable.to_string();
            assert!(error.contains("line 2 is no part of a donut: \"hole: large\""), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let message = reader.next().await.unwrap().unwrap();
    assert_eq!(message.model().downcast_ref(), Some(&donut()));
}

#[test]
fn files_are_loaded_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("order.donut");
    std::fs::write(&file, donut().to_string()).unwrap();
    let model = registry().load_file("DONUT", &file).unwrap().unwrap();
    assert_eq!(model.downcast_ref(), Some(&donut()));
    std::fs::write(&file, "glaze: maple\n").unwrap();
    let error = registry().load_file("donut", &file).unwrap().unwrap_err();
    assert_eq!(error.to_string(), format!("in {}", file.display()));
    assert!(JsonBlob::load_file(&file).is_err());
}
