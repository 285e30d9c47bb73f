use super::*;
use crate::providers::mongo::survey::Collection;
use crate::providers::pulse::Pulse;

fn survey() -> Survey {
    let deployment = ("deployment".to_owned(), "replica set rs0".to_owned());
    Survey {
        server: ServerInfo {
            settings: [deployment].into(),
            ..ServerInfo::default()
        },
        pulse: Pulse {
            median_seconds: 0.000_5,
            p99_seconds: 0.001,
            clock: None,
        },
        writable: true,
        collections: vec![Collection {
            database: "sessions".to_owned(),
            state: CollectionState::Indexed,
        }],
        write_concern: Some("majority".to_owned()),
        write_concern_ignored: None,
        connections: Some((5, 1000)),
        max_pool_size: 100,
        rights: Rights::Missing(Vec::new()),
    }
}

fn severity(subject: &str, change: impl FnOnce(&mut Survey)) -> Severity {
    let mut survey = survey();
    change(&mut survey);
    let demand = Demand {
        cd_servers: 2,
        instances: 4,
        in_progress: 20.0,
        ..Demand::default()
    };
    let findings = judge(&MongoSitecore::on("mongodb://db.example"), &demand, &survey);
    let found = findings.iter().find(|finding| finding.subject == subject);
    found.unwrap_or_else(|| panic!("{findings:?}")).severity
}

#[test]
fn a_collection_without_the_index_is_read_whole_by_every_poll() {
    let state = |state| severity("index", |it| it.collections[0].state = state);
    assert_eq!(state(CollectionState::NotIndexed), Severity::Warning);
    assert_eq!(state(CollectionState::Indexed), Severity::Ok);
    assert_eq!(state(CollectionState::Missing), Severity::Ok);
}

#[test]
fn writes_that_one_member_of_a_replica_set_acknowledges_are_worth_a_note() {
    let w = |w: &str| severity("write concern", |it| it.write_concern = Some(w.to_owned()));
    assert_eq!(w("1"), Severity::Note);
    assert_eq!(w("majority"), Severity::Ok);
}

#[test]
fn a_write_concern_that_does_not_count_is_worth_a_note() {
    let ignored = |it: &mut Survey| it.write_concern_ignored = Some("0".to_owned());
    assert_eq!(severity("write concern", ignored), Severity::Note);
}

#[test]
fn a_server_that_lets_nobody_read_is_a_problem() {
    for rights in [Rights::Denied, Rights::LoginNeeded] {
        assert_eq!(
            severity("rights", |it| it.rights = rights),
            Severity::Problem
        );
    }
}

#[test]
fn a_member_that_is_no_primary_and_a_user_without_rights_are_problems() {
    assert_eq!(
        severity("primary", |it| it.writable = false),
        Severity::Problem
    );
    let missing = Rights::Missing(vec!["update".to_owned()]);
    assert_eq!(
        severity("rights", |it| it.rights = missing),
        Severity::Problem
    );
}
