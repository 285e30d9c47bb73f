//! What a state server and its clients say to each other ([MS-ASP], facts §6.1): HTTP/1.1 with
//! headers of its own, over connections that are kept.
//!
//! In: bytes as they arrive, or a message. Out: the message, once it is complete, or its bytes.
//! Nothing here waits or keeps anything.
//!
//! The surprising fact: implementations disagree about the wire. Deployed clients send `LockCookie`
//! and a target without its leading `/`; the specification writes `Lock-Cookie` and a `/`. So both
//! are understood, and [`Dialect`] says which is sent.

use std::fmt::Write as _;

/// The longest head of a message, from its first line to the empty line; ours.
pub const MAX_HEAD: usize = 8 * 1024;
/// The longest session that is taken; ours.
pub const MAX_CONTENT: usize = 64 * 1024 * 1024;

/// The version that deployed state servers tell.
const ASPNET_VERSION: &str = "2.0.50727";

/// How requests are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// As deployed servers read them: `LockCookie`, `acquire`, a target without its leading `/`.
    #[default]
    Deployed,
    /// As the specification's examples have them: `Lock-Cookie`, `Acquire`, a target with it.
    Specification,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Names the session: decoded, with one leading `/`.
    pub target: String,
    /// What to do with it.
    pub action: Action,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// GET: the session, unless it is locked.
    Get,
    /// GET with `Exclusive: acquire`: the session and its lock.
    GetExclusive,
    /// GET with `Exclusive: release`: gives the lock back.
    Release {
        /// The lock.
        lock_cookie: i32,
    },
    /// PUT: stores a session and gives its lock back.
    Set {
        /// The session's timeout in minutes; a server takes 20 where it is not told.
        timeout: Option<u32>,
        /// The lock, if the client has it.
        lock_cookie: Option<i32>,
        /// `ExtraFlags: 1`: only if there is none yet, and to be initialised by its first reader.
        uninitialised: bool,
        /// The session's data.
        content: Vec<u8>,
    },
    /// DELETE: removes the session.
    Remove {
        /// The lock, if the client has it.
        lock_cookie: Option<i32>,
    },
    /// HEAD: keeps the session alive.
    ResetTimeout,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// How it went.
    pub status: Status,
    /// `X-AspNet-Version`; empty where the server does not tell.
    pub version: String,
    /// Minutes, with a session's data.
    pub timeout: Option<u32>,
    /// `ActionFlags`: 1 where the session must still be initialised.
    pub action_flags: Option<i32>,
    /// The lock that was taken, or that somebody else has.
    pub lock_cookie: Option<i32>,
    /// Age of somebody else's lock in seconds.
    pub lock_age: Option<i64>,
    /// When somebody else took the lock, in .NET ticks of the server's local time.
    pub lock_date: Option<u64>,
    /// The session's data, or why a request is bad.
    pub content: Vec<u8>,
}

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200.
    Ok,
    /// 400: not understood.
    BadRequest,
    /// 404: no such session.
    NotFound,
    /// 423: somebody else has the lock.
    Locked,
}

impl Status {
    const ALL: [Self; 4] = [Self::Ok, Self::BadRequest, Self::NotFound, Self::Locked];

    const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::Locked => "423 Locked",
        }
    }

    fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.line().starts_with(code))
    }
}

/// Bytes that are no message. Where the next message would begin is unknown, so the connection
/// cannot be used any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Garbage {
    /// The first line is not one of HTTP.
    #[error("its first line is not one of HTTP")]
    FirstLine,
    /// A line of the head has no colon, or holds what is not ASCII.
    #[error("a line of its head is no header")]
    Header,
    /// The head is too long.
    #[error("its head is longer than {MAX_HEAD} bytes")]
    HeadTooLong,
    /// The length is no number.
    #[error("its Content-Length is no number")]
    Length,
    /// The content is too long.
    #[error("its content is longer than {MAX_CONTENT} bytes")]
    ContentTooLong,
    /// An answer with a status that the protocol does not have.
    #[error("it has the status {0}")]
    UnknownStatus(String),
    /// A header of an answer is no number.
    #[error("its {0} is no number")]
    Number(&'static str),
}

/// A request whose length is known but which makes no sense: answered with 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// A method that the protocol does not have.
    #[error("unknown method")]
    Method,
    /// A header whose value makes no sense, or that is needed and missing.
    #[error("invalid header {0}")]
    Header(&'static str),
}

/// What was read off the front of received bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<T> {
    /// More bytes are needed.
    Incomplete,
    /// A message.
    Complete {
        /// The message.
        message: T,
        /// How many bytes it takes.
        length: usize,
    },
}

