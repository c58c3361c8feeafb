//! `orrery config`: the settings in effect, what is wrong with them, or a file to begin with.

use serde_json::json;

use crate::cli::ConfigArguments;
use crate::config::{Mistake, Settings, as_json, as_text, check, template};
use crate::failure::{Failure, Result};
use crate::output;

pub(crate) fn run(arguments: &ConfigArguments, settings: &Settings) -> Result<()> {
    if arguments.template {
        return output::line(format_args!("{}", template().trim_end()));
    }
    let (of_serve, mistakes) = check::all(settings);
    let warnings = of_serve.map_or_else(Vec::new, |of_serve| check::warnings(&of_serve, settings));
    if arguments.check {
        if arguments.json {
            let mistakes: Vec<_> = mistakes.iter().map(Mistake::to_json).collect();
            let warnings: Vec<_> = warnings.iter().map(Mistake::to_json).collect();
            let file = settings.file.as_ref().map(|path| path.to_string_lossy());
            let report = json!({ "file": file, "mistakes": mistakes, "warnings": warnings });
            output::line_if_read(format_args!("{report}"))?;
        } else {
            for mistake in &mistakes {
                output::line_if_read(format_args!("{mistake}"))?;
            }
            for warning in &warnings {
                output::line_if_read(format_args!("warning: {warning}"))?;
            }
            if mistakes.is_empty() {
                output::line_if_read(format_args!("no mistakes"))?;
            }
        }
    } else {
        if arguments.json {
            output::line(format_args!("{}", as_json(settings)))?;
        } else {
            output::line(format_args!("{}", as_text(settings).trim_end()))?;
        }
        for mistake in &mistakes {
            output::note(format_args!("{mistake}"));
        }
        for warning in &warnings {
            output::note(format_args!("warning: {warning}"));
        }
    }
    match mistakes.len() {
        0 => Ok(()),
        1 => Err(Failure::Mistaken("one mistake".to_owned())),
        more => Err(Failure::Mistaken(format!("{more} mistakes"))),
    }
}
