//! The internal address answers health with details, the metrics, and the questions of operators. It has a
//! server and a thread of its own, so it answers while the worker threads are busy or blocked, and before
//! the database is reachable.
//!
//! Every request is bounded: [`REQUEST`] for its answer, no body is read. `/livez`, `/startupz` and `/readyz`
//! need no token; where there is one, everything else needs it (ADR 0081).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, ResponseError};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};

use super::admin::{self, Operators, OperatorsSlot};
use super::resource::{at, get};
use super::word::word;
use super::{Problem, Readiness, ReadyView, secure};
use crate::domain::Timestamp;
use crate::panics;
use crate::telemetry::inspect::Inspection;

/// Renders the metrics for `GET /metrics`.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// The longest time that a request may take.
const REQUEST: Duration = Duration::from_secs(5);
/// Paths that need no token.
const HEALTH: [&str; 3] = ["/livez", "/startupz", "/readyz"];

/// The state for the handlers; it is filled step by step while the process starts.
pub struct InternalState {
    render_metrics: Option<RenderMetrics>,
    token: Option<SecretString>,
    waits: OnceLock<(&'static str, Timestamp)>,
    started: OnceLock<Started>,
    operators: OperatorsSlot,
}

/// The parts that exist once the process serves.
struct Started {
    readiness: Arc<Readiness>,
    inspection: Arc<Inspection>,
}

impl InternalState {
    /// For a process that is about to start. `render_metrics`: `None` where the metrics are off. `token`:
    /// what callers have to send; `None` where the operating system decides who may call.
    pub fn new(render_metrics: Option<RenderMetrics>, token: Option<SecretString>) -> Arc<Self> {
        let (waits, started, operators) = (OnceLock::new(), OnceLock::new(), Arc::default());
        Arc::new(Self { render_metrics, token, waits, started, operators })
    }

    /// The start waits for this dependency. Only the first one is shown.
    pub fn waits_for(&self, dependency: &'static str, since: Timestamp) {
        self.waits.get_or_init(|| (dependency, since));
    }

    /// The process serves from now on. Called once.
    pub fn started(&self, readiness: Arc<Readiness>, operators: Operators) {
        let inspection = Arc::clone(operators.node.inspection());
        self.operators.get_or_init(|| operators);
        self.started.get_or_init(|| Started { readiness, inspection });
    }

    fn may_call(&self, request: &ServiceRequest) -> bool {
        let Some(token) = &self.token else { return true };
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer "));
        let same = |given: &str| verify_slices_are_equal(given.as_bytes(), token.expose_secret().as_bytes());
        HEALTH.contains(&request.path()) || given.is_some_and(|given| same(given).is_ok())
    }
}

/// Registers everything that the internal address answers.
pub fn configure(config: &mut ServiceConfig, state: Arc<InternalState>) {
    let scope = web::scope("")
        .service(admin::resources())
        .service(at("/livez", [get(live)]))
        .service(at("/startupz", [get(started)]))
        .service(at("/readyz", [get(ready)]))
        .service(at("/metrics", [get(metrics)]))
        .service(at("/inspect", [get(inspect)]))
        .default_service(web::to(|| async { Err::<&'static str, _>(Problem::not_found()) }))
        .wrap(from_fn(guard));
    let operators = Data::new(Arc::clone(&state.operators));
    config.app_data(operators).app_data(Data::from(state)).service(scope);
}

/// The outermost layer: the token, the time limit, and a panic that ends one request only.
async fn guard(
    state: Data<InternalState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    if !state.may_call(&request) {
        let refused = HttpResponse::Unauthorized()
            .insert_header((header::WWW_AUTHENTICATE, "Bearer"))
            .content_type("text/plain; charset=utf-8")
            .body("send the secret of server.internal_token_file as a bearer token\n");
        return Ok(request.into_response(refused));
    }
    let served = tokio::time::timeout(REQUEST, panics::contained(next.call(request))).await;
    match served {
        Ok(Ok(served)) => {
            let mut response = served?.map_into_boxed_body();
            secure(response.headers_mut(), false);
            Ok(response)
        }
        Ok(Err(panicked)) => {
            Err(InternalError::from_response(panicked, Problem::internal().error_response()).into())
        }
        Err(late) => Err(InternalError::from_response(late, word(false, "late")).into()),
    }
}

/// The process lives: its internal thread answers.
async fn live() -> HttpResponse {
    word(true, "live")
}

/// 200 from the moment on at which the process serves; 503 while it waits for its database.
async fn started(state: Data<InternalState>) -> HttpResponse {
    if state.started.get().is_some() { word(true, "started") } else { word(false, "starting") }
}

/// The same status as on the public port, with everything that is known.
async fn ready(state: Data<InternalState>) -> HttpResponse {
    let report = match state.started.get() {
        Some(started) => started.readiness.report().await,
        None => ReadyView::starting(state.waits.get().copied()),
    };
    if report.ready {
        HttpResponse::Ok().json(report)
    } else {
        HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, "1")).json(report)
    }
}

/// The state of each actor; 503 before the process serves.
async fn inspect(state: Data<InternalState>) -> HttpResponse {
    match state.started.get() {
        Some(started) => HttpResponse::Ok().json(started.inspection.report().await),
        None => word(false, "starting"),
    }
}

/// The metrics, for Prometheus; 404 where `telemetry.metrics` is off.
async fn metrics(state: Data<InternalState>) -> Result<HttpResponse, Problem> {
    let render = state.render_metrics.as_ref().ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(render()))
}

#[cfg(test)]
mod tests {
    use actix_web::App;
    use actix_web::http::StatusCode;
    use actix_web::test::{TestRequest, call_service, init_service, read_body};

