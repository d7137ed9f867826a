//! Records are handed over to one of the group, who says what becomes of them.

use crate::target::{Target, number};

#[tokio::test]
async fn what_was_handed_over_is_accepted_once_more_is_asked_for() {
    let Some(target) = Target::new(1).await else { return };
    target.write(0, 0..10).await;
    let mut consumer = target.builder().build().await.unwrap();
    for expected in 0..10 {
        let shared = consumer.next().await.unwrap().unwrap();
        println!("{shared:?}");
        assert_eq!((number(&shared), shared.delivery_count), (expected, 1));
    }
    println!("{:?}", consumer.commit().await);
    consumer.close().await.unwrap();
}
