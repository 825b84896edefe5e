//! What goes wrong in a world's networks, and what is counted there.

use std::fmt::Write as _;

use crate::{
    HostId, Result, World,
    command::run,
    world::{INTERFACE, Part},
};

impl World {
    /// Makes `host` lose `permille` of the thousand UDP datagrams that come in for `port`.
    ///
    /// # Errors
    /// When `nft` is missing or refuses.
    pub fn lose_incoming(&self, host: HostId, port: u16, permille: u16) -> Result<()> {
        self.lose(host, &format!("udp dport {port}"), permille)
    }

    /// Makes `host` lose `permille` of the thousand UDP datagrams that come in from `port`, as the
    /// answers to a sender do.
    ///
    /// # Errors
    /// When `nft` is missing or refuses.
    pub fn lose_answers(&self, host: HostId, port: u16, permille: u16) -> Result<()> {
        self.lose(host, &format!("udp sport {port}"), permille)
    }

    /// Makes `host` lose `permille` of the thousand UDP datagrams with file data that come in for `port`,
    /// told from all others by their length.
    ///
    /// # Errors
    /// When `nft` is missing or refuses.
    pub fn lose_incoming_data(&self, host: HostId, port: u16, permille: u16) -> Result<()> {
        let data = format!("udp length > 500 udp dport {port}");
        self.lose(host, &data, permille)
    }

    /// Makes `host` hear only UDP datagrams for `port` that begin with this byte.
    ///
    /// # Errors
    /// When `nft` is missing or refuses.
    pub fn hear_only(&self, host: HostId, port: u16, first: u8) -> Result<()> {
        self.one_by_one()?;
        let rules = format!(
            "table inet hear {{\n\
             chain incoming {{\n\
             type filter hook prerouting priority -300; policy accept;\n\
             udp dport {port} @th,64,8 != {first} counter drop\n\
             }}\n}}\n"
        );
        self.nft(host, &rules)
    }

    /// Lets nothing out of `host` any more that comes from UDP `port`: it still hears, unheard.
    ///
    /// # Errors
    /// When `nft` is missing or refuses.
    pub fn silence(&self, host: HostId, port: u16) -> Result<()> {
        let rules = format!(
            "table inet silence {{\n\
             chain outgoing {{\n\
             type filter hook output priority 0; policy accept;\n\
             udp sport {port} counter drop\n\
             }}\n}}\n"
        );
        self.nft(host, &rules)
    }

    /// Rewrites packets that `host` sends and for which `which` is true, as `change` says: both in
    /// the words of nftables.
    ///
    /// # Errors
    /// When `nft` is missing or refuses.
    pub fn rewrite_outgoing(&self, host: HostId, which: &str, change: &str) -> Result<()> {
        let rules = format!(
            "table inet rewrite {{\n\
             chain outgoing {{\n\
             type filter hook output priority 0; policy accept;\n\
             {which} counter {change}\n\
             }}\n}}\n"
        );
        self.nft(host, &rules)
    }

    pub(crate) fn nft(&self, host: HostId, rules: &str) -> Result<()> {
        let namespace = self.namespace(Part::Host(host));
        run(
            "ip",
            &["netns", "exec", &namespace, "nft", "-f", "-"],
            rules,
        )
        .map(drop)
    }

    fn lose(&self, host: HostId, which: &str, permille: u16) -> Result<()> {
        self.one_by_one()?;
        let rules = format!(
            "table inet loss {{\n\
             chain {INTERFACE} {{\n\
             type filter hook prerouting priority -300; policy accept;\n\
             iifname \"{INTERFACE}\" {which} numgen random mod 1000 < {permille} counter drop\n\
             }}\n}}\n"
        );
        self.nft(host, &rules)
    }

    /// A run of datagrams that the kernel carries as one would be lost or counted as one.
    fn one_by_one(&self) -> Result<()> {
        for (host, station) in self.plan.stations() {
            let script: String = (0..station.networks.len())
                .map(|link| format!("link set eth{link} gso_max_segs 1\n"))
                .collect();
            self.ip(Part::Host(host), &script)?;
        }
        Ok(())
    }

    /// Datagrams that `host` has lost by the rules made here.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn lost(&self, host: HostId) -> Result<u64> {
        let all = self.counters(host, "ruleset")?.iter().sum::<u64>();
        let counted = self.counters(host, "table inet count");
        Ok(all - counted.unwrap_or_default().iter().sum::<u64>())
    }

    /// The packet counts in what `nft list` shows of `what`.
    fn counters(&self, host: HostId, what: &str) -> Result<Vec<u64>> {
        let list = [&["list"], what.split(' ').collect::<Vec<_>>().as_slice()].concat();
        let rules = self.run_on(host, "nft", &list)?;
        let mut words = rules.split_whitespace();
        let mut counts = Vec::new();
        while words.any(|word| word == "counter") {
            // "counter packets N bytes M"
            counts.extend(words.nth(1).and_then(|count| count.parse::<u64>().ok()));
        }
        Ok(counts)
    }

    /// Has `host` count the packets that come in by any interface and match each of these expressions of
    /// nftables, like `ip ttl 9`; counts begin anew. Bytes of a UDP payload are `@th,64 + 8 * offset,bits`.
    ///
    /// # Errors
    /// When `nft` is missing or refuses.
    pub fn count_incoming(&self, host: HostId, which: &[&str]) -> Result<()> {
        self.one_by_one()?;
        let mut rules = "table inet count\ndelete table inet count\n\
             table inet count {\nchain incoming {\n\
             type filter hook prerouting priority -400; policy accept;\n"
            .to_owned();
        for which in which {
            let _ = writeln!(rules, "{which} counter");
        }
        rules += "}\n}\n";
        self.nft(host, &rules)
    }

    /// How many packets matched each expression of [`World::count_incoming`].
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn counted(&self, host: HostId) -> Result<Vec<u64>> {
        self.counters(host, "table inet count")
    }
}
