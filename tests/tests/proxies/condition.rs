//! Under which conditions a figure is played.

use uftp_tests::Suite;

use crate::cast::Cast;

/// What is asked of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    Plain,
    /// RSA key exchange, CBC and HMAC.
    Rsa,
    /// ECDH signed by ECDSA keys, and GCM.
    Ecdsa,
    /// As [`Ecdsa`](Self::Ecdsa), and every receiver and proxy proves itself.
    ClientAuth,
    /// 4 % of what comes down to a proxy or receiver is lost.
    Loss,
    /// As [`Loss`](Self::Loss), encrypted.
    EncryptedLoss,
    /// Congestion control.
    Tfmcc,
    /// Congestion control and 4 % loss.
    TfmccLoss,
    /// Congestion control, encrypted.
    EncryptedTfmcc,
    /// Protocol 5 with its default suite, and every receiver and proxy proves itself.
    Five,
    /// Protocol 5 with its default suite, and 4 % loss.
    FiveLoss,
    /// As [`FiveLoss`](Self::FiveLoss), with congestion control.
    FiveTfmcc,
    /// Protocol 3 in the clear.
    Three,
    /// Protocol 3, encrypted, with one secret for all.
    ThreeHmac,
    /// Protocol 3, each packet signed, and every receiver and proxy proves itself.
    ThreeRsa,
    /// Protocol 3, encrypted, 4 % loss, and several sections.
    ThreeLoss,
}

/// The shortest intervals of protocol 3.
const THREE: &str = "--announce-interval 500 --register-interval 500 --status-interval 500 \
                     --done-interval 500";

/// What is usual where encryption is by ECDH.
const ECDSA: &str = "-Y aes256-gcm -h sha256 -e ecdh_ecdsa -K prime256v1";

impl Condition {
    pub(crate) const ALL: [Condition; 16] = [
        Condition::Plain,
        Condition::Rsa,
        Condition::Ecdsa,
        Condition::ClientAuth,
        Condition::Loss,
        Condition::EncryptedLoss,
        Condition::Tfmcc,
        Condition::TfmccLoss,
        Condition::EncryptedTfmcc,
        Condition::Five,
        Condition::FiveLoss,
        Condition::FiveTfmcc,
        Condition::Three,
        Condition::ThreeHmac,
        Condition::ThreeRsa,
        Condition::ThreeLoss,
    ];

    /// What the sender speaks.
    pub(crate) fn protocol(self) -> &'static str {
        use Condition::{Five, FiveLoss, FiveTfmcc, Three, ThreeHmac, ThreeLoss, ThreeRsa};
        match self {
            Five | FiveLoss | FiveTfmcc => "5",
            Three | ThreeHmac | ThreeRsa | ThreeLoss => "3",
            _ => "4",
        }
    }

    /// Whether response proxies hand out keys before a session.
    pub(crate) fn has_standing_keys(self) -> bool {
        !self.key_args().is_empty()
    }

    /// Whether the reference can do it at all. Its proxies that gather answers never end a session
    /// with congestion control and loss; they pass on reports by which its sender crashes where
    /// there is encryption; and lost keys are not sent again (behaviour-proxies §8.5, §14). It
    /// does not speak protocols 3 and 5.
    pub(crate) fn is_possible_for(self, cast: &Cast) -> bool {
        match self {
            Condition::TfmccLoss | Condition::EncryptedLoss => !cast.reference_gathers(),
            Condition::EncryptedTfmcc => !cast.reference_gathers() || cast.sender == Suite::Ours,
            _ => self.protocol() == "4" || *cast == Cast::OURS,
        }
    }

    /// Datagrams of a thousand lost on the way down.
    pub(crate) fn loss(self) -> Option<u16> {
        use Condition::{EncryptedLoss, FiveLoss, FiveTfmcc, Loss, TfmccLoss, ThreeLoss};
        let lossy = matches!(
            self,
            Loss | EncryptedLoss | TfmccLoss | FiveLoss | FiveTfmcc | ThreeLoss
        );
        lossy.then_some(40)
    }

    /// Bytes of the file sent.
    pub(crate) fn file_size(self) -> u64 {
        match (self, self.loss()) {
            (Condition::ThreeLoss, _) => 2_000_000,
            (_, Some(_)) => 1_000_000,
            (_, None) => 200_000,
        }
    }

    pub(crate) fn sender_args(self) -> Vec<&'static str> {
        let patience = "--announce-time 30 --status-time 30 --least-time 60";
        let words = match self {
            Condition::Plain | Condition::Loss | Condition::FiveLoss => vec![],
            Condition::Five => vec!["-c"],
            Condition::Rsa => vec!["-Y aes128-cbc -h sha256 -w hmac -e rsa -K 1024"],
            Condition::Ecdsa | Condition::EncryptedLoss => vec![ECDSA],
            Condition::ClientAuth => vec!["-c", ECDSA],
            Condition::Three => vec![THREE],
            Condition::ThreeHmac => vec![THREE, "-Y aes256 -h sha256 -K 1024"],
            Condition::ThreeRsa => vec![THREE, "-Y aes128 -w rsa -K 1024"],
            Condition::ThreeLoss => vec![THREE, "-Y 3des -K 1024 --mtu 576", patience],
            Condition::Tfmcc | Condition::TfmccLoss | Condition::FiveTfmcc => vec!["-C tfmcc"],
            Condition::EncryptedTfmcc => vec!["-C tfmcc", ECDSA],
        };
        words.into_iter().flat_map(str::split_whitespace).collect()
    }

    /// How a sender repeats itself.
    pub(crate) fn timing(self) -> &'static [&'static str] {
        match self.protocol() {
            // As it was told already.
            "3" => &[],
            _ => &["-s", "20"],
        }
    }

    /// Of receivers and of proxies.
    pub(crate) fn key_args(self) -> &'static [&'static str] {
        match self {
            Condition::Rsa | Condition::ThreeHmac | Condition::ThreeRsa | Condition::ThreeLoss => {
                &["-K", "rsa:1024"]
            }
            Condition::Ecdsa
            | Condition::ClientAuth
            | Condition::EncryptedLoss
            | Condition::EncryptedTfmcc => &["-K", "ec:prime256v1"],
            _ => &[],
        }
    }
}

/// A cast under a condition.
pub(crate) type Case = (Cast, Condition);

/// All that are possible, or those of the conditions named by `UFTP_PROXY_CONDITIONS`.
pub(crate) fn cases() -> Vec<Case> {
    let asked = std::env::var("UFTP_PROXY_CONDITIONS").ok();
    let wanted = |condition: &Condition| match &asked {
        None => true,
        Some(names) => names
            .split(',')
            .any(|name| name == format!("{condition:?}")),
    };
    let conditions = Condition::ALL.into_iter().filter(wanted);
    conditions
        .flat_map(|condition| Cast::ALL.map(|cast| (cast, condition)))
        .filter(|(cast, condition)| condition.is_possible_for(cast))
        .collect()
}
