//! The exclude list, by itself: what it says of accounts that the index does not say yet, the next start makes so.

use orrery_formats::exclusions::decode;

use super::Check;
use crate::Result;
use crate::exclusions::{EXCLUSIONS, read_file};

impl Check<'_> {
    pub(super) fn exclusions(&mut self) -> Result<()> {
        match read_file(&*self.fs, &self.path) {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                self.read(bytes.len() as u64);
                if let Err(error) = decode(EXCLUSIONS, bytes) {
                    self.format_error(EXCLUSIONS, 0, error);
                }
            }
            Err(error) => self.error(EXCLUSIONS, error),
        }
        Ok(())
    }
}
