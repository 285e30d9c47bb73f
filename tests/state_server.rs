//! The state server as a process, spoken to byte by byte; and as a program that is started and
//! stopped.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod state_server_support;

use assert_cmd::cargo::CommandCargoExt as _;
use sessionbench::clock::{run_real, spawn};
use sessionbench::servers::state_server::{Limits, serve};
use state_server_support::{MINUTE, Raw, start, statistics, until};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A session by the names that different clients give it.
const TARGETS: [&str; 4] = [
    "%2fapp(aGFzaA%3d%3d)%2fid",
    "/app(aGFzaA%3D%3D)%2Fid",
    "//app(aGFzaA==)/id",
    "app(aGFzaA==)/id",
];

#[test]
fn both_spellings_of_every_header_and_target_are_understood() {
    let server = start(MINUTE);
    let mut raw = Raw::to(&server);
    for put in TARGETS {
        for cookie_name in ["LockCookie", "Lock-Cookie"] {
            for acquire in ["acquire", "Acquire"] {
                raw.put(put, "data");
                for target in TARGETS {
                    let get = format!("GET {target} HTTP/1.1\nHost: x\n");
                    let locked = raw.ask(&format!("{get}Exclusive: {acquire}\n\n"));
                    let cookie = locked
                        .lines()
                        .find_map(|line| line.strip_prefix("LockCookie: "))
                        .expect(&locked);
                    assert!(locked.ends_with("\n\ndata"), "{locked}");
                    assert_eq!(raw.status(&format!("{get}\n")), 423);
                    let release = format!("{get}Exclusive: release\n{cookie_name}: {cookie}\n\n");
                    assert_eq!(raw.status(&release), 200);
                }
            }
        }
    }
    assert_eq!(statistics(server.address()).sessions, 1);
}

#[test]
fn answers_look_on_the_wire_as_the_specification_has_them() {
    let server = start(MINUTE);
    let mut raw = Raw::to(&server);
    raw.put("/a", "data");
    assert_eq!(
        raw.ask("GET /a HTTP/1.1\nHost: x\nExclusive: Acquire\n\n"),
        "HTTP/1.1 200 OK\nContent-Length: 4\nX-AspNet-Version: 2.0.50727\nTimeout: 20\n\
         LockCookie: 2\n\ndata"
    );
    let locked = raw.ask("GET /a HTTP/1.1\nHost: x\n\n");
    let expected = "HTTP/1.1 423 Locked\nContent-Length: 0\nX-AspNet-Version: 2.0.50727\n\
                    LockCookie: 2\nLockAge: ";
    assert!(locked.starts_with(expected), "{locked}");
    assert!(locked.contains("\nLockDate: 6"), "{locked}");
    assert_eq!(
        raw.ask("HEAD /b HTTP/1.1\nHost: x\n\n"),
        "HTTP/1.1 404 Not Found\nContent-Length: 0\nX-AspNet-Version: 2.0.50727\n\n"
    );
}

