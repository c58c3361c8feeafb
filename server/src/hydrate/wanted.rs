//! What `hydrate` asks for.

use super::Path;
use crate::params::Params;
use crate::problem::Problem;

/// The most paths of one request.
const PATHS_MAX: usize = 16;

/// What is wanted of each record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    Whole,
    /// The values at these paths.
    Paths(Vec<Path>),
}

impl Wanted {
    /// Reads `hydrate`: `true`, or paths, repeated or with commas between. `None` where no records are wanted: nothing, `false`,
    /// only empty values.
    pub(crate) fn read(params: &Params) -> Result<Option<Self>, Problem> {
        let values = params.list(&["hydrate", "hydrate[]"]).unwrap_or_default();
        let mut words: Vec<&str> = values
            .iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect();
        words.sort_unstable();
        words.dedup();
        match words[..] {
            [] | ["false"] => return Ok(None),
            ["true"] => return Ok(Some(Self::Whole)),
            _ => {}
        }
        let refuse = |why: &str| Err(Problem::invalid(format!("parameter hydrate: {why}")));
        if words.iter().any(|word| ["true", "false"].contains(word)) {
            return refuse("takes true or paths, and not both");
        }
        if words.len() > PATHS_MAX {
            return refuse("takes at most 16 paths");
        }
        let paths: Result<Vec<Path>, _> = words.iter().map(|word| Path::parse(word)).collect();
        match paths {
            Ok(paths) => Ok(Some(Self::Paths(paths))),
            Err(why) => refuse(why),
        }
    }

    /// The paths; none where the whole is wanted.
    pub(super) fn paths(&self) -> &[Path] {
        match self {
            Self::Whole => &[],
            Self::Paths(paths) => paths,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Option<Wanted>, Problem> {
        Wanted::read(&Params::parse(query).unwrap())
    }

    #[test]
    fn true_and_lists_of_paths_are_told_apart() {
        for nothing in [
            "",
            "hydrate=",
            "hydrate=,",
            "hydrate=false",
            "hydrate=false&hydrate=",
        ] {
            assert_eq!(read(nothing).unwrap(), None, "{nothing}");
        }
        for whole in [
            "hydrate=true",
            "hydrate=true&hydrate=true",
            "hydrate[]=true,",
        ] {
            assert_eq!(read(whole).unwrap(), Some(Wanted::Whole), "{whole}");
        }
        let paths = Wanted::Paths(vec![
            Path::parse("embed.images[].alt").unwrap(),
            Path::parse("text").unwrap(),
        ]);
        for some in [
            "hydrate=text,embed.images[].alt",
            "hydrate=text&hydrate=embed.images[].alt&hydrate=text",
            "hydrate=+text+,,embed.images%5B%5D.alt",
        ] {
            assert_eq!(read(some).unwrap(), Some(paths.clone()), "{some}");
        }
        let many: Vec<String> = (0..17).map(|i| format!("p{i}")).collect();
        for bad in [
            "hydrate=true,text".to_owned(),
            "hydrate=true&hydrate=false".to_owned(),
            format!("hydrate={}", many.join(",")),
            format!("hydrate={}", "x".repeat(600)),
        ] {
            assert!(
                read(&bad).unwrap_err().message().contains("hydrate"),
                "{bad}"
            );
        }
    }
}
