//! All routes with their descriptions, one file a subject.

mod catalog;
mod dead_letters;
mod events;
mod explain;
mod health;
mod metrics;
mod modules;
mod presets;
mod queue;
mod sync;
mod system;

use std::sync::Arc;
use std::time::SystemTime;

use axum::response::Response;
use http::StatusCode;
use mconn_model::Timestamp;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Shared;
use crate::front::Unrouted;

pub(crate) use events::needs_leader;
pub(crate) use queue::accepted_prefix;

/// What every handler gets.
type Ctx = axum::extract::State<Arc<Shared>>;

/// Now, by the clock that dates verdicts.
fn now() -> Timestamp {
    Timestamp::from_system_time(SystemTime::now()).unwrap_or(Timestamp::from_millis(0))
}

/// Whether a query has this switch on.
fn is_set(query: &str, switch: &str) -> bool {
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == switch && matches!(&*value, "" | "1" | "true"))
}

/// The part of the document that belongs to no route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "mconn",
        version = "1",
        description = "Reacts to every task that comes and goes in Marathon. Errors have the shape of `Refusal`, also \
                       where they come with HTTP status 200. Paths are matched without regard to case and to one \
                       trailing slash. HEAD works wherever GET does. With MCONN_CREDENTIALS everything but /v1/ping and \
                       POST /v1/queue needs HTTP Basic authentication.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&Basic),
    security((), ("basic" = [])),
    tags(
        (name = "queue", description = "Intake and main queue"),
        (name = "modules", description = "Modules: settings, queues, inventories, pause"),
        (name = "presets", description = "What a module shall do for an app"),
        (name = "sync", description = "Comparison with what runs in Marathon"),
        (name = "dead letters", description = "Runs that failed for good"),
        (name = "catalog", description = "What runs, and whether it is reachable"),
        (name = "live", description = "Events as they happen"),
        (name = "health", description = "Health and numbers"),
        (name = "system", description = "The node itself"),
    ),
)]
struct Document;

/// Describes the credentials. They are needed only if the node has some.
struct Basic;

impl Modify for Basic {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Basic));
        document.components.get_or_insert_default().add_security_scheme("basic", scheme);
    }
}

/// The router and its document.
pub(crate) fn router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(system::ping))
        .routes(routes!(system::leader))
        .routes(routes!(system::members))
        .routes(routes!(system::info))
        .routes(routes!(system::exit_node))
        .routes(routes!(system::exit_leader))
        .routes(routes!(system::openapi))
        .routes(routes!(queue::list, queue::accept))
        .routes(routes!(modules::list))
        .routes(routes!(modules::one))
        .routes(routes!(modules::inventory))
        .routes(routes!(modules::lane))
        .routes(routes!(modules::pause))
        .routes(routes!(modules::resume))
        .routes(routes!(presets::all, presets::create, presets::replace, presets::delete))
        .routes(routes!(presets::of_module))
        .routes(routes!(sync::all))
        .routes(routes!(sync::one))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::retry))
        .routes(routes!(dead_letters::drop_one))
        .routes(routes!(catalog::all))
        .routes(routes!(catalog::one))
        .routes(routes!(catalog::verdicts))
        .routes(routes!(explain::all))
        .routes(routes!(explain::one))
        .routes(routes!(events::stream))
        .routes(routes!(metrics::page))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::freshness))
}

/// The OpenAPI document of everything that is served.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    router().into_openapi()
}

/// The document as it is served, and as it is kept in the repository.
pub(crate) fn render(document: &utoipa::openapi::OpenApi) -> String {
    // Texts and numbers alone, and all of it is UTF-8: cannot fail.
    let bytes = crate::json::to_bytes(document).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// For whatever has no handler. The front makes the answer, which names the address as it was sent.
pub(crate) async fn unrouted() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.extensions_mut().insert(Unrouted);
    response
}
