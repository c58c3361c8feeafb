//! What bodies look like, as the OpenAPI document tells it.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::backlinks::{ITEMS_MAX, PAGE_DEFAULT, PAGE_MAX};
use super::fields::SERVICE_PATTERN;
use super::proxy::SOURCES_MAX;
use crate::api::fields::NSID;
use crate::hydrate::RECORDS_MAX;

pub(super) fn uris(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["uris"],
        "properties": {
            "uris": {
                "type": "array",
                "maxItems": RECORDS_MAX,
                "items": { "type": "string" },
                "description": "The at-uris of records. What is wrong with one is told with it.",
            },
        },
    })
}

fn items() -> serde_json::Value {
    serde_json::json!({
        "type": "array",
        "maxItems": ITEMS_MAX,
        "description": "The questions. What is wrong with one is told with it.",
        "items": {
            "type": "object",
            "required": ["subject", "source"],
            "properties": {
                "subject": { "type": "string", "description": "The target of the links: a DID, an at-uri or a URI." },
                "source": { "type": "string", "description": "A collection, a colon, and a path in its records without its first dot." },
            },
        },
    })
}

pub(super) fn counts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": items(),
            "distinct": { "type": "boolean", "default": false, "description": "Whether accounts are counted too." },
        },
    })
}

pub(super) fn pages(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": items(),
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": PAGE_MAX,
                "default": PAGE_DEFAULT,
                "description": "Records on each page.",
            },
        },
    })
}

pub(super) fn hydrate_query(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["xrpc", "atproto_proxy", "hydration_sources"],
        "properties": {
            "xrpc": { "type": "string", "pattern": NSID, "description": "The query: an NSID." },
            "atproto_proxy": { "type": "string", "pattern": SERVICE_PATTERN, "description": "Whom to ask: a DID, # and the id of its service." },
            "params": {
                "type": ["object", "null"],
                "additionalProperties": true,
                "description": "The parameters of the query: texts, numbers, true or false, or lists of those.",
            },
            "hydration_sources": {
                "type": "array",
                "maxItems": SOURCES_MAX,
                "description": "Where the answer names records.",
                "items": {
                    "type": "object",
                    "required": ["path", "shape"],
                    "properties": {
                        "path": { "type": "string", "minLength": 1, "maxLength": 512, "description": "A path into the answer, as hydrate takes them for records: records[], or value.embed.record." },
                        "shape": {
                            "type": "string",
                            "enum": ["at-uri-parts", "strong-ref"],
                            "description": "at-uri-parts: did (or repo), collection and rkey. strong-ref: uri and cid. In either a text is an at-uri, a DID or a handle.",
                        },
                    },
                },
            },
            "authorization": { "type": ["string", "null"], "pattern": "^[ -~]*$", "description": "The header Authorization, for the other service alone." },
            "atproto_accept_labelers": { "type": ["string", "null"], "pattern": "^[ -~]*$", "description": "The header atproto-accept-labelers, for the other service." },
        },
    })
}
