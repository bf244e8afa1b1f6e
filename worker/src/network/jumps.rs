//! Finds our chains and the jumps to them in a listing of the packet filter (`iptables -S`).

/// A rule that jumps to one of our chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) parent: String,
    pub(super) comment: String,
}

/// The jumps to a chain in a listing of `iptables -S`.
pub(super) fn jumps_to(listing: &str, chain: &str) -> Vec<Jump> {
    let end = format!(" -j {chain}");
    let jumps = listing.lines().filter_map(|line| line.strip_prefix("-A ")?.strip_suffix(&end));
    let jump = |rule: &str| {
        let comment = rule.split_once("--comment ")?.1;
        let comment = comment.strip_prefix('"').map_or_else(|| comment.split(' ').next(), |quoted| quoted.split('"').next())?;
        Some(Jump { parent: rule.split(' ').next()?.to_owned(), comment: comment.to_owned() })
    };
    jumps.filter_map(jump).collect()
}

/// Ids of our chains in a listing, each once, with their bridges.
pub(super) fn ids_in(listing: &str) -> Vec<(String, String)> {
    let chains = listing.lines().filter_map(|line| line.strip_prefix("-N ASMAN-")?.strip_suffix("-OUT"));
    let ids = chains.filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    ids.map(|id| (id.to_owned(), format!("asm{id}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_found_by_their_chains() {
        let listing =
            "-P INPUT ACCEPT\n-N ASMAN-aaaaaaaaaaaa-HOST\n-N ASMAN-aaaaaaaaaaaa-OUT\n-N DOCKER-USER\n-N ASMAN-x y-OUT\n";
        assert_eq!(ids_in(listing), [("aaaaaaaaaaaa".to_owned(), "asmaaaaaaaaaaaa".to_owned())]);
        let listing = "-A DOCKER-USER -i asm1 -m comment --comment \"asman jobs 0,b\" -j ASMAN-1-OUT\n\
                       -A FORWARD -i asm1 -m comment --comment plain -j ASMAN-1-OUT\n-A INPUT -j ASMAN-12-OUT\n";
        let jump = |parent: &str, comment: &str| Jump { parent: parent.to_owned(), comment: comment.to_owned() };
        assert_eq!(jumps_to(listing, "ASMAN-1-OUT"), [jump("DOCKER-USER", "asman jobs 0,b"), jump("FORWARD", "plain")]);
    }
}
