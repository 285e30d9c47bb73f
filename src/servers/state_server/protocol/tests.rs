use super::*;
use proptest::prelude::*;

const TARGET: &str = "/LM/W3SVC/1/ROOT(aGFzaA==)/abcdefghijklmnopqrstuvwx";

fn request(action: Action) -> Request {
    Request {
        target: TARGET.to_owned(),
        action,
    }
}

fn set(lock_cookie: Option<i32>, uninitialised: bool) -> Request {
    request(Action::Set {
        timeout: Some(20),
        lock_cookie,
        uninitialised,
        content: b"\x14\0\0\0\0\0\xFF".to_vec(),
    })
}

fn wire(request: &Request, dialect: Dialect) -> String {
    let bytes = request.encode("10.0.0.1:42424", dialect);
    bytes.escape_ascii().to_string().replace("\\r\\n", "\n")
}

fn read(bytes: &[u8]) -> Result<Request, BadRequest> {
    match Request::parse(bytes).unwrap() {
        Parsed::Complete { message, length } => {
            assert_eq!(length, bytes.len());
            message
        }
        Parsed::Incomplete => panic!("incomplete"),
    }
}

/// A request as text, with `\n` for line ends.
fn read_text(text: &str) -> Result<Request, BadRequest> {
    read(text.replace('\n', "\r\n").as_bytes())
}

fn read_response(bytes: &[u8]) -> Response {
    match Response::parse(bytes, false).unwrap() {
        Parsed::Complete { message, length } => {
            assert_eq!(length, bytes.len());
            message
        }
        Parsed::Incomplete => panic!("incomplete"),
    }
}

#[test]
fn requests_are_spelt_as_deployed_servers_read_them() {
    let path = "%2fLM%2fW3SVC%2f1%2fROOT(aGFzaA%3d%3d)%2fabcdefghijklmnopqrstuvwx";
    let first = |method| format!("{method} {path} HTTP/1.1\nHost: 10.0.0.1:42424\n");
    for (request, expected) in [
        (request(Action::Get), first("GET") + "\n"),
        (
            request(Action::GetExclusive),
            first("GET") + "Exclusive: acquire\n\n",
        ),
        (
            request(Action::Release { lock_cookie: 7 }),
            first("GET") + "Exclusive: release\nLockCookie: 7\n\n",
        ),
        (
            set(Some(7), false),
            first("PUT")
                + "Timeout: 20\nContent-Length: 7\nLockCookie: 7\n\n"
                + "\\x14\\x00\\x00\\x00\\x00\\x00\\xff",
        ),
        (
            set(None, true),
            first("PUT")
                + "Timeout: 20\nContent-Length: 7\nExtraFlags: 1\n\n"
                + "\\x14\\x00\\x00\\x00\\x00\\x00\\xff",
        ),
        (
            request(Action::Remove {
                lock_cookie: Some(7),
            }),
            first("DELETE") + "LockCookie: 7\n\n",
        ),
        (request(Action::ResetTimeout), first("HEAD") + "\n"),
    ] {
        assert_eq!(wire(&request, Dialect::Deployed), expected);
    }
}

#[test]
fn requests_are_spelt_as_the_specification_has_them() {
    let path = "/LM%2fW3SVC%2f1%2fROOT(aGFzaA%3d%3d)%2fabcdefghijklmnopqrstuvwx";
    assert_eq!(
        wire(&request(Action::GetExclusive), Dialect::Specification),
        format!("GET {path} HTTP/1.1\nHost: 10.0.0.1:42424\nExclusive: Acquire\n\n")
    );
    let release = request(Action::Release { lock_cookie: 7 });
    assert_eq!(
        wire(&release, Dialect::Specification),
        format!(
            "GET {path} HTTP/1.1\nHost: 10.0.0.1:42424\nExclusive: release\nLock-Cookie: 7\n\n"
        )
    );
}

#[test]
fn every_spelling_of_a_request_is_understood() {
    let expected = Ok(Request {
        target: "/site(aGFzaA=)/id".to_owned(),
        action: Action::Release { lock_cookie: 7 },
    });
    for target in [
        "site(aGFzaA%3d)%2fid",
        "/site(aGFzaA%3D)%2Fid",
        "//site(aGFzaA=)/id",
        "%2fsite(aGFzaA%3d)%2fid",
        "/%2fsite(aGFzaA%3d)%2fid",
    ] {
        for headers in [
            "Exclusive: release\nLockCookie: 7\n",
            "exclusive: Release\nLock-Cookie: 7\n",
            "EXCLUSIVE:RELEASE\nlockcookie:  7  \n",
        ] {
            let text = format!("GET {target} HTTP/1.1\nHost: x\n{headers}\n");
            assert_eq!(read_text(&text), expected, "{text}");
        }
    }
}