impl Request {
    /// The bytes to send to `host`.
    #[must_use]
    pub fn encode(&self, host: &str, dialect: Dialect) -> Vec<u8> {
        let (cookie_name, acquire, slash) = match dialect {
            Dialect::Deployed => ("LockCookie", "acquire", ""),
            Dialect::Specification => ("Lock-Cookie", "Acquire", "/"),
        };
        let path = match dialect {
            Dialect::Deployed => self.target.as_str(),
            Dialect::Specification => self.target.trim_start_matches('/'),
        };
        let method = match self.action {
            Action::Get | Action::GetExclusive | Action::Release { .. } => "GET",
            Action::Set { .. } => "PUT",
            Action::Remove { .. } => "DELETE",
            Action::ResetTimeout => "HEAD",
        };
        let mut head = format!(
            "{method} {slash}{} HTTP/1.1\r\nHost: {host}\r\n",
            url_encode(path)
        );
        let mut header = |name: &str, value: &dyn std::fmt::Display| {
            // Writing to a string cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        };
        let mut body: &[u8] = &[];
        match &self.action {
            Action::Get | Action::ResetTimeout => {}
            Action::GetExclusive => header("Exclusive", &acquire),
            Action::Release { lock_cookie } => {
                header("Exclusive", &"release");
                header(cookie_name, lock_cookie);
            }
            Action::Set {
                timeout,
                lock_cookie,
                uninitialised,
                content,
            } => {
                if let Some(timeout) = timeout {
                    header("Timeout", timeout);
                }
                header("Content-Length", &content.len());
                if *uninitialised {
                    header("ExtraFlags", &1);
                }
                if let Some(lock_cookie) = lock_cookie {
                    header(cookie_name, lock_cookie);
                }
                body = content;
            }
            Action::Remove { lock_cookie } => {
                if let Some(lock_cookie) = lock_cookie {
                    header(cookie_name, lock_cookie);
                }
            }
        }
        joined(head, body)
    }

    /// Reads a request off the front of received bytes.
    ///
    /// # Errors
    /// The bytes are no message; the connection cannot be used any more.
    pub fn parse(bytes: &[u8]) -> Result<Parsed<Result<Self, BadRequest>>, Garbage> {
        let Some(head) = Head::parse(bytes)? else {
            return Ok(Parsed::Incomplete);
        };
        let (first, version) = head.first_line.rsplit_once(' ').ok_or(Garbage::FirstLine)?;
        let (method, target) = first.split_once(' ').ok_or(Garbage::FirstLine)?;
        if !version.starts_with("HTTP/1.") || target.is_empty() {
            return Err(Garbage::FirstLine);
        }
        let Some((content, length)) = head.content(bytes)? else {
            return Ok(Parsed::Incomplete);
        };
        let message = Action::read(method, &head, content).map(|action| Self {
            target: canonical(target),
            action,
        });
        Ok(Parsed::Complete { message, length })
    }
}

impl Action {
    fn read(method: &str, head: &Head<'_>, content: &[u8]) -> Result<Self, BadRequest> {
        let cookie = head.number::<i32>(&["LockCookie", "Lock-Cookie"]);
        let lock_cookie = match cookie {
            Ok(Some(cookie)) if cookie < 0 => Err(BadRequest::Header("LockCookie")),
            Ok(cookie) => Ok(cookie),
            Err(NoNumber) => Err(BadRequest::Header("LockCookie")),
        };
        match method {
            "GET" => match head.get(&["Exclusive"]) {
                None => Ok(Self::Get),
                Some(how) if how.eq_ignore_ascii_case("acquire") => Ok(Self::GetExclusive),
                Some(how) if how.eq_ignore_ascii_case("release") => Ok(Self::Release {
                    lock_cookie: lock_cookie?.ok_or(BadRequest::Header("LockCookie"))?,
                }),
                Some(_) => Err(BadRequest::Header("Exclusive")),
            },
            "PUT" => {
                let invalid = |name| move |NoNumber| BadRequest::Header(name);
                let flags = head.number::<i32>(&["ExtraFlags"]);
                Ok(Self::Set {
                    timeout: head.number(&["Timeout"]).map_err(invalid("Timeout"))?,
                    lock_cookie: lock_cookie?,
                    uninitialised: flags.map_err(invalid("ExtraFlags"))?.unwrap_or(0) & 1 == 1,
                    content: content.to_vec(),
                })
            }
            "DELETE" => Ok(Self::Remove {
                lock_cookie: lock_cookie?,
            }),
            "HEAD" => Ok(Self::ResetTimeout),
            _ => Err(BadRequest::Method),
        }
    }
}

impl Response {
    /// An answer without content.
    #[must_use]
    pub fn new(status: Status) -> Self {
        Self {
            status,
            version: ASPNET_VERSION.to_owned(),
            timeout: None,
            action_flags: None,
            lock_cookie: None,
            lock_age: None,
            lock_date: None,
            content: Vec::new(),
        }
    }

    /// Says why a request is bad.
    #[must_use]
    pub fn bad(why: &impl std::fmt::Display) -> Self {
        Self {
            content: why.to_string().into_bytes(),
            ..Self::new(Status::BadRequest)
        }
    }

    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {}\r\n", self.status.line());
        let mut header = |name: &str, value: Option<&dyn std::fmt::Display>| {
            if let Some(value) = value {
                // Writing to a string cannot fail.
                let _ = write!(head, "{name}: {value}\r\n");
            }
        };
        fn shown<T: std::fmt::Display>(value: &Option<T>) -> Option<&dyn std::fmt::Display> {
            value.as_ref().map(|value| value as _)
        }
        header("Content-Length", Some(&self.content.len()));
        let version = (!self.version.is_empty()).then_some(&self.version);
        header("X-AspNet-Version", shown(&version));
        header("Timeout", shown(&self.timeout));
        header("ActionFlags", shown(&self.action_flags));
        header("LockCookie", shown(&self.lock_cookie));
        header("LockAge", shown(&self.lock_age));
        header("LockDate", shown(&self.lock_date));
        joined(head, &self.content)
    }

