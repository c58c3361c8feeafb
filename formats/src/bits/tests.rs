use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn packed_values_are_read_at_their_places(values in prop::collection::vec((any::<u64>(), 0_u32..=64), 0..80)) {
        let mut writer = BitWriter::new();
        let mut places = Vec::new();
        for (value, width) in &values {
            places.push(writer.len_bits());
            writer.write(*value, *width);
        }
        let len = writer.len_bits();
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes, 0);
        for (value, width) in &values {
            prop_assert_eq!(reader.read(*width), Some(*value & mask(*width)));
        }
        prop_assert_eq!(reader.read(8), None);
        prop_assert_eq!(bytes.len() as u64, len.div_ceil(8));
        for ((value, width), place) in values.iter().zip(places) {
            // Bit by bit, as the module says where they stand.
            let bit = |n: u64| u64::from(bytes[(n / 8) as usize] >> (n % 8) & 1);
            let expected = (0..u64::from(*width)).fold(0, |sum, n| sum | bit(place + n) << n);
            prop_assert_eq!(expected, value & mask(*width));
            prop_assert_eq!(read_bits(Region::over("bits", &bytes), place, *width).unwrap(), expected);
            if *width <= 32 {
                prop_assert_eq!(bits_of(&bytes, place as usize, *width), Some(expected));
            }
        }
    }

    #[test]
    fn bytes_that_are_moved_out_between_are_those_of_one_run(values in prop::collection::vec((any::<u64>(), 0_u32..=64, 0_u8..4), 0..80)) {
        let (mut whole, mut moved) = (BitWriter::new(), BitWriter::new());
        let mut out = Vec::new();
        for (value, width, moves) in values {
            whole.write(value, width);
            moved.write(value, width);
            if moves == 0 {
                moved.drain_into(&mut out);
                prop_assert!(moved.len_bits() < 8);
                prop_assert_eq!(out.len() as u64 * 8 + moved.len_bits(), whole.len_bits());
            }
        }
        moved.finish_into(&mut out);
        prop_assert_eq!(moved.len_bits(), 0);
        prop_assert_eq!(out, whole.finish());
    }

    #[test]
    fn values_of_one_width_are_those_read_one_by_one(bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0_usize..80, width in 0_u32..=32, count in 0_usize..130) {
        let mut values = vec![0; count];
        let unpacked = unpack(&bytes, start, width, &mut values);
        let one_by_one: Option<Vec<u32>> = (0..count)
            .map(|place| bits_of(&bytes, start + place * width as usize, width).map(|value| value as u32))
            .collect();
        prop_assert_eq!(unpacked.map(|()| values), one_by_one);
    }

    #[test]
    fn values_equal_to_one_are_those_that_are_so_one_by_one(bytes in prop::collection::vec(prop::sample::select(vec![0_u8, 0, 1, 0x55, 0xaa, 0xff]), 0..400), start in 0_usize..80, width in 0_u32..=32, count in 0_usize..=128, place in any::<prop::sample::Index>()) {
        let value = |place: usize| bits_of(&bytes, start + place * width as usize, width);
        // One of the values, or another one.
        let wanted = value(place.index(count + 9)).unwrap_or(u64::from(width > 0)) as u32;
        let one_by_one: Option<u128> = (0..count)
            .map(|place| value(place).map(|value| u128::from(value == u64::from(wanted)) << place))
            .sum();
        prop_assert_eq!(equal(&bytes, start, width, count, wanted), one_by_one);
    }

    #[test]
    fn bits_outside_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..20), place in 0_u64..300, width in 1_u32..=64) {
        let inside = place + u64::from(width) <= bytes.len() as u64 * 8;
        prop_assert_eq!(read_bits(Region::over("bits", &bytes), place, width).is_ok(), inside);
        if !inside && width <= 32 {
            // The unchecked form may read padding as zeros, but never beyond the bytes.
            let _ = bits_of(&bytes, place as usize, width);
        }
    }
}

#[test]
fn offsets_near_the_end_of_the_range_are_an_error() {
    assert!(read_bits(Region::over("bits", &[1; 16]), u64::MAX, 64).is_err());
    assert_eq!(bits_of(&[1; 16], usize::MAX, 32), None);
}

#[test]
fn widths_hold_their_largest_value() {
    assert_eq!(width_for(0), 0);
    assert_eq!(width_for(1), 1);
    assert_eq!(width_for(255), 8);
    assert_eq!(width_for(256), 9);
    assert_eq!(width_for(u64::MAX), 64);
    assert_eq!(packed_len(3, 3), 2);
    assert_eq!(packed_len(0, 64), 0);
}

#[test]
fn bytes_are_as_they_were() {
    let mut writer = BitWriter::new();
    for width in 0..=64 {
        writer.write(0x0123_4567_89ab_cdef, width);
    }
    crate::testing::assert_golden("bits.bin", &writer.finish());
}
