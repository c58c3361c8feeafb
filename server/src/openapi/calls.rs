//! Routes that wait for other servers or take a body, as the document tells them.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::{headers, operation, parameters, responses};
use crate::api::calls::{Call, Gives, JSON, Takes};

/// The path with its one operation.
pub(super) fn path_item(call: &Call, generator: &mut SchemaGenerator) -> Value {
    let responses = answers(call, generator);
    let parameters = call.fields().iter().map(parameters::parameter).collect();
    let mut operation = operation(
        call.path, call.title, call.about, call.group, false, parameters, responses,
    );
    let Takes::Body {
        schema, example, ..
    } = &call.takes
    else {
        return json!({ "get": operation });
    };
    // The examples are literals of this crate; a test sends them.
    let example: Value = serde_json::from_str(example).unwrap_or_default();
    let body = json!({
        "required": true,
        "content": { "application/json": { "schema": schema(generator), "example": example } },
    });
    if let Some(members) = operation.as_object_mut() {
        members.insert("requestBody".into(), body);
    }
    json!({ "post": operation })
}

fn answers(call: &Call, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut responses = responses::of_every_route(call.group);
    let content = match call.gives {
        Gives::Json(schema) if call.is_of_the_index => {
            responses::json_or_page(&schema(generator), false)
        }
        Gives::Json(schema) => json!({ JSON: { "schema": schema(generator) } }),
        Gives::Media(media, about) => {
            json!({ media: { "schema": { "type": "string", "format": "binary", "description": about } } })
        }
    };
    let names = headers::ALWAYS.into_iter();
    let of_the_index = headers::OF_THE_INDEX.into_iter();
    let headers = match call.is_of_the_index {
        true => headers::refer(names.chain(of_the_index)),
        false => headers::refer(names),
    };
    let answer = json!({ "description": "The answer.", "headers": headers, "content": content });
    responses.insert("200".into(), answer);
    let mut statuses: Vec<u16> = call.errors.iter().map(|told| told.status).collect();
    statuses.dedup();
    for status in statuses {
        let told = call.errors.iter().filter(|told| told.status == status);
        let told: Vec<String> = told
            .map(|told| format!("{}: {}", told.name, told.about))
            .collect();
        let problem = responses::told(status, &format!("{}.", told.join("; ")));
        responses.insert(status.to_string(), problem);
    }
    let mut others = vec![500, 503, 504];
    if !call.is_of_the_index {
        others.push(501);
    }
    if matches!(call.takes, Takes::Body { .. }) {
        others.extend([408, 413, 415]);
    }
    for status in others {
        let problem = responses::problem(status, call.group);
        responses.entry(status.to_string()).or_insert(problem);
    }
    responses
}
