//! Which partition a session lies in (facts §9.3).
//!
//! In: a session's id and the number of partitions. Out: an index. The surprising fact: the choice
//! rests on the hash of .NET strings, which its makers say not to store anywhere; a genuine site
//! whose framework hashes otherwise loses sight of its sessions.

/// The partition of a session: the range of the hash is cut into parts of the same length.
#[must_use]
pub fn of(id: &str, partitions: usize) -> usize {
    let above_least = f64::from(hash(id)) - f64::from(i32::MIN);
    let part = f64::from(u32::MAX) / partitions as f64;
    // The greatest hash lies on the far end of the last part: the genuine provider fails there.
    ((above_least / part) as usize).min(partitions - 1)
}

/// `String.GetHashCode` of the 64-bit .NET Framework: two sums, over even and odd characters.
fn hash(text: &str) -> i32 {
    const START: i32 = 5381;
    const WEIGHT: i32 = 1_566_083_941;
    let mut sums = [START; 2];
    for (at, unit) in text.encode_utf16().enumerate() {
        let sum = &mut sums[at % 2];
        *sum = (*sum << 5).wrapping_add(*sum) ^ i32::from(unit);
    }
    sums[0].wrapping_add(sums[1].wrapping_mul(WEIGHT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_is_that_of_64_bit_dotnet() {
        // Known from the framework: `"".GetHashCode()` in a 64-bit process.
        assert_eq!(hash(""), 371_857_150);
        // One character changes the first sum only: (5381 × 33) xor 97, and the rest as above.
        assert_eq!(hash("a").wrapping_sub(hash("")), ((5381 * 33) ^ 97) - 5381);
    }

    #[test]
    fn two_partitions_part_at_hash_zero() {
        assert_eq!(of("", 2), 1);
        let below = (b'a'..=b'z').map(|c| char::from(c).to_string().repeat(9));
        for text in below {
            assert_eq!(of(&text, 2), usize::from(hash(&text) >= 0), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_session_lies_in_one_of_the_partitions(id: u128, partitions in 1usize..=64) {
            let id = crate::session::SessionId::private(id).to_string();
            prop_assert!(of(&id, partitions) < partitions);
        }

        #[test]
        fn neighbours_spread_over_the_partitions(start: u64) {
            let ids = (0..640u64).map(|n| {
                let bits = u128::from(crate::quantity::mix(start.wrapping_add(n)));
                crate::session::SessionId::private(bits << 56 | bits).to_string()
            });
            let mut counts = [0; 4];
            ids.for_each(|id| counts[of(&id, 4)] += 1);
            prop_assert!(counts.iter().all(|count| *count > 80), "{counts:?}");
        }
    }
}