#[test]
fn a_target_with_a_broken_escape_names_what_it_says() {
    let read = |target: &str| {
        let text = format!("GET {target} HTTP/1.1\nHost: x\n\n");
        read_text(&text).unwrap().target
    };
    assert_eq!(read("/a%zzb%2"), "/a%zzb%2");
    assert_eq!(read("/a+b%+f"), "/a b% f");
}

#[test]
fn a_request_that_makes_no_sense_is_bad_and_its_length_is_known() {
    for (text, bad) in [
        ("POST /a HTTP/1.1\nHost: x\n\n", BadRequest::Method),
        (
            "GET /a HTTP/1.1\nExclusive: perhaps\n\n",
            BadRequest::Header("Exclusive"),
        ),
        (
            "GET /a HTTP/1.1\nExclusive: release\n\n",
            BadRequest::Header("LockCookie"),
        ),
        (
            "PUT /a HTTP/1.1\nLockCookie: -1\nContent-Length: 0\n\n",
            BadRequest::Header("LockCookie"),
        ),
        (
            "DELETE /a HTTP/1.1\nLock-Cookie: mine\n\n",
            BadRequest::Header("LockCookie"),
        ),
        (
            "PUT /a HTTP/1.1\nTimeout: -20\nContent-Length: 0\n\n",
            BadRequest::Header("Timeout"),
        ),
        (
            "PUT /a HTTP/1.1\nExtraFlags: x\nContent-Length: 0\n\n",
            BadRequest::Header("ExtraFlags"),
        ),
    ] {
        assert_eq!(read_text(text), Err(bad), "{text}");
    }
}

