import json

import msgspec
import pytest
from msgspec.structs import replace

from checkout.core.receipt import FORMAT, Forged, Signer, b64, is_signed, read, unb64
from schema.money import Money
from schema.receipt import Receipt, ReceiptLine

SIGNER = Signer("a secret of the tests, long enough")
PRICE = Money(amount=4900, currency="EUR")
LINE = ReceiptLine(
    variant_id="pot",
    title="Cast iron pot",
    quantity=1,
    price_seen=PRICE,
    total=PRICE,
    ledger_seq=2,
    ledger_hash="ab" * 32,
)
RECEIPT = SIGNER.signed(
    Receipt(
        format=FORMAT,
        show_id="gala",
        order_id="ord_1",
        number=7,
        lines=[LINE],
        total=PRICE,
        tapped_at_ms=1,
        sold_at_ms=2,
        video_second=12.5,
        test=False,
        salt="salt",
    )
)
FILE = msgspec.json.encode(RECEIPT)


def test_a_receipt_is_read_as_it_was_signed():
    assert read(FILE) == RECEIPT
    assert read(FILE + b"\n", SIGNER.public) == RECEIPT
    assert SIGNER.signed(RECEIPT) == RECEIPT


def test_every_tampered_byte_fails():
    survivors = []
    for at in range(len(FILE)):
        for flip in (0x01, 0x20):
            forged = bytearray(FILE)
            forged[at] ^= flip
            try:
                read(bytes(forged))
            except Forged:
                continue
            survivors.append((at, flip))
    assert survivors == []


@pytest.mark.parametrize("cut", [0, 1, len(FILE) // 2, len(FILE) - 1])
def test_a_piece_of_a_receipt_is_none(cut):
    with pytest.raises(Forged):
        read(FILE[:cut])


def test_one_written_anew_or_grown_is_refused():
    with pytest.raises(Forged, match="written anew"):
        read(json.dumps(json.loads(FILE)).encode())
    with pytest.raises(Forged):
        read(msgspec.json.encode({**json.loads(FILE), "gift": True}))


def test_another_shops_key_is_another_shops():
    other = Signer("another secret, of another shop's tests")
    forged = msgspec.json.encode(other.signed(replace(RECEIPT, total=Money(amount=1, currency="EUR"))))
    assert read(forged).total.amount == 1  # whole, but whose?
    with pytest.raises(Forged, match="another shop"):
        read(forged, SIGNER.public)


def test_the_key_set_is_that_of_the_signatures():
    (key,) = SIGNER.jwks["keys"]
    assert (key["kty"], key["crv"], key["x"]) == ("OKP", "Ed25519", SIGNER.public)
    assert len(unb64(key["x"])) == 32
    assert Signer("a secret of the tests, long enough").public == SIGNER.public


def test_a_signature_has_one_spelling():
    signature = SIGNER.sign(b"text")
    assert is_signed(b"text", signature, SIGNER.public)
    assert not is_signed(b"texts", signature, SIGNER.public)
    spelled_otherwise = [signature[:-1] + last for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if last != signature[-1]]
    assert not any(is_signed(b"text", each, SIGNER.public) for each in spelled_otherwise)
    assert not is_signed(b"text", "no base64 !", SIGNER.public)
    assert b64(unb64(signature)) == signature
