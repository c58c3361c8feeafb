//! A mistake in the settings: where it is, what is wrong, and what would be right.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Key;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the file, counted from 1; columns in characters.
    File {
        path: PathBuf,
        line: usize,
        column: usize,
    },
    /// The file as a whole.
    Whole(PathBuf),
    /// In a variable.
    Variable(String),
    /// On the command line.
    Flag,
}

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) place: Place,
    /// The key, where it is about one.
    pub(crate) key: Option<String>,
    pub(crate) wrong: String,
    pub(crate) right: String,
}

impl Mistake {
    /// One about a key.
    pub(crate) fn of(key: &Key, place: Place, wrong: String, right: String) -> Self {
        Self {
            place,
            key: Some(key.name.clone()),
            wrong,
            right,
        }
    }

    /// As an object.
    pub(crate) fn to_json(&self) -> Value {
        let (source, file, line, column) = match &self.place {
            Place::File { path, line, column } => ("file", Some(path), Some(line), Some(column)),
            Place::Whole(path) => ("file", Some(path), None, None),
            Place::Variable(_) => ("variable", None, None, None),
            Place::Flag => ("flag", None, None, None),
        };
        let variable = match &self.place {
            Place::Variable(name) => Some(name),
            _ => None,
        };
        json!({
            "source": source,
            "file": file.map(|path| path.to_string_lossy()),
            "line": line,
            "column": column,
            "variable": variable,
            "key": self.key,
            "wrong": self.wrong,
            "right": self.right,
        })
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_deref();
        match (&self.place, key) {
            (Place::File { path, line, column }, _) => {
                write!(f, "{}:{line}:{column}: ", path.display())?;
            }
            (Place::Whole(path), _) => write!(f, "{}: ", path.display())?,
            (Place::Variable(name), _) => write!(f, "{name}: ")?,
            (Place::Flag, Some(key)) => write!(f, "--{key}: ")?,
            (Place::Flag, None) => {}
        }
        if let (Place::File { .. } | Place::Whole(_), Some(key)) = (&self.place, key) {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.wrong)?;
        if !self.right.is_empty() {
            write!(f, "; {}", self.right)?;
        }
        Ok(())
    }
}
