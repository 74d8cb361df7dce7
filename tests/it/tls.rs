//! TLS through the real binary: clients and a server, a coordinator and its runners, files that do not fit, certificates that
//! are renewed, and handshakes that come to nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::cli::{Said, callboard};
use crate::process::until;
use crate::server::{Launch, Server, exchange};

/// An authority, and a folder of what it made.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, folder.display().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder: folder.to_owned() }
    }

    /// A certificate for this machine and its key, in NAME.pem and NAME.key.
    fn issues(&self, name: &str) {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        self.issues_as(name, CertificateParams::new(names).unwrap());
    }

    fn issues_as(&self, name: &str, mut params: CertificateParams) {
        let key = KeyPair::generate().unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        let path = self.folder.join(format!("{name}.key"));
        std::fs::write(&path, key.serialize_pem()).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

/// With the certificate NAME of this authority.
fn showing(launch: Launch, authority: &Authority, name: &str) -> Launch {
    let launch = launch.speaks_tls().variable("CALLBOARD_TLS_CERT", &authority.file(&format!("{name}.pem")));
    launch.variable("CALLBOARD_TLS_KEY", &authority.file(&format!("{name}.key")))
}

fn url(server: &Server) -> String {
    format!("https://127.0.0.1:{}", server.port)
}

fn ask(server: &Server, flags: &[&str], args: &[&str]) -> Said {
    let url = url(server);
    callboard(&[&["--server", url.as_str()], flags, args].concat())
}

#[test]
fn clients_believe_the_authority_that_they_were_told_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) =
        (Authority::new(&folder.path().join("ours")), Authority::new(&folder.path().join("b")));
    ours.issues("node");
    let server = showing(Launch::over(&folder.path().join("data")), &ours, "node").start();
    let ca = ours.file("ca.pem");
    let run = ask(&server, &["--ca-cert", &ca], &["run", "--", "echo", "within"]);
    assert_eq!(run.fine(), "within");
    // By another of its names, and by a context.
    let named = format!("https://localhost:{}", server.port);
    assert_eq!(callboard(&["-s", &named, "--ca-cert", &ca, "healthcheck"]).fine(), "ok");
    let config = folder.path().join("config.toml").display().to_string();
    let set = ["--config", &config, "context", "set", "here", "--server", &named, "--ca-cert", &ca];
    callboard(&set).fine();
    assert_eq!(callboard(&["--config", &config, "-c", "here", "healthcheck"]).fine(), "ok");
    ask(&server, &[], &["list"]).refused(6, "its certificate is of no authority that is believed here");
    ask(&server, &["--ca-cert", &theirs.file("ca.pem")], &["list"]).refused(6, "(--ca-cert");
    assert_eq!(ask(&server, &["--insecure-skip-tls-verify"], &["healthcheck"]).fine(), "ok");
    // It is said what is missing, and not only that nothing came.
    let plain = exchange(server.port, "GET", "/health", None).unwrap();
    assert_eq!((plain.status, &plain.json()["type"]), (400, &"/problems/tls-expected".into()));
    let http = format!("http://127.0.0.1:{}", server.port);
    callboard(&["-s", &http, "list"]).refused(1, "this port speaks TLS");
}

#[test]
fn a_server_without_tls_says_so_to_those_who_want_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).start();
    ask(&server, &["--insecure-skip-tls-verify"], &["list"]).refused(6, "it does not speak TLS");
}

#[test]
fn a_server_that_wants_a_certificate_hears_nobody_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) =
        (Authority::new(&folder.path().join("ours")), Authority::new(&folder.path().join("b")));
    for (authority, name) in [(&ours, "node"), (&ours, "user"), (&theirs, "user")] {
        authority.issues(name);
    }
    let token = folder.path().join("token");
    std::fs::write(&token, "a-token").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let launch = showing(Launch::over(&folder.path().join("data")), &ours, "node");
    let launch = launch.variable("CALLBOARD_TLS_CLIENT_CA", &ours.file("ca.pem"));
    let server = launch.variable("CALLBOARD_TOKEN_FILE", token.to_str().unwrap()).start();
    let ca = ours.file("ca.pem");
    let user = |authority: &Authority| [authority.file("user.pem"), authority.file("user.key")];
    let flags = |user: &[String; 2]| {
        ["--ca-cert", &ca, "--client-cert", &user[0], "--client-key", &user[1]].map(str::to_owned)
    };
    let said = |user: &[String; 2], args: &[&str]| {
        let flags = flags(user);
        ask(&server, &flags.iter().map(String::as_str).collect::<Vec<_>>(), args)
    };
    let nobody = ask(&server, &["--ca-cert", &ca], &["healthcheck"]);
    nobody.refused(6, "it wants to be shown a certificate");
    said(&user(&theirs), &["healthcheck"]).refused(6, "it does not believe the authority");
    assert_eq!(said(&user(&ours), &["healthcheck"]).fine(), "ok");
    // A certificate is no token.
    said(&user(&ours), &["list"]).refused(4, "TOKEN");
    said(&user(&ours), &["--token-file", token.to_str().unwrap(), "list"]).fine();
}

