//! A block is known on every node that has a session of one of the two.

use std::sync::Arc;

use tidings::actors::inbox::Item;
use tidings::bus::Signal;
use tidings::domain::Topic;

use crate::support::Fleet;

#[tokio::test]
async fn the_word_of_a_block_reaches_the_sessions_of_both_on_other_nodes() {
    let fleet = Fleet::new().await;
    let [ada, ben] = [fleet.user().await, fleet.user().await];
    let one = fleet.station().await;
    let mut others = [fleet.station().await, fleet.station().await];
    for (station, user) in others.iter().zip([ada, ben]) {
        station.router.subscribe(0, Topic::User(user));
    }
    for on in [true, false] {
        let blocked = Signal::Blocked { by: ada, user: ben, on };
        one.router.signal(blocked.clone(), Arc::new([ada, ben]));
        for station in &mut others {
            let items = station.take().await;
            let told =
                items.iter().any(|item| matches!(item, Item::Signal { signal, .. } if *signal == blocked));
            assert!(told, "{blocked:?}");
        }
    }
}
