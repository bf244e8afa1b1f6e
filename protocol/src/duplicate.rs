//! Finds members that an object has twice. Readers of JSON disagree on which of them counts, and the author meant only one.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// Most characters of a member's name in an error.
const NAME_CHARS_MAX: usize = 40;
/// Text before the path in the error that ends the walk.
const MARK: &str = "twice: ";

/// The path of the first member that an object of the text has twice. None for text that is not JSON, which other checks report.
pub(crate) fn first_duplicate(text: &str) -> Option<String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let error = Walk { path: "" }.deserialize(&mut deserializer).err()?.to_string();
    let path = error.strip_prefix(MARK)?;
    Some(path.rsplit_once(" at line ").map_or(path, |(path, _)| path).to_owned())
}

/// Walks through one value without storing it.
#[derive(Clone, Copy)]
struct Walk<'a> {
    path: &'a str,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
            let path = if self.path.is_empty() { shown } else { format!("{}.{shown}", self.path) };
            members.next_value_seed(Walk { path: &path })?;
            if !seen.insert(name) {
                return Err(de::Error::custom(format_args!("{MARK}{path}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::first_duplicate;

    #[test]
    fn the_first_member_that_is_there_twice_is_named_with_its_place() {
        for (text, expected) in [
            (r#"{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}"#, None),
            (r#"{"env":{"A":"1","B":"2","A":"3"}}"#, Some("env.A")),
            (r#"{"image":"a","image":"b"}"#, Some("image")),
            (r#"{"image":"a","\u0069mage":"b"}"#, Some("image")),
            (r#"{"x":[{"y":{"z":1,"z":2}}]}"#, Some("x.y.z")),
            ("[1, 2", None),
            ("\"twice: x\"", None),
        ] {
            assert_eq!(first_duplicate(text).as_deref(), expected, "{text}");
        }
    }
}
