//! Round trips of an operation to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tidings::domain::{Changes, Role};
use tidings::environment::ManualEnvironment;
use tidings::store::Change;
use tidings::store::postgres::PostgresStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{PostgresHarness, World};

/// Passes on what a client and a server say, and counts how often the client speaks after the server did.
pub struct Counter {
    pub port: u16,
    trips: Arc<AtomicU64>,
}

impl Counter {
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let trips = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&trips);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                }
                let (asking, answering) = (client.into_split(), server.into_split());
                let answered = Arc::new(AtomicBool::new(true));
                let (trips, asked) = (Arc::clone(&counted), Arc::clone(&answered));
                tokio::spawn(pass_on(asking.0, answering.1, move || {
                    if asked.swap(false, Ordering::SeqCst) {
                        trips.fetch_add(1, Ordering::SeqCst);
                    }
                }));
                tokio::spawn(pass_on(answering.0, asking.1, move || answered.store(true, Ordering::SeqCst)));
            }
        });
        Self { port, trips }
    }

    pub fn take(&self) -> u64 {
        self.trips.swap(0, Ordering::SeqCst)
    }
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, came: impl Fn() + Send) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        came();
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_change_reads_once_and_writes_once() {
    let harness = PostgresHarness::new().await;
    let counter = Counter::before(harness.server.port()).await;
    let url = format!("postgres://tidings@127.0.0.1:{}/{}", counter.port, harness.name);
    let mut options = harness.options();
    options.postgres.url = url.into();
    (options.postgres.write_connections, options.postgres.read_connections) = (1, 1);
    // Its clock stands still, so no connection is asked whether it lives.
    let environment = Arc::new(ManualEnvironment::new(1_800_000_000_000, 1));
    let world = World::around(PostgresStore::open(options, environment).await.unwrap());
    let [ada, ben, cid] = world.users().await;
    // The first round makes the connections and prepares the statements.
    for round in 0..2 {
        let conversation = world.group(&[ada, ben]).await;
        let said = world.say(ada, conversation, "hi").await;
        let edit = |body: &str, key| Change::Edit { target: said, body: body.to_owned(), client_id: key };
        let react = |on| Change::React { target: said, emoji: "👍".to_owned(), on };
        let named = Changes { name: Some("fish".to_owned()), ..Changes::default() };
        let changes = [
            (edit("hello", None), 2),
            (edit("hello", None), 1),
            (edit("hello there", Some(world.client_id())), 2),
            (react(true), 2),
            (react(true), 1),
            (react(false), 2),
            (Change::Join { user: cid, role: Role::Member }, 2),
            (Change::SetRole { user: cid, role: Role::Admin }, 2),
            (Change::Leave { user: cid }, 2),
            (Change::Configure(named), 2),
            (Change::Delete { target: said }, 2),
            (Change::DeleteConversation, 2),
            (Change::DeleteConversation, 1),
        ];
        for (change, expected) in changes {
            counter.take();
            world.change(ada, conversation, change.clone()).await;
            let trips = counter.take();
            assert!(round == 0 || trips == expected, "{change:?}: {trips} round trips instead of {expected}");
        }
    }
}
