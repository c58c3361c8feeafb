//! Sample records of collections.

use super::{NAMES_MAX, nsid};
use crate::params::Params;
use crate::problem::Problem;

/// Samples that are kept of each collection.
const SAMPLES_MAX: u32 = 64;
/// Records of each collection where collections are named, and where none is.
const NAMED_DEFAULT: u32 = 42;
const UNNAMED_DEFAULT: u32 = 12;

/// Which samples are meant.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// Only these collections, each once; none: all that were active of late.
    collections: Option<Vec<String>>,
    /// The most records of each collection.
    limit: u32,
}

impl Wanted {
    /// Reads `collection`, NSIDs with commas between, and `limit`.
    fn read(params: &Params) -> Result<Self, Problem> {
        let mut collections: Option<Vec<String>> = None;
        let mut known = std::collections::HashSet::new();
        let text = params.scalar("collection")?.unwrap_or_default();
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            nsid(name)?;
            if known.insert(name) {
                collections.get_or_insert_default().push(name.to_owned());
            }
        }
        if known.len() > NAMES_MAX {
            return Err(Problem::invalid(format!(
                "parameter collection takes at most {NAMES_MAX} names"
            )));
        }
        let default = match collections {
            Some(_) => NAMED_DEFAULT,
            None => UNNAMED_DEFAULT,
        };
        Ok(Self {
            limit: params.number("limit", 1..=SAMPLES_MAX, default)?,
            collections,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Wanted, Problem> {
        Wanted::read(&Params::parse(query).unwrap())
    }

    #[test]
    fn names_are_parted_by_commas_and_the_limit_is_for_each() {
        for query in ["", "collection=", "collection=,+,"] {
            let wanted = read(query).unwrap();
            assert_eq!((wanted.collections, wanted.limit), (None, 12), "{query}");
        }
        let wanted = read("collection=a.b.c,+a.b.d,a.b.c&limit=64").unwrap();
        let names = vec!["a.b.c".to_owned(), "a.b.d".to_owned()];
        assert_eq!((wanted.collections, wanted.limit), (Some(names), 64));
        assert_eq!(read("collection=a.b.c").unwrap().limit, 42);
        for (bad, name) in [
            ("collection=x", "collection"),
            ("collection=a.b.c&collection=a.b.d", "collection"),
            ("limit=0", "limit"),
            ("limit=65", "limit"),
        ] {
            assert!(read(bad).unwrap_err().message().contains(name), "{bad}");
        }
        let many: Vec<String> = (0..=NAMES_MAX).map(|i| format!("a.b.c{i}")).collect();
        assert!(read(&format!("collection={}", many.join(","))).is_err());
    }
}
