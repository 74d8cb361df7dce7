//! Binding, and the server around the routes. It installs no signal handler and stops when it is told to; whether an
//! address may be bound is decided here, before anything else is started.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpService};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::App;
use actix_web::dev::{AppConfig, ServerHandle};
use actix_web::error::Error;
use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;

use super::configure;
use super::door::{DEFAULT_BODY_TIMEOUT, Door, HostRule};
use super::inlet::{Inlet, LINGER, MAX_UNKNOWN_BYTES, Terms};
use super::kinds;
use super::problem::{PROBLEM_JSON, Problem, Whence};
use super::socket::{self, Handshakes};

/// Connections that wait to be accepted, per address.
const BACKLOG: i32 = 1024;

/// How the server listens.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Addresses to listen on.
    pub bind: Vec<SocketAddr>,
    /// Names beside loopback's that the server answers to; any name when it listens elsewhere and this is empty.
    pub allowed_hosts: Vec<String>,
    /// Whether an open address may be bound without a token.
    pub insecure: bool,
    /// Whether requests must name an allowed host although the address is an open one.
    pub checks_hosts: bool,
    /// Threads that answer.
    pub workers: usize,
    /// Most connections, over all threads; more wait unaccepted.
    pub max_connections: usize,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// Longest time for the head of a request.
    pub head_timeout: Duration,
    /// Longest time for the body of a request.
    pub body_timeout: Duration,
    /// Longest time that a graceful stop waits for answers under way, in seconds.
    pub stop_timeout_s: u64,
    /// What is shown to those who connect; without it plain HTTP is spoken.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            bind: vec![SocketAddr::from(([127, 0, 0, 1], 8000))],
            allowed_hosts: Vec::new(),
            insecure: false,
            checks_hosts: false,
            workers: available_parallelism().map_or(1, |cores| cores.get().min(2)),
            max_connections: 8192,
            keep_alive: Duration::from_secs(75),
            head_timeout: Duration::from_secs(30),
            body_timeout: DEFAULT_BODY_TIMEOUT,
            stop_timeout_s: 10,
            tls: None,
        }
    }
}

impl HttpConfig {
    /// Most connections of one thread.
    fn connections_per_worker(&self) -> usize {
        self.max_connections.div_ceil(self.workers.max(1))
    }
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Others can reach the address, and nothing guards it.
    #[error(
        "{address} can be reached from other machines, and anyone who reaches it could run commands here:\n  \
         demand a token with --token-file FILE,\n  \
         or listen on this machine only with --bind 127.0.0.1:{port},\n  \
         or accept the risk with --insecure",
        port = .address.port()
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// Something listens there already.
    #[error("port {port} is in use ({address}): stop what listens there, or choose another with --bind", port = .address.port())]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The system refused.
    #[error("cannot listen on {address} (--bind): {source}")]
    System {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// The server could not be set up.
    #[error("the HTTP server cannot be started: {0}")]
    Server(#[from] io::Error),
}

/// Listens on the configured addresses, if that is safe.
///
/// # Errors
/// [`ServeError`], and then nothing listens.
pub fn listen(config: &HttpConfig, has_token: bool) -> Result<Vec<TcpListener>, ServeError> {
    let guarded = has_token || config.insecure;
    let open = config.bind.iter().find(|address| !address.ip().is_loopback());
    if let Some(address) = open.filter(|_| !guarded) {
        return Err(ServeError::Open { address: *address });
    }
    config.bind.iter().map(|address| listen_on(*address)).collect()
}

fn listen_on(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let refuse = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse { address },
        _ => ServeError::System { address, source },
    };
    let listener = TcpListener::bind(address).map_err(refuse)?;
    // The standard library's backlog is small; listening again only changes it.
    rustix::net::listen(&listener, BACKLOG).map_err(|error| refuse(error.into()))?;
    Ok(listener)
}

/// A server that runs. Dropping it does not stop it.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    handle: ServerHandle,
}

impl Running {
    /// Where it listens, with the ports that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops accepting and closes idle connections; when `graceful`, answers under way are written first. The platform
    /// should have begun to stop before, so that no request is held.
    pub async fn stop(self, graceful: bool) {
        self.handle.stop(graceful).await;
    }
}

