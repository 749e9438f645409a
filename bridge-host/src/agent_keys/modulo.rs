//! `d mod (p - 1)` and `d mod (q - 1)`: OpenSSH's format leaves these two numbers of an RSA key out, and aws-lc needs them.

use zeroize::Zeroizing;

/// `number` modulo `modulus`, both big-endian, in as many bytes as the modulus has.
///
/// Bit by bit, in code of our own: bignum libraries leave copies in memory that are not wiped. No branch depends on the
/// bits. A wrong result cannot go unnoticed, as aws-lc checks an RSA key before it accepts it.
pub(super) fn modulo(number: &[u8], modulus: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut rest = Zeroizing::new(vec![0_u8; modulus.len()]);
    let mut reduced = Zeroizing::new(vec![0_u8; modulus.len()]);
    for byte in number {
        for bit in (0..8).rev() {
            let mut carry = (byte >> bit) & 1;
            for limb in rest.iter_mut().rev() {
                let shifted = (u16::from(*limb) << 1) | u16::from(carry);
                [carry, *limb] = shifted.to_be_bytes();
            }
            let mut borrow = 0;
            for ((limb, minuend), subtrahend) in reduced.iter_mut().zip(rest.iter()).zip(modulus).rev() {
                let difference = u16::from(*minuend).wrapping_sub(u16::from(*subtrahend) + borrow);
                borrow = difference >> 15;
                *limb = difference as u8; // the low byte
            }
            // All ones if the modulus was not larger: a bit was carried out, or nothing was borrowed.
            let mask = u8::from(carry != 0 || borrow == 0).wrapping_neg();
            for (limb, reduced) in rest.iter_mut().zip(reduced.iter()) {
                *limb = (*limb & !mask) | (*reduced & mask);
            }
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_that_of_native_integers() {
        let numbers = [0_u128, 1, 254, 255, 256, 0xffff_ffff, 0x1234_5678_9abc_def0_1122_3344, u128::MAX];
        for number in numbers {
            for modulus in [1_u64, 2, 3, 255, 256, 0x8000_0000, 0xffff_fffe, u64::MAX] {
                let expected = (number % u128::from(modulus)) as u64;
                let bytes = modulo(&number.to_be_bytes(), &modulus.to_be_bytes());
                assert_eq!(*bytes, expected.to_be_bytes(), "{number} mod {modulus}");
            }
        }
    }
}
