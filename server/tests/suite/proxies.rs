//! The examples for proxies in `server/proxies`, each run by the proxy itself where that is installed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::common::tls::{Pair, ask, ask_with, connect, connect_from, text, trusting, until};
use crate::common::{POST, Response, Server, exchange};
use orrery_server::{Config, RateLimit};
use tokio::net::TcpStream;

const NAME: &str = "orrery.example";
const NGINX: &str = include_str!("../../proxies/nginx.conf");
const CADDYFILE: &str = include_str!("../../proxies/Caddyfile");

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a program is there; says so where it is not.
fn is_there(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let silent = command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let is_there = silent.status().is_ok_and(|status| status.success());
    if !is_there {
        eprintln!("skipped: {program} is not there");
    }
    is_there
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The example, with what an operator puts in, and with addresses that need no rights.
fn nginx(dir: &Path, orrery: SocketAddr, plain: u16, secure: u16) -> String {
    let mut text = NGINX.to_owned();
    let mut put = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in the example");
        text = text.replace(from, to);
    };
    let live = "/etc/letsencrypt/live/orrery.example";
    put(
        &format!("{live}/fullchain.pem"),
        dir.join("own.pem").to_str().unwrap(),
    );
    put(
        &format!("{live}/privkey.pem"),
        dir.join("own.key").to_str().unwrap(),
    );
    put("127.0.0.1:6789", &orrery.to_string());
    put("listen 80;", &format!("listen 127.0.0.1:{plain};"));
    put("listen 443 ssl", &format!("listen 127.0.0.1:{secure} ssl"));
    put("    listen [::]:80;\n", "");
    put("    listen [::]:443 ssl http2;\n", "");
    let dir = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}{text}}}\n"
    )
}

#[tokio::test]
async fn the_example_for_nginx_passes_answers_addresses_and_subscriptions() {
    if !is_there("nginx", &["-v"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::new(NAME);
    pair.write(dir.path(), "own");
    let server = Server::with(Config {
        trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
        rate_limit: Some(RateLimit {
            per_second: 0.01,
            burst: 3,
            loopback: true,
        }),
        ..Config::default()
    })
    .await;
    let (plain, secure) = (free_port(), free_port());
    let file = dir.path().join("nginx.conf");
    std::fs::write(&file, nginx(dir.path(), server.address, plain, secure)).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(dir.path()).arg("-c").arg(&file);
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let mut running = Running(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let (plain, secure) = (local(plain), local(secure));
    until(async || {
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
        assert!(
            running.0.try_wait().unwrap().is_none(),
            "nginx ended: {log}"
        );
        TcpStream::connect(secure).await.is_ok()
    })
    .await;
    let client = trusting(&[&pair.chain], &["http/1.1"]);
    let path =
        format!("/links/count?target={POST}&collection=app.bsky.feed.like&path=.subject.uri");
    // Each client has a limit of its own, whatever it says of itself, though all come by one proxy.
    for from in ["127.0.0.2", "127.0.0.3"] {
        let mut stream = connect_from(from, secure, NAME, &client).await.unwrap();
        for claim in [
            "",
            "x-forwarded-for: 192.0.2.1\r\n",
            "x-forwarded-for: 192.0.2.2\r\n",
        ] {
            let answer = ask_with(&mut stream, &path, claim).await;
            assert!(
                answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"total":5}"#),
                "{answer}"
            );
        }
        assert!(ask(&mut stream, &path).await.starts_with("HTTP/1.1 429"));
    }
    // A question of almost 60 KiB.
    let mut stream = connect(secure, NAME, &client).await.unwrap();
    let long = format!(
        "/links/count?target=https://x.example/{}&collection=a.b.c&path=.d",
        "x".repeat(59_000)
    );
    let answer = ask(&mut stream, &long).await;
    assert!(
        answer.starts_with("HTTP/1.1 200"),
        "{}",
        answer.get(..200).unwrap_or(&answer)
    );

    // A subscription takes all that a full bucket of three has.
    let stream = connect_from("127.0.0.4", secure, NAME, &client)
        .await
        .unwrap();
    let url = format!("wss://{NAME}/subscribe?instant=true");
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let link = [("com.ex.like:subject.uri", "did:plc:c")];
    server.events.create("at://did:plc:a/com.ex.like/3k", &link);
    let told = text(&mut socket).await;
    assert!(told.contains(r#""subject":"did:plc:c""#), "{told}");

    let request = format!("GET /x?y=z HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n");
    let told: Response = exchange(plain, request.as_bytes()).await;
    let wanted = format!("https://{NAME}/x?y=z");
    assert_eq!(
        (told.status, told.header("location")),
        (308, Some(wanted.as_str()))
    );
}

#[test]
fn the_example_for_caddy_is_one_that_caddy_takes() {
    if !is_there("caddy", &["version"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Caddyfile");
    std::fs::write(&file, CADDYFILE).unwrap();
    let mut command = Command::new("caddy");
    command
        .args(["adapt", "--validate", "--adapter", "caddyfile", "--config"])
        .arg(&file);
    let output = command.env("HOME", dir.path()).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
