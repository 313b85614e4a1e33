//! The document at `/openapi.json`: put together from the same tables that requests are routed by, and from the same
//! shapes that they are held to.
//!
//! See <https://spec.openapis.org/oas/v3.1.1.html>.

use serde_json::{Map, Value, json};

use crate::command::{self, Operation};
use crate::query::{self, Read, Shown};
use crate::workspace::{Code, Id, Person, Shape, tables};

/// Describes all commands and reads.
pub(super) fn of(commands: &command::Catalogue, queries: &query::Catalogue) -> Value {
    let mut schemas: Map<String, Value> =
        tables::ALL.iter().map(|resource| (resource.name.to_owned(), resource.schema())).collect();
    schemas.insert("Problem".to_owned(), problem());
    let mut paths: Map<String, Value> = Map::new();
    for operation in commands.all() {
        if let Some(shape) = &operation.body {
            schemas.insert(shape.name().to_owned(), shape.schema().clone());
            schemas.extend(shape.components().iter().cloned());
        }
        at(&mut paths, operation.path, &operation.method.to_ascii_lowercase(), command(operation));
    }
    for read in queries.all() {
        if let Some(shape) = &read.query {
            schemas.extend(shape.components().iter().cloned());
        }
        if let Shown::Other(name, schema) = read.shown {
            schemas.insert(name.to_owned(), schema());
        }
        at(&mut paths, read.path, "get", self::read(read));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Commands and reads of the reference application. What is written here comes round on the stream.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "session": {"type": "apiKey", "in": "cookie", "name": "tidegate_session"},
            },
        },
    })
}

fn at(paths: &mut Map<String, Value>, path: &str, method: &str, operation: Value) {
    let item = paths.entry(path.to_owned()).or_insert_with(|| json!({}));
    item[method] = operation;
}

/// The part of the document that an operation belongs to: the first word of its path.
fn tag(path: &str) -> &str {
    path.split('/').nth(2).unwrap_or_default()
}

fn command(operation: &Operation) -> Value {
    let mut parameters = in_path(operation.path);
    parameters.push(json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$", "examples": ["f3b1c9e2"]},
        "description": "A repeat with the same key is answered as the first was, and does nothing.",
    }));
    if operation.versioned {
        parameters.push(json!({
            "name": "If-Match", "in": "header", "required": false,
            "schema": {
                "type": "string",
                "pattern": "^(\\*|(W/)?\"[1-9][0-9]{0,8}(-[0-9a-f]{8})?\")$",
                "examples": ["\"3\"", "*"],
            },
            "description": "The version that was read, as `ETag` had it: another one now is 412.",
        }));
    }
    let mut properties = json!({"tx": {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "The transaction, as `changes` name it.",
    }});
    let mut required = vec!["tx"];
    if let Some(row) = operation.row {
        properties["row"] = json!({"$ref": format!("#/components/schemas/{}", row.name)});
        required.push("row");
    }
    if operation.is_batch() {
        let result = json!({"type": "object", "required": ["row"], "properties": {"row": {}}});
        properties["results"] = json!({"type": "array", "items": result});
        required.push("results");
    }
    let body = json!({"type": "object", "required": required, "properties": properties});
    let done = json!({
        "description": "Done.",
        "headers": {
            "Tidegate-Tx": {"schema": {"type": "string"}, "description": "The transaction."},
            "Tidegate-Lsn": {
                "schema": {"type": "string"},
                "description": "A position behind it, for `await` and `Tidegate-Min-Lsn`.",
            },
            "ETag": {"schema": {"type": "string"}, "description": "The version of the row, if it has one."},
            "Idempotency-Replayed": {
                "schema": {"const": "true"},
                "description": "Only where it was carried out before, under the same `Idempotency-Key`.",
            },
        },
        "content": {"application/json": {"schema": body}},
    });
    let mut responses = refusals();
    responses.insert("200".to_owned(), done.clone());
    responses.insert("201".to_owned(), done);
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [tag(operation.path)],
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(shape) = &operation.body {
        let schema = json!({"$ref": format!("#/components/schemas/{}", shape.name())});
        let required = !shape.faults(&json!({})).is_empty();
        described["requestBody"] =
            json!({"required": required, "content": {"application/json": {"schema": schema}}});
    }
    described
}

