//! `hop doctor`: each step on the way to a broker and its topics, with what is wrong and what to do.

mod report;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use self::report::{Finding, Report};
use super::arguments::DoctorArguments;
use super::interrupt::Interrupt;
use super::{Failure, Outcome, connect};
use crate::auth::{Auth, CredentialFile, CredentialLabel};
use crate::kafka::admin::{AclOperation, ClusterDescription};
use crate::kafka::{self, Client, StartOffset, Tls, TopicDescription};
use crate::stream::{HopUrl, OpenError, Stream, tls};

/// Certificates that end sooner are worth a word.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// What two clocks may differ by.
const SKEW: Duration = Duration::from_secs(5);
/// How long a topic's brokers may be out of reach.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the way to the broker and back is measured.
const ROUND_TRIPS: usize = 5;

pub(super) async fn run(arguments: DoctorArguments, in_color: bool, interrupt: Interrupt) -> Outcome {
    let mut report = Report::new(arguments.json, in_color);
    let examined = tokio::select! {
        examined = examine(&arguments, &mut report) => examined,
        () = interrupt.heard() => return Err(Failure::Reported("interrupted".to_owned())),
    };
    // What could not be found out was said.
    examined?;
    match report.failures() {
        0 => Ok(()),
        1 => Err(Failure::Reported("1 thing is wrong".to_owned())),
        count => Err(Failure::Reported(format!("{count} things are wrong"))),
    }
}

/// Goes on as far as that makes sense.
async fn examine(arguments: &DoctorArguments, report: &mut Report) -> Outcome {
    let url: HopUrl = arguments.url.parse().map_err(OpenError::from)?;
    let within = arguments.connection.connect_timeout;
    if !arguments.connection.no_auth {
        let file = credential_file();
        report.add(&file)?;
        if file.is_failure() {
            return Ok(());
        }
    }
    let stream = match connect(&arguments.connection) {
        Ok(stream) => stream,
        Err(error) => return Ok(report.add(&Finding::failure("credential", error.to_string()))?),
    };
    let auth = match stream.credential(&url) {
        Ok(auth) => auth,
        Err(error) => return Ok(report.add(&Finding::failure("credential", error.to_string()))?),
    };
    report.add(&credential(auth))?;

    let Some(addresses) = look_up(&url, within, report).await? else { return Ok(()) };
    let Some(socket) = reach(&addresses, within, report).await? else { return Ok(()) };
    match auth.map(tls) {
        Some(Some(tls)) => {
            let finding = shake_hands(&tls, url.host(), socket, within).await;
            report.add(&finding)?;
            if finding.is_failure() {
                return Ok(());
            }
        }
        Some(None) => report.add(&Finding::warning(
            "tls",
            "the credential asks for no encryption",
            "anybody on the way can read all of it; set the protocol of the credential to SASL_SSL",
        ))?,
        None => report.add(&Finding::good("tls", "none is used (--no-auth)"))?,
    }
    let Some((client, cluster)) = log_in(&stream, &arguments.url, report).await? else { return Ok(()) };
    for finding in brokers(&cluster, within).await {
        report.add(&finding)?;
    }
    topics(&client, &url, report).await
}

/// Secrets are for their owner.
fn credential_file() -> Finding {
    const CHECK: &str = "file";
    let path = match CredentialFile::locate() {
        Ok(path) => path,
        Err(error) => return Finding::failure(CHECK, error.to_string()),
    };
    let shown = path.display();
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) => {
            return Finding::failure(CHECK, format!("{shown}: {error}"))
                .advise("store a credential: hop auth add");
        }
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = metadata.permissions().mode();
        if mode & 0o077 != 0 {
            return Finding::failure(CHECK, format!("{shown} can be read by others, and is not used"))
                .advise(format!("chmod 600 {shown}"));
        }
    }
    Finding::good(CHECK, format!("{shown}, {} bytes", metadata.len()))
}

fn credential(auth: Option<&Auth>) -> Finding {
    let found = match auth {
        Some(auth) => format!("{}, by {}", CredentialLabel::from(auth), auth.mechanism()),
        None => "none is used (--no-auth)".to_owned(),
    };
    Finding::good("credential", found)
}

