//! Tests of the rules of the packet filter.

use super::*;

fn firewall() -> Firewall {
    let (id, bridge) = ("0123456789ab".to_owned(), "asm0123456789ab".to_owned());
    let allowed = vec!["10.0.0.5:9000".parse().unwrap(), "192.168.7.0/24".parse().unwrap()];
    let name_servers = vec!["10.0.0.2".parse().unwrap()];
    let comment = COMMENT.to_owned();
    let (exempt, kind) = (Vec::new(), "ASMAN");
    Firewall { id, bridge, comment, allowed, name_servers, exempt, kind, folder: PathBuf::from("/usr/sbin") }
}

#[test]
fn rules_that_allow_come_before_rules_that_refuse() {
    let script = firewall().script(Family::V4);
    let at = |rule: &str| script.find(rule).unwrap_or_else(|| panic!("{rule} in {script}"));
    let metadata = at("-A ASMAN-0123456789ab-OUT -d 169.254.0.0/16 -j REJECT");
    let neighbour = at("-A ASMAN-0123456789ab-OUT -o asm0123456789ab -j REJECT");
    assert!(neighbour < at("-d 10.0.0.5/32"));
    for rule in [
        "-A ASMAN-0123456789ab-OUT -d 10.0.0.5/32 -p tcp --dport 9000 -j RETURN",
        "-A ASMAN-0123456789ab-OUT -d 192.168.7.0/24 -j RETURN",
        "-A ASMAN-0123456789ab-OUT -d 10.0.0.2 -p udp --dport 53 -j RETURN",
    ] {
        assert!(at(rule) < metadata);
    }
    assert!(script.ends_with("-A ASMAN-0123456789ab-HOST -j REJECT --reject-with icmp-admin-prohibited\nCOMMIT\n"));
    assert!(firewall().chain("HOST").len() <= 28, "the kernel does not accept longer names");
}
