use super::*;
use crate::clock::run_virtual;

fn age(lock_age: Option<i64>, lock_date: Option<u64>) -> Duration {
    let response = Response {
        lock_age,
        lock_date,
        ..Response::new(Status::Locked)
    };
    run_virtual(async move { super::lock_age(&response) })
        .unwrap()
        .0
}

/// .NET ticks at the start of a virtual run.
fn now_in_ticks() -> u64 {
    run_virtual(async { clock::utc().ticks() }).unwrap().0
}

#[test]
fn a_session_is_named_by_application_hash_and_id() {
    // echo -n /LM/W3SVC/1/ROOT | openssl dgst -sha256 -binary | base64
    let names = Names::new("/LM/W3SVC/1/ROOT");
    let id = SessionId::private(0);
    assert_eq!(
        names.of(id),
        "/LM/W3SVC/1/ROOT(cAHkmVhipCLv/QnONQmPsKL+q/AjnK/nYS9aV3Zlad8=)/aaaaaaaaaaaaaaaaaaaaaaaa"
    );
}

#[test]
fn an_application_id_without_a_slash_gets_one_in_the_name_and_not_in_the_hash() {
    let (with, without) = (Names::new("/app"), Names::new("app"));
    assert!(without.0.starts_with("/app("));
    assert_ne!(with, without);
}

#[test]
fn the_age_of_a_lock_is_what_the_server_tells() {
    assert_eq!(age(Some(7), Some(1)), Duration::from_secs(7));
}

#[test]
fn without_an_age_it_follows_from_the_date() {
    let taken = now_in_ticks() - 70_000_000;
    assert_eq!(age(None, Some(taken)), Duration::from_secs(7));
    assert_eq!(age(Some(-1), Some(taken)), Duration::from_secs(7));
}

#[test]
fn an_age_of_a_year_and_a_date_to_come_are_nonsense() {
    assert_eq!(age(Some(365 * 24 * 60 * 60), None), Duration::ZERO);
    assert_eq!(age(None, Some(now_in_ticks() + 70_000_000)), Duration::ZERO);
    assert_eq!(age(None, None), Duration::ZERO);
}
