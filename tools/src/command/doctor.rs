//! `orrery doctor`: whether this machine is up to what the settings ask of it.

use serde_json::json;

use crate::cli::DoctorArguments;
use crate::config::Settings;
use crate::doctor::{Finding, State, examine};
use crate::failure::{Failure, Result};
use crate::output;

pub(crate) fn run(arguments: &DoctorArguments, settings: &Settings) -> Result<()> {
    let mut findings: Vec<Finding> = Vec::new();
    examine(settings, arguments.offline, &mut |finding| {
        if !arguments.json {
            // One after the other: some take seconds.
            output::line_if_read(format_args!("{}", line(&finding)))?;
        }
        findings.push(finding);
        Ok(())
    })?;
    let count = |state| {
        findings
            .iter()
            .filter(|finding| finding.state == state)
            .count()
    };
    let (warnings, failures) = (count(State::Warn), count(State::Fail));
    if arguments.json {
        let checks: Vec<_> = findings.iter().map(Finding::to_json).collect();
        let report = json!({ "checks": checks, "warnings": warnings, "failures": failures });
        output::line_if_read(format_args!("{report}"))?;
    }
    match failures {
        0 => Ok(()),
        1 => Err(Failure::Unfit("one check fails".to_owned())),
        more => Err(Failure::Unfit(format!("{more} checks fail"))),
    }
}

fn line(finding: &Finding) -> String {
    let mut line = format!(
        "{:<5} {:<15} {}",
        finding.state.name(),
        finding.what,
        finding.found
    );
    if !finding.advice.is_empty() {
        line += " | ";
        line += &finding.advice;
    }
    line
}
