//! The ASP.NET session contract: what a store promises, and the request module that uses it.
//!
//! A Rust twin of `SessionStateStoreProviderBase` with the field's own names ([`contract`]), the
//! item that is stored, in ASP.NET's binary layout ([`item`]), and `SessionStateModule`, which
//! takes, polls, steals and releases locks the same way for every provider ([`module`]). What
//! happens is told to an [`Observer`](observer::Observer); nothing here measures.

pub mod contract;
pub mod id;
pub mod item;
pub mod module;
pub mod observer;
pub mod settings;
pub mod stamp;
pub mod value;

pub use contract::{
    Actions, EndNotice, ExpireCallback, Found, GetItem, LockId, Noticed, RequestContext,
    SessionStateStore, StoreError,
};
pub use id::{IdHasher, IdMap, IdTable, SessionId, StoreKind};
pub use item::{Item, Minutes};
pub use stamp::Stamp;
pub use value::Value;