#[test]
fn requests_that_are_sent_ahead_are_answered_in_their_order() {
    let server = start(MINUTE);
    let mut raw = Raw::to(&server);
    raw.send(
        "PUT /a HTTP/1.1\nContent-Length: 3\n\noneGET /a HTTP/1.1\n\nDELETE /a HTTP/1.1\n\n\
         HEAD /a HTTP/1.1\n\n",
    );
    for status in ["200", "200", "200", "404"] {
        let answer = raw.answer();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
}

#[test]
fn a_request_that_arrives_byte_by_byte_is_answered() {
    let server = start(MINUTE);
    let mut raw = Raw::to(&server);
    for byte in b"PUT /a HTTP/1.1\r\nContent-Length: 4\r\n\r\ndata" {
        raw.send_bytes(&[*byte]);
    }
    assert!(raw.answer().starts_with("HTTP/1.1 200"));
}

#[test]
fn a_bad_request_is_told_and_its_connection_goes_on() {
    let server = start(MINUTE);
    let mut raw = Raw::to(&server);
    for (bad, why) in [
        (
            "POST /a HTTP/1.1\nContent-Length: 3\n\nabc",
            "unknown method",
        ),
        (
            "GET /a HTTP/1.1\nExclusive: maybe\n\n",
            "invalid header Exclusive",
        ),
        ("PUT /a HTTP/1.1\nTimeout: x\n\n", "invalid header Timeout"),
        (
            "PUT /a HTTP/1.1\nTimeout: 525601\n\n",
            "invalid header Timeout",
        ),
    ] {
        let answer = raw.ask(bad);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\n"), "{answer}");
        assert!(answer.ends_with(why), "{answer}");
    }
    raw.put("/a", "data");
}

#[test]
fn garbage_is_told_and_its_connection_closed() {
    let server = start(MINUTE);
    let long_head = format!("GET /a HTTP/1.1\nX: {}", "x".repeat(100_000));
    for garbage in [
        "hello\n\n",
        "\x16\x03\x01\x02\n\n",
        long_head.as_str(),
        "PUT /a HTTP/1.1\nContent-Length: 99999999999\n\n",
        "PUT /a HTTP/1.1\nContent-Length: -1\n\n",
    ] {
        let mut raw = Raw::to(&server);
        raw.send(garbage);
        let answer = raw.rest();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\n"), "{answer}");
    }
    Raw::to(&server).put("/a", "data");
}

#[test]
fn clients_that_hang_in_the_middle_hold_nobody_up() {
    let server = start(MINUTE);
    let mut hanging: Vec<_> = (0..300).map(|_| Raw::to(&server)).collect();
    for raw in &mut hanging {
        raw.send("PUT /a HTTP/1.1\nContent-Length: 1000\n\nsome of it");
    }
    Raw::to(&server).put("/a", "data");
    assert_eq!(statistics(server.address()).sessions, 1);
    drop(hanging);
    until("they are forgotten", || {
        statistics(server.address()).clients == 1
    });
}

#[test]
fn a_session_of_a_megabyte_comes_back_whole() {
    let server = start(MINUTE);
    let content: String = ('a'..='z').cycle().take(1 << 20).collect();
    let mut raw = Raw::to(&server);
    raw.put("/a", &content);
    let answer = raw.ask("GET /a HTTP/1.1\n\n");
    assert!(answer.ends_with(&format!("\n\n{content}")));
}

#[test]
fn a_minute_is_as_long_as_the_server_is_told() {
    let server = start(Duration::from_millis(1));
    let mut raw = Raw::to(&server);
    raw.put("/a", "data");
    // A touch that gains less than a second prolongs nothing.
    until("it expires", || raw.status("HEAD /a HTTP/1.1\n\n") == 404);
}

#[test]
fn an_expired_session_that_nobody_touches_goes_when_the_wheel_turns() {
    let server = start(Duration::from_millis(1));
    Raw::to(&server).put("/a", "data");
    assert_eq!(statistics(server.address()).counts.created, 1);
    // Asking for statistics touches no session.
    until("the wheel turns, every 20 s", || {
        statistics(server.address()).sessions == 0
    });
    assert_eq!(statistics(server.address()).counts.expired, 1);
}

#[test]
fn what_the_server_tells_of_itself_counts_what_it_did() {
    let server = start(MINUTE);
    let mut raw = Raw::to(&server);
    raw.put("/a", "data");
    raw.put("/b", "data");
    assert_eq!(raw.status("DELETE /b HTTP/1.1\n\n"), 200);
    let told = statistics(server.address());
    assert_eq!(told.process_id, server.pid());
    assert_eq!((told.sessions, told.clients), (1, 2));
    let counts = told.counts;
    assert_eq!((counts.requests, counts.created, counts.removed), (4, 2, 1));
    assert!(counts.bytes_in > 0 && counts.bytes_out > 0);
    assert_eq!(told.minute, MINUTE);
}

/// Serves in this process, under these limits, what a test asks from a thread.
fn limited(limits: Limits, test: impl FnOnce(&str) + Send + 'static) {
    run_real(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let _serving = spawn(serve(listener, MINUTE, limits));
        let (done, finished) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            test(&address);
            done.send(()).unwrap();
        });
        finished.await.expect("the test failed");
    })
    .unwrap();
}

#[test]
fn a_request_that_does_not_arrive_in_time_is_given_up() {
    let limits = Limits {
        exchange: Duration::from_millis(100),
        ..Limits::default()
    };
    limited(limits, |address| {
        let mut raw = Raw::to_address(address);
        raw.send("PUT /a HTTP/1.1\nContent-Length: 9\n\nsome");
        assert_eq!(raw.rest(), "");
    });
}

