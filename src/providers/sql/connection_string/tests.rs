use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<ConnectionString, ConnectionStringError> {
    text.parse()
}

#[test]
fn an_azure_sql_connection_string_is_read() {
    let text = "Server=tcp:site.database.windows.net,1433;Initial Catalog=Sitecore.Sessions;\
                Persist Security Info=False;User ID=me;Password=\"a;b=c\"\"d\";\
                MultipleActiveResultSets=False;Encrypt=True;TrustServerCertificate=False;\
                Connect Timeout=20;Command Timeout=10;Max Pool Size=7;";
    let found = parse(text).unwrap();
    assert_eq!(found.dialect, Dialect::SqlServer);
    assert_eq!(found.host, "site.database.windows.net");
    assert_eq!(found.port, 1433);
    assert_eq!(found.database.as_deref(), Some("Sitecore.Sessions"));
    assert_eq!(found.user.as_deref(), Some("me"));
    assert_eq!(found.password.as_ref().unwrap().reveal(), "a;b=c\"d");
    assert_eq!(found.encryption, Encryption::Required);
    assert_eq!(found.trust, Trust::System);
    assert_eq!(found.connect_timeout, Duration::from_secs(20));
    assert_eq!(found.command_timeout, Duration::from_secs(10));
    assert_eq!(found.max_pool_size, 7);
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    assert_eq!(
        found.address(),
        "site.database.windows.net:1433/Sitecore.Sessions"
    );
}

#[test]
fn sql_server_has_the_defaults_of_the_net_framework() {
    let found = parse("Data Source=(local);Database=s;uid=u;pwd=p").unwrap();
    assert_eq!((found.host.as_str(), found.port), ("localhost", 1433));
    assert_eq!(found.encryption, Encryption::Login);
    assert_eq!(found.trust, Trust::Anything);
    assert_eq!(found.connect_timeout, Duration::from_secs(15));
    assert_eq!(found.command_timeout, Duration::from_secs(30));
    assert_eq!(found.max_pool_size, 100);
}

#[test]
fn npgsql_and_a_url_say_the_same() {
    let list = parse("Host=db;Port=5433;Database=s;Username=me;Password=a@b;SSL Mode=Disable");
    let url = parse("postgres://me:a%40b@db:5433/s?sslmode=disable");
    assert_eq!(list, url);
    let found = url.unwrap();
    assert_eq!(found.dialect, Dialect::Postgres);
    assert_eq!(found.encryption, Encryption::Off);
    assert_eq!(found.password.unwrap().reveal(), "a@b");
}

#[test]
fn a_certificate_is_checked_when_it_is_asked_for() {
    let trust = |text: &str| parse(text).unwrap().trust;
    let file = || Trust::File("/ca.pem".into());
    assert_eq!(trust("postgres://db/s?sslmode=require"), Trust::Anything);
    assert_eq!(trust("postgres://db/s?sslmode=verify-full"), Trust::System);
    assert_eq!(
        trust("Host=db;SSL Mode=VerifyFull;Root Certificate=/ca.pem"),
        file()
    );
    assert_eq!(
        trust("Host=db;Root Certificate=/ca.pem;SSL Mode=VerifyFull"),
        file()
    );
    assert_eq!(
        trust("postgres://db/s?sslrootcert=/ca.pem&sslmode=require"),
        file()
    );
    assert_eq!(trust("Server=db;Encrypt=true"), Trust::System);
    assert_eq!(
        trust("Server=db;Encrypt=true;TrustServerCertificate=yes"),
        Trust::Anything
    );
    assert_eq!(
        trust("Server=db;Encrypt=true;TrustServerCertificateCA=/ca.pem"),
        file()
    );
}

#[test]
fn a_timeout_of_nought_is_none() {
    let found = parse("Server=db;Command Timeout=0").unwrap();
    assert!(found.command_timeout > Duration::from_secs(1_000_000));
}

#[test]
fn an_ipv6_address_may_stand_in_brackets() {
    let url = parse("postgresql://[::1]:5433/s").unwrap();
    assert_eq!((url.host.as_str(), url.port), ("::1", 5433));
    let ado = parse("Server=[::1],1500").unwrap();
    assert_eq!((ado.host.as_str(), ado.port), ("::1", 1500));
}

#[test]
fn a_keyword_without_effect_is_named() {
    let found = parse("Server=db;Failover Partner=x;ApplicationIntent=ReadOnly").unwrap();
    let expected = [
        "`Failover Partner` has no effect here",
        "`ApplicationIntent` has no effect here",
    ];
    assert_eq!(found.warnings, expected);
    let url = parse("postgres://a,b/s?target_session_attrs=any").unwrap();
    let expected = [
        "only the first of several hosts is used",
        "`target_session_attrs` has no effect here",
    ];
    assert_eq!(url.warnings, expected);
}

#[test]
fn what_works_elsewhere_and_not_here_has_a_remedy() {
    for (text, remedy) in [
        (
            "Server=db;Integrated Security=SSPI",
            "use a SQL Server login",
        ),
        ("Server=db;Trusted_Connection=yes", "use a SQL Server login"),
        (
            "Server=db;Authentication=Active Directory Default",
            "use a SQL Server login",
        ),
        ("Server=db;Encrypt=strict", "write `Encrypt=true`"),
        ("Server=db\\SQLEXPRESS", "name the instance's port"),
        ("Server=np:\\\\db\\pipe", "write `tcp:host,port`"),
        (
            "Host=/var/run/postgresql",
            "name a host that listens on TCP",
        ),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(remedy), "{text}: {error}");
    }
}

#[test]
fn nonsense_is_an_error() {
    for text in [
        "",
        "localhost",
        "Database=s",
        "Server=",
        "Server=a b",
        "Server=db,port",
        "Server=db,0",
        "Server=db;Encrypt=perhaps",
        "Server=db;Max Pool Size=0",
        "Server=db;Connect Timeout=soon",
        "Server=db;Password=\"x",
        "Server=db;Password=\"x\"y;",
        "Host=db;Port=70000",
        "Host=db;SSL Mode=often",
        "postgres://",
        "postgres://db/%zz",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_secret_is_never_printed() {
    for text in [
        "Server=db;Password=hunter2",
        "Server=db;Password=a;hunter2=b",
        "postgres://me:hunter2@db/s",
    ] {
        let found = parse(text).unwrap();
        let printed = format!("{found:?} {} {:?}", found.address(), found.warnings);
        assert!(!printed.contains("hunter2"), "{printed}");
    }
    for text in [
        "Server=db;Password=a;hunter2",
        "Server=db;Max Pool Size=hunter2",
        "postgres://me:hunter2@db:hunter2/s",
    ] {
        let error = parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text: String) {
        let _ = parse(&text);
    }

    #[test]
    fn no_list_makes_the_parser_panic(
        text in "(Server|Host|postgres://|Password|Encrypt|[a-z@:/%\\[\\]]{0,5}|=|;|\"|'|,|\u{e9}){0,16}",
    ) {
        let _ = parse(&text);
    }

    #[test]
    fn a_quoted_password_comes_back_as_it_was(password in "[^\\p{Cc}]{1,20}") {
        let quoted = password.replace('"', "\"\"");
        let found = parse(&format!("Server=db;Password=\"{quoted}\";")).unwrap();
        let found = found.password.unwrap();
        prop_assert_eq!(found.reveal(), password.as_str());
    }
}
