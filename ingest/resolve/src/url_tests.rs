use super::*;
use crate::address;

/// Odd ways to write hosts, most of them ways to write 127.0.0.1 or 169.254.169.254.
const ODD: &[&str] = &[
    "https://2130706433/",
    "https://2852039166/",
    "https://4294967295/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0177.0.0.01/",
    "https://0251.0376.0251.0376/",
    "https://0x7f000001/",
    "https://0X7F000001/",
    "https://0x7f.0.0.1/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://0xa9fea9fe/",
    "https://0xa9.0xfe.0xa9.0xfe/",
    "https://169.254.0xa9fe/",
    "https://127.1/",
    "https://127.0.1/",
    "https://10.1/",
    "https://0/",
    "https://0x/",
    "https://1.2.3.4.5/",
    "https://1.2.3/",
    "https://256.0.0.1/",
    "https://127.0.0.256/",
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.0.0.1../",
    "https://169.254.169.254/",
    "https://169.254.169.254./",
    "https://.127.0.0.1/",
    "https://127..0.1/",
    "https://localhost./",
    "https://example.com./",
    "https://a.0x7f/",
    "https://a.1/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[0:0:0:0:0:ffff:7f00:0001]/",
    "https://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[fe80::1]/",
    "https://[::1%251]/",
    "https://[::1]./",
    "https://[::1/",
    "https://::1/",
    "https://::1]/",
    "https://[[::1]]/",
    "https://[127.0.0.1]/",
    "https://[v1.fe80::a]/",
    "https://[::1]x/",
    "https://[]/",
    "https://a[::1]/",
    "https://%31%32%37.0.0.1/",
    "https://127%2e0%2e0%2e1/",
    "https://127.0.0.1%00.example.com/",
    "https://%6c%6f%63%61%6c%68%6f%73%74/",
    "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
    "https://\u{2460}\u{2461}\u{2466}.0.0.1/",
    "https://127\u{3002}0\u{3002}0\u{3002}1/",
    "https://127.0.0.1\u{2024}/",
    "https://\u{661}\u{662}\u{667}.0.0.1/",
    "https://\u{2113}ocalhost/",
    "https://example.com@127.0.0.1/",
    "https://example.com:443@127.0.0.1/",
    "https://user:pass@example.com/",
    "https://@example.com/",
    "https://example.com%40127.0.0.1/",
    "https://127.0.0.1\\@example.com/",
    "https://example.com\\.127.0.0.1/",
    "https:\\\\127.0.0.1\\",
    "https:127.0.0.1/",
    "https:/127.0.0.1/",
    "https:///127.0.0.1/",
    "https:////127.0.0.1/",
    "//127.0.0.1/",
    "127.0.0.1",
    " https://127.0.0.1/",
    "https:// 127.0.0.1/",
    "https://127.0.0.1 /",
    "https://127.0.\n0.1/",
    "https://127.0.0.\t1/",
    "https://127.0.0.1#@example.com/",
    "https://127.0.0.1?@example.com/",
    "https://127.0.0.1;example.com/",
    "https://127.0.0.1,example.com/",
    "https://exa\u{ad}mple.com/",
    "https://ex\u{e4}mple.com/",
    "https://-example.com/",
    "https://example-.com/",
    "https:///",
    "https://",
    "https://:443/",
    "https://example.com:/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:+443/",
    "https://example.com:443:80/",
    "https://example.com:0x50/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "unix:/run/socket",
    "javascript:alert(1)",
    "data:,x",
    "",
];

#[test]
fn odd_hosts_are_no_urls_or_plain_addresses_that_are_refused() {
    for text in ODD {
        let Ok(url) = Url::parse(text) else {
            continue;
        };
        let Host::Address(address) = url.host else {
            assert!(url.host.is_local_name(), "{text} is read as {url:?}");
            continue;
        };
        assert!(
            address::check(address).is_err(),
            "{text} is read as {url:?}"
        );
    }
}

#[test]
fn names_of_the_own_network_are_told_from_public_ones() {
    for name in [
        "localhost",
        "LOCALHOST",
        "a.localhost",
        "localhost.localdomain",
        "printer.local",
        "metadata",
        "metadata.google.internal",
        "host.docker.internal",
        "router.home.arpa",
        "x.onion",
    ] {
        assert!(Host::parse(name).unwrap().is_local_name(), "{name}");
    }
    for name in [
        "example.com",
        "notlocal.example",
        "xlocal.net",
        "my-internal.com",
        "a.b_c.d",
    ] {
        assert!(!Host::parse(name).unwrap().is_local_name(), "{name}");
    }
}

#[test]
fn ordinary_urls_are_read_whole() {
    let url = Url::parse("HTTPS://Example.COM/a/b?c=%20d#e").unwrap();
    assert_eq!(url.host, Host::Name("example.com".to_owned()));
    assert_eq!((url.tls, url.port), (true, 443));
    assert_eq!(url.target, "/a/b?c=%20d");
    assert_eq!(url.host_header(), "example.com");
    assert_eq!(url.authority(), "example.com:443");

    let url = Url::parse("http://[2606:4700::1]:8080?q").unwrap();
    assert_eq!((url.tls, url.port), (false, 8080));
    assert_eq!(url.target, "/?q");
    assert_eq!(url.host_header(), "[2606:4700::1]:8080");

    let url = Url::parse("https://xn--bcher-kva.example").unwrap();
    assert_eq!(url.target, "/");
    assert!(Url::parse(&format!("https://a.b/{}", "x".repeat(9000))).is_err());
    assert!(Url::parse(&format!("https://{}.com/", "x".repeat(64))).is_err());
}

#[test]
fn redirect_targets_are_read_relative_to_the_url_that_gave_them() {
    let base = Url::parse("https://a.example:8443/x/y?z").unwrap();
    for (location, expected) in [
        ("https://b.example/", "https://b.example:443/"),
        ("HTTP://b.example", "http://b.example:80/"),
        ("//b.example/p", "https://b.example:443/p"),
        ("/p?q#f", "https://a.example:8443/p?q"),
        ("?q", "https://a.example:8443/x/y?q"),
        ("p:q/r", "-"),
        ("p/q", "https://a.example:8443/x/p/q"),
        ("p?a:b", "https://a.example:8443/x/p?a:b"),
        ("", "-"),
        ("#f", "-"),
        ("file:///etc/passwd", "-"),
        ("//127.1/", "-"),
        ("\\\\127.0.0.1\\", "-"),
        ("//user@b.example/", "-"),
    ] {
        let got = base.join(location).map_or("-".to_owned(), |url| {
            let scheme = if url.tls { "https" } else { "http" };
            format!("{scheme}://{}{}", url.authority(), url.target)
        });
        assert_eq!(got, expected, "{location}");
    }
}

#[test]
fn an_origin_is_scheme_host_and_port() {
    let base = Url::parse("https://a.example/x").unwrap();
    for (text, same) in [
        ("https://A.example:443/y", true),
        ("http://a.example:443/x", false),
        ("https://a.example:444/x", false),
        ("https://b.a.example/x", false),
    ] {
        assert_eq!(base.same_origin(&Url::parse(text).unwrap()), same, "{text}");
    }
}
