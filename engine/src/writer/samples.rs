//! What a commit event means for samples.

use orrery_formats::event::Operation;

use super::Writer;
use crate::actors::ActorId;
use crate::samples::NewSample;

impl Writer {
    /// Notes the event with its number, time and revision.
    pub(super) fn note_sample(
        &mut self,
        (seq, time_us, rev): (u64, u64, u64),
        actor: ActorId,
        collection: u32,
        (rkey, key_hash): (&str, u64),
        operation: &Operation<'_>,
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
        // Also what is created: a record of its key without links, whose delete was never seen, left no row that would
        // tell. Of whoever came since the last seal, older segments have no sample.
        if actor < self.generation.memtable.first_actor {
            samples.touched.note(actor, key_hash, seq);
        }
        if self.shared.options.samples_limit == 0 {
            return;
        }
        samples.write(collection, (actor, key_hash), seq, sample);
        self.unmeasured_bytes += record.map_or(0, |record| record.body.len());
    }
}
