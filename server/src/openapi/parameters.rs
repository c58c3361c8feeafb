//! Parameters of the document.

use serde_json::{Value, json};

use crate::api::{Field, FieldKind};

/// One parameter. An array is written as one parameter for each of its values.
pub(super) fn parameter(field: &Field) -> Value {
    let schema = schema(field.kind);
    json!({
        "name": field.name,
        "in": "query",
        "style": "form",
        "explode": true,
        "required": field.is_required,
        "description": field.about,
        "schema": schema,
    })
}

/// What values a parameter takes. Times before 1970 are refused, as far as a pattern can say it.
fn schema(kind: FieldKind) -> Value {
    let time = json!({ "type": "string", "format": "date-time", "pattern": "^(19[7-9]|[2-9])" });
    let nothing = json!({ "const": "" });
    match kind {
        FieldKind::Text { length_min: 0 } => json!({ "type": "string" }),
        FieldKind::Text { length_min } => json!({ "type": "string", "minLength": length_min }),
        FieldKind::Pattern(pattern) => json!({ "type": "string", "pattern": pattern }),
        FieldKind::Repeated => json!({ "type": "array", "items": { "type": "string" } }),
        FieldKind::Number { min, max, default } => {
            json!({ "type": "integer", "minimum": min, "maximum": max, "default": default })
        }
        FieldKind::Flag => json!({ "type": "boolean", "default": false }),
        FieldKind::Time => json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": u64::MAX },
            time,
            nothing,
        ]}),
        FieldKind::Rfc3339 => json!({ "anyOf": [time, nothing] }),
        FieldKind::Names { pattern } => json!({
            "type": "array",
            "items": { "anyOf": [{ "type": "string", "pattern": pattern, "maxLength": 300 }, nothing] },
        }),
        FieldKind::Choices(words) => {
            let words = words.iter().chain(&[""]).collect::<Vec<_>>();
            json!({ "type": "array", "items": { "type": "string", "enum": words } })
        }
        FieldKind::Choice(words) => {
            json!({ "type": "string", "enum": words.iter().chain(&[""]).collect::<Vec<_>>() })
        }
        FieldKind::Cursor => json!({ "type": "string" }),
    }
}