    /// Reads an answer off the front of received bytes. `to_head`: it answers a HEAD, so nothing
    /// follows its headers whatever they say.
    ///
    /// # Errors
    /// The bytes are no answer; the connection cannot be used any more.
    pub fn parse(bytes: &[u8], to_head: bool) -> Result<Parsed<Self>, Garbage> {
        let Some(head) = Head::parse(bytes)? else {
            return Ok(Parsed::Incomplete);
        };
        let status = head.first_line.strip_prefix("HTTP/1.");
        let code = status.and_then(|rest| rest.split(' ').nth(1));
        let code = code
            .filter(|code| code.len() == 3)
            .ok_or(Garbage::FirstLine)?;
        let status =
            Status::of_code(code).ok_or_else(|| Garbage::UnknownStatus(code.to_owned()))?;
        let (content, length) = match to_head {
            true => (&[][..], head.length),
            false => match head.content(bytes)? {
                Some(content) => content,
                None => return Ok(Parsed::Incomplete),
            },
        };
        let message = Self {
            status,
            version: head
                .get(&["X-AspNet-Version"])
                .unwrap_or_default()
                .to_owned(),
            timeout: head.told("Timeout")?,
            action_flags: head.told("ActionFlags")?,
            lock_cookie: head.told("LockCookie")?,
            lock_age: head.told("LockAge")?,
            lock_date: head.told("LockDate")?,
            content: content.to_vec(),
        };
        Ok(Parsed::Complete { message, length })
    }
}

/// First line and headers of a message.
struct Head<'a> {
    first_line: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    /// Bytes of the head with its empty line.
    length: usize,
}

/// A header whose value should be a number and is none.
struct NoNumber;

impl<'a> Head<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Option<Self>, Garbage> {
        const END: &[u8] = b"\r\n\r\n";
        let looked_at = &bytes[..bytes.len().min(MAX_HEAD)];
        let Some(end) = looked_at.windows(END.len()).position(|four| four == END) else {
            return match bytes.len() < MAX_HEAD {
                true => Ok(None),
                false => Err(Garbage::HeadTooLong),
            };
        };
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| Garbage::Header)?;
        let mut lines = text.split("\r\n");
        let first_line = lines.next().ok_or(Garbage::FirstLine)?;
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.trim(), value.trim()))
            })
            .collect::<Option<_>>()
            .ok_or(Garbage::Header)?;
        Ok(Some(Self {
            first_line,
            headers,
            length: end + END.len(),
        }))
    }

    /// The value of a header under any of its names.
    fn get(&self, names: &[&str]) -> Option<&'a str> {
        self.headers
            .iter()
            .find(|(found, _)| names.iter().any(|name| name.eq_ignore_ascii_case(found)))
            .map(|(_, value)| *value)
    }

    fn number<T: std::str::FromStr>(&self, names: &[&str]) -> Result<Option<T>, NoNumber> {
        let value = self.get(names).map(str::parse);
        value.transpose().map_err(|_| NoNumber)
    }

    /// A number in an answer.
    fn told<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, Garbage> {
        self.number(&[name])
            .map_err(|NoNumber| Garbage::Number(name))
    }

    /// What follows the head, and where it ends; `None` while it has not arrived.
    fn content<'b>(&self, bytes: &'b [u8]) -> Result<Option<(&'b [u8], usize)>, Garbage> {
        let length = self.number::<usize>(&["Content-Length"]);
        let length = length.map_err(|NoNumber| Garbage::Length)?.unwrap_or(0);
        if length > MAX_CONTENT {
            return Err(Garbage::ContentTooLong);
        }
        let end = self.length + length;
        Ok(bytes.get(self.length..end).map(|content| (content, end)))
    }
}

fn joined(head: String, body: &[u8]) -> Vec<u8> {
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// `HttpUtility.UrlEncode`: letters, digits and `-_.!*()` stand for themselves, a blank is `+`.
fn url_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(byte.into()),
            b'-' | b'_' | b'.' | b'!' | b'*' | b'(' | b')' => encoded.push(byte.into()),
            b' ' => encoded.push('+'),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02x}");
            }
        }
    }
    encoded
}

/// A target decoded, and with one leading `/`, whatever its client sent.
fn canonical(target: &str) -> String {
    let bytes = target.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len() + 1);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let digits = target.get(at + 1..at + 3).filter(|_| byte == b'%');
        match digits
            .filter(hex)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        {
            Some(escaped) => {
                decoded.push(escaped);
                at += 3;
            }
            None => {
                decoded.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    let decoded = String::from_utf8_lossy(&decoded);
    format!("/{}", decoded.trim_start_matches('/'))
}

#[cfg(test)]
mod tests;