    use super::*;

    async fn asked(state: &Arc<InternalState>, path: &str, token: Option<&str>) -> (StatusCode, String) {
        let state = Arc::clone(state);
        let app = init_service(App::new().configure(|config| configure(config, state))).await;
        let request = TestRequest::get().uri(path);
        let request = token.iter().fold(request, |request, token| {
            request.insert_header((header::AUTHORIZATION, format!("Bearer {token}")))
        });
        let answer = call_service(&app, request.to_request()).await;
        let status = answer.status();
        (status, String::from_utf8_lossy(&read_body(answer).await).into_owned())
    }

    #[actix_web::test]
    async fn a_token_is_asked_for_everywhere_but_for_health() {
        let render: RenderMetrics = Arc::new(|| "# metrics\n".to_owned());
        let open = InternalState::new(Some(render.clone()), None);
        assert_eq!(asked(&open, "/metrics", None).await, (StatusCode::OK, "# metrics\n".to_owned()));
        let closed = InternalState::new(Some(render), Some("secret".into()));
        for token in [None, Some("secreT"), Some("secret ")] {
            assert_eq!(asked(&closed, "/metrics", token).await.0, StatusCode::UNAUTHORIZED, "{token:?}");
            assert_eq!(asked(&closed, "/unknown", token).await.0, StatusCode::UNAUTHORIZED, "{token:?}");
        }
        assert_eq!(asked(&closed, "/metrics", Some("secret")).await.0, StatusCode::OK);
        assert_eq!(asked(&closed, "/unknown", Some("secret")).await.0, StatusCode::NOT_FOUND);
        assert_eq!(asked(&closed, "/livez", None).await, (StatusCode::OK, "live\n".to_owned()));
        let off = InternalState::new(None, None);
        assert_eq!(asked(&off, "/metrics", None).await.0, StatusCode::NOT_FOUND);
    }

    #[actix_web::test]
    async fn a_start_that_waits_says_for_what() {
        let state = InternalState::new(None, None);
        state.waits_for("store", Timestamp::from_unix_ms(1_800_000_000_000));
        assert_eq!(asked(&state, "/startupz", None).await.0, StatusCode::SERVICE_UNAVAILABLE);
        let (status, body) = asked(&state, "/readyz", None).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("\"starting\":true") && body.contains("\"name\":\"store\""), "{body}");
        assert!(body.contains("2027-01-15T"), "{body}");
    }
}
