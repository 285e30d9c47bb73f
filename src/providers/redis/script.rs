//! Lua scripts: one file each under `scripts/`, written from the steps that facts §1.3 describes.
//!
//! The server keeps scripts by their hash. StackExchange.Redis sends the hash first and the text
//! when the server answers NOSCRIPT; both commands are round trips and counted as such.

use super::command::Command;
use std::sync::LazyLock;

/// A script and its hash.
pub struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    /// A script by its text.
    #[must_use]
    pub fn new(text: &'static str) -> Self {
        Self {
            text,
            hash: redis::Script::new(text).get_hash().to_owned(),
        }
    }

    /// The commands that it sends, as they stand in its text.
    pub fn commands(&self) -> impl Iterator<Item = &'static str> {
        let calls = self.text.split("redis.call('").skip(1);
        calls.filter_map(|rest| rest.split('\'').next())
    }

    /// The command that runs it by its hash.
    #[must_use]
    pub fn evalsha(&self, keys: &[&str], arguments: &[&[u8]]) -> Command {
        let count = keys.len().to_string();
        let head = [b"EVALSHA", self.hash.as_bytes(), count.as_bytes()];
        let keys = keys.iter().map(|key| key.as_bytes());
        let arguments = arguments.iter().copied();
        Command::new(head.into_iter().chain(keys).chain(arguments))
    }

    /// The command that does the same by the script's text, which the server remembers.
    #[must_use]
    pub fn eval(&self, evalsha: &Command) -> Command {
        let parts = evalsha.parts();
        let rest = parts.iter().skip(2).map(Vec::as_slice);
        Command::new([b"EVAL", self.text.as_bytes()].into_iter().chain(rest))
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

impl Scripts {
    /// All of them.
    #[must_use]
    pub const fn all(&self) -> [&Script; 7] {
        [
            &self.take_lock,
            &self.read,
            &self.set,
            &self.update,
            &self.release,
            &self.remove,
            &self.reset,
        ]
    }
}

/// The script in a file.
macro_rules! script {
    ($($part:literal),+) => {
        Script::new(include_str!(concat!("scripts/", $($part),+)))
    };
}

/// Reads one file per script from a layout's directory.
macro_rules! scripts {
    ($layout:literal, $remove:literal) => {
        Scripts {
            take_lock: script!($layout, "/take_lock.lua"),
            read: script!($layout, "/read.lua"),
            set: script!($layout, "/set.lua"),
            update: script!($layout, "/update.lua"),
            release: script!($layout, "/release.lua"),
            remove: script!($remove),
            reset: script!($layout, "/reset.lua"),
        }
    };
}

/// Layout 5: one blob per session.
pub static V5: LazyLock<Scripts> = LazyLock::new(|| scripts!("v5", "remove.lua"));
/// Layouts 2 to 4: a hash with a field per value.
pub static V2_TO_4: LazyLock<Scripts> = LazyLock::new(|| scripts!("v2_to_4", "remove.lua"));
/// 1.6.5: as layouts 2 to 4, but a lock that is not told is none of ours.
pub static V1_6_5: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    update: v1_update(),
    remove: script!("v1/remove.lua"),
    ..scripts!("v2_to_4", "remove.lua")
});
/// 1.6.1 to 1.6.4: only writes and resets keep a session alive.
pub static V1_6_1: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    update: v1_update(),
    ..v1()
});
/// 1.5.0 to 1.6.0: an update leaves the lock to the end of the request.
pub static V1_5: LazyLock<Scripts> = LazyLock::new(v1);
/// 1.4.0: two servers in one tick share a lock; a reset does nothing.
pub static V1_4: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    take_lock: script!("v1/take_lock_1_4.lua"),
    reset: script!("v1/reset_1_4.lua"),
    ..v1()
});

fn v1() -> Scripts {
    Scripts {
        take_lock: script!("v1/take_lock.lua"),
        read: script!("v1/read.lua"),
        set: script!("v2_to_4/set.lua"),
        update: script!("v1/update.lua"),
        release: script!("v1/release.lua"),
        remove: script!("v1/remove.lua"),
        reset: script!("v2_to_4/reset.lua"),
    }
}

fn v1_update() -> Script {
    Script::new(concat!(
        include_str!("scripts/v1/update.lua"),
        include_str!("scripts/v1/unlock.lua")
    ))
}

/// Ours for Sitecore: layout 5 with an index of deadlines.
pub static SITECORE: LazyLock<Scripts> =
    LazyLock::new(|| scripts!("sitecore", "sitecore/remove.lua"));
/// Claims the earliest expired session for a poller.
pub static CLAIM_EXPIRED: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/sitecore/claim_expired.lua")));
/// Gives a claimed session back.
pub static UNCLAIM: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/sitecore/unclaim.lua")));
