//! One table of cases: the text, and its meaning.

use super::*;

/// Reads an address with these variables instead of the environment of the process.
fn read(text: &str, environment: &[(&str, &str)]) -> Result<Address, AddressError> {
    Address::read_with(text, |name| {
        let base = [("USER", "me"), ("HOME", "/nowhere")];
        environment.iter().chain(&base).find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

/// Variables and their values.
type Environment = &'static [(&'static str, &'static str)];

/// An address in one line: `user:password@host:port/database sslmode`.
fn told(address: &Address) -> String {
    let host = |(host, port): &(Host, u16)| match host {
        Host::Socket(folder) => format!("{}:{port}", folder.display()),
        Host::Name(name) => format!("{name}:{port}"),
    };
    let hosts = address.hosts.iter().map(host).collect::<Vec<_>>().join(",");
    let password = address.password.as_ref().map(|password| format!(":{password}")).unwrap_or_default();
    format!("{}{password}@{hosts}/{} {:?}", address.user, address.database, address.tls)
}

#[test]
fn every_form_of_an_address_means_what_it_means_to_libpq() {
    const PASSWORD: Environment = &[("PGPASSWORD", "from env")];
    const MANY: Environment =
        &[("PGHOST", "h"), ("PGPORT", "6000"), ("PGUSER", "u"), ("PGDATABASE", "d"), ("PGSSLMODE", "require")];
    let cases: &[(&str, Environment, &str)] = &[
        ("postgres://a:b@h:6432/d", &[], "a:b@h:6432/d Prefer"),
        ("postgresql://a@h/d?sslmode=require", &[], "a@h:5432/d Require"),
        ("postgres://a@h/d\n", &[], "a@h:5432/d Prefer"),
        (" \tpostgres://a@h/d ", &[], "a@h:5432/d Prefer"),
        ("postgres://a%40b:p%2F%25@h/my%20db", &[], "a@b:p/%@h:5432/my db Prefer"),
        ("postgres://a:p@ss@h/d", &[], "a:p@ss@h:5432/d Prefer"),
        ("postgres://a@%2Fvar%2Frun%2Fpg/d", &[], "a@/var/run/pg:5432/d Prefer"),
        ("postgres:///d?host=/var/run/pg&user=a&port=5433", &[], "a@/var/run/pg:5433/d Prefer"),
        ("postgres://a@[::1]:5433/d", &[], "a@::1:5433/d Prefer"),
        ("postgres://a@h1:1,h2:2/d?target_session_attrs=read-write", &[], "a@h1:1,h2:2/d Prefer"),
        ("postgres://a@h1,h2/d", &[], "a@h1:5432,h2:5432/d Prefer"),
        ("postgres://a@h/d?ssl=true", &[], "a@h:5432/d Require"),
        ("postgres://a@h", PASSWORD, "a:from env@h:5432/a Prefer"),
        ("postgres://a:own@h/d", PASSWORD, "a:own@h:5432/d Prefer"),
        ("postgres://", MANY, "u@h:6000/d Require"),
        ("postgres://a@h2/d2?sslmode=disable", MANY, "a@h2:6000/d2 Disable"),
        ("host=h dbname=d user=a password=p", &[], "a:p@h:5432/d Prefer"),
        ("host = h  dbname='my db' user=a password='it\\'s \\\\ ok'", &[], "a:it's \\ ok@h:5432/my db Prefer"),
        ("host=/run/pg dbname=d port=5433", &[], "me@/run/pg:5433/d Prefer"),
        ("dbname=d host=h sslmode=allow", &[], "me@h:5432/d Allow"),
        ("hostaddr=10.0.0.1 dbname=d", &[], "me@10.0.0.1:5432/d Prefer"),
        (
            "postgres://a@h/d?application_name=x&connect_timeout=1&options=-c%20x%3Dy&keepalives=1&keepalives_idle=5",
            &[],
            "a@h:5432/d Prefer",
        ),
        (
            "postgres://a@h/d?channel_binding=prefer&gssencmode=disable&client_encoding=UTF8&sslnegotiation=postgres",
            &[],
            "a@h:5432/d Prefer",
        ),
        ("postgres://a@h/d?sslmode=verify-full&sslrootcert=system", &[], "a@h:5432/d VerifyFull"),
    ];
    for (text, environment, meaning) in cases {
        let address = read(text, environment).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(told(&address), *meaning, "{text}");
    }
}

#[test]
fn what_cannot_be_honoured_is_refused_by_its_name() {
    let cases = [
        ("postgres://a@h/d?sslmod=require", "`sslmod`, which is unknown"),
        ("postgres://a@h/d?pool_max=3", "`pool_max`, which is unknown"),
        ("postgres://a@h/d?sslmode=full", "wrong `sslmode`: `full` is not one of"),
        ("postgres://a@h/d?connect_timeout=soon", "wrong `connect_timeout`"),
        ("postgres://a@h:99999/d", "wrong `port`"),
        ("postgres://a@h1:1,h2:2,h3/d?port=1,2", "wrong `port`: 2 ports for 3 hosts"),
        ("postgres://a@h/d?channel_binding=require", "`channel_binding=require`, which is not supported here"),
        ("postgres://a@h/d?requirepeer=postgres", "`requirepeer=postgres`"),
        ("postgres://a@h/d?service=mine", "`service=mine`"),
        (
            "postgres://a@h/d?target_session_attrs=standby",
            "`target_session_attrs=standby`, which is not supported here; this program writes",
        ),
        ("postgres://a@h/d?client_encoding=LATIN1", "`client_encoding=LATIN1`"),
        ("postgres://a@h/d?replication=database", "`replication=database`"),
        ("postgres://a@h/d?sslmode=verify-full&sslrootcert=/no/such", "wrong `sslrootcert`: there is no file /no/such"),
        ("postgres://a@h/d?sslmode=require&sslrootcert=/no/such", "wrong `sslrootcert`"),
        ("postgres://a@h/d?sslmode=require&sslrootcert=system", "wrong `sslmode`: sslrootcert=system needs"),
        ("postgres://a@h/d?sslcert=/no/such", "wrong `sslcert`"),
        ("host=h dbname", "neither a URL"),
        ("host='h", "a quote is not closed"),
        ("", "it is empty"),
        ("mysql://h/d", "neither a URL"),
        ("postgres://a%4@h/d", "two hexadecimal digits"),
    ];
    for (text, sentence) in cases {
        let told = read(text, &[]).expect_err(text).to_string();
        assert!(told.contains(sentence), "{text}: {told}");
        assert!(!told.contains('\n'), "{told}");
    }
    let secret = read("postgres://a:hush@h/d?sslpassword=hush&x=1", &[]).unwrap_err().to_string();
    assert!(!secret.contains("hush"), "{secret}");
}

#[test]
fn the_rest_of_an_address_is_kept() {
    let text = "postgres://a@h/d?application_name=x&connect_timeout=7&options=-c%20work_mem%3D8MB&fallback_application_name=y";
    let address = read(text, &[]).unwrap();
    assert_eq!((address.application_name.as_deref(), address.options.as_deref()), (Some("x"), Some("-c work_mem=8MB")));
    assert_eq!(address.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(read("host=h", &[("PGCONNECT_TIMEOUT", "1")]).unwrap().connect_timeout, Some(Duration::from_secs(2)));
    assert_eq!(read("host=h connect_timeout=0", &[]).unwrap().connect_timeout, None);
}

#[test]
fn require_with_a_file_of_authorities_judges_the_certificate() {
    let folder = std::env::temp_dir().join(format!("asman-address-{}", std::process::id()));
    std::fs::create_dir_all(folder.join(".postgresql")).unwrap();
    let own = folder.join(".postgresql/root.crt");
    std::fs::write(&own, "").unwrap();
    let home = folder.to_string_lossy().into_owned();
    let with_home = [("HOME", home.as_str())];
    let address = read("postgres://a@h/d?sslmode=require", &with_home).unwrap();
    assert_eq!((address.tls, address.roots), (TlsMode::VerifyCa, Roots::File(own.clone())));
    let address = read(&format!("postgres://a@h/d?sslmode=verify-full&sslrootcert={}", own.display()), &[]).unwrap();
    assert_eq!((address.tls, address.roots), (TlsMode::VerifyFull, Roots::File(own)));
    let pass = folder.join(".pgpass");
    std::fs::write(&pass, "# none\nother:*:*:*:no\nh:5432:d:a:se\\:cret\n*:*:*:*:any\n").unwrap();
    std::fs::set_permissions(&pass, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let of = |text: &str| read(text, &with_home).unwrap().password;
    assert_eq!(of("postgres://a@h/d?sslmode=disable").as_deref(), Some("se:cret"));
    assert_eq!(of("postgres://b@h/d?sslmode=disable").as_deref(), Some("any"));
    std::fs::set_permissions(&pass, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(of("postgres://a@h/d?sslmode=disable"), None, "others can read it");
    std::fs::remove_dir_all(folder).unwrap();
}
