use uuid::Uuid;

use super::*;
use crate::actors::router::RouterOptions;
use crate::config::Settings;
use crate::environment::ManualEnvironment;
use crate::store::model::{Delays, Fate, Fates, ModelOptions, ModelServer, RoundTrip};

/// No request is answered.
#[derive(Debug)]
struct Silent;

impl Fates for Silent {
    fn fate(&self, _trip: &RoundTrip) -> Fate {
        Fate::Break(Delays::default())
    }
}

fn user(number: usize) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number as u128))
}

#[actix_rt::test]
async fn ends_that_wait_for_the_store_are_bounded_and_end_with_what_clients_show() {
    let clock = Arc::new(ManualEnvironment::new(1_000_000, 1));
    let environment: SharedEnvironment = clock.clone();
    let server = ModelServer::new(1, Arc::clone(&environment)).unwrap();
    let store: SharedStore = server.connect(ModelOptions::new(1), Arc::clone(&environment), Arc::new(Silent));
    let meters = Arc::new(Meters::new());
    let (router, _holes) = Router::new(Vec::new(), Arc::clone(&meters), RouterOptions::default());
    let settings = Settings::for_tests().presence;
    let board = TypingBoard::new(store, router, environment, meters, settings);
    let waiting = &board.inner.waiting_ends;
    for number in 0..=MOST_WAITING_ENDS {
        let (whom, other) = (user(2 * number), user(2 * number + 1));
        board.stop(whom, ConversationId::direct(whom, other));
    }
    let full = async {
        while waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), full).await.is_ok(), "not all places are taken");
    // Nobody shows the typing any more by then.
    clock.advance_ms(2 * settings.typing_timeout_ms);
    let all = u32::try_from(MOST_WAITING_ENDS).unwrap();
    let over = tokio::time::timeout(Duration::from_secs(20), waiting.acquire_many(all)).await;
    assert!(over.is_ok(), "{} ends wait for ever", MOST_WAITING_ENDS - waiting.available_permits());
}
