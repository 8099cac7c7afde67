//! Request bodies in protobuf (`application/vnd.kubernetes.protobuf`), which
//! `kubectl` and client libraries in Go prefer, as JSON.
//!
//! Only decoding: answers are JSON. The decoder walks the table of `schema`;
//! it holds at most a bounded number of values and never reads past its input.

mod value;
mod wire;

use serde_json::{Map, Value};

use crate::{
    ApiError, Reason,
    schema::{self, Field, Message, Shape, Ty},
};
use wire::{Reader, Wire};

/// Media type of such bodies.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// A body is not read if it is larger.
pub const BODY_SIZE_BYTES_MAX: usize = 3 << 20;
/// Values (fields, items, entries) in one body.
pub const VALUES_MAX: usize = 100_000;
/// Messages within messages.
const DEPTH_MAX: usize = 32;
const MAGIC: &[u8] = b"k8s\0";

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("it does not begin with the magic bytes \"k8s\\0\"")]
    NoMagic,
    #[error("it ends in the middle of a value")]
    Truncated,
    #[error("a number is longer than 10 bytes")]
    LongNumber,
    #[error("wire type {0} is not used by Kubernetes")]
    WireType(u8),
    #[error("{0} has no field {1}")]
    UnknownField(&'static str, u32),
    #[error("{0}.{1} has another type")]
    FieldType(&'static str, &'static str),
    #[error("{0}.{1} is not UTF-8")]
    NotUtf8(&'static str, &'static str),
    #[error("{0}.{1}: the time is out of range")]
    Time(&'static str, &'static str),
    #[error("{0}.{1} holds no JSON")]
    NotJson(&'static str, &'static str),
    #[error("messages are nested more than {DEPTH_MAX} deep")]
    TooDeep,
    #[error("it has more than {VALUES_MAX} values")]
    TooMany,
    #[error("the encoding {0:?} of the content is not supported")]
    Encoding(String),
    #[error("the content is JSON, but wrong")]
    Json,
    #[error("{0} {1} is not a kind that can be sent to this node")]
    Kind(String, String),
}

/// The object in a body, as JSON with `apiVersion` and `kind`.
///
/// # Errors
/// 400 that says what is wrong; 413 if it is too large.
pub fn decode(body: &[u8]) -> Result<Value, ApiError> {
    if body.len() > BODY_SIZE_BYTES_MAX {
        let message = format!("the body has {} bytes, at most {BODY_SIZE_BYTES_MAX} are read", body.len());
        return Err(ApiError::new(Reason::RequestEntityTooLarge, message));
    }
    decode_body(body).map_err(|e| ApiError::bad_request(format!("protobuf body: {e}")))
}

/// `runtime.Unknown`: what is in a body, and the content itself.
#[derive(Default)]
struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
    encoding: String,
    content_type: String,
}

fn decode_body(body: &[u8]) -> Result<Value, Wrong> {
    let envelope = open(body.strip_prefix(MAGIC).ok_or(Wrong::NoMagic)?)?;
    if !envelope.encoding.is_empty() {
        return Err(Wrong::Encoding(envelope.encoding));
    }
    if envelope.content_type == "application/json" {
        return serde_json::from_slice(envelope.raw).map_err(|_| Wrong::Json);
    }
    let Some(message) = schema::find(&envelope.api_version, &envelope.kind) else {
        return Err(Wrong::Kind(envelope.api_version, envelope.kind));
    };
    let mut object = Map::new();
    object.insert("apiVersion".into(), envelope.api_version.into());
    object.insert("kind".into(), envelope.kind.into());
    let mut decoder = Decoder { values_left: VALUES_MAX };
    decoder.message(envelope.raw, message, &mut object, DEPTH_MAX)?;
    Ok(object.into())
}

fn open(bytes: &[u8]) -> Result<Envelope<'_>, Wrong> {
    const NAME: &str = "runtime.Unknown";
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Wrong::NotUtf8(NAME, "typeMeta"));
    let mut envelope = Envelope::default();
    let mut reader = Reader(bytes);
    while let Some((tag, wire)) = reader.next()? {
        match (tag, wire) {
            (1, Wire::Bytes(meta)) => {
                let mut meta = Reader(meta);
                while let Some((tag, wire)) = meta.next()? {
                    match (tag, wire) {
                        (1, Wire::Bytes(version)) => envelope.api_version = text(version)?,
                        (2, Wire::Bytes(kind)) => envelope.kind = text(kind)?,
                        (tag, _) => return Err(Wrong::UnknownField("runtime.TypeMeta", tag)),
                    }
                }
            }
            (2, Wire::Bytes(raw)) => envelope.raw = raw,
            (3, Wire::Bytes(encoding)) => envelope.encoding = text(encoding)?,
            (4, Wire::Bytes(content_type)) => envelope.content_type = text(content_type)?,
            (tag, _) => return Err(Wrong::UnknownField(NAME, tag)),
        }
    }
    Ok(envelope)
}

