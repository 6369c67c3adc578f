//! Finding people by the words of their names.

use tidings::domain::{User, UserId, Username, name_words::of_text};
use tidings::store::NewUser;

use super::fresh;
use crate::harness::World;

async fn found(world: &World, text: &str) -> Vec<UserId> {
    let users = world.store.users_by_name(&of_text(text), 10).await.unwrap();
    users.into_iter().map(|user| user.id).collect()
}

#[tokio::test]
async fn people_are_found_by_the_beginning_of_any_word_of_their_name() {
    let world = fresh().await;
    let ada = world.user("Ada Lovelace").await;
    let jose = world.user("José-María Ñandú").await;
    let fox = world.user("🦊").await;
    for text in ["a", "ADA", "love", "lovelace ada", "Ada L", "ada, love", "ＡＤＡ"] {
        assert_eq!(found(&world, text).await, [ada], "{text}");
    }
    for text in ["jose", "JOSE\u{301}", "mar nan", "ñ"] {
        assert_eq!(found(&world, text).await, [jose], "{text}");
    }
    assert_eq!(found(&world, "🦊").await, [fox]);
    for text in ["da", "ada x", "adaa", "%", "lovelace jose", "\u{10ffff}"] {
        assert_eq!(found(&world, text).await, [], "{text}");
    }
}

#[tokio::test]
async fn whose_word_is_just_that_comes_first_and_nobody_comes_twice() {
    let world = fresh().await;
    let adams = world.user("Adams Adamson Adam").await;
    let adele = world.user("Adele").await;
    let ad = world.user("Ad").await;
    assert_eq!(found(&world, "ad").await, [ad, adams, adele]);
    assert_eq!(world.store.users_by_name(&of_text("ad"), 2).await.unwrap().len(), 2);
    // Far more people of one name than are looked at.
    for n in 0..700 {
        world.user(&format!("Kim {n}")).await;
    }
    assert_eq!(world.store.users_by_name(&of_text("kim"), 50).await.unwrap().len(), 50);
}

#[tokio::test]
async fn what_finds_somebody_follows_their_names_and_ends_with_them() {
    let world = fresh().await;
    let guest = world.user("Visitor").await;
    assert_eq!(found(&world, "vis").await, [guest]);
    world.store.rename(guest, "Ada").await.unwrap().unwrap();
    assert_eq!((found(&world, "vis").await, found(&world, "ada").await), (vec![], vec![guest]));
    let name = Username::parse("lady.lovelace").unwrap();
    world.store.claim(guest, &name, "hash").await.unwrap().unwrap();
    for text in ["ada", "lady", "lovelace", "lady.l"] {
        assert_eq!(found(&world, text).await, [guest], "{text}");
    }
    world.erase(guest).await;
    for text in ["ada", "lady", "deleted"] {
        assert_eq!(found(&world, text).await, [], "{text}");
    }
    // A user of another issuer, whose name may hold what Postgres cannot.
    let user = User {
        id: UserId::from_uuid(world.uuid()),
        username: None,
        display_name: "Nul\0a".to_owned(),
        guest: false,
        created_at: world.now(),
    };
    let id = user.id;
    world.store.create_user(&NewUser { user, password_hash: None, device_hash: None }).await.unwrap();
    assert_eq!(found(&world, "nula").await, [id]);
}

#[tokio::test]
async fn several_profiles_are_read_at_once_in_the_order_asked() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let nobody = UserId::from_uuid(world.uuid());
    let users = world.store.users(&[cid, nobody, ada]).await.unwrap();
    assert_eq!(users.iter().map(|user| user.id).collect::<Vec<_>>(), [cid, ada]);
    assert_eq!(world.store.users(&[]).await.unwrap(), []);
    world.erase(ben).await;
    assert_eq!(world.store.users(&[ben]).await.unwrap()[0].display_name, "deleted");
}
