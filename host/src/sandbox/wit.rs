//! Types of components as WIT writes them, on a line that does not grow with them.
//!
//! A type may be far larger than the component that has it, for its parts are shared. So writing stops when the line
//! is full.

use wasmtime::component::ResourceType;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};

/// The most bytes of a type that are written.
const MOST_BYTES: usize = 160;

/// A resource and its name.
pub(super) type NamedResource = (ResourceType, String);

/// The type of an import or export. The part that is too long stands as `…`.
pub(super) fn item(item: &ComponentItem, resources: &[NamedResource]) -> String {
    let mut line = Line { text: String::new(), resources };
    if line.item(item).is_err() {
        line.text.push('…');
    }
    line.text
}

/// The error of a line that has no room left.
struct Full;

struct Line<'a> {
    text: String,
    resources: &'a [NamedResource],
}

impl Line<'_> {
    fn push(&mut self, text: &str) -> Result<(), Full> {
        let room = MOST_BYTES.saturating_sub(self.text.len());
        let fits = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
        self.text.push_str(fits);
        if fits.len() < text.len() { Err(Full) } else { Ok(()) }
    }

    fn item(&mut self, item: &ComponentItem) -> Result<(), Full> {
        match item {
            ComponentItem::ComponentFunc(function) => self.function(function),
            ComponentItem::Type(of) => self.of(of),
            ComponentItem::Resource(_) => self.push("resource"),
            ComponentItem::ComponentInstance(_) => self.push("interface"),
            ComponentItem::Component(_) => self.push("component"),
            ComponentItem::Module(_) => self.push("core module"),
            ComponentItem::CoreFunc(_) => self.push("core function"),
        }
    }

    fn function(&mut self, function: &ComponentFunc) -> Result<(), Full> {
        self.push("func(")?;
        self.fields(function.params())?;
        self.push(")")?;
        for result in function.results() {
            self.push(" -> ")?;
            self.of(&result)?;
        }
        Ok(())
    }

    fn of(&mut self, of: &Type) -> Result<(), Full> {
        match of {
            Type::Bool => self.push("bool"),
            Type::S8 => self.push("s8"),
            Type::U8 => self.push("u8"),
            Type::S16 => self.push("s16"),
            Type::U16 => self.push("u16"),
            Type::S32 => self.push("s32"),
            Type::U32 => self.push("u32"),
            Type::S64 => self.push("s64"),
            Type::U64 => self.push("u64"),
            Type::Float32 => self.push("f32"),
            Type::Float64 => self.push("f64"),
            Type::Char => self.push("char"),
            Type::String => self.push("string"),
            Type::ErrorContext => self.push("error-context"),
            Type::List(list) => self.around("list", [Some(list.ty())]),
            Type::FixedLengthList(list) => self.around("list", [Some(list.ty())]),
            Type::Map(map) => self.around("map", [Some(map.key()), Some(map.value())]),
            Type::Tuple(tuple) => self.around("tuple", tuple.types().map(Some)),
            Type::Option(option) => self.around("option", [Some(option.ty())]),
            Type::Result(result) => match (result.ok(), result.err()) {
                (None, None) => self.push("result"),
                (ok, None) => self.around("result", [ok]),
                (ok, err) => self.around("result", [ok, err]),
            },
            Type::Future(future) => self.around("future", [future.ty()]),
            Type::Stream(stream) => self.around("stream", [stream.ty()]),
            Type::Record(record) => {
                self.push("record { ")?;
                self.fields(record.fields().map(|field| (field.name, field.ty)))?;
                self.push(" }")
            }
            Type::Variant(variant) => self.names("variant", variant.cases().map(|case| (case.name, case.ty))),
            Type::Enum(names) => self.names("enum", names.names().map(|name| (name, None))),
            Type::Flags(names) => self.names("flags", names.names().map(|name| (name, None))),
            Type::Own(resource) => self.resource(resource),
            Type::Borrow(resource) => {
                self.push("borrow<")?;
                self.resource(resource)?;
                self.push(">")
            }
        }
    }

    fn fields<'t>(&mut self, fields: impl Iterator<Item = (&'t str, Type)>) -> Result<(), Full> {
        for (place, (name, of)) in fields.enumerate() {
            self.push(if place == 0 { "" } else { ", " })?;
            self.push(name)?;
            self.push(": ")?;
            self.of(&of)?;
        }
        Ok(())
    }

    /// Writes `what { name, name(type) }`.
    fn names<'t>(
        &mut self,
        what: &str,
        names: impl Iterator<Item = (&'t str, Option<Type>)>,
    ) -> Result<(), Full> {
        self.push(what)?;
        self.push(" { ")?;
        for (place, (name, of)) in names.enumerate() {
            self.push(if place == 0 { "" } else { ", " })?;
            self.push(name)?;
            if let Some(of) = of {
                self.push("(")?;
                self.of(&of)?;
                self.push(")")?;
            }
        }
        self.push(" }")
    }

    /// Writes `what<type, type>`, where none is `_`.
    fn around(&mut self, what: &str, of: impl IntoIterator<Item = Option<Type>>) -> Result<(), Full> {
        self.push(what)?;
        self.push("<")?;
        for (place, of) in of.into_iter().enumerate() {
            self.push(if place == 0 { "" } else { ", " })?;
            match of {
                Some(of) => self.of(&of)?,
                None => self.push("_")?,
            }
        }
        self.push(">")
    }

    fn resource(&mut self, resource: &ResourceType) -> Result<(), Full> {
        let named = self.resources.iter().find(|(known, _)| known == resource);
        let name = named.map_or("a resource of its own", |(_, name)| name.as_str());
        self.push(name)
    }
}