struct Decoder {
    values_left: usize,
}

/// Where a field belongs, for errors.
#[derive(Clone, Copy)]
struct Place {
    message: &'static Message,
    field: &'static Field,
}

impl Place {
    fn wrong(self, make: fn(&'static str, &'static str) -> Wrong) -> Wrong {
        make(self.message.name, self.field.name)
    }
}

impl Decoder {
    /// Reads the fields of a message into a JSON object.
    fn message(
        &mut self,
        bytes: &[u8],
        message: &'static Message,
        object: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Wrong> {
        let depth = depth.checked_sub(1).ok_or(Wrong::TooDeep)?;
        let mut reader = Reader(bytes);
        while let Some((tag, wire)) = reader.next()? {
            match message.fields.iter().find(|f| f.tag == tag) {
                Some(field) => self.field(Place { message, field }, wire, object, depth)?,
                // old clients send fields that are gone, empty
                None if wire.is_zero() => {}
                None => return Err(Wrong::UnknownField(message.name, tag)),
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Wrong> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Wrong::TooMany)?;
        Ok(())
    }

    fn field(&mut self, at: Place, wire: Wire, object: &mut Map<String, Value>, depth: usize) -> Result<(), Wrong> {
        let field = at.field;
        match (field.ty, field.shape) {
            (Ty::Inline(inner), _) => {
                let Wire::Bytes(bytes) = wire else { return Err(at.wrong(Wrong::FieldType)) };
                self.message(bytes, inner, object, depth)
            }
            (_, Shape::Map) => self.entry(at, wire, object, depth),
            (Ty::Int, Shape::Many) if matches!(wire, Wire::Bytes(_)) => self.packed(at, wire, object),
            (_, Shape::Many) => {
                let item = self.value(at, wire, Value::Null, depth)?;
                push(object, field.name, item);
                Ok(())
            }
            (_, Shape::One) => {
                let old = object.get_mut(field.name).map(Value::take).unwrap_or_default();
                let value = self.value(at, wire, old, depth)?;
                if value.is_null() || (!field.keeps_zero && value::is_zero(&value)) {
                    object.shift_remove(field.name);
                } else {
                    object.insert(field.name.into(), value);
                }
                Ok(())
            }
        }
    }

    /// One value; a message that was begun before goes on in `old`.
    fn value(&mut self, at: Place, wire: Wire, old: Value, depth: usize) -> Result<Value, Wrong> {
        self.count()?;
        match (at.field.ty, wire) {
            (Ty::Nested(inner), Wire::Bytes(bytes)) => {
                let mut object = match old {
                    Value::Object(object) => object,
                    _ => Map::new(),
                };
                self.message(bytes, inner, &mut object, depth)?;
                Ok(object.into())
            }
            (Ty::Raw, Wire::Bytes(bytes)) => value::raw(at, bytes, &mut self.values_left),
            (_, wire) => value::scalar(at, wire),
        }
    }

    /// An entry of a map: a message of key and value.
    fn entry(&mut self, at: Place, wire: Wire, object: &mut Map<String, Value>, depth: usize) -> Result<(), Wrong> {
        let Wire::Bytes(bytes) = wire else { return Err(at.wrong(Wrong::FieldType)) };
        let (mut key, mut value) = (String::new(), None);
        let mut reader = Reader(bytes);
        while let Some((tag, wire)) = reader.next()? {
            match (tag, wire) {
                (1, Wire::Bytes(bytes)) => key = value::text(at, bytes)?.into(),
                (2, wire) => value = Some(self.value(at, wire, Value::Null, depth)?),
                (tag, _) => return Err(Wrong::UnknownField(at.message.name, tag)),
            }
        }
        let value = match value {
            Some(value) => value,
            None => value::scalar(at, Wire::Bytes(&[]))?,
        };
        let map = object.entry(at.field.name).or_insert_with(|| Map::new().into());
        if let Some(map) = map.as_object_mut() {
            map.insert(key, value);
        }
        Ok(())
    }

    fn packed(&mut self, at: Place, wire: Wire, object: &mut Map<String, Value>) -> Result<(), Wrong> {
        let Wire::Bytes(bytes) = wire else { return Err(at.wrong(Wrong::FieldType)) };
        let mut reader = Reader(bytes);
        while !reader.0.is_empty() {
            self.count()?;
            push(object, at.field.name, (reader.number()? as i64).into());
        }
        Ok(())
    }
}

fn push(object: &mut Map<String, Value>, name: &str, item: Value) {
    let list = object.entry(name).or_insert_with(|| Value::Array(vec![]));
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

#[cfg(test)]
mod tests;
