//! What the walk needs to know of a value. A data format takes part by implementing [`Node`] for a
//! cheap handle to one of its values; the walk itself knows no format.

/// A value in a record: a handle that is cheap to copy and borrows from the record for `'v`.
///
/// # Contract
/// The members of an object hold no key twice: a format that allows repeated keys gives the last
/// value of each. Elements come in the order of the array. A tree is finite.
pub trait Node<'v>: Copy {
    /// Goes over the members of an object.
    type Members: Iterator<Item = (&'v str, Self)>;
    /// Goes over the elements of an array.
    type Elements: Iterator<Item = Self>;

    /// The value's kind and contents.
    fn view(self) -> View<'v, Self>;

    /// The object's `$type`, if this is an object with a member of that name which is a string.
    ///
    /// The default looks through the members; a format that has noted the place may be faster.
    fn type_name(self) -> Option<&'v str> {
        let View::Object(mut members) = self.view() else {
            return None;
        };
        let (_, value) = members.find(|(key, _)| *key == "$type")?;
        match value.view() {
            View::Text(text) | View::PlainText(text) => Some(text),
            View::Object(_) | View::Array(_) | View::Other => None,
        }
    }
}

/// Kind and contents of a value.
pub enum View<'v, N: Node<'v>> {
    /// A string that may be a link.
    Text(&'v str),
    /// A string of which is known already that it is no link; it counts as a `$type` only.
    PlainText(&'v str),
    /// An object and its members.
    Object(N::Members),
    /// An array and its elements.
    Array(N::Elements),
    /// Any value that is never a link: number, boolean, null, bytes.
    Other,
}

#[cfg(feature = "serde_json")]
mod value {
    use super::{Node, View};
    use serde_json::{Map, Value};

    /// Members of a [`Value::Object`].
    #[derive(Debug, Clone)]
    pub struct Members<'v>(serde_json::map::Iter<'v>);

    impl<'v> Iterator for Members<'v> {
        type Item = (&'v str, &'v Value);

        fn next(&mut self) -> Option<Self::Item> {
            self.0.next().map(|(key, value)| (key.as_str(), value))
        }
    }

    impl<'v> Node<'v> for &'v Value {
        type Members = Members<'v>;
        type Elements = std::slice::Iter<'v, Value>;

        fn view(self) -> View<'v, Self> {
            match self {
                Value::String(text) => View::Text(text),
                Value::Object(map) => View::Object(Members(Map::iter(map))),
                Value::Array(values) => View::Array(values.iter()),
                Value::Null | Value::Bool(_) | Value::Number(_) => View::Other,
            }
        }

        fn type_name(self) -> Option<&'v str> {
            self.as_object()?.get("$type")?.as_str()
        }
    }
}
