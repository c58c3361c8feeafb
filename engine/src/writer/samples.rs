//! What a commit event means for samples.

use orrery_formats::event::Operation;

use super::Writer;
use crate::actors::ActorId;
use crate::samples::NewSample;

impl Writer {
    /// Notes the event with its number, time and revision. `is_fresh` where it gave a row to a key without one.
    pub(super) fn note_sample(
        &mut self,
        (seq, time_us, rev): (u64, u64, u64),
        actor: ActorId,
        collection: u32,
        (rkey, key_hash): (&str, u64),
        operation: &Operation<'_>,
        is_fresh: bool,
    ) {
        let (is_update, record) = match operation {
            Operation::Create(record) => (false, Some(record)),
            Operation::Update(record) => (true, Some(record)),
            Operation::Delete => (false, None),
        };
        let sample = record.map(|record| NewSample {
            time_us,
            rev,
            is_update,
            encoding: record.encoding,
            rkey,
            body: record.body,
        });
        let samples = &self.generation.memtable.samples;
        // Of what is created, older segments have no sample; most events are of that kind.
        if record.is_none() || is_update || !is_fresh {
            samples.touch(actor, key_hash, seq);
        }
        if self.shared.options.samples_limit == 0 {
            return;
        }
        samples.write(collection, (actor, key_hash), seq, sample);
        self.unmeasured_bytes += record.map_or(0, |record| record.body.len());
    }
}
