//! Where sessions in a simulation have their secrets from: its seed, so that the same run is the same
//! again.

use rand::Rng;
use rand::rngs::StdRng;
use uftp_proto::crypto::{BackendError, Curve, GroupMaster, KeyError, Premaster, PrivateKey, v5};
use uftp_proto::wire::Version;
use uftp_session::security::Secrets;

use crate::world::World;

/// Bytes of a scalar that is below the order of every curve there is.
const SCALAR_LEN: usize = 13;

/// Marks the number of a host that has a generator for other things, too.
pub(crate) const SECRETS: u64 = 1 << 40;

/// The number of the generator that makes the secret of every group of a world.
const MASTER: u64 = 0x006d_6173_7465_7200;

/// The secrets of one host: nobody else's, but for the group's, which is the same for all sessions of
/// the world. A member can be played who knows it.
pub struct Seeded {
    own: StdRng,
    group: [u8; 48],
}

impl Seeded {
    /// Those of the host with this number.
    pub fn new(world: &World, host: u64) -> Self {
        Seeded {
            own: world.rng(host),
            group: bytes(&mut world.rng(MASTER)),
        }
    }
}

impl Secrets for Seeded {
    fn random(&mut self) -> [u8; 32] {
        bytes(&mut self.own)
    }

    fn ephemeral(&mut self, curve: Curve) -> Result<PrivateKey, KeyError> {
        let scalar: [u8; SCALAR_LEN] = bytes(&mut self.own);
        PrivateKey::from_ec_scalar(curve, &scalar).map_err(|_| KeyError::Point(curve))
    }

    fn premaster(&mut self, version: Version) -> Result<Premaster, BackendError> {
        let mut premaster: [u8; 48] = bytes(&mut self.own);
        premaster[0] = version.wire_id();
        Ok(Premaster::from_bytes(&premaster))
    }

    fn group_master(&mut self, version: Version) -> Result<GroupMaster, BackendError> {
        let mut master = self.group;
        master[0] = version.wire_id();
        Ok(GroupMaster::from_bytes(&master))
    }

    fn master(&mut self) -> Result<v5::GroupMaster, BackendError> {
        let master = self.group.first_chunk().expect("32 of 48");
        Ok(v5::GroupMaster::from_bytes(master))
    }
}

fn bytes<const LEN: usize>(rng: &mut StdRng) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    rng.fill_bytes(&mut bytes);
    bytes
}
