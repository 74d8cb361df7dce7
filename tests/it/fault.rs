//! A way between two processes over loopback that can be made bad: late, cut, half open, reset or slow. It knows no
//! protocol.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How the way is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// As if it were not there.
    #[default]
    Open,
    /// Every piece comes this much later.
    Late(Duration),
    /// Nothing comes over, and nobody is told: connections stay open, new ones are taken.
    HalfOpen,
    /// What the dialling side says comes over, and no answer does.
    Deaf,
    /// Connections are closed, and new ones as soon as they are there.
    Cut,
    /// At most so many bytes a second each way.
    Slow(u64),
}

/// A listener that carries what comes to a port on to another.
pub struct FaultProxy {
    pub port: u16,
    way: Arc<Mutex<Way>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    carried: Arc<AtomicU64>,
}

impl FaultProxy {
    /// A good way to this port.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            way: Arc::default(),
            streams: Arc::default(),
            carried: Arc::default(),
        };
        let (way, streams, carried) =
            (Arc::clone(&proxy.way), Arc::clone(&proxy.streams), Arc::clone(&proxy.carried));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if now(&way) == Way::Cut {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let ends = [&client, &server].map(|end| end.try_clone().unwrap());
                streams.lock().unwrap().extend(ends);
                carry(client.try_clone().unwrap(), server.try_clone().unwrap(), &way, &carried, false);
                carry(server, client, &way, &carried, true);
            }
        });
        proxy
    }

    /// Makes the way so from now on. A cut closes what is open.
    pub fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
        if way == Way::Cut {
            self.reset();
        }
    }

    /// Closes what is open; new connections find the way as it is.
    pub fn reset(&self) {
        for stream in self.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Bytes that came over so far.
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

fn now(way: &Mutex<Way>) -> Way {
    *way.lock().unwrap_or_else(PoisonError::into_inner)
}

fn carry(
    mut from: TcpStream,
    mut to: TcpStream,
    way: &Arc<Mutex<Way>>,
    carried: &Arc<AtomicU64>,
    is_answer: bool,
) {
    let (way, carried) = (Arc::clone(way), Arc::clone(carried));
    std::thread::spawn(move || {
        let mut piece = [0; 16 * 1024];
        while let Ok(got @ 1..) = from.read(&mut piece) {
            let stuck = |way: Way| way == Way::HalfOpen || way == Way::Deaf && is_answer;
            if stuck(now(&way)) {
                // What was said is lost: the end of the wait is the end of the connection.
                while stuck(now(&way)) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                break;
            }
            match now(&way) {
                Way::Late(late) => std::thread::sleep(late),
                Way::Slow(bytes) => std::thread::sleep(Duration::from_secs(1) * got as u32 / bytes as u32),
                _ => {}
            }
            if to.write_all(&piece[..got]).is_err() {
                break;
            }
            carried.fetch_add(got as u64, Ordering::Relaxed);
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
