//! Look-ups.
//!
//! Owns which servers are asked, for how long, and how many look-ups run at once. Nothing is kept here: TXT records are
//! asked for to learn of a change, addresses only when a connection is made, and the servers asked keep what they know.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Semantic, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use tokio::sync::Semaphore;

use crate::client::ClientError;
use crate::network::DnsError;

/// Names looked up at once. A name whose servers do not answer keeps its place as long as the timeout lets it.
const LOOKUPS_MAX: usize = 512;

/// Asks DNS servers.
pub(crate) struct Dns {
    resolver: TokioResolver,
    timeout: Duration,
    places: Semaphore,
}

impl Dns {
    /// Asks `server`, or those the system is set up with.
    pub(crate) fn new(server: Option<SocketAddr>, timeout: Duration) -> Result<Self, ClientError> {
        let (servers, hosts) = match server {
            Some(server) => (vec![name_server(server)], ResolveHosts::Never),
            None => (system_servers()?, ResolveHosts::Always),
        };
        // Names are always asked for in full, so the system's search list has no part in this.
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options: &mut ResolverOpts = builder.options_mut();
        options.use_hosts_file = hosts;
        options.cache_size = 0;
        options.attempts = 1;
        options.timeout = timeout / 2;
        options.max_active_requests = LOOKUPS_MAX * 2;
        let resolver = builder.build().map_err(|error| ClientError::Dns {
            problem: error.to_string(),
        })?;
        Ok(Self {
            resolver,
            timeout,
            places: Semaphore::new(LOOKUPS_MAX),
        })
    }

    /// All addresses of a name, not empty.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, DnsError> {
        let name = full_name(name)?;
        let (v4, v6) = tokio::join!(
            self.lookup(name.clone(), RecordType::A),
            self.lookup(name, RecordType::AAAA),
        );
        let found: Vec<IpAddr> = [&v4, &v6]
            .into_iter()
            .flatten()
            .flat_map(Lookup::answers)
            .filter_map(|record| record.data.ip_addr())
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
        // Only both answers together say that there is nothing.
        [v4.err(), v6.err()]
            .into_iter()
            .flatten()
            .find(|error| *error != DnsError::NoRecords)
            .map_or(Err(DnsError::NoRecords), Err)
    }

    /// The TXT records of a name, not empty.
    pub(crate) async fn txt(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let lookup = self.lookup(full_name(name)?, RecordType::TXT).await?;
        let found: Vec<String> = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(txt) => {
                    Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned())
                }
                _ => None,
            })
            .collect();
        if found.is_empty() {
            return Err(DnsError::NoRecords);
        }
        Ok(found)
    }

    async fn lookup(&self, name: Name, kind: RecordType) -> Result<Lookup, DnsError> {
        let work = async {
            let _place = self.places.acquire().await;
            self.resolver.lookup(name, kind).await.map_err(told)
        };
        tokio::time::timeout(self.timeout, work)
            .await
            .unwrap_or(Err(DnsError::Timeout))
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp]
        .into_iter()
        .map(|protocol| {
            let mut connection = ConnectionConfig::new(protocol);
            connection.port = address.port();
            connection
        })
        .collect();
    // One server, so nobody else could know better than its "no".
    NameServerConfig::new(address.ip(), true, connections)
}

/// The servers of the system's configuration. Without one, as for the C library, this machine is asked.
fn system_servers() -> Result<Vec<NameServerConfig>, ClientError> {
    match read_system_conf() {
        Ok((config, _)) => Ok(config.name_servers().to_vec()),
        Err(NetError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(vec![name_server(SocketAddr::new(
                Ipv4Addr::LOCALHOST.into(),
                53,
            ))])
        }
        Err(error) => Err(ClientError::Dns {
            problem: error.to_string(),
        }),
    }
}

/// With the dot at its end that keeps the search list away.
fn full_name(name: &str) -> Result<Name, DnsError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    Name::from_ascii(format!("{name}.")).map_err(|error| DnsError::Failed {
        problem: format!("{name:?} is no name: {error}"),
    })
}

fn told(error: NetError) -> DnsError {
    match error {
        NetError::Timeout => DnsError::Timeout,
        NetError::Dns(Semantic::NoRecordsFound(none))
            if matches!(
                none.response_code,
                ResponseCode::NXDomain | ResponseCode::NoError
            ) =>
        {
            DnsError::NoRecords
        }
        NetError::NoConnections => DnsError::Failed {
            problem: "no name server can be reached".to_owned(),
        },
        // The kind alone: of which server it was is nobody's business.
        NetError::Io(error) => DnsError::Failed {
            problem: format!("no name server can be reached: {}", error.kind()),
        },
        error => DnsError::Failed {
            problem: error.to_string(),
        },
    }
}
