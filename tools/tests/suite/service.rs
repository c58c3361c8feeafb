//! The program under a service manager: what it tells by `NOTIFY_SOCKET`, and sockets passed by `LISTEN_FDS`.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use orrery_engine::{Options, SourceCursor, Store};
use rustix::process::Signal;
use serde_json::json;

use crate::common::jetstream::{Jetstream, TIME_US};
use crate::common::{Server, ingest, orrery, synthetic, text};

/// A directory with a few events, below `dir`.
fn data(dir: &Path) -> String {
    let file = dir.join("events");
    std::fs::write(&file, synthetic(1, 20)).unwrap();
    let data = dir.join("data");
    ingest(&data, &[file.to_str().unwrap()]);
    data.to_str().unwrap().to_owned()
}

/// The next datagram, as its lines.
fn told(socket: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 4096];
    // A process that was stopped and goes on finds its call interrupted.
    let length = loop {
        match socket.recv(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            received => break received.expect("nothing was told for 20 s"),
        }
    };
    let told = std::str::from_utf8(&bytes[..length]).unwrap();
    told.lines().map(str::to_owned).collect()
}

fn listening(dir: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(dir.join("notify")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    socket
}

#[test]
fn a_service_manager_is_told_of_the_start_the_state_and_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let socket = listening(dir.path());
    let mut command = orrery();
    command
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .env("WATCHDOG_USEC", "60000");
    let mut server = Server::start_by(
        command,
        &["serve", "--data", &data],
        &dir.path().join("log"),
    );
    assert_eq!(told(&socket), [format!("STATUS=Opens {data}")]);
    let first = told(&socket);
    assert_eq!(
        first,
        ["STATUS=Answers, follows nothing", "READY=1", "WATCHDOG=1"]
    );
    // It answers from the moment it is ready.
    assert_eq!(server.get("/_health").unwrap().0, 200);
    for _ in 0..3 {
        let again = told(&socket);
        assert_eq!(again, ["STATUS=Answers, follows nothing", "WATCHDOG=1"]);
    }
    assert!(server.stop(Signal::TERM));
    let deadline = Instant::now() + Duration::from_secs(20);
    while told(&socket) != ["STOPPING=1"] {
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn the_watchdog_is_kept_quiet_while_a_followed_source_brings_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let socket = listening(dir.path());
    // Nothing listens there: the writer waits, and goes on all the same.
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let source = format!("ws://{unused}/key/hunter3/subscribe?key=hunter2");
    let data = dir.path().join("data");
    let mut command = orrery();
    command
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .env("WATCHDOG_USEC", "3000000");
    let arguments = [
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--jetstream",
        &source,
    ];
    let log = dir.path().join("log");
    let server = Server::start_by(command, &arguments, &log);
    told(&socket);
    for _ in 0..3 {
        let line = told(&socket);
        assert!(line[0].starts_with("STATUS=Follows ws://"), "{line:?}");
        assert_eq!(line.last().unwrap(), "WATCHDOG=1");
        assert!(!line[0].contains("hunter"), "{line:?}");
    }
    // A key in the source's address is told to nobody, and nor is an address that is none of the public network.
    let (_, _, health) = server.get("/_health").unwrap();
    assert!(health.contains("\"source\":null"), "{health}");
    drop(server);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("trying again") && !log.contains("hunter"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_goes_on_by_another_key_also_where_an_older_build_stored_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let stream = Jetstream::start().await;
    let like = || Some(json!({"subject": "did:plc:cccccccccccccccccccccccc"}));
    stream.commit("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "3a", "create", like());
    // As an older build left it: an event, and the address with its key as the name of the source.
    let store = Store::open(&data, Options::default()).unwrap();
    let mut writer = store.writer().unwrap();
    writer.set_cursor(SourceCursor {
        kind: 1,
        endpoint: format!("{}?key=hunter1", stream.url()),
        value: TIME_US,
    });
    writer.close().unwrap();
    drop(store);
    let path = data.to_str().unwrap();
    let log = dir.path().join("log");
    for (key, rkey) in [("?key=hunter2", "3b"), ("", "3c")] {
        let source = format!("{}{key}", stream.url());
        let arguments = ["serve", "--data", path, "--jetstream", &source];
        let mut server = Server::start(&arguments, &log);
        stream.commit("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", rkey, "create", like());
        let count = "/links/count?target=did:plc:cccccccccccccccccccccccc&collection=com.ex.like&path=.subject";
        let wanted = if key.is_empty() {
            "\"total\":3"
        } else {
            "\"total\":2"
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !server.get(count).unwrap().2.contains(wanted) {
            assert!(Instant::now() < deadline, "{:?}", server.get(count));
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(server.stop(Signal::TERM));
        let store = Store::open(&data, Options::default()).unwrap();
        let cursor = store.status().durable_cursor.unwrap();
        assert_eq!(cursor.endpoint, stream.url());
    }
    // Another server is still another source.
    let other = Jetstream::start().await;
    let output = orrery()
        .args([
            "serve",
            "--data",
            path,
            "--bind",
            "127.0.0.1:0",
            "--jetstream",
            &other.url(),
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).contains("--force-source"),
        "{output:?}"
    );
}

/// Runs the program with `listener` passed as a service manager does, as file 3, and `count` of such sockets announced.
fn with_passed(listener: TcpListener, count: u32) -> Command {
    let program = orrery();
    let mut command = Command::new("sh");
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .args(["-c", r#"LISTEN_PID=$$ exec "$0" "$@" 3<&0 </dev/null"#])
        .arg(program.get_program())
        .env("LISTEN_FDS", count.to_string())
        .stdin(Stdio::from(OwnedFd::from(listener)));
    command
}

#[test]
fn a_passed_socket_is_answered_on_instead_of_the_address_of_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    // Kept open here too, as the service manager does.
    let kept = listener.try_clone().unwrap();
    let log = dir.path().join("log");
    let mut child = with_passed(listener, 1)
        .args(["serve", "--data", &data, "--bind", "127.0.0.1:1"])
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(&log)
        .unwrap()
        .contains(&format!("answers on http://{address},"))
    {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut server = Server { child, address };
    assert_eq!(server.get("/_health").unwrap().0, 200);
    assert!(server.stop(Signal::TERM));
    drop(kept);
}

#[test]
fn what_is_passed_and_cannot_be_answered_on_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = |mut command: Command| -> Output {
        command.args(["serve", "--data", &data]).output().unwrap()
    };
    let two = run(with_passed(TcpListener::bind("127.0.0.1:0").unwrap(), 2));
    assert_eq!(two.status.code(), Some(2), "{}", text(&two.stderr));
    assert!(text(&two.stderr).contains("2 sockets are passed"));
    let mut file = with_passed(TcpListener::bind("127.0.0.1:0").unwrap(), 1);
    file.stdin(Stdio::from(
        std::fs::File::open(dir.path().join("events")).unwrap(),
    ));
    let file = run(file);
    assert_eq!(file.status.code(), Some(1), "{}", text(&file.stderr));
    assert!(text(&file.stderr).contains("LISTEN_FDS"));
}
