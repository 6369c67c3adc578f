use std::future::pending;

use futures_util::future::{BoxFuture, join_all};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::domain::{AddressPrefix, HistoryPolicy, JoinPolicy};
use crate::environment::ManualEnvironment;
use crate::telemetry::metrics::STORE_LATENCY;

const TIMEOUT: Duration = Duration::from_millis(50);

/// How a database is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It never answers, and the backend ignores the deadline.
    Hangs,
    /// It never answers; the backend ends its work at the deadline, before anything was sent to commit.
    Late,
    Definite,
    Indefinite,
}

/// A store of which every operation fails in the same way.
struct Broken(Fault);

impl Broken {
    async fn answer<T>(&self) -> Result<T, StoreError> {
        match self.0 {
            Fault::Hangs => pending().await,
            Fault::Late => {
                let never = deadline::bounded(Duration::from_secs(3_600), pending()).await;
                never.map_err(|_| StoreError::definite("not begun to commit"))
            }
            Fault::Definite => Err(StoreError::definite("away")),
            Fault::Indefinite => Err(StoreError::indefinite("cut off")),
        }
    }
}

/// An argument for an operation; any value works.
trait Sample {
    fn sample() -> Self;
}

macro_rules! samples {
    ($($type:ty = $value:expr;)+) => {
        $(impl Sample for $type {
            fn sample() -> Self {
                $value
            }
        })+
    };
}

fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

impl<T> Sample for Option<T> {
    fn sample() -> Self {
        None
    }
}

samples! {
    bool = true;
    u64 = 1;
    usize = 1;
    Duration = Duration::from_secs(1);
    RevocationCursor = RevocationCursor::default();
    &str = "ada";
    &[u8; 32] = &[1; 32];
    Uuid = Uuid::nil();
    Timestamp = Timestamp::from_unix_ms(1);
    UserId = UserId::from_uuid(Uuid::from_u128(1));
    ConversationId = ConversationId::direct(Sample::sample(), UserId::from_uuid(Uuid::from_u128(2)));
    Seq = Seq::ZERO;
    Position = Position(0);
    JobKind = JobKind::Erasure;
    PrivacyChange = PrivacyChange::default();
    Cursor = Cursor { epoch: 1, position: Position(0) };
    RangeQuery = RangeQuery { conversation: Sample::sample(), after: Seq::ZERO, limit: 1, max_bytes: 1 };
    HistoryQuery = HistoryQuery { conversation: Sample::sample(), before: None, after: None, limit: 1, max_bytes: usize::MAX };
    &[NewMessage] = &[];
    &[AuditEntry] = &[];
    &Suspension = leaked(Suspension { until: Sample::sample(), reason: None });
    &[Receipt] = &[];
    &ChannelOrder = &ChannelOrder::Activity;
    &[String] = &[];
    &[UserId] = &[];
    &[ConversationId] = &[];
    &Change = leaked(Change::DeleteConversation);
    &Holder = leaked(Holder { id: Sample::sample(), name: "one".to_owned() });
    &Username = leaked(Username::parse("ada").unwrap());
    &NewConversation = leaked(NewConversation {
        id: Sample::sample(),
        creator: Sample::sample(),
        members: Vec::new(),
        name: None,
        topic: None,
        history: HistoryPolicy::All,
        join: JoinPolicy::Open,
    });
    &NewUser = leaked(NewUser { user: Sample::sample(), password_hash: None, device_hash: None });
    User = User {
        id: Sample::sample(),
        username: None,
        display_name: String::new(),
        guest: true,
        created_at: Sample::sample(),
    };
    &NewFamily = leaked(NewFamily {
        id: FamilyId::from_uuid(Uuid::nil()),
        user: Sample::sample(),
        token_hash: [1; 32],
        expires_at: Sample::sample(),
        device_name: None,
        network: AddressPrefix::from_stored(String::new()),
        device_hash: None,
    });
    FamilyId = FamilyId::from_uuid(Uuid::nil());
    &AddressPrefix = leaked(AddressPrefix::from_stored(String::new()));
}

macro_rules! broken {
    ($($trait:ident { $($kind:ident $operation:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+ })+) => {
        $(#[async_trait]
        impl $trait for Broken {
            $(async fn $operation(&self, $(_: $type),*) -> $answer {
                self.answer().await
            })+
        })+

        /// Calls all operations at once: the name of each, whether it is a read, and its failure.
        async fn call_each(store: &SharedStore) -> Vec<(&'static str, Kind, StoreError)> {
            let mut calls = Vec::<BoxFuture<'_, _>>::new();
            $($(calls.push(Box::pin(async {
                let answer = store.$operation($(<$type as Sample>::sample()),*).await.map(drop);
                (stringify!($operation), Kind::$kind, answer.unwrap_err())
            }));)+)+
            join_all(calls).await
        }
    };
}

operations!(broken);

fn guarded(fault: Fault) -> (SharedStore, impl Fn() -> String) {
    with_timeout(fault, TIMEOUT)
}

fn with_timeout(fault: Fault, timeout: Duration) -> (SharedStore, impl Fn() -> String) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let meters = metrics::with_local_recorder(&recorder, StoreMeters::new);
    let environment = Arc::new(ManualEnvironment::new(1_000, 1));
    (Guarded::shared(Arc::new(Broken(fault)), timeout, environment, &meters), move || handle.render())
}

#[tokio::test]
async fn each_operation_ends_in_time_says_what_is_known_and_is_measured() {
    for (fault, write_is_definite) in
        [(Fault::Hangs, false), (Fault::Late, true), (Fault::Definite, true), (Fault::Indefinite, false)]
    {
        let (store, page) = guarded(fault);
        let failures = call_each(&store).await;
        assert_eq!(failures.len(), OPERATIONS.len());
        let (mut definite, page) = (0, page());
        for (operation, kind, error) in &failures {
            let expected = write_is_definite || *kind == Kind::Read;
            assert_eq!(error.is_definite(), expected, "{operation} with {fault:?}: {error}");
            definite += usize::from(expected);
            let measured = format!("tidings_store_latency_seconds_count{{operation=\"{operation}\"}} 1");
            assert!(page.lines().any(|line| line == measured), "{measured}\nis missing in\n{page}");
        }
        for (label, count) in [("true", definite), ("false", failures.len() - definite)] {
            let counted = format!("tidings_store_errors_total{{definite=\"{label}\"}} {count}");
            assert!(page.lines().any(|line| line == counted), "{fault:?}: {counted}\nis missing in\n{page}");
        }
    }
}

#[tokio::test]
async fn a_caller_with_less_time_is_answered_in_it_by_the_backend() {
    let (store, _) = with_timeout(Fault::Late, Duration::from_secs(3_600));
    let call = crate::store::within(TIMEOUT, store.append(&[], Sample::sample()));
    let error = call.await.unwrap_err();
    assert!(error.is_definite(), "what the backend says of its own phase is heard: {error}");
}

#[test]
fn every_operation_has_a_label_and_every_label_an_operation() {
    let (_, labels) = STORE_LATENCY.0.label.unwrap();
    let (mut labels, mut operations) = (labels.to_vec(), OPERATIONS.to_vec());
    labels.sort_unstable();
    operations.sort_unstable();
    assert_eq!(labels, operations, "src/telemetry/metrics.rs lists the operations of src/store/guarded.rs");
}
