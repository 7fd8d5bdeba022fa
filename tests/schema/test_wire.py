import msgspec

from schema.ids import VariantId
from schema.wire import Pinned


def test_a_pin_that_belongs_to_no_picture_looks_as_it_always_did():
    assert (
        msgspec.json.encode(Pinned(variant_id=VariantId("pot"), at_ms=7)) == b'{"t":"pin","variant_id":"pot","at_ms":7}'
    )
    told = msgspec.json.encode(Pinned(variant_id=VariantId("pot"), at_ms=7, captured_at_ms=5))
    assert told == b'{"t":"pin","variant_id":"pot","at_ms":7,"captured_at_ms":5}'
