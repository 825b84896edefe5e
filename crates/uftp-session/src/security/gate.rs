//! What may travel in the clear, and what must not, in either direction (wire-v4 §2.1, §10.1,
//! §10.2).
//!
//! The gate stands before the state machines: what it refuses never reaches them. It knows the
//! function of a message and whether it came encrypted, not what it says.

use uftp_proto::wire::Function;

use crate::counters::Refusal;

/// How a message came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// In the clear.
    Clear,
    /// Encrypted, and proved authentic.
    Sealed,
}

/// How far the keys are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keys {
    /// The session is not encrypted.
    None,
    /// It is, but receiver and sender have not agreed upon keys yet.
    Pending,
    /// They have.
    Ready,
}

/// Whether a receiver takes a message of its sender.
///
/// # Errors
/// [`Refusal::Uncovered`] for what must be encrypted, [`Refusal::Unauthentic`] for what cannot be
/// or needs no keys, [`Refusal::OutOfPlace`] for what senders do not say.
pub(crate) fn downstream(form: Form, function: Function, keys: Keys) -> Result<(), Refusal> {
    match (form, function, keys) {
        (Form::Clear, Function::Encrypted, Keys::None | Keys::Pending) => Err(Refusal::Unauthentic),
        (Form::Clear, Function::Encrypted, Keys::Ready) => Ok(()),
        // These are always in the clear; the keys in KEYINFO are wrapped.
        (Form::Clear, Function::Announce | Function::RegConf, _) => Ok(()),
        (Form::Clear, Function::KeyInfo, Keys::None) => Err(Refusal::Unauthentic),
        (Form::Clear, Function::KeyInfo, _) => Ok(()),
        (form, Function::Abort, keys) => guarded(form, keys, Keys::Pending),
        (
            form,
            Function::FileInfo
            | Function::FileSeg
            | Function::Done
            | Function::DoneConf
            | Function::CongCtrl,
            keys,
        ) => guarded(form, keys, Keys::None),
        _ => Err(Refusal::OutOfPlace),
    }
}

/// Whether a sender takes a message of a receiver, whose keys are as said; `client_key` is how
/// CLIENT_KEY comes in this protocol.
///
/// # Errors
/// As [`downstream`].
pub(crate) fn upstream(
    form: Form,
    function: Function,
    keys: Keys,
    client_key: Form,
) -> Result<(), Refusal> {
    match (form, function, keys) {
        // A receiver has the keys before we know it.
        (Form::Clear, Function::Encrypted, Keys::None) => Err(Refusal::Unauthentic),
        (Form::Clear, Function::Encrypted, _) => Ok(()),
        (Form::Clear, Function::Register, _) => Ok(()),
        (Form::Clear, Function::ClientKey, Keys::None) => Err(Refusal::OutOfPlace),
        // It carries a signature.
        (form, Function::ClientKey, _) if form == client_key => Ok(()),
        (Form::Clear, Function::ClientKey, _) => Err(Refusal::Uncovered),
        (form, Function::KeyInfoAck, Keys::Pending | Keys::Ready) => {
            guarded(form, keys, Keys::None)
        }
        (form, Function::Abort, keys) => guarded(form, keys, Keys::Pending),
        (
            form,
            Function::FileInfoAck
            | Function::Status
            | Function::PrStatus
            | Function::Complete
            | Function::CcAck,
            keys,
        ) => guarded(form, keys, Keys::None),
        _ => Err(Refusal::OutOfPlace),
    }
}

