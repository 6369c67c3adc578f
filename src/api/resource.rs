//! One path with its methods; any other method is answered with 405.

use actix_web::dev::Handler;
use actix_web::guard::{self, Guard};
use actix_web::http::Method;
use actix_web::{FromRequest, Resource, Responder, Route, web};

use super::Problem;

/// One method of a resource.
pub struct Endpoint {
    methods: Vec<Method>,
    route: Route,
}

/// Writes from one list of a module's calls what is routed (`resources`) and what describes it (`Document`).
macro_rules! calls {
    ($($path:literal => [$($method:ident($handler:ident)),+ $(,)?]),+ $(,)?) => {
        /// The resources of this module.
        pub fn resources() -> Vec<actix_web::Resource> {
            use $crate::api::resource;
            vec![$(resource::at($path, [$(resource::$method($handler)),+])),+]
        }

        /// The calls of this module, as the OpenAPI document describes them.
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($($handler),+),+))]
        pub struct Document;

        /// Method and path of each call.
        #[cfg(test)]
        pub const ROUTED: &[(&str, &str)] = &[$($((stringify!($method), $path)),+),+];
    };
}
pub(super) use calls;

/// A resource with these methods; any other is answered with 405 and the ones there are.
pub fn at<const N: usize>(path: &str, endpoints: [Endpoint; N]) -> Resource {
    let allow: Vec<Method> = endpoints.iter().flat_map(|endpoint| endpoint.methods.iter().cloned()).collect();
    let mut resource = web::resource(path);
    for endpoint in endpoints {
        resource = resource.route(endpoint.route);
    }
    resource.default_service(web::to(move || {
        let problem = Problem::method_not_allowed(&allow);
        async move { Err::<&'static str, _>(problem) }
    }))
}

fn endpoint<F, Args>(methods: Vec<Method>, guard: impl Guard + 'static, handler: F) -> Endpoint
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Endpoint { methods, route: web::route().guard(guard).to(handler) }
}

/// GET, and HEAD with it (RFC 9110 section 9.1).
pub fn get<F, Args>(handler: F) -> Endpoint
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    endpoint(vec![Method::GET, Method::HEAD], guard::Any(guard::Get()).or(guard::Head()), handler)
}

macro_rules! methods {
    ($($name:ident: $method:ident, $guard:ident;)*) => { $(
        /// A method of a resource.
        pub fn $name<F, Args>(handler: F) -> Endpoint
        where
            F: Handler<Args>,
            Args: FromRequest + 'static,
            F::Output: Responder + 'static,
        {
            endpoint(vec![Method::$method], guard::$guard(), handler)
        }
    )* };
}

methods! {
    post: POST, Post;
    put: PUT, Put;
    patch: PATCH, Patch;
    delete: DELETE, Delete;
}
