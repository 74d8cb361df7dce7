//! A node for one command: private folder, free port, random token. Two at once never meet.

use std::path::PathBuf;

use callboard_actors::clock;
use callboard_actors::exec::BaseEnv;
use callboard_actors::graph::{Builder, Platform};
use callboard_actors::model::AllowedMount;
use callboard_actors::protocol::platform::PlatformFacts;

use super::{NodeError, host_id, user};
use crate::config::{Environment, JobUser, NodeConfig};
use crate::http::{self, Door, HttpConfig, Running, TokenHash};

/// What a private node is told.
#[derive(Clone, Debug, Default)]
pub struct EmbeddedOptions {
    /// Jobs that run at once.
    pub slots: usize,
    /// Folder of the database, the output and the slots; a temporary one when absent.
    pub data_dir: Option<PathBuf>,
    /// Who jobs run as; the caller when absent.
    pub user: Option<JobUser>,
    /// Threads that serve HTTP.
    pub workers: usize,
}

/// A running private node. Dropping it without [`Embedded::stop`] ends its jobs all the same.
pub struct Embedded {
    /// Where it answers.
    pub url: String,
    /// What it wants to be shown.
    pub token: String,
    platform: Platform,
    server: Running,
    // Last: the folder goes when everything in it is closed.
    _folder: Option<tempfile::TempDir>,
}

impl Embedded {
    /// Starts it. Unless another user is named its jobs run as the caller, in the caller's name.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(options: EmbeddedOptions) -> Result<Self, NodeError> {
        let made =
            options.data_dir.is_none().then(|| tempfile::Builder::new().prefix("callboard-").tempdir());
        let folder = made.transpose();
        let folder =
            folder.map_err(|source| NodeError::DataDir { path: "of the embedded node".into(), source })?;
        let environment = Environment::of_process();
        let mut config = NodeConfig::defaults(&environment)?;
        let private = folder.as_ref().map(|folder| folder.path().to_owned());
        config.server.data_dir = options.data_dir.or(private).unwrap_or_default();
        config.server.slots = options.slots;
        config.runner.isolation = NodeConfig::isolation(&environment)?;
        config.runner.allow_host_network = true;
        // They are the caller's own, who can name them.
        config.runner.allow_mounts = Some(vec![AllowedMount::everything()]);
        let run_as = options.user.map_or(Ok(None), |user| user::resolve(Some(&user)))?;
        let cwd = std::env::current_dir().unwrap_or_else(|_| "/".into());
        let base = BaseEnv::default();
        let base_env = BaseEnv {
            home: environment.get("HOME").map_or(base.home, str::to_owned),
            user: environment.get("USER").map_or(base.user, str::to_owned),
            ..BaseEnv::default()
        };
        let builder = super::builder(&config, run_as, cwd)?;
        let platform = Builder { base_env, ..builder }.start().await?;
        let http_config = HttpConfig {
            bind: vec![std::net::SocketAddr::from(([127, 0, 0, 1], 0))],
            workers: options.workers.max(1),
            max_connections: 256,
            ..HttpConfig::default()
        };
        let listeners = http::listen(&http_config, true)?;
        let token = format!("{}{}", random_word(), random_word());
        let door = Door::new(platform.handle().clone(), env!("CARGO_PKG_VERSION"), &host_id());
        let server = http::serve(door.with_token(TokenHash::of(&token)), &http_config, listeners)?;
        let url = server.addresses().first().map(|address| format!("http://{address}")).unwrap_or_default();
        Ok(Self { url, token, platform, server, _folder: folder })
    }

    /// What its platform tells about itself.
    pub fn facts(&self) -> &PlatformFacts {
        self.platform.handle().facts()
    }

    /// Stops it; what still runs is ended.
    pub async fn stop(self) {
        self.platform.stop(0).await;
        self.server.stop(false).await;
    }
}

/// 32 hexadecimal digits from the kernel's generator; the clock's when it fails.
fn random_word() -> String {
    use std::io::Read;
    let mut bytes = [0_u8; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    match read {
        Ok(()) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(_) => clock::new_request_id().simple().to_string(),
    }
}
