"""`showfloor verify --file --receipt`: checking what was downloaded, with nothing but the files."""

import msgspec
import pytest

from live.__main__ import _verify_offline
from live.offline import Unreadable, check
from schema.people import Role


@pytest.fixture
async def downloads(shop, tmp_path):
    """The ledger and a receipt, as a viewer downloads them, and the key as anybody finds it."""
    guest = (await shop.ask("POST", "/api/v1/shows/demo/guests")).json()
    bearer = {"Authorization": f"Bearer {guest['viewer_token']}"}
    tap = {"variant_id": "blue", "quantity": 2}
    hold = await shop.ask("POST", "/api/v1/shows/demo/holds", tap, idempotency_key="t", **bearer)
    pay = f"/api/v1/holds/{hold.json()['hold_id']}/pay"
    order = (await shop.ask("POST", pay, {"payment_method": "fake_ok"}, idempotency_key="p", **bearer)).json()
    receipt = await shop.ask("GET", f"/api/v1/orders/{order['order_id']}/receipt", **bearer)
    ledger = await shop.ask("GET", "/api/v1/shows/demo/public-ledger")
    assert (receipt.status_code, ledger.status_code) == (200, 200), (receipt.text, ledger.text)
    assert "attachment" in receipt.headers["content-disposition"]
    (key,) = (await shop.ask("GET", "/.well-known/jwks.json")).json()["keys"]
    files = tmp_path / "ledger.json", tmp_path / "receipt.json"
    files[0].write_bytes(ledger.content)
    files[1].write_bytes(receipt.content)
    return *files, key["x"]


async def test_both_prove_what_they_say(downloads, capsys):
    ledger, receipt, key = downloads
    text, ok = check(ledger, receipt, key)
    assert ok, text
    assert "8 opening + 0 restocked + 0 returned - 2 sold - 0 withdrawn = 6 = 6 available + 0 held" in text
    assert "number 1 of demo: 98.00 EUR, at second" in text
    assert text.splitlines()[-1] == "PASS  the file proves what it says"
    assert _verify_offline(None, receipt, None) == 0
    assert "/.well-known/jwks.json" in capsys.readouterr().out


async def test_a_tampered_byte_of_either_fails(downloads):
    ledger, receipt, key = downloads
    whole = ledger.read_bytes()
    ledger.write_bytes(whole.replace(b'"units":2', b'"units":1', 1))
    text, ok = check(ledger, None, key)
    assert not ok
    assert "blue: entry 2 was changed" in text
    ledger.write_bytes(whole)
    forged = receipt.read_bytes().replace(b"9800", b"1800", 1)
    receipt.write_bytes(forged)
    assert _verify_offline(ledger, receipt, key) == 1


async def test_a_ledger_computed_anew_does_not_have_the_shops_signature(downloads):
    ledger, _, key = downloads
    text = msgspec.json.decode(ledger.read_bytes())
    text["show_id"] = "other"
    ledger.write_bytes(msgspec.json.encode(text))
    said, ok = check(ledger, None, key)
    assert not ok
    assert "the signature is not the key's" in said


async def test_a_sale_that_the_ledger_no_longer_has_is_missed(downloads, shop):
    """The shop writes its ledger anew, without the sale, and signs it: the receipt that was kept gives it away."""
    ledger, receipt, key = downloads
    books = shop.services["open_books"]
    pool = shop.services["health"]._pool
    async with pool.acquire() as pg:
        await pg.execute("SET session_replication_role = replica")
        await pg.execute("DELETE FROM ledger WHERE kind IN ('sold', 'capture')")
        await pg.execute("UPDATE stock SET ledger_seq = 1, taken = 0, sold = 0")
        await pg.execute("RESET session_replication_role")
    ledger.write_bytes(b"".join([piece async for piece in await books.file("demo")]))
    assert check(ledger, None, key)[1]
    said, ok = check(ledger, receipt, key)
    assert not ok
    assert "does not have the sale of blue" in said


async def test_anothers_receipt_needs_a_token_and_an_operator_sees_all(downloads, shop):
    order = msgspec.json.decode(downloads[1].read_bytes())["order_id"]
    path = f"/api/v1/orders/{order}/receipt"
    assert (await shop.ask("GET", path)).status_code == 401
    assert (await shop.ask("GET", path, role=Role.VIEWER)).status_code == 404
    assert (await shop.ask("GET", path, role=Role.OPERATOR)).content == downloads[1].read_bytes()


def test_what_is_no_file_or_no_ledger_is_said(tmp_path, capsys):
    with pytest.raises(Unreadable):
        check(tmp_path / "none.json", None)
    (tmp_path / "x.json").write_text("{}")
    assert _verify_offline(tmp_path / "x.json", None, None) == 2
    assert "not a public ledger" in capsys.readouterr().err
