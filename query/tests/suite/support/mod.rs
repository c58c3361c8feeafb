//! An index of plain vectors that queries run on, and what their answers must be, found by looking at
//! every record version. The two share no code with the crate.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use orrery_query::{
    EachList, Filter, List, ManyItem, ManyToMany, OtherCount, Part, RecordId, Result, Stats, View,
};

/// One record version.
#[derive(Debug, Clone)]
pub struct Version {
    pub seq: u64,
    pub time_us: u64,
    pub actor: u32,
    pub collection: String,
    pub rkey: String,
    /// (path, target) in the order of the record, each once.
    pub links: Vec<(String, String)>,
    pub dead: bool,
}

impl Version {
    pub fn id(&self) -> RecordId {
        RecordId::new(&did(self.actor), &self.collection, &self.rkey)
    }
}

pub fn did(actor: u32) -> String {
    format!("did:plc:{actor}")
}

/// Rows of one part, and whether it is sealed: sealed parts keep whole milliseconds.
#[derive(Debug, Clone)]
pub struct Rows {
    id: u64,
    last_seq: u64,
    versions: Vec<Version>,
    sealed: bool,
}

/// The index.
#[derive(Debug, Clone)]
pub struct Index {
    pub parts: Vec<Rows>,
    pub hidden: BTreeSet<u32>,
    epoch: u64,
    next_part: u64,
    pub next_seq: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            parts: vec![Rows {
                id: 0,
                last_seq: 0,
                versions: Vec::new(),
                sealed: false,
            }],
            hidden: BTreeSet::new(),
            epoch: 0,
            next_part: 1,
            next_seq: 1,
        }
    }
}

impl Index {
    pub fn create(&mut self, actor: u32, jitter_us: i64, collection: &str, links: &[(&str, &str)]) {
        let seq = self.next_seq;
        self.next_seq += 2;
        let mut kept: Vec<(String, String)> = Vec::new();
        for (path, target) in links {
            let link = (path.to_string(), target.to_string());
            if !kept.contains(&link) {
                kept.push(link);
            }
        }
        let last = self.parts.last_mut().unwrap();
        last.last_seq = seq;
        last.versions.push(Version {
            seq,
            time_us: (1_000_000 + seq as i64 * 700 + jitter_us) as u64,
            actor,
            collection: collection.to_owned(),
            rkey: format!("r{seq}"),
            links: kept,
            dead: false,
        });
    }

    pub fn delete(&mut self, nth: usize) {
        let mut live: Vec<_> = self
            .parts
            .iter_mut()
            .flat_map(|part| &mut part.versions)
            .filter(|version| !version.dead)
            .collect();
        if !live.is_empty() {
            let nth = nth % live.len();
            live[nth].dead = true;
        }
    }

    pub fn hide(&mut self, actor: u32) {
        self.hidden.insert(actor);
    }

    pub fn show(&mut self, actor: u32) {
        if self.hidden.remove(&actor) {
            self.epoch += 1;
        }
    }

    pub fn seal(&mut self) {
        let id = self.next_part;
        self.next_part += 2;
        let last = self.parts.last_mut().unwrap();
        last.id = id;
        last.sealed = true;
        last.last_seq = self.next_seq - 1;
        self.parts.push(Rows {
            id: id + 1,
            last_seq: self.next_seq - 1,
            versions: Vec::new(),
            sealed: false,
        });
    }

