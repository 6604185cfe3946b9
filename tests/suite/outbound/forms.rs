//! Origins that two readers could take differently, or that no plugin may have: each is refused as a grant, and as the
//! target of a plugin's request, however much the host allows.

use jackfield_tests::{Host, Options, alone};

use super::names::Dns;
use super::upstream::{Upstream, ok};
use super::{fetch, guest_at, reason, start};

/// A form, and what a site file with it is told.
const FORMS: [(&str, &str); 55] = [
    // Numbers that some programs take for an IPv4 address.
    ("http://2130706433", "ends in a number, but is no IPv4 address in its usual form: write 127.0.0.1"),
    ("http://017700000001", "write 127.0.0.1"),
    ("http://0x7f000001", "write 127.0.0.1"),
    ("http://0X7F000001", "write 127.0.0.1"),
    ("http://0x7f.1", "write 127.0.0.1"),
    ("http://127.1", "write 127.0.0.1"),
    ("http://127.0.1", "write 127.0.0.1"),
    ("http://0177.0.0.1", "write 127.0.0.1"),
    ("http://0x7f.0.0.0x1", "write 127.0.0.1"),
    ("http://127.0.0.01", "write 127.0.0.1"),
    ("http://127.0.0.0x1", "write 127.0.0.1"),
    ("http://0", "write 0.0.0.0"),
    ("http://0x", "write 0.0.0.0"),
    ("http://0xa9fea9fe", "write 169.254.169.254"),
    ("http://2852039166", "write 169.254.169.254"),
    ("http://169.16689662", "write 169.254.169.254"),
    ("http://0251.0376.0251.0376", "write 169.254.169.254"),
    ("http://256.0.0.1", "write four numbers from 0 to 255"),
    ("http://1.2.3.4.5", "write four numbers from 0 to 255"),
    ("http://4294967296", "write four numbers from 0 to 255"),
    ("http://granted.1", "write four numbers from 0 to 255"),
    // Names and addresses in disguise.
    ("http://localhost.", "ends with a dot"),
    ("http://127.0.0.1.", "ends with a dot"),
    ("http://１２７.0.0.1", "is not ASCII"),
    ("http://127。0。0。1", "is not ASCII"),
    ("http://ⓛocalhost", "is not ASCII"),
    ("http://%6c%6fcalhost", "percent-encoded"),
    ("http://127.0.0.1%00.granted.test", "percent-encoded"),
    ("http://granted.test%2f@127.0.0.1", "no user name or password"),
    ("http://*.granted.test", "not a pattern"),
    ("http://granted..test", "empty label"),
    ("http://.granted.test", "empty label"),
    ("http:// 127.0.0.1", "cannot be in a host's name"),
    ("http://127.0.0.1;granted.test", "cannot be in a host's name"),
    ("http://granted.test,127.0.0.1", "cannot be in a host's name"),
    // IPv6.
    ("http://[fe80::1%25lo]", "has a zone"),
    ("http://[fe80::1%lo]", "has a zone"),
    ("http://::1", "no IPv6 address"),
    ("http://[::1", "no IPv6 address"),
    ("http://[::1]x", "no IPv6 address"),
    ("http://[127.0.0.1]", "no IPv6 address"),
    ("http://[::127.1]", "no IPv6 address"),
    // Who is the host here?
    ("http://user@127.0.0.1", "no user name or password"),
    ("http://granted.test@127.0.0.1", "no user name or password"),
    ("http://granted.test:80@127.0.0.1:80", "no user name or password"),
    ("http://granted.test\\@127.0.0.1", "ends with its host or port"),
    ("http://127.0.0.1#@granted.test", "ends with its host or port"),
    // Ports.
    ("http://127.0.0.1:0", "no port"),
    ("http://127.0.0.1:65536", "no port"),
    ("http://127.0.0.1:080", "no port"),
    ("http://127.0.0.1:", "no port"),
    ("http://127.0.0.1:80:80", "no IPv6 address"),
    // What is no HTTP.
    ("gopher://127.0.0.1", "no scheme that plugins may use"),
    ("file:///etc/passwd", "no scheme that plugins may use"),
    ("//127.0.0.1", "begins with its scheme"),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_form_of_an_origin_that_can_be_read_in_two_ways_is_granted() {
    println!("{:<44} refused as a grant", "form");
    for (form, says) in FORMS {
        let told = Host::try_start(&guest_at(&[form], ""), Options::default()).await.err();
        let told = told.unwrap_or_else(|| panic!("{form} was granted"));
        let first = told.lines().next().unwrap_or_default();
        println!("{form:<44} {first}");
        assert!(first.contains(says), "{form}: {told}");
        assert!(told.contains('^') && told.contains(&format!("'{form}'")), "it has no place: {told}");
    }
}

#[test]
fn no_form_of_a_target_that_can_be_read_in_two_ways_is_asked_for() {
    alone("outbound::forms::no_form_of_a_target_that_can_be_read_in_two_ways_is_asked_for", async || {
        let canary = Upstream::start("[::]:80", |_| ok("reached\n")).await;
        // Every name is one of the loopback's, and every address is allowed: whatever a form is taken for, it could be
        // reached.
        let dns = Dns::start(|_| vec!["127.0.0.1".parse().unwrap()]).await;
        let origins = [
            "http://127.0.0.1",
            "http://0.0.0.0",
            "http://169.254.169.254",
            "http://[::1]",
            "http://[fe80::1]",
            "http://localhost",
            "http://granted.test",
        ];
        let host = start(&["0.0.0.0/0", "::/0"], &origins, "").await;
        for origin in origins.iter().filter(|origin| !origin.contains("fe80")) {
            assert_eq!(fetch(&host, origin).await.expect(200).text(), "reached\n", "{origin}");
        }
        let (reached, asked) = (canary.seen().len(), dns.asked());

        println!("{:<44} refused as a target", "form");
        for (form, _) in FORMS {
            let answer = fetch(&host, form).await;
            let how = answer.expect(502).text();
            println!("{form:<44} {:<28} {}", how.trim(), reason(&host, &answer));
            let refusals = [
                // By the interface, which takes no such authority.
                "refused: authority\n",
                "refused: scheme\n",
                "refused: url\n",
                // By the host.
                "HTTP-request-URI-invalid\n",
                "HTTP-request-denied\n",
            ];
            let is_no_http = !form.starts_with("http:") && how == "HTTP-protocol-error\n";
            assert!(is_no_http || refusals.contains(&how.as_str()), "{form}: {answer}");
        }
        assert_eq!(canary.seen().len(), reached, "somebody was asked: {:#?}", canary.seen());
        assert_eq!(dns.asked(), asked, "a name was looked up");
    });
}