/// A message that is encrypted in encrypted sessions, but may be in the clear up to the given
/// state of the keys.
fn guarded(form: Form, keys: Keys, clear_until: Keys) -> Result<(), Refusal> {
    match (form, keys) {
        (Form::Sealed, _) | (Form::Clear, Keys::None) => Ok(()),
        (Form::Clear, keys) if keys == clear_until => Ok(()),
        (Form::Clear, _) => Err(Refusal::Uncovered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uftp_proto::wire::Function as F;

    /// As in protocols 3 and 4.
    fn upstream(form: Form, function: F, keys: Keys) -> Result<(), Refusal> {
        super::upstream(form, function, keys, Form::Clear)
    }

    const DOWN: [F; 5] = [F::FileInfo, F::FileSeg, F::Done, F::DoneConf, F::CongCtrl];
    const UP: [F; 5] = [
        F::FileInfoAck,
        F::Status,
        F::PrStatus,
        F::Complete,
        F::CcAck,
    ];

    #[test]
    fn a_plain_session_takes_nothing_that_belongs_to_encryption() {
        for f in DOWN {
            assert_eq!(downstream(Form::Clear, f, Keys::None), Ok(()));
        }
        for f in UP {
            assert_eq!(upstream(Form::Clear, f, Keys::None), Ok(()));
        }
        for f in [F::Encrypted, F::KeyInfo] {
            let told = downstream(Form::Clear, f, Keys::None);
            assert_eq!(told, Err(Refusal::Unauthentic), "{f:?}");
        }
        for f in [F::Encrypted, F::ClientKey, F::KeyInfoAck] {
            assert!(upstream(Form::Clear, f, Keys::None).is_err(), "{f:?}");
        }
    }

    #[test]
    fn an_encrypted_session_takes_nothing_in_the_clear_but_the_handshake() {
        for keys in [Keys::Pending, Keys::Ready] {
            for f in DOWN {
                let told = downstream(Form::Clear, f, keys);
                assert_eq!(told, Err(Refusal::Uncovered), "{f:?}");
                assert_eq!(downstream(Form::Sealed, f, keys), Ok(()));
            }
            for f in UP.into_iter().chain([F::KeyInfoAck]) {
                let told = upstream(Form::Clear, f, keys);
                assert_eq!(told, Err(Refusal::Uncovered), "{f:?}");
                assert_eq!(upstream(Form::Sealed, f, keys), Ok(()));
            }
            for f in [F::Announce, F::RegConf, F::KeyInfo] {
                assert_eq!(downstream(Form::Clear, f, keys), Ok(()));
            }
            for f in [F::Register, F::ClientKey] {
                assert_eq!(upstream(Form::Clear, f, keys), Ok(()));
            }
        }
    }

    #[test]
    fn an_abort_in_the_clear_counts_until_there_are_keys() {
        for gate in [downstream, upstream] {
            assert_eq!(gate(Form::Clear, F::Abort, Keys::Pending), Ok(()));
            let late = gate(Form::Clear, F::Abort, Keys::Ready);
            assert_eq!(late, Err(Refusal::Uncovered));
            assert_eq!(gate(Form::Sealed, F::Abort, Keys::Ready), Ok(()));
        }
    }

    #[test]
    fn the_handshake_is_never_taken_out_of_an_encrypted_packet() {
        for f in [
            F::Announce,
            F::RegConf,
            F::KeyInfo,
            F::Encrypted,
            F::Register,
        ] {
            let told = downstream(Form::Sealed, f, Keys::Ready);
            assert_eq!(told, Err(Refusal::OutOfPlace), "{f:?}");
        }
        for f in [F::Register, F::ClientKey, F::Encrypted, F::FileSeg] {
            let told = upstream(Form::Sealed, f, Keys::Ready);
            assert_eq!(told, Err(Refusal::OutOfPlace), "{f:?}");
        }
    }

    #[test]
    fn client_key_comes_as_its_protocol_has_it() {
        for keys in [Keys::Pending, Keys::Ready] {
            let gate = |form, expected| super::upstream(form, F::ClientKey, keys, expected);
            assert_eq!(gate(Form::Clear, Form::Clear), Ok(()));
            assert_eq!(gate(Form::Sealed, Form::Sealed), Ok(()));
            assert_eq!(gate(Form::Clear, Form::Sealed), Err(Refusal::Uncovered));
            assert_eq!(gate(Form::Sealed, Form::Clear), Err(Refusal::OutOfPlace));
        }
    }
}
