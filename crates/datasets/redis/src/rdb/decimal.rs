//! Numbers as decimal text, without a call of the allocator for each.

/// Of the longest one: a sign and nineteen digits.
pub(crate) type Digits = [u8; 20];

/// The text of a number, written into `digits`.
pub(crate) fn decimal(number: i64, digits: &mut Digits) -> &[u8] {
    let (mut at, mut rest) = (digits.len(), number.unsigned_abs());
    let mut put = |digit: u8| {
        at -= 1;
        if let Some(place) = digits.get_mut(at) {
            *place = digit;
        }
    };
    loop {
        put(b'0' + u8::try_from(rest % 10).unwrap_or_default());
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        put(b'-');
    }
    digits.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_text_that_the_standard_library_writes() {
        for number in [0, 1, -1, 9, 10, -10, 127, -128, 65_535, 1_000_000_007, i64::MAX, i64::MIN] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
