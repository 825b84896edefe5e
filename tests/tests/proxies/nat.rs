//! Client proxies that nobody can reach: they tell where they are by heartbeats, signed with a key
//! whose fingerprint the server proxy knows.

use uftp_tests::{HostId, NetworkId, Plan, ProxyRole, Result, World};

use crate::{
    cast::Cast,
    condition::{Condition, cases},
    stage::{Stage, all},
};

/// The network of the sender.
const HOME: NetworkId = 0;
/// The network everybody can reach.
const PUBLIC: NetworkId = 1;
/// Networks hidden behind an address of the public one.
const REMOTE: [NetworkId; 2] = [2, 3];

/// A remote network: its proxy and receivers.
type Remote = [HostId; 3];

fn remote(plan: &mut Plan) -> [Remote; 2] {
    REMOTE.map(|network| {
        let hosts = std::array::from_fn(|_| plan.host(network));
        plan.nat(network, PUBLIC);
        hosts
    })
}

/// The receivers' side is hidden.
#[test]
fn heartbeats_open_the_way_through_nat() -> Result<()> {
    all(&cases(), |&(cast, condition)| {
        let mut plan = Plan::default();
        plan.host(HOME);
        let server_proxies = [plan.host(HOME), plan.host(HOME)];
        let remote = remote(&mut plan);
        plan.router(&[HOME, PUBLIC]);
        let mut stage = Stage::new(World::planned("nat", plan)?, cast, condition)?;
        for (side, (relay, hosts)) in server_proxies.into_iter().zip(remote).enumerate() {
            learned(&mut stage, side, relay, hosts)?;
        }
        stage.play(&remote.map(|[proxy, ..]| proxy), &[])
    })
}

/// Both sides are hidden: the sender's server proxy passes on to another one that all can reach.
#[test]
fn chained_server_proxies_join_two_hidden_sides() -> Result<()> {
    all(&cases(), |&(cast, condition)| {
        let mut plan = Plan::default();
        plan.host(HOME);
        let server_proxies = [plan.host(HOME), plan.host(HOME)];
        plan.nat(HOME, PUBLIC);
        let relays = [plan.host(PUBLIC), plan.host(PUBLIC)];
        let remote = remote(&mut plan);
        let mut stage = Stage::new(World::planned("chain", plan)?, cast, condition)?;
        for (side, (first, second)) in server_proxies.into_iter().zip(relays).enumerate() {
            // Of each kind one is before the other.
            let suite = cast.server_proxy(side + 1);
            let role = ProxyRole::Server(stage.address(second));
            stage.proxy(suite, first, role, &[])?;
        }
        for (side, (relay, hosts)) in relays.into_iter().zip(remote).enumerate() {
            learned(&mut stage, side, relay, hosts)?;
        }
        stage.play(&remote.map(|[proxy, ..]| proxy), &[])
    })
}

/// A server proxy on host `relay` that learns where the proxy of a remote network is.
fn learned(
    stage: &mut Stage,
    side: usize,
    relay: HostId,
    [proxy, first, second]: Remote,
) -> Result<()> {
    let (key, print) = key(&stage.world, proxy, stage.condition)?;
    let cast: Cast = stage.cast;
    stage.proxy(
        cast.server_proxy(side),
        relay,
        ProxyRole::Learned(print),
        &[],
    )?;
    let to = stage.address(relay).to_string();
    let args = ["-H", &to, "-h", "1", "-k", &key];
    stage.proxy(cast.proxy(side), proxy, ProxyRole::Client, &args)?;
    stage.proxy_on(relay)?.says(" as downstream address:port")?;
    stage.receiver_behind(proxy, first, &[])?;
    stage.receiver_behind(proxy, second, &[])
}

/// A key for the proxy on a host, such as the sender's is, and its fingerprint.
fn key(world: &World, host: HostId, condition: Condition) -> Result<(String, String)> {
    let spec = match condition {
        _ if condition.key_args().contains(&"rsa:1024") => "rsa:1024",
        _ => "ec:prime256v1",
    };
    world.make_key(&format!("key{host}"), spec)
}
