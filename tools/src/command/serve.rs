//! `orrery serve`: follows a source and answers queries, or only answers.

use orrery_engine::offline::Directory;
use orrery_engine::{Options, Store};
use orrery_ingest::{FollowConfig, Whole};
use orrery_jetstream::server_name;
use orrery_server::{Config, RateLimit, StreamConfig};

use crate::cli::{HttpArguments, ServeArguments};
use crate::command::exclude;
use crate::config::{Settings, check};
use crate::edge::EdgeSettings;
use crate::failure::{Failure, Result};
use crate::output;
use crate::running::{self, Running};
use crate::service;
use crate::signals::Signals;
use crate::tls;

pub(crate) fn run(arguments: ServeArguments, settings: &Settings) -> Result<()> {
    // Before a directory is made.
    check::refuse(&arguments, settings)?;
    for warning in check::warnings(&arguments, settings) {
        output::note(format_args!("warning: {warning}"));
    }
    let selection = arguments.selection.selection()?;
    if arguments.jetstream.is_none()
        && !Store::is_at(&arguments.data).map_err(Failure::store(&arguments.data))?
    {
        // Says what is there instead, if anything is.
        if arguments.data.is_dir() {
            Directory::open(&arguments.data).map_err(Failure::store(&arguments.data))?;
        }
        return Err(Failure::Usage(format!(
            "there is no data directory {}; to begin one, name a source with --jetstream",
            arguments.data.display()
        )));
    }
    let edge = EdgeSettings::of(&arguments.edge, arguments.jetstream.is_some());
    let config = Config {
        tls: tls::of(&arguments.tls, &arguments.data)?,
        redirect: arguments.tls.bind_http,
        ..server_config(&arguments.http)?
    };
    let listener = match service::passed_listener()? {
        Some(passed) => passed,
        None => running::bind(arguments.http.bind)?,
    };
    if let Some(metrics) = arguments.http.metrics {
        // Bound again by the server; this tells before anything else is done.
        drop(running::bind(metrics)?);
    }
    if let Some(operator) = arguments.http.operator {
        drop(running::bind(operator)?);
    }
    if let Some(plain) = arguments.tls.bind_http {
        drop(running::bind(plain)?);
    }
    let address = listener.local_addr().unwrap_or(arguments.http.bind);
    let mut options = Options::default();
    arguments.log_window.apply(&mut options);
    options.compact_share = arguments.compact_share;
    // Without a source nothing is written, so nothing would install what was merged.
    options.compact = arguments.jetstream.is_some();
    arguments.disk.apply(&mut options);
    options.map_files = !arguments.no_mmap;
    options.cache = Some(edge.cache());
    let mut running = Running::open(&arguments.data, options)?;
    let runtime = running::runtime()?;
    let signals = {
        let _context = runtime.enter();
        tls::reload_on_hangup(config.tls.as_ref())?;
        Signals::catch()?
    };
    let source = match arguments.jetstream {
        None => {
            if !selection.is_all() {
                let tells = if Whole::of(&running.store().selections()).is_some() {
                    "answers tell what the directory was filled with"
                } else {
                    "what the directory was filled with is not known, and answers tell nothing of it"
                };
                output::note(format_args!(
                    "without --jetstream nothing is indexed, and --collections and --exclude say nothing; {tells}"
                ));
            }
            "nothing".to_owned()
        }
        Some(endpoint) => {
            let mut config = FollowConfig::new(&endpoint);
            config.jetstream.user_agent = concat!("orrery/", env!("CARGO_PKG_VERSION")).to_owned();
            config.force = arguments.force_source;
            config.selection = selection.clone();
            running.follow(config, &runtime)?;
            format!("{}, indexes {selection}", server_name(&endpoint))
        }
    };
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    output::note(format_args!(
        "orrery {} answers on {scheme}://{address}, follows {source}",
        crate::VERSION,
    ));
    let result =
        runtime.block_on(running.run(listener, config, &edge, signals, std::future::pending()));
    running::end(runtime);
    result
}

/// The server's settings as the command line has them.
fn server_config(arguments: &HttpArguments) -> Result<Config> {
    let token = arguments.operator_token_file.as_deref();
    let operator_token = token.map(exclude::read_token).transpose()?;
    Ok(Config {
        did_web_domain: arguments.did_web_domain.clone(),
        strict: arguments.strict,
        lag_limit: arguments.lag_limit,
        rate_limit: arguments.rate_limit.map(|(per_second, burst)| RateLimit {
            per_second,
            burst,
            loopback: false,
        }),
        trusted_proxies: arguments.trusted_proxy.clone(),
        rate_allow: arguments.rate_allow.clone(),
        metrics: arguments.metrics,
        status: !arguments.no_status,
        operator: arguments.operator,
        operator_token,
        stream: StreamConfig {
            subscribers_max: usize::try_from(arguments.subscribers_max).unwrap_or(usize::MAX),
            subscribers_per_address: usize::try_from(arguments.subscribers_per_address)
                .unwrap_or(usize::MAX),
            ..StreamConfig::default()
        },
        ..Config::default()
    })
}