/// Serves on `listeners`. Needs a running actix system; the threads that answer are its own.
///
/// # Errors
/// When a listener cannot be used.
pub fn serve(door: Door, config: &HttpConfig, listeners: Vec<TcpListener>) -> Result<Running, ServeError> {
    let bound = listeners.iter().map(TcpListener::local_addr);
    let addresses = bound.collect::<io::Result<Vec<_>>>()?;
    let hosts = HostRule::for_addresses(&addresses, &config.allowed_hosts, config.checks_hosts);
    let door = Door { body_timeout: config.body_timeout, ..door.with_hosts(hosts) };
    let workers = config.workers.max(1);
    let mut server = Server::build()
        .workers(workers)
        .max_concurrent_connections(config.connections_per_worker())
        .shutdown_timeout(config.stop_timeout_s)
        .disable_signals();
    let stopping = server.graceful_shutdown_signal();
    for (listener, address) in listeners.into_iter().zip(&addresses) {
        let (door, config, address, stopping) = (door.clone(), config.clone(), *address, stopping.clone());
        // The factory runs once per thread and address: it only clones the door.
        let connections = move || connections(&door, &config, address, stopping.clone());
        server = server.listen(format!("callboard {address}"), listener, connections)?;
    }
    let server = server.run();
    let handle = server.handle();
    // Once it listens it ends only when it is told to.
    actix_rt::spawn(server);
    Ok(Running { addresses, handle })
}

/// What becomes of a connection: as `HttpServer` does it, with a valve in between.
fn connections(
    door: &Door,
    config: &HttpConfig,
    address: SocketAddr,
    stopping: GracefulShutdownSignal,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<>
{
    let app = App::new().configure(configure(door.clone())).into_factory();
    let app = app.map_err(|error: Error| error.error_response());
    let http = HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .keep_alive(config.keep_alive)
        .client_request_timeout(config.head_timeout)
        .client_disconnect_timeout(LINGER)
        .h1_allow_half_closed(false)
        .local_addr(address)
        .on_connect_ext(|inlet: &Inlet, data: &mut Extensions| drop(data.insert(Rc::clone(inlet.valve()))))
        .h1(map_config(app, |()| AppConfig::default()));
    let terms =
        Terms { head_timeout: config.head_timeout, too_large: too_large(), meter: Arc::clone(&door.meter) };
    let (access, tls, plain) = (Arc::clone(&door.access), config.tls.clone(), plain_on_tls());
    let handshakes = Handshakes::among(config.connections_per_worker());
    let open = move |socket: TcpStream| {
        let peer = socket.peer_addr().ok();
        let (access, tls, plain, terms) =
            (Arc::clone(&access), tls.clone(), Arc::clone(&plain), terms.clone());
        let handshakes = handshakes.clone();
        async move {
            let socket = socket::open(socket, tls, &handshakes, &plain).await.map_err(|error| {
                log::debug!(peer:? = peer; "a connection did not come about: {error}");
                DispatchError::Io(error)
            })?;
            Ok((Inlet::new(socket, terms, access.is_demanded()), peer))
        }
    };
    fn_service(open).and_then(http)
}

/// The whole answer to a head that is too large to be read before its caller is known.
fn too_large() -> Arc<[u8]> {
    let detail = format!("the head of the request is larger than {MAX_UNKNOWN_BYTES} bytes");
    whole_answer("431 Request Header Fields Too Large", &Problem::new(&kinds::HEAD_TOO_LARGE, detail))
}

/// The whole answer to plain HTTP where TLS is spoken.
fn plain_on_tls() -> Arc<[u8]> {
    let detail = "this port speaks TLS: write https:// in front of its address";
    whole_answer("400 Bad Request", &Problem::new(&kinds::TLS_EXPECTED, detail))
}

fn whole_answer(status: &str, problem: &Problem) -> Arc<[u8]> {
    // A struct of strings and numbers always has a JSON form.
    let body = serde_json::to_string(&problem.body(Whence::default())).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: {PROBLEM_JSON}\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes().into()
}
