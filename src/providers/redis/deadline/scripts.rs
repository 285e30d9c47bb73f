//! The scripts, each with what they share before it.

use super::super::script::Script;
use std::sync::LazyLock;

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| {
            Script::new(concat!(
                include_str!("../scripts/deadline/prelude.lua"),
                include_str!(concat!("../scripts/deadline/", $file))
            ))
        })
    };
}

/// Take the lock and read, or queue up.
pub static TAKE: LazyLock<Script> = script!("take.lua");
/// Read without taking the lock, or queue up.
pub static READ: LazyLock<Script> = script!("read.lua");
/// Write and release the lock, if it is ours.
pub static WRITE: LazyLock<Script> = script!("write.lua");
/// Store an uninitialised session.
pub static CREATE: LazyLock<Script> = script!("create.lua");
/// Release the lock, if it is ours; keep alive in any case.
pub static RELEASE: LazyLock<Script> = script!("release.lua");
/// Delete, if the lock is ours.
pub static REMOVE: LazyLock<Script> = script!("remove.lua");
/// Keep alive.
pub static RESET: LazyLock<Script> = script!("reset.lua");
/// Leave the queue.
pub static LEAVE: LazyLock<Script> = script!("leave.lua");
/// Claim what has ended.
pub static CLAIM: LazyLock<Script> = script!("claim.lua");
/// Remove what was handled.
pub static ACKNOWLEDGE: LazyLock<Script> = script!("acknowledge.lua");

/// All of them.
#[must_use]
pub fn all() -> [&'static Script; 10] {
    [
        &TAKE,
        &READ,
        &WRITE,
        &CREATE,
        &RELEASE,
        &REMOVE,
        &RESET,
        &LEAVE,
        &CLAIM,
        &ACKNOWLEDGE,
    ]
}
