//! Our own keys: made, loaded and saved as PEM, used to sign and to decrypt.

use openssl::bn::BigNum;
use openssl::ec::EcKey;
use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::{Padding, Rsa};
use zeroize::Zeroizing;

use super::algorithms::Hash;
use super::curve::Curve;
use super::digest;
use super::ecdsa::{self, SignatureForm};
use super::error::BackendError;
use super::key_error::KeyError;
use super::key_spec::KeySpec;
use super::pem::{LoadError, private_block};
use super::public_key::{KeyKind, PublicKey};
use super::rsa_padding::{premaster_padding, select, signature_room, strip_pkcs1};
use super::secret::Secret;

/// A private key and its public half. No text form, never compared.
#[derive(Clone)]
pub struct PrivateKey {
    pkey: PKey<Private>,
    ec: Option<EcKey<Private>>,
    public: PublicKey,
}

impl PrivateKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`KeyError`] if the curve is not offered or OpenSSL fails.
    pub fn generate(spec: KeySpec) -> Result<PrivateKey, KeyError> {
        match spec {
            KeySpec::Rsa(bits) => PrivateKey::from_rsa(Rsa::generate(bits)?),
            KeySpec::Ec(curve) => {
                let group = curve
                    .group()
                    .map_err(|_| KeyError::CurveUnavailable(curve))?;
                PrivateKey::from_ec(curve, EcKey::generate(&group)?)
            }
        }
    }

    /// Reads a key out of an unencrypted PEM file: PKCS#1, SEC 1 (with or without a block of
    /// curve parameters before it) or PKCS#8 (wire-v4 §11). Never asks anybody for a passphrase.
    ///
    /// # Errors
    /// [`LoadError`] saying why not.
    pub fn from_pem(pem: &[u8]) -> Result<PrivateKey, LoadError> {
        let text = std::str::from_utf8(pem).map_err(|_| LoadError::NotPem)?;
        let block = private_block(text)?;
        // The callback is never of use: it only keeps OpenSSL from asking on the terminal.
        let pkey = PKey::private_key_from_pem_callback(block.as_bytes(), |_| Ok(0))
            .map_err(|_| LoadError::Unreadable)?;
        match pkey.id() {
            Id::RSA => Ok(PrivateKey::from_rsa(pkey.rsa().map_err(KeyError::from)?)?),
            Id::EC => {
                let ec = pkey.ec_key().map_err(KeyError::from)?;
                let curve = ec.group().curve_name().and_then(Curve::from_nid);
                Ok(PrivateKey::from_ec(curve.ok_or(LoadError::Curve)?, ec)?)
            }
            _ => Err(LoadError::Algorithm),
        }
    }

    /// The key as the PEM file deployed programs write: PKCS#1 or SEC 1, not encrypted.
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL fails.
    pub fn to_pem(&self) -> Result<Zeroizing<Vec<u8>>, BackendError> {
        let pem = match &self.ec {
            Some(ec) => ec.private_key_to_pem()?,
            None => self.pkey.rsa()?.private_key_to_pem()?,
        };
        Ok(Zeroizing::new(pem))
    }

    fn from_rsa(rsa: Rsa<Private>) -> Result<PrivateKey, KeyError> {
        let public = PublicKey::from_rsa_parts(rsa.n(), rsa.e())?;
        Ok(PrivateKey {
            pkey: PKey::from_rsa(rsa)?,
            ec: None,
            public,
        })
    }

    fn from_ec(curve: Curve, ec: EcKey<Private>) -> Result<PrivateKey, KeyError> {
        let public = PublicKey::from_ec_point(curve, ec.group(), ec.public_key())?;
        ec.check_key().map_err(|_| KeyError::Point(curve))?;
        Ok(PrivateKey {
            pkey: PKey::from_ec_key(ec.clone())?,
            ec: Some(ec),
            public,
        })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyKind {
        self.public.kind()
    }

    /// Signs all `parts` in a row. The result is as long as [`PublicKey::signature_len`] says.
    ///
    /// # Errors
    /// [`KeyError::TooSmallToSign`] if an RSA key is too small for the hash, [`KeyError::Backend`] if
    /// OpenSSL fails.
    pub fn sign(
        &self,
        hash: Hash,
        form: SignatureForm,
        parts: &[&[u8]],
    ) -> Result<Vec<u8>, KeyError> {
        let digest = digest::digest(hash, parts);
        match (&self.ec, self.kind()) {
            (Some(ec), KeyKind::Ec(curve)) => Ok(ecdsa::sign(ec, curve, form, &digest)?),
            (_, KeyKind::Rsa { bits }) if bits / 8 < signature_room(hash) => {
                Err(KeyError::TooSmallToSign { bits, hash })
            }
            _ => Ok(self.sign_rsa(hash, &digest)?),
        }
    }

    fn sign_rsa(&self, hash: Hash, digest: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut ctx = PkeyCtx::new(&self.pkey)?;
        ctx.sign_init()?;
        ctx.set_rsa_padding(Padding::PKCS1)?;
        ctx.set_signature_md(digest::md(hash))?;
        let mut out = Vec::new();
        ctx.sign_to_vec(digest, &mut out)?;
        Ok(out)
    }

    /// Decrypts a premaster secret of `N` bytes (wire-v4 §8.2). What does not decrypt yields a
    /// random secret: the sender of such a ciphertext finds out only when the keys made from it
    /// do not work, and learns nothing about why.
    ///
    /// # Errors
    /// [`KeyError::NotRsa`]; [`KeyError::Length`] if the ciphertext is not as long as the
    /// modulus; neither depends on the key's secret.
    pub(super) fn decrypt<const N: usize>(&self, ciphertext: &[u8]) -> Result<Secret, KeyError> {
        let KeyKind::Rsa { bits } = self.kind() else {
            return Err(KeyError::NotRsa);
        };
        if ciphertext.len() != bits / 8 {
            return Err(KeyError::Length {
                says: ciphertext.len(),
                expected: bits / 8,
            });
        }
        let mut secret = Secret::random(N)?;
        let rsa = self.pkey.rsa()?;
        let mut plain = Zeroizing::new(vec![0; bits / 8]);
        if premaster_padding(bits) == Padding::PKCS1_OAEP {
            let len = rsa.private_decrypt(ciphertext, &mut plain, Padding::PKCS1_OAEP);
            select(
                u8::from(len.is_ok_and(|n| n == N)),
                plain.get(..N).unwrap_or_default(),
                secret.expose_mut(),
            );
        } else {
            // The padding is taken off here and not by OpenSSL, whose answer would tell good
            // from bad padding (Bleichenbacher's oracle).
            let ok = rsa.private_decrypt(ciphertext, &mut plain, Padding::NONE);
            let (good, tail) = strip_pkcs1::<N>(&plain);
            select(good & u8::from(ok.is_ok()), tail, secret.expose_mut());
        }
        Ok(secret)
    }

    /// The raw x coordinate shared with a peer's key, leading zeros kept (wire-v4 §8.2).
    pub(super) fn agree(&self, peer: &PublicKey) -> Result<Secret, KeyError> {
        let KeyKind::Ec(curve) = self.kind() else {
            return Err(KeyError::CurveMismatch);
        };
        if peer.kind() != self.kind() {
            return Err(KeyError::CurveMismatch);
        }
        let mut ctx = PkeyCtx::new(&self.pkey)?;
        ctx.derive_init()?;
        ctx.derive_set_peer(peer.pkey())?;
        let mut x = Zeroizing::new(vec![0; curve.width()]);
        ctx.derive(Some(&mut x))?;
        Ok(Secret::from(x))
    }
}

