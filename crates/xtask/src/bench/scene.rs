//! The hosts and networks of a transfer.

use std::path::Path;

use uftp_tests::{Family, HostId, Proxy, ProxyRole, Result, Suite, World};

use super::plan::Plan;

/// Bytes of a block that an Ethernet frame has room for, beside all headers and what encryption adds.
const LARGEST_BLOCK: u16 = 1400;

/// Where a transfer takes place. Host 0 is the sender's.
pub(super) struct Scene {
    pub(super) world: World,
    /// The hosts of the server proxy and of the client proxy.
    pub(super) tunnel: Option<(HostId, HostId)>,
    pub(super) receivers: Vec<HostId>,
}

impl Scene {
    /// # Errors
    /// When the world cannot be made.
    pub(super) fn new(plan: &Plan) -> Result<Self> {
        let mut networks = uftp_tests::Plan::one_network(1);
        if plan.block_size > LARGEST_BLOCK {
            networks.jumbo();
        }
        let near = plan.tunnel.then(|| networks.host(0));
        let remote = u8::from(plan.tunnel);
        let far = plan.tunnel.then(|| networks.host(remote));
        let receivers = (0..plan.receivers).map(|_| networks.host(remote)).collect();
        if plan.tunnel {
            networks.router(&[0, remote]);
        }
        Ok(Scene {
            world: World::planned_in(&plan.dir, "bench", networks)?.quiet(),
            tunnel: near.zip(far),
            receivers,
        })
    }

    /// The server proxy and the client proxy, if there are to be any.
    ///
    /// # Errors
    /// When they cannot be started.
    pub(super) fn start_proxies(
        &self,
        suite: Suite,
        programs: &Path,
        keys: &[&str],
    ) -> Result<Vec<Proxy>> {
        let Some((near, far)) = self.tunnel else {
            return Ok(Vec::new());
        };
        let to = self.world.address(far, Family::V4);
        let start = |host, role, args: &[&str]| {
            let proxy = self.world.proxy(suite, host, role).args(args);
            proxy.program(programs.join("uftpproxyd")).start()
        };
        Ok(vec![
            start(near, ProxyRole::Server(to), &[])?,
            start(far, ProxyRole::Client, keys)?,
        ])
    }
}
