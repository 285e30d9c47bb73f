//! Lua scripts: one file each under `scripts/`, written from the steps that facts §1.3 describes.
//!
//! The server keeps scripts by their hash. StackExchange.Redis sends the hash first and the text
//! when the server answers NOSCRIPT; both commands are round trips and counted as such.

use redis::{Arg, Cmd};
use std::sync::LazyLock;

/// A script and its hash.
pub struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self {
            text,
            hash: redis::Script::new(text).get_hash().to_owned(),
        }
    }

    /// The command that runs it by its hash.
    #[must_use]
    pub fn evalsha(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        const NAME: &str = "EVALSHA";
        let length = |parts: &mut dyn Iterator<Item = usize>| parts.sum::<usize>();
        let size = length(&mut keys.iter().map(|key| key.len()))
            + length(&mut arguments.iter().map(|argument| argument.len()));
        let parts = 3 + keys.len() + arguments.len();
        let mut command = Cmd::with_capacity(parts, NAME.len() + self.hash.len() + 2 + size);
        command.arg(NAME).arg(&self.hash).arg(keys.len()).arg(keys);
        for argument in arguments {
            command.arg(*argument);
        }
        command
    }

    /// The command that does the same by the script's text, which the server remembers.
    #[must_use]
    pub fn eval(&self, evalsha: &Cmd) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.text);
        for argument in evalsha.args_iter().skip(2) {
            if let Arg::Simple(bytes) = argument {
                command.arg(bytes);
            }
        }
        command
    }
}

/// The scripts of one layout of keys and values.
pub struct Scripts {
    /// Take the lock, or learn who holds it; read.
    pub take_lock: Script,
    /// Read without taking the lock.
    pub read: Script,
    /// Write without looking at the lock.
    pub set: Script,
    /// Write and release the lock, if it is ours.
    pub update: Script,
    /// Release the lock, if it is ours; keep alive in any case.
    pub release: Script,
    /// Delete, if the lock is ours.
    pub remove: Script,
    /// Keep alive.
    pub reset: Script,
}

/// Reads one file per script from a layout's directory.
macro_rules! scripts {
    ($layout:literal, $remove:literal) => {
        Scripts {
            take_lock: Script::new(include_str!(concat!("scripts/", $layout, "/take_lock.lua"))),
            read: Script::new(include_str!(concat!("scripts/", $layout, "/read.lua"))),
            set: Script::new(include_str!(concat!("scripts/", $layout, "/set.lua"))),
            update: Script::new(include_str!(concat!("scripts/", $layout, "/update.lua"))),
            release: Script::new(include_str!(concat!("scripts/", $layout, "/release.lua"))),
            remove: Script::new(include_str!(concat!("scripts/", $remove))),
            reset: Script::new(include_str!(concat!("scripts/", $layout, "/reset.lua"))),
        }
    };
}

/// Layout 5: one blob per session.
pub static V5: LazyLock<Scripts> = LazyLock::new(|| scripts!("v5", "remove.lua"));
/// Layouts 2 to 4: a hash with a field per value.
pub static V2_TO_4: LazyLock<Scripts> = LazyLock::new(|| scripts!("v2_to_4", "remove.lua"));
/// Ours for Sitecore: layout 5 with an index of deadlines.
pub static SITECORE: LazyLock<Scripts> =
    LazyLock::new(|| scripts!("sitecore", "sitecore/remove.lua"));
/// Claims the earliest expired session for a poller.
pub static CLAIM_EXPIRED: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/sitecore/claim_expired.lua")));
/// Gives a claimed session back.
pub static UNCLAIM: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/sitecore/unclaim.lua")));
