//! `/mcp`: the queue for agents, by the Model Context Protocol. A client sends each message as a separate request, or all of
//! them over a socket.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::{ErrorCode, Qid, QueueName};
use rmcp::model::{ClientJsonRpcMessage, GetMeta, ProtocolVersion};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::{Caller, Right};
use crate::app::{App, AppState};
use crate::description::schemas::{Limited, Refusals, TooLarge};
use crate::error::ApiError;
use crate::extract::{Parameters, RawBody};
use crate::mcp::{Agent, INSTRUCTIONS, MESSAGE_BYTES_MAX, Visitor, names, socket};
use crate::own_address::OwnAddress;

const TYPES: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The parameters of the address.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Address {
    /// The queue of calls that do not name one.
    #[param(inline)]
    queue: Option<QueueName>,
}

/// `POST /mcp?queue=`: one message of the Model Context Protocol (Streamable HTTP). The answer is JSON, or an event stream if the
/// call reports progress. A client that does not accept event streams gets no progress. No session is kept, so any process
/// answers any message.
#[utoipa::path(
    post,
    path = "/mcp",
    tag = "agents",
    params(Address),
    request_body(
        content = serde_json::Value,
        description = "A message of JSON-RPC 2.0.",
        example = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
    ),
    responses(
        (
            status = 200,
            description = "The answer, or events of which the last is the answer.",
            content((serde_json::Value = "application/json"), (String = "text/event-stream")),
        ),
        (status = 202, description = "A notification was accepted."),
        (status = 400, description = "The message cannot be read: an error of JSON-RPC says why.", body = serde_json::Value),
        Limited,
        TooLarge,
        Refusals,
    ),
)]
pub(crate) async fn call(
    State(app): State<AppState>,
    Parameters(address): Parameters<Address>,
    caller: Caller,
    own: OwnAddress,
    mut headers: HeaderMap,
    RawBody(body): RawBody<MESSAGE_BYTES_MAX>,
) -> Result<Response, ApiError> {
    let message = match socket::read(&body) {
        Ok(message) => message,
        Err(answer) => return Ok(marked((StatusCode::BAD_REQUEST, Json(answer)).into_response())),
    };
    let body = if takes_events(&headers) { body } else { without_progress(&message, body) };
    headers.insert(header::ACCEPT, TYPES);
    headers.insert(header::CONTENT_TYPE, JSON);
    let mut request = Request::post("/mcp").body(Body::from(body)).map_err(ApiError::bad_request)?;
    *request.headers_mut() = headers;
    let agent = Agent { app: Arc::clone(&app), visitor: Visitor { caller, queue: address.queue, own } };
    let service = StreamableHttpService::new(move || Ok(agent.clone()), Arc::clone(&SESSIONS), settings(&app));
    Ok(marked(service.handle(request).await.map(Body::new)))
}

/// No session is kept.
static SESSIONS: LazyLock<Arc<NeverSessionManager>> = LazyLock::new(Arc::default);

fn settings(app: &App) -> StreamableHttpServerConfig {
    // A local API already checks the host and the origin of every request.
    let config = StreamableHttpServerConfig::default().disable_allowed_hosts().disable_allowed_origins();
    let config = config.with_legacy_session_mode(false).with_json_response(true).with_max_request_body_bytes(MESSAGE_BYTES_MAX);
    config.with_cancellation_token(app.shutdown.child_token())
}

/// Marks a refusal, so that the JSON-RPC error in its body is not replaced by an error of this API.
fn marked(mut response: Response) -> Response {
    if response.status().is_client_error() {
        response.extensions_mut().insert(ErrorCode::InvalidBody);
    }
    response
}

fn takes_events(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("text/event-stream"))
}

/// The message without the request for progress, for a client that cannot read progress.
fn without_progress(message: &ClientJsonRpcMessage, body: axum::body::Bytes) -> axum::body::Bytes {
    let ClientJsonRpcMessage::Request(request) = message else { return body };
    if request.request.get_meta().get_progress_token().is_none() {
        return body;
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(&body) else { return body };
    if let Some(meta) = value.pointer_mut("/params/_meta").and_then(Value::as_object_mut) {
        meta.shift_remove("progressToken");
    }
    value.to_string().into()
}

/// `GET /mcp/ws?queue=`: the same as a WebSocket. One message of JSON-RPC in each text frame; the subprotocol is `mcp` if the
/// client requests it.
#[utoipa::path(
    get,
    path = "/mcp/ws",
    tag = "agents",
    params(Address),
    responses((status = 101, description = "The connection is a WebSocket from here on."), Limited, Refusals),
)]
pub(crate) async fn connect(
    State(app): State<AppState>,
    Parameters(address): Parameters<Address>,
    caller: Caller,
    own: OwnAddress,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    if let Some(queue) = &address.queue {
        // A wrong token is refused when the socket opens, and not only by each call.
        let may = app.policies.may(queue.qid(), Right::Read, &caller).await?;
        if !may && !app.policies.may(queue.qid(), Right::Submit, &caller).await? {
            app.policies.check(queue.qid(), Right::Read, &caller).await?;
        }
    }
    let upgrade = super::socket::bounded(upgrade, MESSAGE_BYTES_MAX)?.protocols([socket::SUBPROTOCOL]);
    // Sockets without a queue share the limits of one queue.
    let qid = address.queue.as_ref().map_or_else(Qid::nil, QueueName::qid);
    let place = app.meters.connect(&caller, qid)?;
    let agent = Agent { app, visitor: Visitor { caller, queue: address.queue, own } };
    Ok(upgrade.on_upgrade(move |socket| socket::serve(agent, socket, place)))
}

/// `GET /mcp/health`: whether calls can be answered.
#[utoipa::path(
    get,
    path = "/mcp/health",
    tag = "agents",
    responses(
        (status = 200, description = "They can.", body = serde_json::Value),
        (status = 503, description = "They cannot now: the database cannot be reached, or the process is stopping.", body = serde_json::Value),
    ),
)]
pub(crate) async fn health(State(app): State<AppState>) -> Response {
    let is_ready = !app.leaving.is_cancelled() && app.db.check_ready().await.is_ok();
    let (status, word) = if is_ready { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
    (status, Json(json!({"status": word, "version": env!("CARGO_PKG_VERSION")}))).into_response()
}

/// `GET /mcp/info`: facts for agents: addresses, versions of the protocol, tools.
#[utoipa::path(
    get,
    path = "/mcp/info",
    tag = "agents",
    responses((status = 200, description = "The description.", body = serde_json::Value)),
)]
pub(crate) async fn info(own: OwnAddress) -> Json<Value> {
    let root = own.root();
    let tools: Vec<Value> = names().map(|(name, about)| json!({"name": name, "description": about})).collect();
    let versions: Vec<&str> = ProtocolVersion::KNOWN_VERSIONS.iter().map(ProtocolVersion::as_str).collect();
    Json(json!({
        "name": "asman", "version": env!("CARGO_PKG_VERSION"), "protocolVersions": versions, "instructions": INSTRUCTIONS,
        "transports": {
            "streamable-http": format!("{root}/mcp"),
            "websocket": format!("{}/mcp/ws", root.replacen("http", "ws", 1)),
            "stdio": format!("asman mcp --api {root}"),
        },
        "tools": tools,
    }))
}
