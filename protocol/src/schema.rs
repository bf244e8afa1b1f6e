//! JSON Schemas of types whose fields do not show their form on the wire: checked names, durations, log lines.

use utoipa::openapi::schema::{ArrayBuilder, ArrayItems, ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::limits::NAME_CHARS_MAX;
use crate::{Duration, JobId, LogLine, Namespace, QueueName, WorkerId};

/// The pattern of a name without slashes and control characters, in the syntax of ECMA-262.
const NAME_PATTERN: &str = r"^[^/\u0000-\u001f\u007f-\u009f]+$";

macro_rules! named {
    ($name:ident, $example:literal, $description:literal) => {
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .min_length(Some(1))
                    .max_length(Some(NAME_CHARS_MAX))
                    .pattern(Some(NAME_PATTERN))
                    .description(Some($description))
                    .examples([$example])
                    .into()
            }
        }

        impl ToSchema for $name {}
    };
}

named!(QueueName, "my-queue", "Name of a queue, which is also its key: everyone who knows it may use the queue.");
named!(JobId, "my-job", "Id of a job: 64 hex digits if the server made it, else a text that the client chose.");
named!(WorkerId, "laptop-1", "Id of a worker. The worker chooses it and keeps it over restarts.");
named!(Namespace, "_", "A label that keeps a job alive. `_` is the shared default. In a cancel, `*` means all namespaces.");

impl PartialSchema for Duration {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).examples(["1h30m"]);
        let ms = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0));
        OneOfBuilder::new()
            .item(text)
            .item(ms)
            .description(Some("A duration: `90s`, `20m`, `1h30m`, `250ms`; a bare number is milliseconds."))
            .into()
    }
}

impl ToSchema for Duration {}

impl PartialSchema for LogLine {
    fn schema() -> RefOr<Schema> {
        let part = |kind| Schema::from(ObjectBuilder::new().schema_type(SchemaType::new(kind)).build());
        ArrayBuilder::new()
            .prefix_items([part(Type::String), part(Type::Number), part(Type::Boolean)])
            .items(ArrayItems::False)
            .min_items(Some(2))
            .max_items(Some(3))
            .description(Some("`[text, epoch milliseconds]`, and `true` as a third member for standard error."))
            .examples([serde_json::json!(["hello", 1_700_000_000_000_i64])])
            .into()
    }
}

impl ToSchema for LogLine {}
