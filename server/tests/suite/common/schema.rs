//! A strict reading of the part of JSON Schema that the server's document uses: members that a schema does not name
//! are refused too, and so is any keyword that is not known here.

use serde_json::Value;

/// Checks `value` against `schema`, whose references are to `document`. `Err` tells where it differs.
pub fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fail = |what: &str| Err(format!("{at}: {what}: {value} is not as {schema}"));
    let Some(schema) = schema.as_object() else {
        return if schema == &Value::Bool(true) {
            Ok(())
        } else {
            fail("no schema")
        };
    };
    for (keyword, wanted) in schema {
        match keyword.as_str() {
            "description" | "title" | "default" | "format" | "required" | "pattern" => {}
            "minLength" | "maxLength" => {}
            "maxItems" if value.as_array().map(|items| items.len() as u64) > wanted.as_u64() => {
                return fail("maxItems");
            }
            "maximum" if value.as_f64() > wanted.as_f64() => return fail("maximum"),
            "maxItems" | "maximum" => {}
            "$ref" => {
                let place = wanted.as_str().unwrap().trim_start_matches('#');
                let inner = document.pointer(place).ok_or(format!("{at}: no {place}"))?;
                check(document, inner, value, at)?;
            }
            "anyOf" | "oneOf" => {
                let mut choices = wanted.as_array().unwrap().iter();
                if !choices.any(|choice| check(document, choice, value, at).is_ok()) {
                    return fail("none of the choices");
                }
            }
            "type" => {
                let kinds = match wanted {
                    Value::Array(kinds) => kinds.clone(),
                    kind => vec![kind.clone()],
                };
                let is = |kind: &Value| match kind.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    "number" => value.is_number(),
                    "integer" => value.is_u64() || value.is_i64(),
                    other => panic!("type {other}"),
                };
                if !kinds.iter().any(is) {
                    return fail("type");
                }
            }
            "const" if value != wanted => return fail("const"),
            "const" => {}
            "enum" if !wanted.as_array().unwrap().contains(value) => return fail("enum"),
            "enum" => {}
            // Of what is no number it says nothing.
            "minimum" if value.is_number() && value.as_f64() < wanted.as_f64() => {
                return fail("minimum");
            }
            "minimum" => {}
            "items" => {
                for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, wanted, item, &format!("{at}[{i}]"))?;
                }
            }
            "properties" => {
                for (name, inner) in value.as_object().into_iter().flatten() {
                    match (wanted.get(name), schema.get("additionalProperties")) {
                        (Some(wanted), _) => {
                            check(document, wanted, inner, &format!("{at}.{name}"))?
                        }
                        (None, Some(_)) => {}
                        (None, None) => return fail(&format!("undeclared member {name}")),
                    }
                }
            }
            "additionalProperties" => {
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if schema
                        .get("properties")
                        .and_then(|known| known.get(name))
                        .is_none()
                    {
                        check(document, wanted, inner, &format!("{at}.{name}"))?;
                    }
                }
            }
            other => panic!("keyword {other} in {schema:?}"),
        }
    }
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
            return fail(&format!("member {name} is missing"));
        }
    }
    Ok(())
}
