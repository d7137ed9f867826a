//! The ids that alerts have in their headers.

/// 16 bytes that look as random as those of an UUID, the same in each run.
pub(crate) fn id(number: usize) -> [u8; 16] {
    let mix = |seed: u64| {
        let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        seed ^ (seed >> 31)
    };
    let first = mix((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut id = [0; 16];
    id[..8].copy_from_slice(&first.to_le_bytes());
    id[8..].copy_from_slice(&mix(first).to_le_bytes());
    id
}
