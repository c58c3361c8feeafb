//! Events of accounts that nothing readable knows, while a segment is set aside and its accounts are lost. Such an account may
//! be one of that segment. Were it given a second id, its deletes and account events would miss its older rows,
//! which stand under the first one in other segments, and both ids would live on once the segment is back. So the
//! event waits until a repair has brought the segment back or written it off; queries go on, marked.

use super::Writer;
use crate::actors::{ActorId, TargetForm, target_form};
use crate::{Error, Result};

impl Writer {
    /// Checks before an event has any effect that each account that it names, as its author or in the links read
    /// last, is known, or new for certain. An event of the log cannot wait: it is applied, and answers are marked as
    /// long as the segment is set aside; but what it led to is not sealed. O(1) while no segment is set aside. While
    /// accounts are read from a damaged file, all that the event names are looked up here, so that damage that is met
    /// by that is met before the event has an effect.
    ///
    /// # Errors
    /// [`Error::LostAccounts`]; otherwise when the index cannot be read.
    pub(super) fn check_accounts(
        &mut self,
        known: Option<ActorId>,
        replayed: Option<u64>,
    ) -> Result<()> {
        if self.lost_accounts.is_none() && !self.reads_remains {
            return Ok(());
        }
        let names_unknown = self.links_to_unknown()? || known.is_none();
        if self.lost_accounts.is_none() || !names_unknown {
            return Ok(());
        }
        if replayed.is_some() {
            self.is_unsure = true;
            return Ok(());
        }
        self.refuse_lost_accounts()
    }

    /// Whether a link that was read names an account that is not known. Looks up all of them.
    fn links_to_unknown(&self) -> Result<bool> {
        let mut any = false;
        for (path_end, target_end) in &self.spans {
            let target = self.text.get(*path_end..*target_end).unwrap_or_default();
            let (TargetForm::Did(did) | TargetForm::Record { did, .. }) = target_form(target)
            else {
                continue;
            };
            any |= self.generation.find_actor(did)?.is_none();
        }
        Ok(any)
    }

    /// Refuses to seal, and to go on towards a seal, where the memtable has an account that may have another id.
    pub(crate) fn check_sure(&self) -> Result<()> {
        if self.is_unsure {
            self.refuse_lost_accounts()
        } else {
            Ok(())
        }
    }

    fn refuse_lost_accounts(&self) -> Result<()> {
        let Some(file) = &self.lost_accounts else {
            return Ok(());
        };
        let error = Error::LostAccounts {
            file: file.to_string(),
        };
        self.shared.durable.lock().blocked = Some(error.to_string());
        Err(error)
    }

    /// An event was applied: none waits.
    pub(super) fn unblock(&self) {
        if self.lost_accounts.is_some() {
            self.shared.durable.lock().blocked = None;
        }
    }
}