async fn look_up(
    url: &HopUrl,
    within: Duration,
    report: &mut Report,
) -> Result<Option<Vec<SocketAddr>>, Failure> {
    const CHECK: &str = "name";
    let began = Instant::now();
    let looked_up = timeout(within, lookup_host((url.host(), url.port()))).await;
    let failed = |reason: String| {
        Finding::failure(CHECK, format!("{}: {reason}", url.host()))
            .advise("check the name in the URL, and this machine's DNS")
    };
    let (finding, addresses) = match looked_up {
        Ok(Ok(addresses)) => {
            let addresses: Vec<_> = addresses.collect();
            let shown: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
            let finding = Finding::good(CHECK, format!("{} is {}", url.host(), shown.join(", ")));
            (finding.took(began.elapsed()), Some(addresses))
        }
        Ok(Err(error)) => (failed(error.to_string()), None),
        Err(_) => (failed(format!("no answer within {within:?}")), None),
    };
    report.add(&finding)?;
    Ok(addresses)
}

/// Connects to each address; the first connection that came about.
async fn reach(
    addresses: &[SocketAddr],
    within: Duration,
    report: &mut Report,
) -> Result<Option<TcpStream>, Failure> {
    const CHECK: &str = "tcp";
    let mut first = None;
    let mut failed = Vec::new();
    for address in addresses {
        let began = Instant::now();
        match open(address, within).await {
            Ok(socket) => {
                report.add(&Finding::good(CHECK, address.to_string()).took(began.elapsed()))?;
                first.get_or_insert(socket);
            }
            Err(reason) => failed.push(format!("{address}: {reason}")),
        }
    }
    for reason in failed {
        report.add(&match first {
            Some(_) => Finding::warning(CHECK, reason, "another address works, and is used after a moment"),
            None => Finding::failure(CHECK, reason)
                .advise("check host and port, that the broker is up, and that no firewall is in the way"),
        })?;
    }
    Ok(first)
}

async fn open(address: &SocketAddr, within: Duration) -> Result<TcpStream, String> {
    match timeout(within, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {within:?}")),
    }
}

async fn shake_hands(tls: &Tls, host: &str, socket: TcpStream, within: Duration) -> Finding {
    const CHECK: &str = "tls";
    let began = Instant::now();
    let inspected = match timeout(within, tls.inspect(host, socket)).await {
        Ok(Ok(inspected)) => inspected,
        Ok(Err(error)) => return Finding::failure(CHECK, error.to_string()),
        Err(_) => {
            return Finding::failure(CHECK, format!("no answer within {within:?}"))
                .advise("is this the port for TLS?");
        }
    };
    let took = began.elapsed();
    let days = inspected.valid_for.as_secs() / (24 * 60 * 60);
    let certificates = match inspected.certificates {
        1 => "1 certificate, good".to_owned(),
        count => format!("{count} certificates, good"),
    };
    let found =
        format!("{}, {}, {certificates} for {days} more days", inspected.protocol, inspected.cipher_suite);
    if inspected.valid_for < SOON {
        return Finding::warning(CHECK, found, "the broker's operators should renew the certificate")
            .took(took);
    }
    Finding::good(CHECK, found).took(took)
}

async fn log_in(
    stream: &Stream,
    url: &str,
    report: &mut Report,
) -> Result<Option<(Client, ClusterDescription)>, Failure> {
    let began = Instant::now();
    let client = match stream.client(url).await {
        Ok(client) => client,
        Err(error) => {
            report.add(&Finding::failure("login", error.to_string()))?;
            return Ok(None);
        }
    };
    report.add(
        &Finding::good("login", "the broker lets us in, and speaks what we speak").took(began.elapsed()),
    )?;
    let admin = client.admin();
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    let mut cluster = None;
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        match admin.describe_cluster().await {
            Ok(described) => cluster = Some(described),
            Err(error) => {
                report.add(&Finding::failure("cluster", error.to_string()))?;
                return Ok(None);
            }
        }
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let Some(cluster) = cluster else { return Ok(None) };
    let id = cluster.id.as_deref().unwrap_or("without a name");
    let count = cluster.brokers.len();
    let brokers = if count == 1 { "1 broker".to_owned() } else { format!("{count} brokers") };
    let finding = Finding::good("cluster", format!("{id}, {brokers}; a request and its answer"));
    report.add(&match times.get(ROUND_TRIPS / 2) {
        Some(&median) => finding.took(median),
        None => finding,
    })?;
    Ok(Some((client, cluster)))
}

/// Whether the brokers can be reached where the cluster says that they are: what clients are told is often what the
/// operators' network knows, and nobody else.
async fn brokers(cluster: &ClusterDescription, within: Duration) -> Vec<Finding> {
    const CHECK: &str = "broker";
    let mut findings = Vec::new();
    for broker in &cluster.brokers {
        let began = Instant::now();
        let port = u16::try_from(broker.port).unwrap_or(0);
        let connected = timeout(within, TcpStream::connect((broker.host.as_str(), port))).await;
        let shown = format!("{} at {}:{}", broker.id, broker.host, broker.port);
        let failed = |reason: String| {
            Finding::failure(CHECK, format!("{shown}: {reason}")).advise(
                "that is where the cluster sends its clients (advertised.listeners), and it must be reachable from here",
            )
        };
        findings.push(match connected {
            Ok(Ok(_)) => Finding::good(CHECK, shown).took(began.elapsed()),
            Ok(Err(error)) => failed(error.to_string()),
            Err(_) => failed(format!("no answer within {within:?}")),
        });
    }
    findings
}

