//! The OpenAPI 2 document in protobuf, as `kubectl` asks for it: the messages
//! of gnostic's `openapiv2/OpenAPIv2.proto`, as far as they are used here.

use serde_json::{Map, Value};

use super::document::Sink;
use crate::api::KUBERNETES;

/// A message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    fn bytes(&mut self, tag: u32, bytes: &[u8]) {
        self.number(u64::from(tag) << 3 | 2);
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Text; absent if it is no text.
    fn text(&mut self, tag: u32, text: &Value) {
        if let Some(text) = text.as_str() {
            self.bytes(tag, text.as_bytes());
        }
    }

    fn texts(&mut self, tag: u32, list: &Value) {
        list.as_array().into_iter().flatten().for_each(|text| self.text(tag, text));
    }

    fn yes(&mut self, tag: u32, value: &Value) {
        if value.as_bool() == Some(true) {
            self.number(u64::from(tag) << 3);
            self.number(1);
        }
    }

    fn message(&mut self, tag: u32, message: &Message) {
        self.bytes(tag, &message.0);
    }

    /// `NamedX`: an entry of a map.
    fn named(&mut self, tag: u32, name: &str, value: &Message) {
        let mut named = Message::default();
        named.bytes(1, name.as_bytes());
        named.message(2, value);
        self.message(tag, &named);
    }

    /// `NamedAny` of each extension; the values are YAML, which JSON is, too.
    fn extensions(&mut self, tag: u32, object: &Value) {
        for (name, value) in entries(object).filter(|(name, _)| name.starts_with("x-")) {
            self.named(tag, name, &any(value));
        }
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn any(value: &Value) -> Message {
    let mut any = Message::default();
    any.bytes(2, value.to_string().as_bytes());
    any
}

/// A message with one field, another message.
fn around(tag: u32, inner: &Message) -> Message {
    let mut outer = Message::default();
    outer.message(tag, inner);
    outer
}

/// `Schema`.
fn schema(value: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, &value["$ref"]);
    out.text(2, &value["format"]);
    out.text(4, &value["description"]);
    out.texts(19, &value["required"]);
    for one in value["enum"].as_array().into_iter().flatten() {
        out.message(20, &any(one));
    }
    if value["additionalProperties"].is_object() {
        out.message(21, &around(1, &schema(&value["additionalProperties"])));
    }
    if value["type"].is_string() {
        let mut ty = Message::default();
        ty.text(1, &value["type"]);
        out.message(22, &ty);
    }
    if value["items"].is_object() {
        out.message(23, &around(1, &schema(&value["items"])));
    }
    if value["properties"].is_object() {
        let mut properties = Message::default();
        entries(&value["properties"]).for_each(|(name, value)| properties.named(1, name, &schema(value)));
        out.message(25, &properties);
    }
    out.extensions(31, value);
    out
}

/// `ParametersItem`.
fn parameter(value: &Value) -> Message {
    let mut out = Message::default();
    // BodyParameter
    if value["in"] == "body" {
        out.text(2, &value["name"]);
        out.text(3, &value["in"]);
        out.yes(4, &value["required"]);
        out.message(5, &schema(&value["schema"]));
        return around(1, &around(1, &out));
    }
    // QueryParameterSubSchema, PathParameterSubSchema
    let query = value["in"] == "query";
    out.yes(1, &value["required"]);
    out.text(2, &value["in"]);
    out.text(4, &value["name"]);
    out.text(if query { 6 } else { 5 }, &value["type"]);
    around(1, &around(2, &around(if query { 3 } else { 4 }, &out)))
}

fn parameters(out: &mut Message, tag: u32, list: &Value) {
    list.as_array().into_iter().flatten().for_each(|p| out.message(tag, &parameter(p)));
}

/// `Operation`.
fn operation(value: &Value) -> Message {
    let mut out = Message::default();
    out.text(5, &value["operationId"]);
    out.texts(6, &value["produces"]);
    out.texts(7, &value["consumes"]);
    parameters(&mut out, 8, &value["parameters"]);
    let mut responses = Message::default();
    for (code, value) in entries(&value["responses"]) {
        let mut response = Message::default();
        response.text(1, &value["description"]);
        if value["schema"].is_object() {
            response.message(2, &around(1, &schema(&value["schema"])));
        }
        responses.named(1, code, &around(1, &response));
    }
    out.message(9, &responses);
    out.extensions(13, value);
    out
}

/// `PathItem`.
fn path_item(value: &Value) -> Message {
    let mut out = Message::default();
    for (tag, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if value[method].is_object() {
            out.message(tag, &operation(&value[method]));
        }
    }
    parameters(&mut out, 9, &value["parameters"]);
    out
}

/// A document in protobuf.
#[derive(Default)]
pub struct Document {
    paths: Message,
    definitions: Message,
}

impl Sink for Document {
    fn path(&mut self, name: &str, item: &Value) {
        self.paths.named(2, name, &path_item(item));
    }

    fn schema(&mut self, name: &str, value: &Value) {
        self.definitions.named(1, name, &schema(value));
    }
}

impl Document {
    /// The whole document.
    pub fn end(self) -> Vec<u8> {
        let mut info = Message::default();
        info.bytes(1, b"Kubernetes");
        info.bytes(2, KUBERNETES.2.as_bytes());
        let mut out = Message::default();
        out.bytes(1, b"2.0");
        out.message(2, &info);
        out.message(8, &self.paths);
        out.message(9, &self.definitions);
        out.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bytes_of_a_schema() {
        let long = "x".repeat(200);
        let got = schema(&json!({"description": long, "type": "string", "x-a": [1]})).0;
        let mut expected = vec![4 << 3 | 2, 200, 1];
        expected.extend(long.as_bytes());
        expected.extend([0xb2, 1, 8, 1 << 3 | 2, 6]);
        expected.extend(b"string");
        expected.extend([0xfa, 1, 12, 1 << 3 | 2, 3]);
        expected.extend(b"x-a");
        expected.extend([2 << 3 | 2, 5, 2 << 3 | 2, 3]);
        expected.extend(b"[1]");
        assert_eq!(got, expected);
    }
}
