//! The HTTP server: REST by actix-web, upgrades by the gateway, one hub per worker thread.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use actix_http::{HttpService, KeepAlive};
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_factory, fn_service, map_config};
use actix_web::HttpResponse;
use actix_web::dev::AppConfig;
use actix_web::http::header;
use tokio::net::TcpStream;

use super::entrance::{Doorkeeper, EntranceFactory, KnownConnections};
use super::http_stream::HttpStream;
use super::process::Gateway;
use crate::api::{self, ApiState, ThreadHeartbeat};
use crate::config;
use crate::gateway::hub::Hub;
use crate::gateway::upgrade;

/// The parts that every worker thread gets.
#[derive(Clone)]
pub struct Parts {
    pub gateway: Gateway,
    pub api: ApiState,
    pub request_timeout: Duration,
    pub keep_alive: Duration,
    /// For how long a client may take none of the bytes that wait for it.
    pub write_deadline: Duration,
    /// Beaten by each worker.
    pub heartbeats: Vec<Arc<ThreadHeartbeat>>,
    /// The process has the role of a gateway.
    pub serves_sockets: bool,
}

/// Starts serving on `listener`.
pub fn start(listener: TcpListener, settings: &config::ServerSettings, parts: Parts) -> io::Result<Server> {
    let workers = settings.worker_threads();
    let next_worker = Arc::new(AtomicU8::new(0));
    let builder = Server::build()
        .workers(workers)
        .backlog(settings.backlog)
        .max_concurrent_connections(settings.max_connections.div_ceil(workers))
        .shutdown_timeout(2)
        .disable_signals()
        .listen("tidings", listener, move || {
            let (rest, sockets) = (parts.clone(), parts.clone());
            let next_worker = Arc::clone(&next_worker);
            let (serves_sockets, https) = (parts.serves_sockets, parts.api.https);
            let app = actix_web::App::new()
                .configure(move |config| {
                    if serves_sockets {
                        config.route("/v1/ws", actix_web::web::to(move || no_upgrade(https)));
                    }
                })
                .configure(move |config| api::configure(config, rest.api));
            let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
            let known = KnownConnections::default();
            let shown = known.clone();
            let http = HttpService::build()
                .on_connect_ext(move |stream: &HttpStream, data| shown.show(stream.tcp(), data))
                .keep_alive(KeepAlive::Timeout(parts.keep_alive))
                .client_request_timeout(parts.request_timeout)
                .client_disconnect_timeout(Duration::from_secs(1))
                .tcp_nodelay(true)
                .upgrade(fn_factory(move || {
                    let (parts, next_worker) = (sockets.clone(), Arc::clone(&next_worker));
                    async move {
                        let hub = start_hub(parts, next_worker.fetch_add(1, Ordering::SeqCst));
                        Ok::<_, ()>(fn_service(move |(request, framed)| {
                            let hub = Rc::clone(&hub);
                            async move {
                                upgrade::take_over(hub, serves_sockets, request, framed).await;
                                Ok::<(), actix_http::Error>(())
                            }
                        }))
                    }
                }))
                .finish(map_config(app, |()| AppConfig::default()));
            let keeper = Doorkeeper {
                node: parts.gateway.node.clone(),
                proxies: Arc::clone(&parts.api.proxies),
                header_timeout: parts.request_timeout,
                write_deadline: parts.write_deadline,
            };
            EntranceFactory { http, keeper, known }
        })?;
    Ok(builder.run())
}

async fn no_upgrade(https: bool) -> HttpResponse {
    let (status, body) = upgrade::no_upgrade();
    let mut response = HttpResponse::build(status)
        .insert_header((header::UPGRADE, "websocket"))
        .insert_header((header::SEC_WEBSOCKET_VERSION, "13"))
        .content_type("application/problem+json")
        .body(body);
    api::secure(response.headers_mut(), https);
    response
}

fn start_hub(parts: Parts, worker: u8) -> Rc<Hub<TcpStream>> {
    if let Some(heartbeat) = parts.heartbeats.get(usize::from(worker)) {
        actix_rt::spawn(Arc::clone(heartbeat).beat(Arc::clone(parts.gateway.node.environment())));
    }
    parts.gateway.start_hub(worker)
}
