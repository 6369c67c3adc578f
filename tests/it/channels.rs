//! Entering while the user's membership of a channel changes: a former member gets nothing more, and a member
//! gets everything, wherever between the read of heads and the subscription the change happens.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::Ws;
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, in_parallel, uuid};

/// How often each way is tried; the change moves over the time that a hello takes.
const ROUNDS: u32 = 40;
/// Groups that Ben is in besides, so that reading his heads takes about as long as a change of membership.
const GROUPS: usize = 500;

struct Scene {
    server: Server,
    rest: Rest,
    ada: Account,
    ben: Account,
    channel: String,
}

impl Scene {
    /// Ben's membership of the channel begins or ends.
    async fn change(&self, method: Method) {
        let path = format!("/v1/conversations/{}/members/{}", self.channel, self.ben.id);
        self.rest.call(method, &path, Some(&self.ben.access), None).await.ok();
    }

    /// Ben says hello while his membership changes, a little later each round.
    async fn hello_during(&self, method: Method, round: u32) -> (Ws, Value) {
        let mut ws = Ws::open(&self.server, Encoding::Json).await;
        let hello = json!({ "type": "hello", "token": self.ben.access });
        let late = async {
            // Not a wait for anything: the change is to fall at another moment of the hello each time.
            tokio::time::sleep(Duration::from_millis(u64::from(round % 5))).await;
            ws.send(&hello).await;
            let welcome = ws.expect("welcome").await;
            (ws, welcome)
        };
        let (entered, ()) = tokio::join!(late, self.change(method));
        entered
    }

    /// Ada speaks in the channel, then to Ben; answers whether he heard the first before the second.
    async fn hears(&self, ada: &mut Ws, ben: &mut Ws) -> bool {
        let speak =
            |to: &str, at: &str| json!({ "type": "send", "id": at, to: at, "client_id": uuid(), "body": at });
        let in_channel = ada.ask(&speak("conversation", &self.channel)).await;
        assert_eq!(in_channel["type"], "ack", "{in_channel}");
        let direct = ada.ask(&speak("to", &self.ben.id)).await;
        assert_eq!(direct["type"], "ack", "{direct}");
        let mut heard = false;
        loop {
            let event = ben.expect("event").await;
            heard |= event["conversation"] == self.channel.as_str() && event["seq"] == in_channel["seq"];
            if event["conversation"] == direct["conversation"] && event["seq"] == direct["seq"] {
                return heard;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entering_while_leaving_or_joining() {
    let server = Server::start(&[
        ("TIDINGS__LIMITS__SENDS_PER_SECOND", "100000"),
        ("TIDINGS__LIMITS__SEND_BURST", "100000"),
        ("TIDINGS__LIMITS__REQUEST_BURST", "100000"),
    ])
    .await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let channel = rest.conversation(&ada, "channel", &[]).await;
    let (client, creator) = (rest.clone(), ben.clone());
    in_parallel(8, (0..GROUPS).collect(), move |_| {
        let (rest, ben) = (client.clone(), creator.clone());
        async move { rest.conversation(&ben, "group", &[]).await }
    })
    .await;
    let (mut speaker, _) = Ws::signed_in(&server, Encoding::Msgpack, &ada).await;
    let scene = Scene { server, rest, ada, ben, channel };
    for round in 0..ROUNDS {
        let (mut joined, _) = scene.hello_during(Method::PUT, round).await;
        assert!(scene.hears(&mut speaker, &mut joined).await, "round {round}: a member misses what is said");
        let (mut left, _) = scene.hello_during(Method::DELETE, round).await;
        assert!(!scene.hears(&mut speaker, &mut left).await, "round {round}: a user who has left hears on");
        assert!(!scene.hears(&mut speaker, &mut joined).await, "round {round}: on the older connection too");
    }
    let members = format!("/v1/conversations/{}/members", scene.channel);
    let page = scene.rest.call(Method::GET, &members, Some(&scene.ada.access), None).await.ok();
    assert_eq!(page["members"].as_array().map(Vec::len), Some(1), "{page}");
}
