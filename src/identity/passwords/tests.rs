//! Tests of hashing: which passwords match, which are refused, and what a full queue answers.

use super::*;
use crate::config::Settings;
use crate::environment::SystemEnvironment;

fn cheap(parallel: usize, queue: usize) -> Passwords {
    let auth = AuthSettings {
        argon2_memory_kib: 8,
        argon2_parallel: parallel,
        argon2_queue: queue,
        ..Settings::for_tests().auth
    };
    let max_wait = Duration::from_millis(20);
    passwords_with(&auth, max_wait)
}

fn passwords_with(auth: &AuthSettings, max_wait: Duration) -> Passwords {
    let environment = SystemEnvironment::shared();
    Passwords::new(auth, max_wait, "Harbour Chat".to_owned(), environment, IdentityMeters::new())
        .expect("parameters")
}

#[tokio::test]
async fn only_the_right_password_matches_and_hashes_are_salted() {
    let passwords = cheap(1, 8);
    let hashed = passwords.hash("correct horse".into()).await.expect("hashes");
    assert!(hashed.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hashed}");
    assert_ne!(passwords.hash("correct horse".into()).await.expect("hashes"), hashed);
    assert_eq!(passwords.verify("correct horse".into(), Some(hashed.clone())).await, Ok(Match::Right));
    assert_eq!(passwords.verify("correct hors".into(), Some(hashed)).await, Ok(Match::Wrong));
    assert_eq!(passwords.verify("correct horse".into(), None).await, Ok(Match::Wrong));
}

#[tokio::test]
async fn one_password_in_two_spellings_is_one_password() {
    let passwords = cheap(1, 8);
    let (composed, taken_apart) = ("Schl\u{fc}ssel eins", "Schlu\u{308}ssel\u{a0}eins");
    for (set, given) in [(composed, taken_apart), (taken_apart, composed)] {
        let hashed = passwords.hash(set.into()).await.expect("hashes");
        assert_eq!(passwords.verify(given.into(), Some(hashed.clone())).await, Ok(Match::Right), "{given}");
        assert_eq!(
            passwords.verify("Schlussel eins".into(), Some(hashed)).await,
            Ok(Match::Wrong),
            "ü is not u"
        );
    }
    let older = hash(&passwords.argon2, taken_apart.as_bytes(), [7; 16]).expect("hashes");
    assert_eq!(
        passwords.verify(taken_apart.into(), Some(older.clone())).await,
        Ok(Match::Right),
        "as it came"
    );
    assert_eq!(passwords.verify(composed.into(), Some(older)).await, Ok(Match::Wrong));
}

#[tokio::test]
async fn a_hash_of_other_parameters_is_outdated() {
    let present = cheap(1, 8);
    let auth = AuthSettings { argon2_memory_kib: 16, ..Settings::for_tests().auth };
    let earlier = passwords_with(&auth, Duration::from_secs(1));
    let hashed = earlier.hash("correct horse".into()).await.expect("hashes");
    assert!(hashed.starts_with("$argon2id$v=19$m=16,"), "{hashed}");
    let verified = |text: &str| present.verify(text.to_owned(), Some(hashed.clone()));
    assert_eq!(verified("correct horse").await, Ok(Match::Outdated));
    assert_eq!(verified("another horse").await, Ok(Match::Wrong));
    assert!(present.decoy.starts_with("$argon2id$v=19$m=8,"), "{}", present.decoy);
}

#[test]
fn short_endless_and_common_passwords_are_refused() {
    let passwords = cheap(1, 8);
    let endless = "x".repeat(1_025);
    for bad in ["short", "with\0nul bytes", &endless, "Password1", "ADA.LOVELACE", "harbour\u{a0}chat"] {
        let refused = passwords.check(bad, "ada.lovelace");
        assert!(matches!(refused, Err(Refusal::Invalid(_))), "{bad:?}: {refused:?}");
    }
    assert_eq!(passwords.check("ada.lovelace", "ada"), Ok(()));
}

#[tokio::test]
async fn a_full_queue_and_a_long_wait_are_overload() {
    let passwords = cheap(1, 1);
    let observed = |running_hashes, waiting_hashes| PasswordsObserved { running_hashes, waiting_hashes };
    assert_eq!(passwords.observed(), observed(0, 0));
    let first = passwords.turn(Guesser::Stranger).await.ok();
    assert!(first.is_some());
    let waited = passwords.turn(Guesser::Stranger).await.err();
    assert_eq!(waited, Some(Failure::Overloaded { retry_after_ms: RETRY_AFTER_MS }), "waited in vain");
    assert_eq!(passwords.observed(), observed(1, 0));
    let (second, third, seen) =
        tokio::join!(passwords.turn(Guesser::Stranger), passwords.turn(Guesser::Stranger), async {
            passwords.observed()
        });
    assert!(second.is_err() && third.is_err(), "one waits in vain, one finds the queue full");
    assert_eq!(seen, observed(1, 1));
    drop(first);
    assert!(passwords.turn(Guesser::Stranger).await.is_ok());
}

#[tokio::test]
async fn strangers_leave_the_last_places_of_the_queue() {
    let passwords = cheap(1, 4);
    let first = passwords.turn(Guesser::Stranger).await.ok();
    assert!(first.is_some());
    let waits = || async { drop(passwords.turn(Guesser::Stranger).await) };
    let waiting = async { tokio::join!(waits(), waits(), waits()) };
    let (_, late, known) = tokio::join!(waiting, passwords.turn(Guesser::Stranger), async {
        drop(first);
        passwords.turn(Guesser::Known).await
    });
    assert_eq!(late.err(), Some(Failure::Overloaded { retry_after_ms: RETRY_AFTER_MS }));
    assert!(known.is_ok());
}
