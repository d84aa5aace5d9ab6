//! Counts what an envelope would make its reader allocate, before it does: a list item of two bytes becomes a value of hundreds.

use limosa_core::DecodeError;
use limosa_core::varint::Reader;

use crate::limits::{ITEMS_MAX, OWNERSHIP_BYTES_MAX, SCOPE_BYTES_MAX, STARTS_MAX};

/// Numbers of protobuf fields on the way to the long lists that lie deeper than a message's own fields: interval starts, parts, strands,
/// a fetched frame.
const FIRST_BODY: u64 = 16;
const OFFER_FRAGMENTS: (u64, u64) = (17, 4);
const HAVE_FRAGMENTS: (u64, u64) = (18, 1);
const SEAL_FRAGMENTS: (u64, u64) = (24, 2);
const FETCHED_FRAME: (u64, u64) = (49, 2);
const HAVE_MAP: u64 = 6;
const HAVE_PARTS: u64 = 8;
const OFFER_STRANDS: u64 = 12;
const SEAL_STRANDS: u64 = 7;
/// Messages of a few numbers a fragment: their bytes bound what they become.
const HELLO: u64 = 16;
const GREET: u64 = 31;
const OWNERSHIP: u64 = 32;
const LEAVE: u64 = 50;

/// Checks an encoded envelope against [`ITEMS_MAX`] and [`STARTS_MAX`].
pub(crate) fn check(envelope: &[u8]) -> Result<(), DecodeError> {
    let (mut items, mut starts) = (0u64, 0u64);
    each_field(envelope, |number, body| {
        if number < FIRST_BODY {
            return spend(&mut items, "envelope.items", ITEMS_MAX);
        }
        let bytes_max = match number {
            HELLO | GREET | LEAVE => SCOPE_BYTES_MAX,
            OWNERSHIP => OWNERSHIP_BYTES_MAX,
            _ => body.len(),
        };
        if body.len() > bytes_max {
            return Err(DecodeError::TooLarge { field: "envelope.body", value: body.len() as u64, max: bytes_max as u64 });
        }
        each_field(body, |field, item| {
            spend(&mut items, "envelope.items", ITEMS_MAX)?;
            if (number, field) == FETCHED_FRAME {
                return each_field(item, |_, _| spend(&mut items, "envelope.items", ITEMS_MAX));
            }
            let mut spend = || spend(&mut starts, "envelope.starts", STARTS_MAX);
            match (number, field) {
                HAVE_FRAGMENTS => each_field(item, |field, map| match field {
                    HAVE_MAP => each_field(map, |_, _| spend()),
                    HAVE_PARTS => spend(),
                    _ => Ok(()),
                }),
                OFFER_FRAGMENTS => each_field(item, |field, _| if field == OFFER_STRANDS { spend() } else { Ok(()) }),
                SEAL_FRAGMENTS => each_field(item, |field, _| if field == SEAL_STRANDS { spend() } else { Ok(()) }),
                _ => Ok(()),
            }
        })
    })
}

fn spend(spent: &mut u64, field: &'static str, max: u64) -> Result<(), DecodeError> {
    *spent += 1;
    if *spent > max { Err(DecodeError::TooLarge { field, value: *spent, max }) } else { Ok(()) }
}

/// Calls `visit` with the number of each field, and its bytes if it has any of its own.
fn each_field(message: &[u8], mut visit: impl FnMut(u64, &[u8]) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let key = reader.varint("envelope.field")?;
        let bytes: &[u8] = match key & 7 {
            0 => reader.varint("envelope.field").map(|_| &[][..])?,
            1 => reader.take("envelope.field", 8).map(|_| &[][..])?,
            2 => reader.bytes_max("envelope.field", message.len())?,
            5 => reader.take("envelope.field", 4).map(|_| &[][..])?,
            _ => return Err(DecodeError::Invalid { field: "envelope.field", why: "a wire type that proto3 does not have" }),
        };
        visit(key >> 3, bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generated as pb;
    use prost::Message;

    fn envelope(body: pb::envelope::Body) -> Vec<u8> {
        pb::Envelope { body: Some(body), ..Default::default() }.encode_to_vec()
    }

    #[test]
    fn items_are_counted_before_they_are_allocated() {
        let plan =
            |count: u64| envelope(pb::envelope::Body::Plan(pb::Plan { items: (0..count).map(|_| pb::PlanItem::default()).collect() }));
        assert_eq!(check(&plan(ITEMS_MAX)), Ok(()));
        assert!(matches!(check(&plan(ITEMS_MAX + 1)), Err(DecodeError::TooLarge { field: "envelope.items", .. })));
    }

    #[test]
    fn items_of_a_fetched_frame_are_counted_too() {
        let range_deletes = |count: u64| (0..count).map(|_| pb::RangeDelete::default()).collect();
        let fetched = |count| {
            let frame = Some(pb::FrameMessage { range_deletes: range_deletes(count), ..Default::default() });
            envelope(pb::envelope::Body::Fetched(pb::Fetched { frame, ..Default::default() }))
        };
        assert_eq!(check(&fetched(ITEMS_MAX - 1)), Ok(()));
        assert!(matches!(check(&fetched(ITEMS_MAX)), Err(DecodeError::TooLarge { field: "envelope.items", .. })));
    }

    #[test]
    fn strands_and_parts_are_counted_over_all_fragments() {
        let strands = vec![pb::Strand::default(); 40_000];
        let fragment = || pb::OfferedFragment { strands: strands.clone(), ..Default::default() };
        let offer = |count| pb::Offer { fragments: (0..count).map(|_| fragment()).collect(), ..Default::default() };
        assert_eq!(check(&envelope(pb::envelope::Body::Offer(offer(3)))), Ok(()));
        assert!(check(&envelope(pb::envelope::Body::Offer(offer(4)))).is_err());
        let fragment = || pb::SealedFragment { strands: strands.clone(), ..Default::default() };
        let seal = pb::Seal { fragments: (0..4).map(|_| fragment()).collect(), ..Default::default() };
        assert!(check(&envelope(pb::envelope::Body::Seal(seal))).is_err());
        let have = pb::HaveFragment { parts: vec![pb::HavePart::default(); 140_000], ..Default::default() };
        assert!(check(&envelope(pb::envelope::Body::Have(pb::Have { fragments: vec![have], last: true }))).is_err());
    }

    #[test]
    fn interval_starts_are_counted_over_all_fragments() {
        let map = || pb::IntervalMap { starts: vec![bytes::Bytes::new(); 40_000], ..Default::default() };
        let fragment = || pb::HaveFragment { map: Some(map()), ..Default::default() };
        let have =
            |count: usize| envelope(pb::envelope::Body::Have(pb::Have { fragments: (0..count).map(|_| fragment()).collect(), last: true }));
        assert_eq!(check(&have(3)), Ok(()));
        assert!(matches!(check(&have(4)), Err(DecodeError::TooLarge { field: "envelope.starts", .. })));
    }
}