#[test]
fn bytes_that_are_no_request_are_garbage() {
    let parse = |bytes: &[u8]| Request::parse(bytes).unwrap_err();
    assert_eq!(parse(b"hello\r\n\r\n"), Garbage::FirstLine);
    assert_eq!(parse(b"GET /a SPDY/3\r\n\r\n"), Garbage::FirstLine);
    assert_eq!(
        parse(b"GET /a HTTP/1.1\r\nno colon\r\n\r\n"),
        Garbage::Header
    );
    assert_eq!(parse(b"GET /\xFF HTTP/1.1\r\n\r\n"), Garbage::Header);
    assert_eq!(
        parse(b"PUT /a HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
        Garbage::Length
    );
    assert_eq!(parse(&[b'a'; MAX_HEAD]), Garbage::HeadTooLong);
    let too_long = format!(
        "PUT /a HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        MAX_CONTENT + 1
    );
    assert_eq!(parse(too_long.as_bytes()), Garbage::ContentTooLong);
    let overflow = format!("PUT /a HTTP/1.1\r\nContent-Length: {}\r\n\r\n", usize::MAX);
    assert_eq!(parse(overflow.as_bytes()), Garbage::ContentTooLong);
}

#[test]
fn answers_have_their_headers_in_the_order_of_the_specification() {
    let found = Response {
        timeout: Some(20),
        action_flags: Some(1),
        lock_cookie: Some(2),
        content: b"data".to_vec(),
        ..Response::new(Status::Ok)
    };
    assert_eq!(
        found.encode(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-AspNet-Version: 2.0.50727\r\n\
          Timeout: 20\r\nActionFlags: 1\r\nLockCookie: 2\r\n\r\ndata"
    );
    let locked = Response {
        lock_cookie: Some(2),
        lock_age: Some(3),
        lock_date: Some(638_000_000_000_000_000),
        ..Response::new(Status::Locked)
    };
    assert_eq!(
        locked.encode(),
        b"HTTP/1.1 423 Locked\r\nContent-Length: 0\r\nX-AspNet-Version: 2.0.50727\r\n\
          LockCookie: 2\r\nLockAge: 3\r\nLockDate: 638000000000000000\r\n\r\n"
    );
    assert_eq!(
        Response::new(Status::NotFound).encode(),
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nX-AspNet-Version: 2.0.50727\r\n\r\n"
    );
}

#[test]
fn an_answer_of_another_server_is_understood() {
    let wire = b"HTTP/1.1 200 OK\r\nX-AspNet-Version: 4.0.30319\r\ncache-control: private\r\n\
                 lockcookie: 5\r\nTimeout: 30\r\nContent-Length: 4\r\n\r\ndata";
    let expected = Response {
        version: "4.0.30319".to_owned(),
        timeout: Some(30),
        lock_cookie: Some(5),
        content: b"data".to_vec(),
        ..Response::new(Status::Ok)
    };
    assert_eq!(read_response(wire), expected);
}

#[test]
fn nothing_follows_the_answer_to_a_head() {
    let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n";
    let Parsed::Complete { message, length } = Response::parse(wire, true).unwrap() else {
        panic!("it waits for what never comes");
    };
    assert_eq!((message.status, length), (Status::Ok, wire.len()));
    assert_eq!(Response::parse(wire, false), Ok(Parsed::Incomplete));
}

#[test]
fn an_answer_that_the_protocol_does_not_have_is_garbage() {
    let parse = |text: &str| Response::parse(text.as_bytes(), false).unwrap_err();
    assert_eq!(
        parse("HTTP/1.1 500 Oops\r\n\r\n"),
        Garbage::UnknownStatus("500".to_owned())
    );
    assert_eq!(parse("HTTP/1.1 20 OK\r\n\r\n"), Garbage::FirstLine);
    assert_eq!(parse("-ERR unknown command\r\n\r\n"), Garbage::FirstLine);
    assert_eq!(
        parse("HTTP/1.1 200 OK\r\nLockAge: old\r\n\r\n"),
        Garbage::Number("LockAge")
    );
}

prop_compose! {
    fn any_request()(
        which in 0..6u8,
        path in "[ -~é]{0,40}",
        cookie in 0..=i32::MAX,
        lock_cookie in proptest::option::of(0..=i32::MAX),
        timeout: Option<u32>,
        uninitialised: bool,
        content: Vec<u8>,
    ) -> Request {
        let action = match which {
            0 => Action::Get,
            1 => Action::GetExclusive,
            2 => Action::Release { lock_cookie: cookie },
            3 => Action::Set { timeout, lock_cookie, uninitialised, content },
            4 => Action::Remove { lock_cookie },
            _ => Action::ResetTimeout,
        };
        let path = path.trim_start_matches('/');
        Request { target: format!("/{path}"), action }
    }
}

prop_compose! {
    fn any_response()(
        status in 0..4usize,
        version in "[0-9.]{0,12}",
        timeout: Option<u32>,
        action_flags: Option<i32>,
        lock_cookie: Option<i32>,
        lock_age: Option<i64>,
        lock_date: Option<u64>,
        content: Vec<u8>,
    ) -> Response {
        let status = Status::ALL[status];
        Response { status, version, timeout, action_flags, lock_cookie, lock_age, lock_date, content }
    }
}

proptest! {
    #[test]
    fn writing_and_reading_a_request_gives_the_same_request(
        request in any_request(),
        specified: bool,
        beyond: Vec<u8>,
    ) {
        let dialect = if specified { Dialect::Specification } else { Dialect::Deployed };
        let mut bytes = request.encode("host:1", dialect);
        let length = bytes.len();
        for end in 0..length {
            prop_assert_eq!(Request::parse(&bytes[..end]), Ok(Parsed::Incomplete));
        }
        bytes.extend(beyond);
        prop_assert_eq!(
            Request::parse(&bytes),
            Ok(Parsed::Complete { message: Ok(request), length })
        );
    }

    #[test]
    fn writing_and_reading_an_answer_gives_the_same_answer(
        response in any_response(),
        beyond: Vec<u8>,
    ) {
        let mut bytes = response.encode();
        let length = bytes.len();
        for end in 0..length {
            prop_assert_eq!(Response::parse(&bytes[..end], false), Ok(Parsed::Incomplete));
        }
        bytes.extend(beyond);
        prop_assert_eq!(
            Response::parse(&bytes, false),
            Ok(Parsed::Complete { message: response, length })
        );
    }

    #[test]
    fn no_bytes_upset_the_parser(bytes: Vec<u8>) {
        let _ = Request::parse(&bytes);
        let _ = Response::parse(&bytes, false);
    }

    #[test]
    fn no_damage_to_a_message_upsets_the_parser(
        request in any_request(),
        response in any_response(),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let (mut asked, mut answered) = (request.encode("host:1", Dialect::Deployed), response.encode());
        let place = at.index(asked.len());
        asked[place] = byte;
        let place = at.index(answered.len());
        answered[place] = byte;
        let _ = Request::parse(&asked);
        let _ = Response::parse(&answered, false);
    }
}
