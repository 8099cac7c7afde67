//! The fields of all types that the API is made of, with their texts: a
//! compressed table that is read when somebody asks for documents, and
//! forgotten afterwards. `machinery/examples/schema` writes it.

use std::{collections::BTreeMap, io};

static TYPES: &[u8] = include_bytes!("types.zst");
/// Types that are not Kubernetes' own.
static EXTRA: &str = include_str!("extra.txt");

/// All types; they point into the unpacked text.
pub struct Table<'a>(BTreeMap<&'a str, Type<'a>>);

/// A type.
#[derive(Debug)]
pub struct Type<'a> {
    /// Full name.
    pub name: &'a str,
    /// `o` object, `s` string, `t` time, `q` number or string.
    pub form: &'a str,
    /// `map=atomic`, or nothing.
    pub flags: &'a str,
    /// Description, escaped as in JSON.
    text: &'a str,
    /// Fields by name.
    pub fields: Vec<Field<'a>>,
}

/// A field of a type.
#[derive(Debug)]
pub struct Field<'a> {
    /// Name.
    pub name: &'a str,
    /// `s` string, `i` int32, `I` int64, `b` boolean, `n` number, `B` base64,
    /// `o` any object, `#NAME` a type; before it `[]` for lists and `{}` for
    /// maps.
    pub ty: &'a str,
    /// `required` and markers, between semicolons.
    pub flags: &'a str,
    /// Description, escaped as in JSON.
    text: &'a str,
}

/// The text of the table.
///
/// # Errors
/// If what was compiled in is no such text.
pub fn unpack() -> io::Result<String> {
    let mut text = String::from_utf8(zstd::decode_all(TYPES)?).map_err(io::Error::other)?;
    text.push_str(EXTRA);
    Ok(text)
}

impl<'a> Table<'a> {
    /// Find the lines' ends and tabs.
    pub fn parse(text: &'a str) -> Self {
        let mut types: Vec<Type<'a>> = Vec::new();
        for line in text.lines() {
            let mut parts = line.splitn(4, '\t');
            let mut part = || parts.next().unwrap_or_default();
            let (name, ty, flags, text) = (part(), part(), part(), part());
            match (name.strip_prefix('@'), types.last_mut()) {
                (Some(name), _) => types.push(Type { name, form: ty, flags, text, fields: vec![] }),
                (None, Some(last)) => last.fields.push(Field { name, ty, flags, text }),
                (None, None) => {}
            }
        }
        Self(types.into_iter().map(|t| (t.name, t)).collect())
    }

    /// A type by its full name.
    pub fn get(&self, name: &str) -> Option<&Type<'a>> {
        self.0.get(name)
    }
}

impl<'a> Type<'a> {
    /// A field by its name.
    pub fn field(&self, name: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// Description.
    pub fn text(&self) -> String {
        plain(self.text)
    }
}

impl<'a> Field<'a> {
    /// Description.
    pub fn text(&self) -> String {
        plain(self.text)
    }

    /// The type that it, its items or its values are.
    pub fn target(&self) -> Option<&'a str> {
        self.ty.split_once('#').map(|(_, name)| name)
    }

    /// Value of a marker.
    pub fn flag(&self, name: &str) -> Option<&'a str> {
        flag(self.flags, name)
    }

    /// Must it be there?
    pub fn required(&self) -> bool {
        self.flags.split(';').any(|f| f == "required")
    }
}

/// Value of a marker `name=value`.
pub fn flag<'a>(flags: &'a str, name: &str) -> Option<&'a str> {
    flags.split(';').find_map(|f| f.strip_prefix(name)?.strip_prefix('='))
}

fn plain(escaped: &str) -> String {
    serde_json::from_str(&format!("\"{escaped}\"")).unwrap_or_else(|_| escaped.into())
}
