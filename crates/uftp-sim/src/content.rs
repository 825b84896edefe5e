//! The bytes of files: a function of file name and offset, so that nobody has to keep them.

/// The bytes of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Content {
    seed: u64,
}

impl Content {
    /// The content of every file called `name`.
    pub fn of(name: &[u8]) -> Content {
        let seed = name
            .iter()
            .fold(name.len() as u64, |h, &b| mix(h ^ u64::from(b)));
        Content { seed }
    }

    /// Writes the bytes from `offset` on into `out`.
    pub fn fill(self, offset: u64, out: &mut [u8]) {
        self.words(offset, out.len(), |range, bytes| {
            out[range].copy_from_slice(bytes);
            true
        });
    }

    /// Whether `data` is what stands at `offset`.
    pub fn matches(self, offset: u64, data: &[u8]) -> bool {
        self.words(offset, data.len(), |range, bytes| data[range] == *bytes)
    }

    /// Hands `len` bytes from `offset` on to `each`, a word or a part of one at a time, until it
    /// returns false. Returns whether it never did.
    fn words(
        self,
        offset: u64,
        len: usize,
        mut each: impl FnMut(std::ops::Range<usize>, &[u8]) -> bool,
    ) -> bool {
        let mut at = 0;
        while at < len {
            let position = offset + at as u64;
            let skip = (position % 8) as usize;
            let take = (8 - skip).min(len - at);
            let word = mix(self.seed ^ (position / 8)).to_le_bytes();
            if !each(at..at + take, &word[skip..skip + take]) {
                return false;
            }
            at += take;
        }
        true
    }
}

/// A 64-bit permutation under which neighbours look unrelated (the finaliser of SplitMix64).
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_of_a_file_is_the_same_bytes() {
        let content = Content::of(b"a/file");
        let mut whole = [0; 200];
        content.fill(0, &mut whole);
        for start in 0..40 {
            for end in start..80 {
                let mut part = vec![0; end - start];
                content.fill(start as u64, &mut part);
                assert_eq!(part, whole[start..end]);
                assert!(content.matches(start as u64, &part));
            }
        }
        let mut other = whole;
        other[77] ^= 1;
        assert!(!content.matches(0, &other));
        assert!(!content.matches(1, &whole));
        assert!(!Content::of(b"a/fild").matches(0, &whole));
    }
}