    /// Merges two neighbours that are sealed and leaves their dead versions out.
    pub fn compact(&mut self, nth: usize) {
        let sealed = self.parts.len() - 1;
        if sealed < 2 {
            return;
        }
        let at = nth % (sealed - 1);
        let newer = self.parts.remove(at + 1);
        let older = &mut self.parts[at];
        older.versions.extend(newer.versions);
        older.versions.retain(|version| !version.dead);
        older.last_seq = newer.last_seq;
        older.id = self.next_part;
        self.next_part += 1;
    }

    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.parts.iter().flat_map(|part| &part.versions)
    }

    pub fn is_live(&self, version: &Version) -> bool {
        !version.dead && !self.hidden.contains(&version.actor)
    }

    pub fn view(&self) -> TestView {
        TestView {
            parts: self.parts.iter().map(|rows| self.part(rows)).collect(),
            epoch: self.epoch,
            // Accounts are known once they wrote.
            actors: self.versions().map(|v| v.actor).collect(),
        }
    }

    fn part(&self, rows: &Rows) -> PartData {
        let mut lists: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        let mut targets = Vec::new();
        let mut links = Vec::new();
        for (row, version) in rows.versions.iter().enumerate() {
            let mut ids = Vec::new();
            for (path, target) in &version.links {
                let id = targets.iter().position(|t| t == target).unwrap_or_else(|| {
                    targets.push(target.clone());
                    targets.len() - 1
                });
                ids.push((path.clone(), id));
                lists
                    .entry((target.clone(), version.collection.clone(), path.clone()))
                    .or_default()
                    .push(row as u32);
            }
            links.push(ids);
        }
        let mut by_actor: HashMap<u32, Vec<u32>> = HashMap::new();
        for (row, version) in rows.versions.iter().enumerate() {
            by_actor.entry(version.actor).or_default().push(row as u32);
        }
        PartData {
            rows: rows.clone(),
            masked: rows.versions.iter().map(|v| !self.is_live(v)).collect(),
            lists,
            targets,
            links,
            by_actor,
        }
    }

    // What the answers must be.

    fn selected<'a>(&'a self, target: &'a str, f: &'a Filter) -> impl Iterator<Item = &'a Version> {
        let link = (f.path.clone(), target.to_owned());
        self.versions().filter(move |v| {
            let ms = v.time_us / 1_000;
            self.is_live(v)
                && v.collection == f.collection
                && v.links.contains(&link)
                && f.dids
                    .as_ref()
                    .is_none_or(|dids| dids.contains(&did(v.actor)))
                && f.since_us.is_none_or(|since| since / 1_000 <= ms)
                && f.until_us.is_none_or(|until| ms < until / 1_000)
        })
    }

    /// The stored target that a query for `f.target` is about.
    pub fn meant(&self, f: &Filter) -> String {
        let open = Filter::new(&*f.target, &*f.collection, &*f.path);
        if f.target == "HTTPS://Ex.Example/a/../b" {
            return "https://ex.example/b".to_owned();
        }
        if let Some(did) = f.target.strip_prefix("at://did:") {
            let bare = did.trim_end_matches('/');
            if !bare.contains('/') {
                let at = format!("at://did:{bare}");
                return if self.selected(&at, &open).next().is_some() {
                    at
                } else {
                    format!("did:{bare}")
                };
            }
        }
        f.target.clone()
    }

    pub fn expect_records(&self, f: &Filter) -> Vec<RecordId> {
        let target = self.meant(f);
        let mut all: Vec<_> = self.selected(&target, f).map(Version::id).collect();
        all.reverse();
        all
    }

    pub fn expect_dids(&self, f: &Filter) -> Vec<String> {
        let target = self.meant(f);
        let mut dids = Vec::new();
        for version in self.selected(&target, f) {
            if !dids.contains(&did(version.actor)) {
                dids.push(did(version.actor));
            }
        }
        dids.reverse();
        dids
    }

    pub fn expect_all(&self, target: &str) -> Vec<(String, String, u64, u64)> {
        let mut sources: BTreeMap<(String, String), (u64, BTreeSet<u32>)> = BTreeMap::new();
        for version in self.versions().filter(|v| self.is_live(v)) {
            for (path, to) in &version.links {
                if to == target {
                    let source = sources
                        .entry((version.collection.clone(), path.clone()))
                        .or_default();
                    source.0 += 1;
                    source.1.insert(version.actor);
                }
            }
        }
        sources
            .into_iter()
            .map(|((collection, path), (n, dids))| (collection, path, n, dids.len() as u64))
            .collect()
    }

    pub fn expect_items(&self, f: &Filter, m: &ManyToMany) -> Vec<ManyItem> {
        let target = self.meant(f);
        let mut items = Vec::new();
        for version in self.selected(&target, f) {
            for (path, other) in &version.links {
                if *path == m.path_to_other
                    && m.other_subjects.as_ref().is_none_or(|o| o.contains(other))
                {
                    items.push(ManyItem {
                        record: version.id(),
                        other_subject: other.clone(),
                    });
                }
            }
        }
        items
    }

    pub fn expect_counts(&self, f: &Filter, m: &ManyToMany) -> Vec<OtherCount> {
        let mut counts: Vec<(OtherCount, BTreeSet<String>)> = Vec::new();
        for item in self.expect_items(f, m) {
            let at = counts
                .iter()
                .position(|(count, _)| count.subject == item.other_subject)
                .unwrap_or_else(|| {
                    let count = OtherCount {
                        subject: item.other_subject.clone(),
                        total: 0,
                        distinct: 0,
                    };
                    counts.push((count, BTreeSet::new()));
                    counts.len() - 1
                });
            let (count, dids) = &mut counts[at];
            count.total += 1;
            dids.insert(item.record.did().to_owned());
            count.distinct = dids.len() as u64;
        }
        counts.into_iter().map(|(count, _)| count).collect()
    }
}

struct PartData {
    rows: Rows,
    masked: Vec<bool>,
    lists: BTreeMap<(String, String, String), Vec<u32>>,
    targets: Vec<String>,
    links: Vec<Vec<(String, usize)>>,
    by_actor: HashMap<u32, Vec<u32>>,
}

