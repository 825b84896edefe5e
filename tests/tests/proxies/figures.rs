//! Figures 1 to 4 of the manual.

use uftp_tests::{HostId, NetworkId, Plan, ProxyRole, Result, World};

use crate::{
    condition::cases,
    stage::{Stage, all},
};

/// Networks A, B and C; a router between them that no multicast passes.
#[test]
fn figure_1() -> Result<()> {
    all(&cases(), |&(cast, condition)| {
        const A: NetworkId = 0;
        let mut plan = Plan::default();
        let [_sender, local] = [plan.host(A), plan.host(A)];
        let server_proxies = [plan.host(A), plan.host(A)];
        let remote = [1, 2].map(|network| {
            let hosts: [HostId; 3] = std::array::from_fn(|_| plan.host(network));
            hosts
        });
        plan.router(&[A, 1, 2]);
        let mut stage = Stage::new(World::planned("figure1", plan)?, cast, condition)?;
        stage.receiver(local, &[])?;
        for (side, [proxy, first, second]) in remote.into_iter().enumerate() {
            let role = ProxyRole::Server(stage.address(proxy));
            stage.proxy(cast.server_proxy(side), server_proxies[side], role, &[])?;
            stage.proxy(cast.proxy(side), proxy, ProxyRole::Client, &[])?;
            stage.receiver_behind(proxy, first, &[])?;
            stage.receiver_behind(proxy, second, &[])?;
        }
        stage.play(&remote.map(|[proxy, ..]| proxy), &[])
    })
}

/// All on one network; each receiver has a response proxy of its own.
#[test]
fn figure_2() -> Result<()> {
    all(&cases(), |&(cast, condition)| {
        let mut plan = Plan::default();
        plan.host(0);
        let served = [(); 2].map(|()| (plan.host(0), plan.host(0)));
        let mut stage = Stage::new(World::planned("figure2", plan)?, cast, condition)?;
        for (side, (proxy, receiver)) in served.into_iter().enumerate() {
            answering_through(&mut stage, side, proxy, &[receiver], &[])?;
        }
        stage.play(&served.map(|(proxy, _)| proxy), &[])
    })
}

/// Response proxies beside the server, their receivers on networks that multicast is routed to.
#[test]
fn figure_3() -> Result<()> {
    all(&cases(), |&(cast, condition)| {
        let mut plan = Plan::default();
        plan.host(0);
        let proxies = [plan.host(0), plan.host(0)];
        let receivers = [1, 2].map(|network| [plan.host(network), plan.host(network)]);
        plan.multicast_router(&[0, 1, 2]);
        let mut stage = Stage::new(World::planned("figure3", plan)?, cast, condition)?;
        for side in 0..2 {
            let far = ["-t", "2"];
            answering_through(&mut stage, side, proxies[side], &receivers[side], &far)?;
        }
        stage.play(&proxies, &["-t", "2"])
    })
}

/// Response proxies a hop away from the server, and from their receivers, too.
#[test]
fn figure_4() -> Result<()> {
    all(&cases(), |&(cast, condition)| {
        let mut plan = Plan::default();
        plan.host(0);
        let proxies = [plan.host(1), plan.host(2)];
        let receivers = [3, 4].map(|network| [plan.host(network), plan.host(network)]);
        plan.multicast_router(&[0, 1, 2, 3, 4]);
        let mut stage = Stage::new(World::planned("figure4", plan)?, cast, condition)?;
        for side in 0..2 {
            let far = ["-t", "2"];
            answering_through(&mut stage, side, proxies[side], &receivers[side], &far)?;
        }
        stage.play(&proxies, &["-t", "2"])
    })
}

/// A response proxy, and receivers that answer through it.
fn answering_through(
    stage: &mut Stage,
    side: usize,
    proxy: HostId,
    receivers: &[HostId],
    args: &[&str],
) -> Result<()> {
    let suite = stage.cast.proxy(side);
    let args = [args, &["-e", "prime256v1"]].concat();
    let through = stage.address(proxy).to_string();
    // A proxy tells its keys when it is asked, but not again for five seconds: so that all have
    // asked, it comes last.
    for &receiver in receivers {
        stage.receiver_behind(proxy, receiver, &["-R", &through])?;
    }
    stage.proxy(suite, proxy, ProxyRole::Response, &args)?;
    receivers
        .iter()
        .try_for_each(|&receiver| stage.has_keys_of(receiver, &through))
}
