//! A client proxy behind a client proxy: what the first multicasts, a second server proxy passes on
//! to the second.

use uftp_tests::{Plan, ProxyRole, Result, World};

use crate::{
    cast::Cast,
    condition::Condition,
    stage::{Stage, all},
};

#[test]
fn a_client_proxy_behind_a_client_proxy() -> Result<()> {
    let conditions = [
        Condition::Plain,
        Condition::Rsa,
        Condition::Ecdsa,
        Condition::ClientAuth,
        Condition::EncryptedLoss,
        Condition::TfmccLoss,
    ];
    let casts = [Cast::OURS, Cast::OUR_PROXIES];
    let cases: Vec<_> = conditions
        .into_iter()
        .flat_map(|condition| casts.map(|cast| (cast, condition)))
        .filter(|(cast, condition)| condition.is_possible_for(cast))
        .collect();
    all(&cases, |&(cast, condition)| {
        let mut plan = Plan::default();
        let [_sender, near] = [plan.host(0), plan.host(0)];
        let [upper, halfway, relay] = [plan.host(1), plan.host(1), plan.host(1)];
        let [lower, first, second] = [plan.host(2), plan.host(2), plan.host(2)];
        plan.router(&[0, 1, 2]);
        let mut stage = Stage::new(World::planned("nested", plan)?, cast, condition)?;
        for (from, to) in [(near, upper), (relay, lower)] {
            let role = ProxyRole::Server(stage.address(to));
            stage.proxy(cast.server_proxy(0), from, role, &[])?;
            stage.proxy(cast.proxy(0), to, ProxyRole::Client, &[])?;
        }
        for receiver in [halfway, first, second] {
            stage.receiver(receiver, &[])?;
        }
        // The sender hears of the first client proxy only.
        stage.play(&[upper], &[])
    })
}
