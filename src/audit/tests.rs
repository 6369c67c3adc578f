use super::*;
use crate::domain::Limits;
use crate::domain::audit::Audited;
use crate::environment::ManualEnvironment;
use crate::store::sqlite::{SqliteOptions, SqliteStore};

const NOW_MS: u64 = 1_800_000_000_000;
const DAY: Duration = Duration::from_secs(86_400);

/// A log over a store in `folder`.
async fn over(folder: &std::path::Path) -> (AuditLog, SharedStore, SharedEnvironment) {
    let environment: SharedEnvironment = Arc::new(ManualEnvironment::new(NOW_MS, 1));
    let file = SqliteOptions::new(folder.join("audit.db"));
    let options = SqliteOptions { limits: Limits::default(), ..file };
    let store: SharedStore = SqliteStore::open(options, Arc::clone(&environment)).await.unwrap();
    (AuditLog::new(Arc::clone(&store), Arc::clone(&environment)), store, environment)
}

async fn stored(store: &SharedStore, count: usize) -> Vec<Audited> {
    let all = async {
        loop {
            let entries = store.audit(0, 500).await.unwrap();
            if entries.len() >= count {
                return entries;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("the entries are stored")
}

#[tokio::test]
async fn notes_are_stored_in_order_and_a_record_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (log, store, _) = over(folder.path()).await;
    for number in 0..250 {
        log.note(log.entry(AuditActor::Anonymous, AuditAction::SignInFailed).with(number.to_string()));
    }
    log.record(log.entry(AuditActor::Server, AuditAction::LookedUp)).await.unwrap();
    assert_eq!(store.audit_end().await.unwrap(), 1, "a record does not wait for notes");
    let keeper = log.clone();
    let running = tokio::spawn(async move { keeper.run(DAY).await });
    let entries = stored(&store, 251).await;
    running.abort();
    let numbers: Vec<String> =
        entries.iter().skip(1).filter_map(|entry| entry.fields.details.clone()).collect();
    assert_eq!(numbers, (0..250).map(|number| number.to_string()).collect::<Vec<_>>());
    log.note(log.entry(AuditActor::Server, AuditAction::LookedUp));
    log.close().await;
    assert_eq!((store.audit_end().await.unwrap(), log.observed().waiting), (252, 0));
}

#[tokio::test]
async fn a_full_queue_drops_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (log, store, _) = over(folder.path()).await;
    for _ in 0..MOST_WAITING + 3 {
        log.note(log.entry(AuditActor::Anonymous, AuditAction::SignInFailed));
    }
    assert_eq!((log.observed().waiting, log.observed().lost), (MOST_WAITING, 3));
    log.close().await;
    let end = store.audit_end().await.unwrap();
    let last = store.audit(end - 1, 1).await.unwrap();
    assert_eq!(end, MOST_WAITING as u64 + 1);
    assert_eq!(last[0].fields.action, AuditAction::EntriesLost.as_str());
    assert_eq!(last[0].fields.details.as_deref(), Some("3 entries"));
    assert_eq!(log.observed().lost, 0);
}

#[tokio::test]
async fn entries_go_after_the_retention_that_was_set() {
    let folder = tempfile::tempdir().unwrap();
    let (log, store, environment) = over(folder.path()).await;
    let days_ago = |days: i64| {
        let at = environment.now().plus_ms(-days * 86_400_000);
        AuditEntry::new(at, AuditActor::Server, AuditAction::LookedUp)
    };
    store.add_audit(&[days_ago(4), days_ago(3), days_ago(1)]).await.unwrap();
    log.forget(2 * DAY).await;
    let kept: Vec<u64> = store.audit(0, 10).await.unwrap().iter().map(|entry| entry.id).collect();
    assert_eq!(kept, [3]);
}

#[test]
fn details_are_cut_between_characters_and_hold_no_nul() {
    let entry =
        AuditEntry::new(crate::domain::Timestamp::from_unix_ms(0), AuditActor::Server, AuditAction::LookedUp);
    let long = cut(entry.clone().with("ä".repeat(DETAILS_BYTES)));
    assert_eq!(long.details.unwrap().len(), DETAILS_BYTES);
    assert_eq!(cut(entry.with("a\0b")).details.as_deref(), Some("ab"));
}
