//! A tunnel of two proxies, and the keys of those at its ends.

use std::{fs, net::IpAddr};

use uftp_tests::{
    Family, HostId, Plan, Receiver, Result, SenderSetup, Suite, World, uid, write_file,
};

use crate::stage::BOUND;

pub(crate) const SERVER: HostId = 0;

pub(crate) const NEAR: HostId = 1;

pub(crate) const FAR: HostId = 2;

pub(crate) const RECEIVERS: [HostId; 2] = [3, 4];

/// A sender and a server proxy on one network, a client proxy and two receivers on another.
pub(crate) struct Tunnel {
    pub(crate) world: World,
}

impl Tunnel {
    pub(crate) fn new(label: &str) -> Result<Self> {
        let mut plan = Plan::default();
        plan.host(0);
        plan.host(0);
        plan.host(1);
        for _ in RECEIVERS {
            plan.host(1);
        }
        plan.router(&[0, 1]);
        Ok(Tunnel {
            world: World::planned(label, plan)?,
        })
    }

    /// Sends a small file to both receivers, who get it.
    pub(crate) fn carries(
        &self,
        receivers: Vec<Receiver>,
        change: impl Fn(SenderSetup<'_>) -> SenderSetup<'_>,
    ) -> Result<()> {
        let content = self.world.make_dir("content")?;
        write_file(&content.join("file"), 100_000)?;
        let sent = change(self.sender()?).files_of(&content)?.run(BOUND)?;
        sent.ended_with(0)?;
        sent.resulted("copy", &RECEIVERS, 1)?;
        receivers
            .iter()
            .try_for_each(|receiver| receiver.holds(&content))
    }

    pub(crate) fn sender(&self) -> Result<SenderSetup<'_>> {
        let list = self.world.dir().join("proxies");
        fs::write(&list, uid(FAR))?;
        let sender = self.world.sender(Suite::Ours, SERVER).invite(&RECEIVERS);
        Ok(sender.args(&["-j", &list.to_string_lossy()]))
    }

    pub(crate) fn far(&self, family: Family) -> IpAddr {
        self.world.address(FAR, family)
    }

    pub(crate) fn receivers(&self) -> Result<Vec<Receiver>> {
        let start = |host| self.world.receiver(Suite::Ours, host).start();
        RECEIVERS.into_iter().map(start).collect()
    }
}
