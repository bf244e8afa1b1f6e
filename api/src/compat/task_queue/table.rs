//! The one table with every route of the task-queue API, for the dispatch, the permissions and the description.

use protocol::limits;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::claims::{ClaimBody, EndBody, HeartbeatBody};
use super::items::{EventParameters, ListParameters};
use super::schemas::{
    ClaimedItems, Described, EndedItem, ExtendedItems, ItemBodies, ItemEvents, ItemHistory, ItemIds, ItemPage, ItemPairs,
    OneOrMoreIds, PassedOver, Purged, ShownItem, Size, Sizes, StageNumber, StoredItem, Taken,
};
use crate::access::Right;
use crate::description::parameters_of;

/// What follows the name of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing.
    Nothing,
    /// A stage.
    Stage,
    /// How many items.
    Number,
    /// The id of an item, which may contain slashes.
    Id,
}

/// One route.
#[derive(Debug)]
pub(crate) struct Route {
    /// Its name, which is the first part of the path below a mount.
    pub(crate) name: &'static str,
    /// What follows the name.
    pub(crate) takes: Takes,
    /// One for each of its methods.
    pub(crate) operations: &'static [Operation],
}

/// Schemas that others refer to, by their names.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;
/// Returns the reference to a schema, and adds the schema with everything that it refers to.
pub(super) type Shape = fn(&mut Schemas) -> Value;

/// One method of a route.
#[derive(Debug)]
pub(crate) struct Operation {
    /// The method.
    pub(crate) method: &'static str,
    /// The permission that a caller needs. Callers that claim and end items need that of a worker.
    pub(super) right: Right,
    /// What it does: a short first sentence, then the rest.
    pub(super) says: &'static str,
    pub(super) query: Option<fn() -> Vec<Value>>,
    pub(super) body: Option<Body>,
    pub(super) answer: Shape,
    /// Statuses of refusals in addition to those that all routes share.
    pub(super) refusals: &'static [u16],
}

/// The request body of a method.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) shape: Shape,
    pub(super) is_required: bool,
    /// JSON text.
    pub(super) example: &'static str,
}

impl Route {
    /// Its methods, as in the `Allow` header.
    pub(super) fn allow(&self) -> String {
        self.operations.iter().map(|operation| operation.method).collect::<Vec<_>>().join(", ")
    }

    /// What a method does here.
    pub(super) fn operation(&self, method: &str) -> Option<&'static Operation> {
        self.operations.iter().find(|operation| operation.method == method)
    }

    /// The path below a mount, in the form of the document.
    pub(crate) fn path(&self) -> String {
        match self.takes {
            Takes::Nothing => self.name.to_owned(),
            Takes::Stage => format!("{}/{{stage}}", self.name),
            Takes::Number => format!("{}/{{n_items}}", self.name),
            Takes::Id => format!("{}/{{item_id}}", self.name),
        }
    }
}

fn shape<T: ToSchema>(schemas: &mut Schemas) -> Value {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
    json!({"$ref": format!("#/components/schemas/{}", T::name())})
}

const fn get(right: Right, answer: Shape, says: &'static str) -> Operation {
    Operation { method: "GET", right, says, query: None, body: None, answer, refusals: &[] }
}

const fn post(right: Right, body: Option<Body>, answer: Shape, says: &'static str) -> Operation {
    Operation { method: "POST", body, ..get(right, answer, says) }
}

const fn body<T: ToSchema>(example: &'static str) -> Body {
    Body { shape: shape::<T>, is_required: true, example }
}

const fn optional<T: ToSchema>(example: &'static str) -> Body {
    Body { is_required: false, ..body::<T>(example) }
}

const fn end(says: &'static str, example: &'static str) -> Operation {
    Operation { refusals: &[409], ..post(Right::Work, Some(optional::<EndBody>(example)), shape::<EndedItem>, says) }
}

const fn route(name: &'static str, takes: Takes, operations: &'static [Operation]) -> Route {
    Route { name, takes, operations }
}