fn read(read: &Read) -> Value {
    let mut parameters = in_path(read.path);
    parameters.extend(read.query.iter().flat_map(in_query));
    parameters.push(json!({
        "name": "Tidegate-Min-Lsn", "in": "header", "required": false,
        "schema": {"type": "string", "pattern": "^[0-9A-F]{1,8}/[0-9A-F]{1,8}$", "examples": ["0/1A744C8"]},
        "description": "What was seen already, as `Tidegate-Lsn` had it: the answer is no older.",
    }));
    let (kind, schema) = match read.shown {
        Shown::Csv => ("text/csv", read.shown.schema()),
        Shown::Other(name, _) => {
            ("application/json", json!({"$ref": format!("#/components/schemas/{name}")}))
        }
        Shown::Row(_) | Shown::Page(_) => ("application/json", read.shown.schema()),
    };
    let mut responses = refusals();
    responses.insert(
        "200".to_owned(),
        json!({
            "description": "Here it is.",
            "headers": {"ETag": {"schema": {"type": "string"}}},
            "content": {kind: {"schema": schema}},
        }),
    );
    responses.insert("304".to_owned(), json!({"description": "It is as `If-None-Match` has it."}));
    json!({
        "operationId": read.id,
        "summary": read.summary,
        "tags": [tag(read.path)],
        "parameters": parameters,
        "responses": responses,
    })
}

fn in_path(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let described = names.map(|name| {
        let schema = match name {
            "user" => json!({"type": "string", "pattern": Person::PATTERN, "examples": ["ada"]}),
            "rule" => json!({
                "type": "string", "format": "uuid", "examples": ["b0a9c0de-2f0e-4a54-9d5e-7a1f3c5d7e9b"],
            }),
            "name" if path.starts_with("/v1/charts/") => {
                json!({"type": "string", "enum": query::charts().collect::<Vec<_>>()})
            }
            "name" => json!({"type": "string", "minLength": 1, "maxLength": 100, "examples": ["start"]}),
            _ => json!({"type": "string", "pattern": Id::PATTERN, "examples": ["1"]}),
        };
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    });
    described.collect()
}

/// The members of a query's shape.
fn in_query(shape: &Shape) -> Vec<Value> {
    let properties = shape.schema()["properties"].as_object().cloned().unwrap_or_default();
    let required = shape.schema()["required"].as_array().cloned().unwrap_or_default();
    let described = properties.into_iter().map(|(name, schema)| {
        let is_required = required.iter().any(|required| *required == json!(name));
        json!({
            "name": name, "in": "query", "required": is_required,
            "description": schema["description"], "schema": without_null(schema),
        })
    });
    described.collect()
}

/// In a query there is no null: a member that can be is one that can be left out.
fn without_null(mut schema: Value) -> Value {
    if let Some(kinds) = schema["type"].as_array() {
        let mut kinds: Vec<Value> = kinds.iter().filter(|kind| **kind != json!("null")).cloned().collect();
        schema["type"] = if kinds.len() == 1 { kinds.remove(0) } else { json!(kinds) };
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let mut choices: Vec<Value> =
            choices.iter().filter(|choice| choice["type"] != json!("null")).cloned().collect();
        if choices.len() == 1 {
            return choices.remove(0);
        }
        schema["oneOf"] = json!(choices);
    }
    schema
}

/// How requests are refused, by status.
fn refusals() -> Map<String, Value> {
    let mut by_status: Map<String, Value> = Map::new();
    let edge = [(401, "unauthenticated"), (429, "rate_limited")];
    let codes = Code::ALL.iter().map(|code| (code.status(), code.as_str()));
    for (status, code) in codes.chain(edge) {
        let known = by_status.get(&status.to_string());
        let before = known.and_then(|known| known["description"].as_str()).map(|text| format!("{text}, "));
        let description = format!("{}`{code}`", before.unwrap_or_default());
        by_status.insert(
            status.to_string(),
            json!({
                "description": description,
                "content": {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
                },
            }),
        );
    }
    // Refused before anybody looks at it, path and all.
    by_status
        .insert("431".to_owned(), json!({"description": "Too many or too large headers: no body says so."}));
    by_status
}

/// See <https://www.rfc-editor.org/rfc/rfc9457>.
fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string", "description": "`urn:tidegate:problem:` and the code."},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "For people."},
            "code": {"type": "string", "description": "Stable: clients switch on it."},
            "errors": {
                "type": "array",
                "description": "Each field's fault.",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                },
            },
            "current": {"description": "With `stale_version`: the row as it is now."},
            "index": {"type": "integer", "description": "Which command of a batch, counted from 0."},
        },
    })
}