pub struct TestView {
    parts: Vec<PartData>,
    epoch: u64,
    actors: BTreeSet<u32>,
}

impl View for TestView {
    type Key = String;
    type Part<'a> = TestPart<'a>;

    fn parts(&self) -> impl DoubleEndedIterator<Item = TestPart<'_>> {
        self.parts.iter().map(TestPart)
    }

    fn unmask_epoch(&self) -> u64 {
        self.epoch
    }

    fn target_key(&self, target: &str) -> Result<Option<String>> {
        Ok((!target.is_empty()).then(|| target.to_owned()))
    }

    fn actor(&self, did: &str) -> Result<Option<u32>> {
        Ok(did
            .strip_prefix("did:plc:")
            .and_then(|id| id.parse().ok())
            .filter(|id| self.actors.contains(id)))
    }

    fn did(&self, actor: u32) -> Result<String> {
        Ok(did(actor))
    }

    fn stats(&self) -> Result<Stats> {
        Ok(Stats::default())
    }
}

#[derive(Clone, Copy)]
pub struct TestPart<'a>(&'a PartData);

impl<'a> Part for TestPart<'a> {
    type Key = String;
    type TargetId = usize;
    type List = TestList<'a>;

    fn id(&self) -> u64 {
        self.0.rows.id
    }

    fn last_seq(&self) -> u64 {
        self.0.rows.last_seq
    }

    fn rows(&self) -> u32 {
        self.0.masked.len() as u32
    }

    fn time_range_us(&self) -> (u64, u64) {
        let times = || (0..self.rows()).map(|row| self.time_us(row).unwrap());
        (times().min().unwrap_or(0), times().max().unwrap_or(0))
    }

    fn list(&self, key: &String, collection: &str, path: &str) -> Result<Option<TestList<'a>>> {
        let key = (key.clone(), collection.to_owned(), path.to_owned());
        Ok(self.0.lists.get(&key).map(|rows| TestList(self.0, rows)))
    }

    fn lists(&self, key: &String, each: EachList<'_, TestList<'a>>) -> Result<()> {
        for ((target, collection, path), rows) in &self.0.lists {
            if target == key {
                each(collection, path, TestList(self.0, rows))?;
            }
        }
        Ok(())
    }

    fn is_masked(&self, row: u32) -> Result<bool> {
        Ok(self.0.masked[row as usize])
    }

    fn seq(&self, row: u32) -> Result<u64> {
        Ok(self.0.rows.versions[row as usize].seq)
    }

    fn time_us(&self, row: u32) -> Result<u64> {
        let time_us = self.0.rows.versions[row as usize].time_us;
        Ok(if self.0.rows.sealed {
            time_us / 1_000 * 1_000
        } else {
            time_us
        })
    }

    fn actor(&self, row: u32) -> Result<u32> {
        Ok(self.0.rows.versions[row as usize].actor)
    }

    fn lower_bound_seq(&self, seq: u64) -> Result<u32> {
        Ok(self.0.rows.versions.partition_point(|v| v.seq < seq) as u32)
    }

    fn actor_rows(&self, actor: u32) -> Result<impl Iterator<Item = Result<u32>>> {
        let rows = self.0.by_actor.get(&actor).map_or(&[][..], |rows| rows);
        Ok(rows.iter().copied().map(Ok))
    }

    fn record(&self, row: u32) -> Result<RecordId> {
        Ok(self.0.rows.versions[row as usize].id())
    }

    fn target_id(&self, key: &String) -> Result<Option<usize>> {
        Ok(self.0.targets.iter().position(|target| target == key))
    }

    fn target_string(&self, target: usize) -> Result<String> {
        Ok(self.0.targets[target].clone())
    }

    fn targets_at(
        &self,
        row: u32,
        path: &str,
        each: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        for (at, target) in &self.0.links[row as usize] {
            if at == path {
                each(*target)?;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
pub struct TestList<'a>(&'a PartData, &'a [u32]);

impl List for TestList<'_> {
    fn len(&self) -> u32 {
        self.1.len() as u32
    }

    fn masked(&self) -> Result<u32> {
        let masked = self.1.iter().filter(|&&row| self.0.masked[row as usize]);
        Ok(masked.count() as u32)
    }

    fn get(&self, i: u32) -> Result<u32> {
        Ok(self.1[i as usize])
    }

    fn lower_bound(&self, row: u32) -> Result<u32> {
        Ok(self.1.partition_point(|&r| r < row) as u32)
    }

    fn iter_from(&self, i: u32) -> impl Iterator<Item = Result<u32>> {
        self.1[i as usize..].iter().copied().map(Ok)
    }

    fn iter_back_from(&self, i: u32) -> impl Iterator<Item = Result<u32>> {
        self.1[..i as usize].iter().rev().copied().map(Ok)
    }
}