/// Keys out of their numbers, for tests against recorded sessions.
impl PrivateKey {
    /// Takes modulus, public and private exponent, big-endian.
    ///
    /// # Errors
    /// [`KeyError`] if they are no RSA key.
    pub fn from_rsa_numbers(n: &[u8], e: u32, d: &[u8]) -> Result<PrivateKey, KeyError> {
        let build = || -> Result<Rsa<Private>, ErrorStack> {
            let n = BigNum::from_slice(n)?;
            let d = BigNum::from_slice(d)?;
            Ok(openssl::rsa::RsaPrivateKeyBuilder::new(n, BigNum::from_u32(e)?, d)?.build())
        };
        PrivateKey::from_rsa(build()?)
    }

    /// Takes a private scalar, big-endian.
    ///
    /// # Errors
    /// [`KeyError::Point`] if it is not in the curve's range.
    pub fn from_ec_scalar(curve: Curve, scalar: &[u8]) -> Result<PrivateKey, KeyError> {
        let build = || -> Result<EcKey<Private>, ErrorStack> {
            let group = curve.group()?;
            let scalar = BigNum::from_slice(scalar)?;
            let mut point = openssl::ec::EcPoint::new(&group)?;
            let mut ctx = openssl::bn::BigNumContext::new()?;
            point.mul_generator2(&group, &scalar, &mut ctx)?;
            EcKey::from_private_components(&group, &scalar, &point)
        };
        PrivateKey::from_ec(curve, build().map_err(|_| KeyError::Point(curve))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rsa(bits: u32) -> PrivateKey {
        PrivateKey::generate(KeySpec::Rsa(bits)).unwrap()
    }

    #[test]
    fn signatures_of_both_forms_verify() {
        for curve in ["sect163k1", "prime256v1", "secp521r1"] {
            let key = PrivateKey::generate(KeySpec::Ec(curve.parse().unwrap())).unwrap();
            for form in [SignatureForm::Natural, SignatureForm::Padded] {
                for hash in Hash::ALL {
                    let sig = key.sign(hash, form, &[b"ab", b"c"]).unwrap();
                    assert_eq!(sig.len(), key.public().signature_len());
                    assert!(key.public().verify(hash, &[b"abc"], &sig));
                    assert!(!key.public().verify(hash, &[b"abd"], &sig));
                }
            }
        }
    }

    #[test]
    fn rsa_too_small_for_the_hash_is_an_error() {
        let key = rsa(512);
        let form = SignatureForm::Natural;
        assert!(key.sign(Hash::Sha256, form, &[b"x"]).is_ok());
        assert_eq!(
            key.sign(Hash::Sha384, form, &[b"x"]),
            Err(KeyError::TooSmallToSign {
                bits: 512,
                hash: Hash::Sha384
            })
        );
        let sig = key.sign(Hash::Sha1, form, &[b"x"]).unwrap();
        assert!(key.public().verify(Hash::Sha1, &[b"x"], &sig));
        assert!(!key.public().verify(Hash::Sha256, &[b"x"], &sig));
    }

    #[test]
    fn too_small_is_what_openssl_finds_too_small() {
        for bits in (512..=768).step_by(8) {
            let key = rsa(bits);
            for hash in Hash::ALL {
                let signed = key.sign_rsa(hash, &digest::digest(hash, &[b"x"]));
                let has_room = key.public().signature_len() >= signature_room(hash);
                assert_eq!(signed.is_ok(), has_room, "{bits} bits, {hash}");
            }
        }
    }

    #[test]
    fn what_openssl_refuses_is_not_laid_to_the_size() {
        let mut key = rsa(2048);
        // It refuses this as a policy of the system does SHA-1.
        key.pkey = PKey::generate_ed25519().unwrap();
        let refused = key.sign(Hash::Sha1, SignatureForm::Natural, &[b"x"]);
        assert!(matches!(refused, Err(KeyError::Backend(_))), "{refused:?}");
    }

    #[test]
    fn premaster_survives_both_paddings() {
        for bits in [512, 736, 768, 1024] {
            let key = rsa(bits);
            let sealed = key.public().encrypt(&[7; 48]).unwrap();
            assert_eq!(key.decrypt::<48>(&sealed).unwrap().expose(), [7; 48]);
        }
    }

    #[test]
    fn what_does_not_decrypt_yields_a_random_secret() {
        for bits in [512, 768] {
            let key = rsa(bits);
            let mut sealed = key.public().encrypt(&[7; 48]).unwrap();
            sealed[20] ^= 1;
            let one = key.decrypt::<48>(&sealed).unwrap();
            let other = key.decrypt::<48>(&sealed).unwrap();
            assert_ne!(one.expose(), other.expose());
            assert_ne!(one.expose(), [7; 48]);
            let short = key.public().encrypt(&[7; 20]).unwrap();
            assert_eq!(key.decrypt::<48>(&short).unwrap().expose().len(), 48);
            // Larger than the modulus.
            assert!(key.decrypt::<48>(&vec![0xff; sealed.len()]).is_ok());
            assert!(key.decrypt::<48>(&sealed[1..]).is_err());
        }
    }

    #[test]
    fn pem_round_trip() {
        for spec in [KeySpec::Rsa(512), KeySpec::Ec(Curve::DEFAULT)] {
            let key = PrivateKey::generate(spec).unwrap();
            let pem = key.to_pem().unwrap();
            let again = PrivateKey::from_pem(&pem).unwrap();
            assert_eq!(again.public(), key.public());
            let pkcs8 = key.pkey.private_key_to_pem_pkcs8().unwrap();
            assert!(pkcs8.starts_with(b"-----BEGIN PRIVATE KEY-----"));
            assert_eq!(PrivateKey::from_pem(&pkcs8).unwrap().public(), key.public());
            assert_eq!(*again.to_pem().unwrap(), *pem);
        }
        let ec = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
        let params =
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let with = [params.as_bytes(), &ec.to_pem().unwrap()].concat();
        assert_eq!(PrivateKey::from_pem(&with).unwrap().public(), ec.public());
    }

    #[test]
    fn unusable_files_say_why() {
        use openssl::symm::Cipher;
        let key = rsa(512);
        let load = |pem: &[u8]| PrivateKey::from_pem(pem).err();
        let traditional = key
            .pkey
            .rsa()
            .unwrap()
            .private_key_to_pem_passphrase(Cipher::aes_128_cbc(), b"x")
            .unwrap();
        assert_eq!(load(&traditional), Some(LoadError::Passphrase));
        let pkcs8 = key
            .pkey
            .private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"x")
            .unwrap();
        assert_eq!(load(&pkcs8), Some(LoadError::Passphrase));
        let public = key.public().pkey().public_key_to_pem().unwrap();
        assert_eq!(load(&public), Some(LoadError::NotPem));
        assert_eq!(load(b""), Some(LoadError::NotPem));
        assert_eq!(load(&[0xff; 9]), Some(LoadError::NotPem));
        let pem = key.to_pem().unwrap();
        assert_eq!(load(&pem[..100]), Some(LoadError::Unreadable));
        let ed = PKey::generate_ed25519().unwrap();
        assert_eq!(
            load(&ed.private_key_to_pem_pkcs8().unwrap()),
            Some(LoadError::Algorithm)
        );
        let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::BRAINPOOL_P256R1);
        if let Ok(group) = group {
            let foreign = EcKey::generate(&group).unwrap();
            assert_eq!(
                load(&foreign.private_key_to_pem().unwrap()),
                Some(LoadError::Curve)
            );
        }
    }

    #[test]
    fn both_sides_agree() {
        let make = || PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
        let (a, b) = (make(), make());
        assert_eq!(
            a.agree(b.public()).unwrap().expose(),
            b.agree(a.public()).unwrap().expose()
        );
        let other = PrivateKey::generate(KeySpec::Ec("secp384r1".parse().unwrap())).unwrap();
        assert_eq!(a.agree(other.public()).err(), Some(KeyError::CurveMismatch));
        assert_eq!(
            a.agree(rsa(512).public()).err(),
            Some(KeyError::CurveMismatch)
        );
    }
}
