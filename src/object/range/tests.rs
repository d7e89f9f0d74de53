use proptest::prelude::*;

use super::*;

const PARTS: u32 = 4;

fn layout(sizes: &[u64]) -> Arc<Layout> {
    let part = |(number, plain_size)| PartEntry {
        number: PartNumber::new(number).unwrap(),
        plain_size,
        salt: [0; SALT_BYTES],
    };
    Arc::new(Layout::of_parts(&(1..).zip(sizes.iter().copied()).map(part).collect::<Vec<_>>()))
}

#[test]
fn ranges_mean_what_http_says_they_do() {
    let within = |range: ByteRange, size| range.within(size).ok();
    assert_eq!(within(ByteRange::From { first: 3 }, 10), Some(3..10));
    assert_eq!(within(ByteRange::From { first: 10 }, 10), None);
    assert_eq!(within(ByteRange::Inclusive { first: 0, last: 0 }, 10), Some(0..1));
    assert_eq!(within(ByteRange::Inclusive { first: 9, last: u64::MAX }, 10), Some(9..10));
    assert_eq!(within(ByteRange::Inclusive { first: 5, last: 4 }, 10), None);
    assert_eq!(within(ByteRange::Suffix { length: 4 }, 10), Some(6..10));
    assert_eq!(within(ByteRange::Suffix { length: 99 }, 10), Some(0..10));
    assert_eq!(within(ByteRange::Suffix { length: 0 }, 10), None);
    assert_eq!(within(ByteRange::Suffix { length: 1 }, 0), None);
    assert_eq!(within(ByteRange::Exact { start: 10, length: 0 }, 10), Some(10..10));
    assert_eq!(within(ByteRange::Exact { start: 9, length: 2 }, 10), None);
    assert_eq!(within(ByteRange::Exact { start: 1, length: u64::MAX }, u64::MAX), None);
    assert_eq!(within(ByteRange::From { first: 0 }, u64::MAX), Some(0..u64::MAX));
}

#[test]
fn the_whole_of_an_object_takes_every_body_even_empty_ones() {
    for sizes in [&[0][..], &[0, 0], &[5, 0, 7], &[0, 16_384, 0], &[100_000]] {
        let layout = layout(sizes);
        let plan = layout.plan_whole();
        let lengths: Vec<_> = plan.sealed().map(|range| range.length).collect();
        let expected: Vec<_> = sizes.iter().map(|&size| sealed_size(size).unwrap()).collect();
        assert_eq!(lengths, expected);
        assert_eq!(lengths.iter().sum::<u64>(), layout.sealed_size());
        assert!(plan.sealed().all(|range| range.offset == 0));
    }
}

#[test]
fn an_empty_part_is_taken_along_inside_a_range_and_where_the_end_is_reached() {
    let layout = layout(&[10, 0, 10, 0]);
    let parts = |range: Range<u64>| {
        let plan = layout.plan_range(range);
        plan.stretches.iter().map(|stretch| stretch.body).collect::<Vec<_>>()
    };
    assert_eq!(parts(0..5), [0]);
    assert_eq!(parts(0..10), [0]);
    assert_eq!(parts(9..11), [0, 1, 2]);
    assert_eq!(parts(10..12), [2]);
    assert_eq!(parts(19..20), [2, 3]);
    assert_eq!(parts(0..20), [0, 1, 2, 3]);
    assert_eq!(parts(7..7), [0_usize; 0]);
}

#[test]
fn the_largest_body_is_planned_to_its_last_byte() {
    let size = (1 << 52) - 1;
    let layout = Arc::new(Layout::whole(size, [0; SALT_BYTES]));
    let plan = layout.plan_range(size - 1..size);
    let range = plan.sealed().next().unwrap();
    assert_eq!(range.offset + range.length, sealed_size(size).unwrap());
    assert_eq!(range.length, 16_383 + 16);
}

#[test]
fn part_one_of_an_object_that_was_put_whole_is_the_object() {
    let layout = Arc::new(Layout::whole(100, [0; SALT_BYTES]));
    let number = |number| PartNumber::new(number).unwrap();
    assert_eq!(layout.plan_part(number(1)).unwrap().range, 0..100);
    assert!(matches!(layout.plan_part(number(2)), Err(ObjectError::NoSuchPart(2))));
}

proptest! {
    #[test]
    fn stretches_hold_exactly_the_range(
        sizes in proptest::collection::vec(
            prop_oneof![Just(0_u64), 0_u64..40, 16_380_u64..16_390, 32_760_u64..32_780, 0_u64..1 << 30],
            1..=PARTS as usize,
        ),
        a in any::<prop::sample::Index>(),
        b in any::<prop::sample::Index>(),
    ) {
        let layout = layout(&sizes);
        let total = layout.plain_size();
        let place = |index: &prop::sample::Index| {
            index.index(usize::try_from(total).unwrap() + 1) as u64
        };
        let (start, end) = (place(&a).min(place(&b)), place(&a).max(place(&b)));
        let plan = layout.plan_range(start..end);
        let mut at = start;
        for stretch in &plan.stretches {
            let body = layout.bodies()[stretch.body];
            // It begins where the last one ended, in its first chunk.
            prop_assert_eq!(body.start + stretch.first * CHUNK + stretch.skip as u64, at);
            prop_assert!(stretch.skip < CHUNK_BYTES);
            at += stretch.take;
            let chunks = stretch.first..=stretch.last;
            let held: u64 = chunks.map(|chunk| body.chunk_bytes(chunk) as u64).sum();
            let needed = stretch.skip as u64 + stretch.take;
            prop_assert!(needed <= held && held < needed + CHUNK);
            // Whatever reaches the body's end has the last chunk with it.
            let reaches = at == body.end();
            prop_assert_eq!(reaches, stretch.last == body.last_chunk() && needed == held);
        }
        prop_assert_eq!(at, end);
        for (stretch, sealed) in plan.stretches.iter().zip(plan.sealed()) {
            let body = layout.bodies()[stretch.body];
            let size = sealed_size(body.plain_size).unwrap();
            prop_assert!(sealed.length > 0 && sealed.offset + sealed.length <= size);
            prop_assert_eq!(sealed.offset == 0, stretch.first == 0);
        }
    }
}
