//! The named curves of the wire.

use std::fmt;
use std::str::FromStr;

use openssl::ec::EcGroup;
use openssl::nid::Nid;

use crate::wire::Version;

/// A named elliptic curve (wire-v4 §2.2). Protocol 5 has only the last three.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Curve(&'static Row);

#[derive(PartialEq, Eq, Hash, Debug)]
struct Row {
    id: u8,
    name: &'static str,
    alias: Option<&'static str>,
    field_bits: usize,
    order_bits: usize,
    nid: Nid,
}

const fn row(id: u8, name: &'static str, field_bits: usize, order_bits: usize, nid: Nid) -> Row {
    Row {
        id,
        name,
        alias: None,
        field_bits,
        order_bits,
        nid,
    }
}

const fn aliased(alias: &'static str, row: Row) -> Row {
    Row {
        alias: Some(alias),
        ..row
    }
}

static TABLE: [Row; 25] = [
    row(1, "sect163k1", 163, 163, Nid::SECT163K1),
    row(2, "sect163r1", 163, 162, Nid::SECT163R1),
    row(3, "sect163r2", 163, 163, Nid::SECT163R2),
    row(4, "sect193r1", 193, 193, Nid::SECT193R1),
    row(5, "sect193r2", 193, 193, Nid::SECT193R2),
    row(6, "sect233k1", 233, 232, Nid::SECT233K1),
    row(7, "sect233r1", 233, 233, Nid::SECT233R1),
    row(8, "sect239k1", 239, 238, Nid::SECT239K1),
    row(9, "sect283k1", 283, 281, Nid::SECT283K1),
    row(10, "sect283r1", 283, 282, Nid::SECT283R1),
    row(11, "sect409k1", 409, 407, Nid::SECT409K1),
    row(12, "sect409r1", 409, 409, Nid::SECT409R1),
    row(13, "sect571k1", 571, 570, Nid::SECT571K1),
    row(14, "sect571r1", 571, 570, Nid::SECT571R1),
    row(15, "secp160k1", 160, 161, Nid::SECP160K1),
    row(16, "secp160r1", 160, 161, Nid::SECP160R1),
    row(17, "secp160r2", 160, 161, Nid::SECP160R2),
    row(18, "secp192k1", 192, 192, Nid::SECP192K1),
    aliased(
        "secp192r1",
        row(19, "prime192v1", 192, 192, Nid::X9_62_PRIME192V1),
    ),
    row(20, "secp224k1", 224, 225, Nid::SECP224K1),
    row(21, "secp224r1", 224, 224, Nid::SECP224R1),
    row(22, "secp256k1", 256, 256, Nid::SECP256K1),
    aliased(
        "secp256r1",
        row(23, "prime256v1", 256, 256, Nid::X9_62_PRIME256V1),
    ),
    row(24, "secp384r1", 384, 384, Nid::SECP384R1),
    row(25, "secp521r1", 521, 521, Nid::SECP521R1),
];

impl Curve {
    /// The curve used where nobody says otherwise: prime256v1.
    pub const DEFAULT: Curve = {
        // Row 23 of a table numbered from 1.
        let [.., p256, _, _] = &TABLE;
        Curve(p256)
    };

    /// All curves, in the order of their ids.
    pub fn all() -> impl Iterator<Item = Curve> {
        TABLE.iter().map(Curve)
    }

    /// The curve with this id.
    pub fn from_id(id: u8) -> Option<Curve> {
        Curve::all().find(|c| c.id() == id)
    }

    pub(super) fn from_nid(nid: Nid) -> Option<Curve> {
        Curve::all().find(|c| c.0.nid == nid)
    }

    /// The id on the wire.
    pub(crate) fn id(self) -> u8 {
        self.0.id
    }

    /// The name in the output of all programs.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Bytes of a coordinate, and of `r` and `s` when padded.
    pub(crate) fn width(self) -> usize {
        self.0.field_bits.div_ceil(8)
    }

    /// Bytes of the key on the wire, with its header and padding (wire-v4 §6.2).
    pub fn blob_len(self) -> usize {
        4 + (2 * self.width()).next_multiple_of(4)
    }

    /// Bytes of a signature on the wire (wire-v4 §6.5).
    pub(crate) fn signature_len(self) -> usize {
        self.blob_len()
    }

    /// Whether it has points that lie on it and are no public keys all the same: the binary
    /// curves do, those over prime fields do not.
    pub(super) fn has_cofactor(self) -> bool {
        self.name().starts_with("sect")
    }

    /// Whether breaking it takes less than 2¹¹² steps.
    pub fn is_weak(self) -> bool {
        self.0.order_bits < 224
    }

    /// Whether keys of this curve occur in a protocol (wire-v3 §5, wire-v4 §6.3, wire-v5 §2.3).
    pub fn is_in(self, version: Version) -> bool {
        match version {
            Version::V3 | Version::V3Sync => false,
            Version::V4 => true,
            Version::V5 => (23..=25).contains(&self.id()),
        }
    }

    /// Fails if this system's OpenSSL does not offer it.
    pub(super) fn group(self) -> Result<EcGroup, openssl::error::ErrorStack> {
        EcGroup::from_curve_name(self.0.nid)
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Accepts both spellings of prime192v1 and prime256v1. Case matters, as in deployed programs.
impl FromStr for Curve {
    type Err = UnknownCurve;

    fn from_str(word: &str) -> Result<Curve, UnknownCurve> {
        Curve::all()
            .find(|c| c.name() == word || c.0.alias == Some(word))
            .ok_or_else(|| UnknownCurve(word.to_owned()))
    }
}

/// A word that names no curve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a curve; try prime256v1, secp384r1 or secp521r1")]
pub struct UnknownCurve(String);

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::bn::{BigNum, BigNumContext};

    #[test]
    fn ids_count_from_one_and_names_resolve() {
        for (i, c) in Curve::all().enumerate() {
            assert_eq!(usize::from(c.id()), i + 1);
            assert_eq!(c.name().parse(), Ok(c));
            assert_eq!(Curve::from_id(c.id()), Some(c));
        }
        assert_eq!(Curve::DEFAULT.name(), "prime256v1");
        assert_eq!("secp256r1".parse(), Ok(Curve::DEFAULT));
        assert_eq!("secp192r1".parse::<Curve>().unwrap().id(), 19);
        assert!("PRIME256V1".parse::<Curve>().is_err());
        assert_eq!(Curve::from_id(0), None);
        assert_eq!(Curve::from_id(26), None);
    }

    #[test]
    fn the_table_agrees_with_openssl() {
        for c in Curve::all() {
            let Ok(group) = c.group() else { continue };
            let mut order = BigNum::new().unwrap();
            let mut ctx = BigNumContext::new().unwrap();
            group.order(&mut order, &mut ctx).unwrap();
            assert_eq!(group.degree() as usize, c.0.field_bits, "{c}");
            assert_eq!(order.num_bits() as usize, c.0.order_bits, "{c}");
            let mut cofactor = BigNum::new().unwrap();
            group.cofactor(&mut cofactor, &mut ctx).unwrap();
            assert_eq!(cofactor.num_bits() > 1, c.has_cofactor(), "{c}");
        }
        assert!(Curve::DEFAULT.group().is_ok());
    }

    #[test]
    fn lengths_of_blobs_and_signatures() {
        let len = |name: &str| name.parse::<Curve>().unwrap().blob_len();
        assert_eq!(len("sect163k1"), 48);
        assert_eq!(len("prime256v1"), 68);
        assert_eq!(len("secp384r1"), 100);
        assert_eq!(len("secp521r1"), 136);
    }
}
