//! What is known of a recorded session and its sender.

use uftp_proto::crypto::{BackendError, Curve, GroupMaster, KeyError, KeySpec, PrivateKey, v5};
use uftp_proto::wire::Version;
use uftp_session::security::Secrets;
use uftp_session::sender::{Outcome, Rate};

/// A recorded session and the secrets of its sender.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Which of the sessions in the capture.
    pub(crate) run: usize,
    /// If it was encrypted.
    pub(crate) drawn: Option<Drawn>,
    pub(crate) rate: Rate,
    pub(crate) quit_on_error: bool,
    pub(crate) outcome: Outcome,
}

impl Case {
    /// A session in the clear that went well.
    pub(crate) const fn plain(name: &'static str) -> Case {
        Case {
            name,
            run: 0,
            drawn: None,
            rate: Rate::Fixed(640_000),
            quit_on_error: false,
            outcome: Outcome::Success,
        }
    }

    /// An encrypted one of protocol 4, with the secret of its group.
    pub(crate) const fn four(name: &'static str, group: &'static str) -> Case {
        Case {
            drawn: Some(Drawn::Four { group }),
            ..Case::plain(name)
        }
    }

    /// An encrypted one of protocol 5.
    pub(crate) const fn five(
        name: &'static str,
        scalar: &'static str,
        group: &'static str,
    ) -> Case {
        Case::drawn_five(name, group, Ephemeral::Senders(scalar))
    }

    /// As [`five`](Case::five), where only a proxy answered: that of the proxy's key is known.
    pub(crate) const fn through(
        name: &'static str,
        scalar: &'static str,
        group: &'static str,
    ) -> Case {
        Case::drawn_five(name, group, Ephemeral::Proxys(scalar))
    }

    const fn drawn_five(name: &'static str, group: &'static str, ephemeral: Ephemeral) -> Case {
        Case {
            drawn: Some(Drawn::Five { group, ephemeral }),
            ..Case::plain(name)
        }
    }

    pub(crate) const fn run(self, run: usize) -> Case {
        Case { run, ..self }
    }

    pub(crate) const fn at(self, rate: Rate) -> Case {
        Case { rate, ..self }
    }

    pub(crate) const fn ends(self, outcome: Outcome) -> Case {
        Case { outcome, ..self }
    }
}

/// What the sender of an encrypted session drew, beside its random number.
#[derive(Clone, Copy)]
pub(crate) enum Drawn {
    /// In protocol 4, the secret of the group. That of its ephemeral key, if it had one, nobody knows.
    Four { group: &'static str },
    /// In protocol 5, that of the group, too, and that of one of the two ephemeral keys.
    Five {
        group: &'static str,
        ephemeral: Ephemeral,
    },
}

/// Whose ephemeral key it is that the secret is known of.
#[derive(Clone, Copy)]
pub(crate) enum Ephemeral {
    Senders(&'static str),
    Proxys(&'static str),
}

impl Drawn {
    pub(super) fn group_of_four(self) -> GroupMaster {
        match self {
            Drawn::Four { group } => GroupMaster::from_bytes(&unhex(group).try_into().unwrap()),
            Drawn::Five { .. } => panic!("a secret of protocol 5"),
        }
    }

    pub(super) fn group_of_five(self) -> v5::GroupMaster {
        match self {
            Drawn::Five { group, .. } => {
                v5::GroupMaster::from_bytes(&unhex(group).try_into().unwrap())
            }
            Drawn::Four { .. } => panic!("a secret of protocol 4"),
        }
    }
}

/// The secrets of a recorded sender.
pub(super) struct Known {
    pub(super) random: [u8; 32],
    pub(super) drawn: Drawn,
}

impl Secrets for Known {
    fn random(&mut self) -> [u8; 32] {
        self.random
    }

    fn ephemeral(&mut self, curve: Curve) -> Result<PrivateKey, KeyError> {
        match self.drawn {
            Drawn::Five {
                ephemeral: Ephemeral::Senders(scalar),
                ..
            } => Ok(PrivateKey::from_ec_scalar(curve, &unhex(scalar)).unwrap()),
            _ => PrivateKey::generate(KeySpec::Ec(curve)),
        }
    }

    fn group_master(&mut self, _: Version) -> Result<GroupMaster, BackendError> {
        Ok(self.drawn.group_of_four())
    }

    fn master(&mut self) -> Result<v5::GroupMaster, BackendError> {
        Ok(self.drawn.group_of_five())
    }
}

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}