#[test]
fn coordinator_and_runner_speak_tls_whoever_dials() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("ca"));
    ["coordinator", "joins", "dialled"].iter().for_each(|name| authority.issues(name));
    let ca = authority.file("ca.pem");
    let trusting = |launch: Launch, name: &str| {
        let launch = showing(launch, &authority, name).variable("CALLBOARD_TLS_CLIENT_CA", &ca);
        launch.variable("CALLBOARD_LIVENESS", "test").unready()
    };
    let runner = |name: &str| {
        trusting(Launch::over(&folder.path().join(name)).runner(), name).variable("CALLBOARD_NAME", name)
    };
    let dialled = runner("dialled").start();
    let coordinator = trusting(Launch::over(&folder.path().join("data")).slots(0), "coordinator");
    let coordinator =
        coordinator.variable("RUNNER_URL", &url(&dialled)).variable("CALLBOARD_TLS_PEER_CA", &ca);
    let coordinator = coordinator.start();
    let joins = runner("joins").variable("CALLBOARD_JOIN", &url(&coordinator));
    let _joins = joins.variable("CALLBOARD_TLS_PEER_CA", &ca).start();
    let flags = [
        "--ca-cert",
        &ca,
        "--client-cert",
        &authority.file("joins.pem"),
        "--client-key",
        &authority.file("joins.key"),
    ];
    for name in ["dialled", "joins"] {
        let run = ask(&coordinator, &flags, &["run", "--cwd", "/", "--runner", name, "--", "echo", name]);
        assert_eq!(run.fine(), name);
    }
}

#[test]
fn a_peer_of_another_authority_is_not_spoken_with_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) =
        (Authority::new(&folder.path().join("ours")), Authority::new(&folder.path().join("b")));
    ours.issues("node");
    let server = showing(Launch::over(&folder.path().join("data")).slots(0).unready(), &ours, "node").start();
    let log = folder.path().join("log");
    let runner = Launch::over(&folder.path().join("runner")).runner().unready().log_to(&log);
    let runner = runner.variable("CALLBOARD_JOIN", &url(&server));
    let _runner = runner.variable("CALLBOARD_TLS_PEER_CA", &theirs.file("ca.pem")).start();
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    until("it is said", || said().contains("its certificate is of no authority that is believed here"));
    let listed = ask(&server, &["--ca-cert", &ours.file("ca.pem")], &["nodes", "list", "--json"]);
    assert!(!listed.fine().contains("joined"), "{listed:?}");
}

#[test]
fn files_that_do_not_fit_are_refused_at_the_start_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("ca"));
    ["one", "other"].iter().for_each(|name| authority.issues(name));
    let (cert, key, other) =
        (authority.file("one.pem"), authority.file("one.key"), authority.file("other.key"));
    let data = folder.path().join("data").display().to_string();
    let refused = |flags: &[&str], why: &str| {
        let args = [&["serve", "--bind", "127.0.0.1:0", "--data-dir", &data], flags].concat();
        callboard(&args).refused(78, why);
    };
    refused(&["--tls-cert", &cert], "both --tls-cert and --tls-key");
    refused(&["--tls-cert", &cert, "--tls-key", &other], "is not the key of the first certificate in");
    refused(&["--tls-cert", &key, "--tls-key", &key], "holds no certificate in PEM");
    refused(&["--tls-cert", &cert, "--tls-key", &cert], "holds no key in PEM");
    refused(&["--tls-cert", "/nowhere", "--tls-key", &key], "/nowhere: No such file");
    refused(&["--tls-cert", "/dev/zero", "--tls-key", &key], "more than 1048576 bytes");
    refused(&["--tls-client-ca", &cert], "needs --tls-cert and --tls-key");
    refused(&["--tls-peer-ca", &cert], "none is named so");
    let both = ["--tls-cert", &cert, "--tls-key", &key];
    refused(&[&both[..], &["--tls-client-ca", &key]].concat(), "holds no certificate in PEM");
    // Of a client, too.
    let server = ["-s", "https://127.0.0.1:1"];
    callboard(&[&server[..], &["--ca-cert", &key, "list"]].concat()).refused(78, "holds no certificate");
    callboard(&[&server[..], &["--client-cert", &cert, "list"]].concat()).refused(78, "go together");
}

#[test]
fn a_certificate_that_is_renewed_is_shown_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (former, later) =
        (Authority::new(&folder.path().join("a")), Authority::new(&folder.path().join("b")));
    former.issues("node");
    later.issues("node");
    let server = showing(Launch::over(&folder.path().join("data")), &former, "node").start();
    let knows = |authority: &Authority| {
        let said = ask(&server, &["--ca-cert", &authority.file("ca.pem")], &["healthcheck"]);
        said.err.is_empty()
    };
    assert!(knows(&former) && !knows(&later));
    let replace = |name: &str| std::fs::copy(later.file(name), former.file(name)).unwrap();
    replace("node.pem");
    assert!(knows(&former), "half a renewal changes nothing");
    replace("node.key");
    assert!(!knows(&former) && knows(&later));
}

