//! Messages made wrong, the same way every time.

/// Numbers that look random: SplitMix64 (Steele, Lea and Flood 2014). A seed gives the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Begins at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number under `count`; 0 when that is 0.
    pub fn below(&mut self, count: usize) -> usize {
        if count == 0 { 0 } else { (self.roll() % count as u64) as usize }
    }
}

/// Numbers that lengths, sizes and steps are replaced by.
const HUGE: [u32; 8] = [u32::MAX, 0x7FFF_FFFF, 0x8000_0000, 0x0100_0000, 0xFFFF, 0x4000, 1, 0];
/// Numbers that coordinates are replaced by.
const STRANGE: [f64; 6] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e-300, 0.0];
/// What stands in front decides most, so every second place is taken there.
const FRONT: usize = 160;
/// Bytes that are taken together at most.
const BLOCK: usize = 64;

/// Makes bytes wrong in one to three ways: flipped bits, a cut, an extension, huge lengths, numbers that are none, blocks that change
/// places, come twice or hold something else.
pub fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..1 + dice.below(3) {
        let place = place(bytes.len(), dice);
        match dice.below(8) {
            0 => {
                for _ in 0..1 + dice.below(8) {
                    let place = self::place(bytes.len(), dice);
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte ^= 1 << dice.below(8);
                    }
                }
            }
            1 => bytes.truncate(place),
            2 => {
                let more = dice.below(2 * BLOCK);
                bytes.extend((0..more).map(|_| dice.roll() as u8));
            }
            3 => {
                // Fields lie at multiples of four behind the four bytes of the CDR header.
                let value = HUGE[dice.below(HUGE.len())];
                put(bytes, place / 4 * 4, &value.to_le_bytes());
            }
            4 => {
                let value = STRANGE[dice.below(STRANGE.len())];
                if dice.below(2) == 0 {
                    put(bytes, place / 8 * 8 + 4, &value.to_le_bytes());
                } else {
                    put(bytes, place / 4 * 4, &(value as f32).to_le_bytes());
                }
            }
            5 => {
                let (other, length) = (self::place(bytes.len(), dice), dice.below(BLOCK));
                for offset in 0..length {
                    let (a, b) = (place + offset, other + offset);
                    if a.max(b) < bytes.len() {
                        bytes.swap(a, b);
                    }
                }
            }
            6 => {
                let end = (place + dice.below(BLOCK)).min(bytes.len());
                let block = bytes.get(place..end).unwrap_or_default().to_vec();
                drop(bytes.splice(place..place, block));
            }
            _ => {
                let length = dice.below(BLOCK);
                for byte in bytes.iter_mut().skip(place).take(length) {
                    *byte = dice.roll() as u8;
                }
            }
        }
    }
}

/// A place in so many bytes, or at their end.
fn place(length: usize, dice: &mut Dice) -> usize {
    let length = if dice.below(2) == 0 { length.min(FRONT) } else { length };
    dice.below(length + 1)
}

fn put(bytes: &mut [u8], place: usize, value: &[u8]) {
    if let Some(found) = bytes.get_mut(place..place + value.len()) {
        found.copy_from_slice(value);
    }
}
