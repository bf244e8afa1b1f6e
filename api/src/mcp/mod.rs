//! The queue for agents: tools, resources and instructions of the Model Context Protocol.
//!
//! Comes in: messages of `POST /mcp` (Streamable HTTP), to which `asman mcp` forwards standard input, and of `/mcp/ws`.
//! Goes out: calls of the same functions that the REST handlers call, under the same policies and limits.
//!
//! # Invariants
//!
//! - Each tool exists once ([`tools`]) for all transports.
//! - No session is kept: a message of `/mcp` is complete in itself, so any process answers it. A socket keeps only its slot.
//! - A tool that fails answers with a tool error: a sentence, a code and the name of a wrong argument. A message that cannot be
//!   read is answered with a JSON-RPC error. Neither ends the session.
//! - Text that jobs or other submitters wrote is put between marks that its author cannot predict ([`answer`]), never next to
//!   our own words.
//! - A call ends after [`follow::WAIT_MAX`]. As many calls may follow a job at once as sockets may be open.

mod answer;
mod arguments;
mod call;
mod definition;
mod follow;
mod outputs;
mod resources;
pub(crate) mod socket;
mod tools;

use std::borrow::Cow;

use protocol::QueueName;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ErrorData, Implementation, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};

use crate::access::Caller;
use crate::app::AppState;
use crate::own_address::OwnAddress;
use call::{Call, Progress};

pub(crate) use tools::names;

/// Most bytes of one message: a submission and the JSON around it.
pub(crate) const MESSAGE_BYTES_MAX: usize = protocol::limits::BODY_BYTES_MAX + 64 * 1024;

/// The instructions that an agent gets when it connects.
pub(crate) const INSTRUCTIONS: &str = include_str!("instructions.md");

/// The caller, and the address that it used.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) caller: Caller,
    /// The queue of the address, for calls that do not name one.
    pub(crate) queue: Option<QueueName>,
    pub(crate) own: OwnAddress,
}

/// The server's side of one message or of one socket.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) app: AppState,
    pub(crate) visitor: Visitor,
}

impl Agent {
    fn call<'a>(&'a self, context: &'a RequestContext<RoleServer>) -> Call<'a> {
        Call { app: &self.app, visitor: &self.visitor, progress: Progress::of(context) }
    }
}

impl ServerHandler for Agent {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_resources().build());
        info.server_info = Implementation::new("asman", env!("CARGO_PKG_VERSION"));
        info.with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::list()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let CallToolRequestParams { name, arguments, .. } = request;
        let outcome = tools::run(&self.call(&context), &name, arguments.unwrap_or_default()).await;
        let outcome = outcome.map_or_else(answer::Refusal::into_result, answer::Answer::into_result);
        Ok(outcome.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(resources::list(self.visitor.queue.as_ref())))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let read = resources::read(&self.call(&context), &request.uri).await;
        read.map(Into::into).map_err(|refusal| {
            let sentence: Cow<'static, str> = refusal.sentence().to_owned().into();
            ErrorData::resource_not_found(sentence, Some(refusal.facts()))
        })
    }
}