#[test]
fn handshakes_that_come_to_nothing_end_and_are_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("ca"));
    authority.issues("node");
    let server = showing(Launch::over(&folder.path().join("data")), &authority, "node").start();
    let began = Instant::now();
    // Nothing at all, the beginning of a handshake, and noise that looks like one.
    let begun = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    let noise: Vec<u8> = std::iter::once(22).chain(std::iter::repeat_n(0xa5, 4000)).collect();
    let pieces: [&[u8]; 3] = [&[], &[22, 3, 1, 2, 0, 1], &noise];
    let streams: Vec<_> = (0..200).map(|n| begun(pieces[n % 3])).collect();
    let ca = authority.file("ca.pem");
    assert_eq!(ask(&server, &["--ca-cert", &ca], &["healthcheck"]).fine(), "ok");
    for mut stream in streams {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(began.elapsed() < Duration::from_secs(25), "they were not ended: {:?}", began.elapsed());
    assert_eq!(ask(&server, &["--ca-cert", &ca], &["healthcheck"]).fine(), "ok");
}

#[test]
fn certificates_out_of_their_time_or_of_another_name_are_refused_and_it_is_said_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("ca"));
    let params = |name: &str| CertificateParams::new([name.to_owned()]).unwrap();
    let (mut past, mut future) = (params("127.0.0.1"), params("127.0.0.1"));
    past.not_after = rcgen::date_time_ymd(2001, 1, 1);
    future.not_before = rcgen::date_time_ymd(2999, 1, 1);
    authority.issues_as("expired", past);
    authority.issues_as("early", future);
    authority.issues_as("elsewhere", params("elsewhere.example"));
    authority.issues("node");
    let ca = authority.file("ca.pem");
    for (name, why) in [
        ("expired", "its certificate has expired, or a clock is wrong: renew it"),
        ("early", "its certificate is not valid yet"),
        ("elsewhere", "its certificate is for another name: dial it by a name that stands there"),
    ] {
        let server = showing(Launch::over(&folder.path().join(name)), &authority, name).start();
        ask(&server, &["--ca-cert", &ca], &["healthcheck"]).refused(6, why);
    }
    // The same of what a client shows.
    let launch = showing(Launch::over(&folder.path().join("data")), &authority, "node");
    let server = launch.variable("CALLBOARD_TLS_CLIENT_CA", &ca).unready().start();
    let (cert, key) = (authority.file("expired.pem"), authority.file("expired.key"));
    let flags = ["--ca-cert", &ca, "--client-cert", &cert, "--client-key", &key];
    ask(&server, &flags, &["healthcheck"]).refused(6, "the certificate that it was shown has expired");
}

#[test]
fn a_runner_whose_certificate_is_renewed_joins_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) =
        (Authority::new(&folder.path().join("ours")), Authority::new(&folder.path().join("b")));
    ["node", "runner"].iter().for_each(|name| ours.issues(name));
    theirs.issues("runner");
    let ca = ours.file("ca.pem");
    let launch = showing(Launch::over(&folder.path().join("data")).slots(0).unready(), &ours, "node");
    let server = launch.variable("CALLBOARD_TLS_CLIENT_CA", &ca).start();
    let log = folder.path().join("log");
    let launch = showing(Launch::over(&folder.path().join("joins")).runner().unready(), &theirs, "runner");
    let launch = launch.log_to(&log).variable("CALLBOARD_JOIN", &url(&server));
    let _runner = launch.variable("CALLBOARD_NAME", "late").variable("CALLBOARD_TLS_PEER_CA", &ca).start();
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    until("it is refused", || said().contains("it does not believe the authority"));
    for name in ["runner.pem", "runner.key"] {
        std::fs::copy(ours.file(name), theirs.file(name)).unwrap();
    }
    let (cert, key) = (ours.file("node.pem"), ours.file("node.key"));
    let flags = ["--ca-cert", &ca, "--client-cert", &cert, "--client-key", &key];
    let run = ["run", "--cwd", "/", "--runner", "late", "--", "echo", "renewed"];
    until("it has joined", || ask(&server, &flags, &["nodes", "list"]).fine().contains("late"));
    assert_eq!(ask(&server, &flags, &run).fine(), "renewed");
}

#[test]
fn many_half_open_handshakes_do_not_take_the_places_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("ca"));
    authority.issues("node");
    let launch = showing(Launch::over(&folder.path().join("data")), &authority, "node");
    let launch = launch.variable("CALLBOARD_WORKERS", "1").variable("CALLBOARD_MAX_CONNECTIONS", "16");
    let server = launch.start();
    let began = Instant::now();
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(("127.0.0.1", server.port)).unwrap()).collect();
    let ca = authority.file("ca.pem");
    assert_eq!(ask(&server, &["--ca-cert", &ca], &["healthcheck"]).fine(), "ok");
    // Not by waiting until the others were out of time.
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    drop(silent);
}