#[test]
fn a_connection_without_requests_is_closed_in_the_end() {
    let limits = Limits {
        idle: Duration::from_millis(100),
        ..Limits::default()
    };
    limited(limits, |address| {
        let mut raw = Raw::to_address(address);
        raw.put("/a", "data");
        assert_eq!(raw.rest(), "");
    });
}

#[test]
fn connections_beyond_the_limit_are_closed_and_the_others_go_on() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    limited(limits, |address| {
        let mut first = Raw::to_address(address);
        let mut second = Raw::to_address(address);
        first.put("/a", "data");
        second.put("/b", "data");
        assert_eq!(Raw::to_address(address).rest(), "");
        first.put("/a", "more");
        drop(first);
        until("there is room again", || is_served(address));
    });
}

/// Whether the server has room for one more connection.
fn is_served(address: &str) -> bool {
    use std::io::Write as _;
    let mut stream = TcpStream::connect(address).unwrap();
    let mut told = Vec::new();
    let asked = stream.write_all(b"GET /sessionbench/statistics HTTP/1.1\r\n\r\n");
    let ended = stream.shutdown(std::net::Shutdown::Write);
    let read = stream.read_to_end(&mut told);
    asked.is_ok() && ended.is_ok() && read.is_ok() && told.starts_with(b"HTTP/1.1 200")
}

/// The program, killed with the test should it still run then.
struct Program(Child);

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let child = Command::cargo_bin("sessionbench")
            .unwrap()
            .arg("state-server")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// The first line that it prints.
    fn first_line(&mut self) -> String {
        let mut line = String::new();
        let out = self.0.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Exit code and what it complained of.
    fn end(mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        let mut errors = self.0.stderr.take().unwrap();
        errors.read_to_string(&mut told).unwrap();
        (self.0.wait().unwrap().code(), told)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It is over in most tests.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ctrl_c_and_sigterm_end_it_cleanly() {
    for signal in ["-INT", "-TERM"] {
        let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
        let address = program.first_line();
        let address = address.strip_prefix("listening on ").expect(&address);
        Raw::to_address(address).put("/a", "data");
        let pid = program.0.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
        assert_eq!(program.end(), (Some(0), String::new()));
    }
}

#[test]
fn a_managed_server_ends_with_the_program_that_started_it() {
    let arguments = ["--listen", "127.0.0.1:0", "--until-stdin-closes"];
    let mut program = Program::start(&arguments);
    assert!(program.first_line().starts_with("listening on 127.0.0.1:"));
    drop(program.0.stdin.take());
    assert_eq!(program.end(), (Some(0), String::new()));
}

#[test]
fn a_dropped_server_is_gone() {
    let server = start(MINUTE);
    let address = server.address().to_owned();
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_address_in_use_is_told_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, told) = Program::start(&["--listen", &address]).end();
    assert_eq!(code, Some(2));
    let expected = format!("error: another program listens on {address}; choose another");
    assert!(told.starts_with(&expected), "{told}");
}

#[test]
fn an_address_of_another_machine_is_told() {
    let (code, told) = Program::start(&["--listen", "192.0.2.1:42424"]).end();
    assert_eq!(code, Some(2));
    assert!(
        told.contains("192.0.2.1:42424 is no address of this machine"),
        "{told}"
    );
}

#[test]
fn a_minute_of_no_length_is_refused() {
    let (code, told) = Program::start(&["--listen", "127.0.0.1:0", "--minute", "0"]).end();
    assert_eq!(code, Some(2));
    assert!(told.contains("--minute 1s"), "{told}");
}

#[test]
fn listening_beyond_this_machine_is_warned_of() {
    let mut program = Program::start(&["--listen", "0.0.0.0:0", "--until-stdin-closes"]);
    program.first_line();
    drop(program.0.stdin.take());
    let (code, told) = program.end();
    assert_eq!(code, Some(0));
    assert!(
        told.starts_with("warning: whoever reaches 0.0.0.0:0"),
        "{told}"
    );
    assert!(told.contains("neither passwords nor encryption"), "{told}");
}
