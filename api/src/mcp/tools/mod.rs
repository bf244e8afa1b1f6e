//! The tools: their names, arguments and functions. Each exists once for all transports.

mod build;
mod files;
mod iterations;
mod jobs;
mod logs;
mod queue;
mod results;
mod run;

use std::sync::{Arc, LazyLock};

use futures_util::future::BoxFuture;
use rmcp::handler::server::tool::schema_for_input;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use rmcp::schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::answer::{Answer, Refusal};
use super::arguments;
use super::call::Call;

pub(super) type Outcome = Result<Answer, Refusal>;
type Run = Box<dyn for<'a> Fn(&'a Call<'a>, JsonObject) -> BoxFuture<'a, Outcome> + Send + Sync>;

/// One tool.
struct RunnableTool {
    tool: Tool,
    run: Run,
}

/// What a tool does to a queue, for clients that ask a person before some calls.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Changes nothing.
    Reads,
    /// Adds something. Another call with the same arguments adds nothing.
    Adds,
    /// Ends or replaces jobs.
    Ends,
}

impl Kind {
    fn annotations(self) -> ToolAnnotations {
        let (is_read_only, is_destructive) = match self {
            Self::Reads => (true, false),
            Self::Adds => (false, false),
            Self::Ends => (false, true),
        };
        ToolAnnotations::new().read_only(is_read_only).destructive(is_destructive).idempotent(true).open_world(true)
    }
}

fn tool<A>(
    name: &'static str,
    about: &'static str,
    kind: Kind,
    run: for<'a> fn(&'a Call<'a>, A) -> BoxFuture<'a, Outcome>,
) -> RunnableTool
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
{
    let schema: Arc<JsonObject> = schema_for_input::<A>().unwrap_or_default();
    let tool = Tool::new(name, about, schema).with_annotations(kind.annotations());
    let run: Run = Box::new(move |call, given| match arguments::read::<A>(given) {
        Ok(read) => run(call, read),
        Err(refusal) => Box::pin(async { Err(refusal) }),
    });
    RunnableTool { tool, run }
}

static TOOLS: LazyLock<Vec<RunnableTool>> = LazyLock::new(|| {
    [
        run::tools(),
        jobs::tools(),
        results::tools(),
        logs::tools(),
        build::tools(),
        iterations::tools(),
        files::tools(),
        queue::tools(),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// All tools, as clients see them.
pub(super) fn list() -> Vec<Tool> {
    TOOLS.iter().map(|entry| entry.tool.clone()).collect()
}

/// Names of all tools and what each does, for the description of the server.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    TOOLS.iter().filter_map(|entry| match (&entry.tool.name, &entry.tool.description) {
        (std::borrow::Cow::Borrowed(name), Some(std::borrow::Cow::Borrowed(about))) => Some((*name, *about)),
        _ => None,
    })
}

/// Runs a tool.
pub(super) async fn run(call: &Call<'_>, name: &str, given: JsonObject) -> Outcome {
    let Some(entry) = TOOLS.iter().find(|entry| entry.tool.name == name) else {
        let known: Vec<&str> = TOOLS.iter().map(|entry| entry.tool.name.as_ref()).collect();
        return Err(Refusal::of_argument("name", format!("there is no such tool; the tools are {}", known.join(", "))));
    };
    metrics::counter!("asman_tool_calls_total", "tool" => entry.tool.name.to_string()).increment(1);
    (entry.run)(call, given).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_tool_says_what_it_does_and_takes_named_arguments_with_descriptions() {
        let names: BTreeSet<_> = names().map(|(name, _)| name).collect();
        assert_eq!(names.len(), TOOLS.len());
        for tool in list() {
            let schema = serde_json::Value::Object((*tool.input_schema).clone());
            assert_eq!((&schema["type"], &schema["additionalProperties"]), (&"object".into(), &false.into()), "{tool:?}");
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                assert!(property["description"].as_str().is_some_and(|text| text.ends_with('.')), "{}: {name}", tool.name);
            }
            assert!(tool.description.is_some_and(|about| about.ends_with('.')), "{}", tool.name);
        }
    }
}
