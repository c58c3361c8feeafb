//! Where bytes go that are not kept in memory.

use crate::Error;

/// Takes bytes, one after the other.
pub trait Sink {
    /// What can go wrong; at least what can go wrong in this crate.
    type Error: From<Error>;

    /// Appends `bytes`.
    ///
    /// # Errors
    /// The bytes could not be kept. The sink is not used after that.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

impl Sink for Vec<u8> {
    type Error = Error;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

impl<S: Sink> Sink for &mut S {
    type Error = S::Error;

    fn write(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        (**self).write(bytes)
    }
}
