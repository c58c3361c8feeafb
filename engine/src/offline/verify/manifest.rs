//! The manifest. Its edits have a checksum each; the last one of a directory that is not open may be torn by
//! a crash, which a store that opens it mends, and which is told all the same.

use std::time::Duration;

use orrery_formats::manifest::State;

use super::Check;
use crate::manifest::{Look, Manifest};
use crate::{Error, Result};

/// A store that runs may be writing the last edit: it is looked at so many times before it counts as torn.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(30);

impl Check<'_> {
    /// Checks the manifest; gives what it says, unless it is damaged.
    pub(super) fn manifest(&mut self) -> Result<Option<State>> {
        let mut looks = 1;
        let look = loop {
            let look = Manifest::look(&*self.fs, &self.path);
            let is_settled = matches!(&look, Ok(Some(Look { tail: None, .. })));
            if is_settled || looks == LOOKS {
                break look;
            }
            looks += 1;
            std::thread::sleep(PAUSE);
        };
        match look {
            Ok(Some(look)) => {
                self.read(look.bytes);
                match look.tail {
                    None => Ok(Some(look.state)),
                    Some(error) => {
                        self.format_error(&look.name, 0, error);
                        // Without the last edit it is not known which files count.
                        Ok(None)
                    }
                }
            }
            Ok(None) => {
                self.damage("MANIFEST", "file", 0, "a manifest", "none");
                Ok(None)
            }
            Err(error) => {
                let name = match &error {
                    Error::Format(orrery_formats::Error::Corrupt(corruption)) => {
                        corruption.file.clone()
                    }
                    Error::Format(orrery_formats::Error::Version { file, .. }) => file.clone(),
                    Error::Io { path, .. } => path
                        .file_name()
                        .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
                    _ => String::new(),
                };
                self.read(0);
                let name = if name.is_empty() { "MANIFEST" } else { &name };
                self.error(name, error);
                Ok(None)
            }
        }
    }
}
