//! Tests with messages that engines have really sent.

use bollard::models::SystemVersionComponents;

use super::*;

fn version(parts: &[(&str, &str)], number: &str, api: &str) -> SystemVersion {
    let part = |(name, version): &(&str, &str)| SystemVersionComponents {
        name: (*name).to_owned(),
        version: (*version).to_owned(),
        ..SystemVersionComponents::default()
    };
    SystemVersion {
        components: Some(parts.iter().map(part).collect()),
        version: Some(number.to_owned()),
        api_version: Some(api.to_owned()),
        ..SystemVersion::default()
    }
}

fn podman() -> SystemVersion {
    let runtime = "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev";
    version(&[("Podman Engine", "4.3.1"), ("OCI Runtime (mine)", runtime)], "4.3.1", "1.41")
}

#[test]
fn an_engine_is_named_with_its_version_and_its_rights() {
    let rootless = SystemInfo { security_options: Some(vec!["name=rootless".to_owned()]), ..SystemInfo::default() };
    let name = |version, info: &SystemInfo| Dialect::read(&version, info).to_string();
    assert_eq!(name(podman(), &rootless), "Podman 4.3.1, rootless");
    assert_eq!(name(podman(), &SystemInfo::default()), "Podman 4.3.1");
    assert_eq!(name(version(&[("Engine", "28.2.2")], "28.2.2", "1.50"), &SystemInfo::default()), "Docker 28.2.2");
}

#[test]
fn buildkit_comes_with_an_api_version_of_docker_alone() {
    let has = |version| Dialect::read(&version, &SystemInfo::default()).has_buildkit();
    assert!(has(version(&[], "20", "1.39")) && !has(version(&[], "18", "1.38")) && !has(podman()));
}

#[test]
fn the_parts_of_podman_are_named_as_those_of_docker() {
    let dialect = Dialect::read(&podman(), &SystemInfo::default());
    let parts = dialect.parts(podman());
    assert!(parts.contains(&("runc".to_owned(), "1.1.5+ds1".to_owned())), "{parts:?}");
    assert_eq!(dialect.runtime_program("mine".to_owned(), &parts), "runc");
    assert_eq!(Dialect::default().runtime_program("mine".to_owned(), &parts), "mine");
}

#[test]
fn a_build_that_failed_for_its_own_words_is_known() {
    let podman = Dialect::read(&podman(), &SystemInfo::default());
    for words in [
        "building at STEP \"RUN exit 7\": while running runtime: exit status 7",
        "error building at STEP \"COPY a /b\": checking on sources under \"/x\": copier: stat: \"/a\": no such file or directory",
        "The target \"none\" was not found in the provided Dockerfile",
    ] {
        assert!(podman.is_fault_of_build(words) && !Dialect::default().is_fault_of_build(words), "{words}");
    }
    assert!(!podman.is_fault_of_build("creating build container: initializing source docker://a/b:v1: EOF"));
    assert!(Dialect::default().is_fault_of_build("The command '/bin/sh -c false' returned a non-zero code: 1"));
}

#[test]
fn an_init_that_ran_nothing_is_told_by_its_words_and_its_code() {
    let podman = Dialect::read(&podman(), &SystemInfo::default());
    let said = "ERROR (catatonit:6): failed to exec pid1: No such file or directory\n";
    assert_eq!((podman.init_exit_code(1, said), podman.init_exit_code(5, said), podman.init_exit_code(1, "x")), (127, 5, 1));
    assert_eq!(podman.init_exit_code(1, "ERROR (catatonit:6): failed to exec pid1: Permission denied"), 126);
    assert_eq!(Dialect::default().init_exit_code(1, said), 1);
}

#[test]
fn an_init_of_podman_is_not_the_jobs_program() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let podman = Dialect::read(&podman(), &SystemInfo::default());
    assert_eq!(podman.behind_init(words("/run/podman-init -- sh -c x")), words("sh -c x"));
    assert_eq!(podman.behind_init(words("/dev/init sh")), words("sh"));
    assert_eq!(podman.behind_init(words("sh /run/podman-init")), words("sh /run/podman-init"));
    assert_eq!(Dialect::default().behind_init(words("/dev/init sh")), words("/dev/init sh"));
}