async fn topics(client: &Client, url: &HopUrl, report: &mut Report) -> Outcome {
    if url.topics().is_empty() {
        let finding = match client.list_topics().await {
            Ok(topics) => Finding::good("topics", format!("{} can be seen", topics.len())),
            Err(error) => Finding::failure("topics", error.to_string()),
        };
        return Ok(report.add(&finding)?);
    }
    let names: Vec<_> = url.topics().iter().map(|topic| topic.as_str()).collect();
    let described = match client.describe_topics(&names).await {
        Ok(described) => described,
        Err(error) => return Ok(report.add(&Finding::failure("topic", error.to_string()))?),
    };
    // Brokers before Kafka 2.3 do not say.
    let allowed = client.admin().authorized_operations(&names).await.unwrap_or_default();
    for topic in described {
        let allowed = allowed.iter().find(|(name, _)| *name == topic.name);
        let allowed = allowed.and_then(|(_, allowed)| allowed.as_ref().ok());
        report.add(&of_topic(client, &topic, allowed.map(Vec::as_slice)).await)?;
    }
    Ok(())
}

/// Reads the last message of a topic: that shows whether we may, and how late its sender's clock is. Where there is none,
/// and for writing, it takes the broker's word.
async fn of_topic(client: &Client, topic: &TopicDescription, allowed: Option<&[AclOperation]>) -> Finding {
    const CHECK: &str = "topic";
    let name = &topic.name;
    if let Some(code) = topic.error {
        return Finding::failure(CHECK, format!("'{name}': {}", code.description()))
            .advise("hop list-topics shows what this user may see; ask the topic's owner for access");
    }
    let leaderless = topic.partitions.iter().filter(|partition| partition.leader.is_none()).count();
    if leaderless > 0 {
        return Finding::failure(CHECK, format!("'{name}': {leaderless} partitions have no leader"))
            .advise("their brokers are down; the cluster's operators can tell more");
    }
    let may = allowed.map(|allowed| {
        [AclOperation::Read, AclOperation::Write].map(|operation| allowed.contains(&operation))
    });
    let may = match may {
        Some([true, true]) => "can be read and written",
        Some([true, false]) => "can be read, not written",
        Some([false, may_write]) => {
            let what = if may_write { "can be written, not read" } else { "can neither be read nor written" };
            return Finding::failure(CHECK, format!("'{name}' {what}, by the rules of the broker"))
                .advise("ask the topic's owner for access");
        }
        None => "can be read",
    };
    let began = Instant::now();
    let newest = match newest(client, name).await {
        Ok(newest) => newest,
        Err(error) => return Finding::failure(CHECK, format!("'{name}' cannot be read: {error}")),
    };
    let took = began.elapsed();
    let count = topic.partitions.len();
    let partitions = if count == 1 { "1 partition".to_owned() } else { format!("{count} partitions") };
    let Some(newest) = newest else {
        return Finding::good(CHECK, format!("'{name}', {partitions}, {may}; it is empty")).took(took);
    };
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let sent = Duration::from_millis(u64::try_from(newest).unwrap_or_default());
    if let Some(ahead) = sent.checked_sub(since_1970).filter(|&ahead| ahead > SKEW) {
        return Finding::warning(
            CHECK,
            format!("'{name}', {partitions}: the newest message is from {ahead:.0?} in the future"),
            "the clock of this machine, or that of the sender, is wrong",
        );
    }
    let ago = Duration::from_secs(since_1970.saturating_sub(sent).as_secs());
    let ago = humantime::format_duration(ago);
    Finding::good(CHECK, format!("'{name}', {partitions}, {may}; the newest message is {ago} old")).took(took)
}

/// When the newest message of a topic was sent, in milliseconds since 1970.
async fn newest(client: &Client, topic: &str) -> Result<Option<i64>, kafka::Error> {
    let consumer = client.consumer().topics([topic]).start_at(StartOffset::BeforeEnd(1)).stop_at_end(true);
    let mut consumer = consumer.give_up_after(Some(PATIENCE)).build().await?;
    let mut newest = None;
    while let Some(record) = consumer.next().await? {
        newest = newest.max(Some(record.timestamp));
    }
    Ok(newest)
}
