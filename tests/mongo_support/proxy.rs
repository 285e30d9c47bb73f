//! A way to the server that can fall silent: connections stay, and nothing passes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Passes on what it reads; its threads end with the test.
pub struct Proxy(Arc<Gate>);

#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    moved: Condvar,
}

impl Proxy {
    /// A proxy before the first host of a connection string, and that string with the proxy in its
    /// place.
    pub fn before(server: &str) -> (Self, String) {
        let (scheme, rest) = server.split_once("://").unwrap();
        let (hosts, path) = rest.split_once('/').unwrap();
        let (user, hosts) = match hosts.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), hosts),
        };
        let host = hosts.split(',').next().unwrap();
        let target = match host.contains(':') {
            true => host.to_owned(),
            false => format!("{host}:27017"),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let gate = Arc::new(Gate::default());
        let proxy = Self(Arc::clone(&gate));
        thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let far = TcpStream::connect(&target).unwrap();
                let ways = [
                    (near.try_clone().unwrap(), far.try_clone().unwrap()),
                    (far, near),
                ];
                for (from, to) in ways {
                    let gate = Arc::clone(&gate);
                    thread::spawn(move || gate.pass(from, to));
                }
            }
        });
        (proxy, format!("{scheme}://{user}{address}/{path}"))
    }

    /// Lets nothing pass from now on.
    pub fn freeze(&self) {
        self.0.set(true);
    }

    /// Lets everything pass, first what waited.
    pub fn thaw(&self) {
        self.0.set(false);
    }
}

impl Gate {
    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.moved.notify_all();
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let shut = self.shut.lock().unwrap();
            drop(self.moved.wait_while(shut, |shut| *shut).unwrap());
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        // The other side may be gone already.
        let _ = to.shutdown(Shutdown::Both);
    }
}
