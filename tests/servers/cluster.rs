//! A Redis Cluster of real servers.

use std::time::Duration;

use super::ports::free_port;
use super::redis::{DEADLINE, Redis};

/// The number of slots of a Cluster.
const SLOTS: usize = 16_384;

/// Primaries with their slots spread evenly, and as many replicas as asked for, of the first primaries.
pub struct Cluster {
    /// Primaries first, then replicas.
    pub nodes: Vec<Redis>,
    primaries: usize,
}

impl Cluster {
    /// Starts the servers and waits until they agree.
    pub async fn start(primaries: usize, replicas: usize) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..primaries + replicas {
            let bus_port = free_port().to_string();
            let arguments =
                ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", &bus_port];
            nodes.push((Redis::start_with(&arguments).await, bus_port));
        }
        for (at, (node, _)) in nodes.iter().enumerate().take(primaries) {
            let (first, end) = (SLOTS * at / primaries, SLOTS * (at + 1) / primaries);
            node.order(&format!("CLUSTER ADDSLOTSRANGE {first} {}", end - 1)).await;
        }
        for (at, (node, _)) in nodes.iter().enumerate() {
            node.order(&format!("CLUSTER SET-CONFIG-EPOCH {}", at + 1)).await;
        }
        for (node, bus_port) in &nodes[1..] {
            nodes[0].0.order(&format!("CLUSTER MEET 127.0.0.1 {} {bus_port}", node.port())).await;
        }
        let nodes: Vec<Redis> = nodes.into_iter().map(|(node, _)| node).collect();
        let cluster = Self { nodes, primaries };
        cluster.agreeing("cluster_known_nodes", &cluster.nodes.len().to_string()).await;
        for at in 0..replicas {
            let primary = cluster.id(at).await;
            cluster.nodes[primaries + at].order(&format!("CLUSTER REPLICATE {primary}")).await;
        }
        for replica in &cluster.nodes[primaries..] {
            replica.in_step().await;
        }
        cluster.agreeing("cluster_state", "ok").await;
        cluster.agreeing("cluster_size", &primaries.to_string()).await;
        cluster
    }

    /// A node's URL.
    pub fn url(&self) -> String {
        self.nodes[0].url()
    }

    /// A node's id.
    pub async fn id(&self, at: usize) -> String {
        redis::from_redis_value(self.nodes[at].order("CLUSTER MYID").await).unwrap()
    }

    /// Gives a slot without keys from one primary to another, as resharding does.
    pub async fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let (source, target) = (self.id(from).await, self.id(to).await);
        self.nodes[to].order(&format!("CLUSTER SETSLOT {slot} IMPORTING {source}")).await;
        self.nodes[from].order(&format!("CLUSTER SETSLOT {slot} MIGRATING {target}")).await;
        // The new owner first: ending the import gives it the newer epoch, so that its claim wins over any
        // older word.
        let rest = (0..self.primaries).filter(|at| *at != to && *at != from);
        for at in [to, from].into_iter().chain(rest) {
            self.nodes[at].order(&format!("CLUSTER SETSLOT {slot} NODE {target}")).await;
        }
    }

    /// How many connections are subscribed to a channel, over all nodes that answer.
    pub async fn subscribers(&self, channel: &str) -> u64 {
        let mut subscribers = 0;
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            let answer = node.order(&format!("PUBSUB SHARDNUMSUB {channel}")).await;
            let (_, count): (String, u64) = redis::from_redis_value(answer).unwrap();
            subscribers += count;
        }
        subscribers
    }

    async fn agreeing(&self, field: &str, wanted: &str) {
        let line = format!("{field}:{wanted}\r\n");
        let agreed = async {
            for node in &self.nodes {
                loop {
                    let info: String = redis::from_redis_value(node.order("CLUSTER INFO").await).unwrap();
                    if info.contains(&line) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        assert!(tokio::time::timeout(DEADLINE, agreed).await.is_ok(), "the Cluster never has {line}");
    }
}
