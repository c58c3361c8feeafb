//! Events of accounts that nothing readable knows, while a segment is set aside and its accounts are lost. Such an account may
//! be one of that segment. Were it given a second id, its deletes and account events would miss its older rows,
//! which stand under the first one in other segments, and both ids would live on once the segment is back. So the
//! event waits until a repair has brought the segment back or written it off; queries go on, marked.

use super::Writer;
use super::links::LinkForm;
use crate::actors::ActorId;
use crate::{Error, Result};

impl Writer {
    /// Checks before an event has any effect that each account that it names, as its author or in the links read
    /// last, is known, or new for certain. An event of the log cannot wait: it is applied, and answers are marked as
    /// long as the segment is set aside; but what it led to is not sealed. O(1) while no segment is set aside.
    ///
    /// # Errors
    /// [`Error::LostAccounts`]; otherwise when the index cannot be read.
    pub(super) fn check_accounts(
        &mut self,
        known: Option<ActorId>,
        replayed: Option<u64>,
    ) -> Result<()> {
        if self.lost_accounts.is_none()
            || (known.is_some() && !self.forms.iter().any(LinkForm::is_of_unknown))
        {
            return Ok(());
        }
        if replayed.is_some() {
            self.is_unsure = true;
            return Ok(());
        }
        self.refuse_lost_accounts()
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
        if self.lost_accounts.is_some() || self.unread.may_come_back() {
            self.shared.durable.lock().blocked = None;
        }
    }
}