/// Every route. The first nine have the answers that existing clients expect.
pub(crate) static ROUTES: [Route; 20] = {
    use Right::{Read, Remove, Submit, Work};
    use Takes::{Id, Nothing, Number, Stage};
    const { assert!(limits::ITEMS_PUT_MAX == 100_000 && limits::ITEMS_PAGE_MAX == 1_000, "the texts below name these") };
    [
        route("size", Stage, &[get(Read, shape::<Size>, "How many items are in a stage")]),
        route("sizes", Nothing, &[get(Read, shape::<Sizes>, "How many items are in each stage, at one moment")]),
        route("status", Id, &[get(Read, shape::<StageNumber>, "The number of an item's stage")]),
        route(
            "lookup_state",
            Stage,
            &[Operation {
                refusals: &[413],
                ..get(Read, shape::<ItemIds>, "The ids in a stage, waiting ones in the order of the queue")
            }],
        ),
        route("lookup_item", Id, &[get(Read, shape::<StoredItem>, "One item with its body")]),
        route("describe", Nothing, &[get(Read, shape::<Described>, "How the queue is stored")]),
        route(
            "get",
            Number,
            &[get(
                Work,
                shape::<ItemPairs>,
                "Claim the next items for ever. They stay in PROCESSING until a client ends them; `claim` takes them for the \
                 time of a lease instead.",
            )],
        ),
        route(
            "put",
            Nothing,
            &[post(
                Submit,
                Some(body::<ItemBodies>(r#"{"tile-1": {"zoom": 3}, "tile-2": [1, 2]}"#)),
                shape::<PassedOver>,
                "Put items in. Ids that the queue has in any stage are skipped and named; the first body stays. At most \
                 100,000 items a request.",
            )],
        ),
        route(
            "requeue",
            Nothing,
            &[post(
                Submit,
                Some(body::<OneOrMoreIds>(r#"["tile-1"]"#)),
                shape::<PassedOver>,
                "Queue failed items again. They wait behind all others; ids that are not in FAIL are named.",
            )],
        ),
        route("peek", Number, &[get(Read, shape::<ItemPairs>, "The items that a `get` would return now")]),
        route(
            "claim",
            Nothing,
            &[post(
                Work,
                Some(optional::<ClaimBody>(
                    r#"{"n_items": 2, "worker_id": "laptop-1", "lease_seconds": 60, "wait_seconds": 20}"#,
                )),
                shape::<ClaimedItems>,
                "Claim the next items for the time of a lease. Waits for the first one at most `wait_seconds`.",
            )],
        ),
        route(
            "heartbeat",
            Nothing,
            &[post(
                Work,
                Some(optional::<HeartbeatBody>(r#"{"lease_seconds": 60, "items": [{"item_id": "tile-1", "epoch": 17}]}"#)),
                shape::<ExtendedItems>,
                "Give claims a new lease from now. Those that are no longer live are `lost`.",
            )],
        ),
        route(
            "success",
            Id,
            &[end(
                "End a claim with success. Without an epoch it ends the live claim.",
                r#"{"epoch": 17, "result": {"rows": 12}}"#,
            )],
        ),
        route(
            "fail",
            Id,
            &[end(
                "End a claim as failed. Without an epoch it ends the live claim.",
                r#"{"epoch": 17, "error": "no such tile"}"#,
            )],
        ),
        route("release", Id, &[end("Put a claimed item back to WAITING, without penalty", r#"{"epoch": 17}"#)]),
        route(
            "item",
            Id,
            &[
                Operation {
                    method: "DELETE",
                    ..get(
                        Remove,
                        shape::<Taken>,
                        "Delete an item in any stage. The worker that has claimed it is refused from now on. Container jobs \
                         stay. Requires the owner's token if the queue has an owner.",
                    )
                },
                get(Read, shape::<ShownItem>, "Everything about one item, with its body and its result"),
            ],
        ),
        route(
            "items",
            Nothing,
            &[Operation {
                query: Some(parameters_of::<ListParameters>),
                ..get(Read, shape::<ItemPage>, "A page of items in the order of their ids")
            }],
        ),
        route(
            "purge",
            Stage,
            &[post(
                Remove,
                None,
                shape::<Purged>,
                "Delete all items of a stage, a million at most; the answer has their number. Container jobs stay. Requires the \
                 owner's token if the queue has an owner.",
            )],
        ),
        route(
            "history",
            Id,
            &[get(Read, shape::<ItemHistory>, "Every transition of one item, oldest first. Also of a deleted item.")],
        ),
        route(
            "events",
            Nothing,
            &[Operation {
                query: Some(parameters_of::<EventParameters>),
                ..get(
                    Read,
                    shape::<ItemEvents>,
                    "Transitions of the queue in their order. None is skipped or repeated when each read continues from \
                     the `cursor` of the last.",
                )
            }],
        ),
    ]
};
