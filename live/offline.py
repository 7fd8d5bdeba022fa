"""`showfloor verify --file` and `--receipt`: what anybody can check without the shop.

Owns: the words. Invariant: asks no server and no store; the last line begins with PASS or FAIL.
"""

from pathlib import Path

import msgspec

from checkout.core import receipt as receipts
from checkout.core.public_ledger import PublicLedger, order_name, problems, signed_text
from schema.money import decimal_of
from schema.receipt import Receipt


class Unreadable(Exception):  # noqa: N818 - what the file is
    """The file cannot be read. The message says why."""


def check(ledger_file: Path | None, receipt_file: Path | None, key: str | None = None) -> tuple[str, bool]:
    """What is to be said of the files, and whether they prove what they say. Raises Unreadable."""
    lines, wrong = list[str](), list[str]()
    ledger = _read_ledger(ledger_file) if ledger_file else None
    if ledger is not None:
        lines += _about_ledger(ledger)
        wrong += [*problems(ledger), *_ledger_signature(ledger, key)]
    if receipt_file is not None:
        try:
            receipt = receipts.read(_bytes(receipt_file), key)
        except receipts.Forged as error:
            wrong.append(f"the receipt: {error}")
        else:
            lines += _about_receipt(receipt)
            wrong += _receipt_in(ledger, receipt) if ledger else []
    if key is None:
        lines.append("compare the key with the shop's own, at /.well-known/jwks.json, or give it with --key")
    lines += [f"FAIL  {what}" for what in wrong]
    what = "the file proves" if ledger else "the receipt is"
    lines.append(f"FAIL  {len(wrong)} problems" if wrong else f"PASS  {what} what it says")
    return "\n".join(lines), not wrong


def _read_ledger(path: Path) -> PublicLedger:
    try:
        return msgspec.json.decode(_bytes(path), type=PublicLedger)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path} is not a public ledger: {error}") from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from None


def _about_ledger(ledger: PublicLedger) -> list[str]:
    lines = [f"show {ledger.show_id}, ledger {ledger.hash}", f"key  {ledger.key}"]
    for item in ledger.items:
        s = item.sums
        lines.append(
            f"{item.variant_id}: {s.opening} opening + {s.restocked} restocked + {s.returned} returned - {s.sold} sold"
            f" - {s.withdrawn} withdrawn = {s.on_hand} = {item.available} available + {item.held} held;"
            f" {len(item.entries)} entries"
        )
    return lines


def _ledger_signature(ledger: PublicLedger, key: str | None) -> list[str]:
    if key is not None and ledger.key != key:
        return ["the file is signed with another shop's key"]
    try:
        text = signed_text(ledger.show_id, ledger.hash)
    except ValueError:
        return ["the file's hash is none"]
    return [] if receipts.is_signed(text, ledger.signature, ledger.key) else ["the signature is not the key's"]


def _about_receipt(receipt: Receipt) -> list[str]:
    total = f"{decimal_of(receipt.total.amount, receipt.total.currency)} {receipt.total.currency}"
    second = "" if receipt.video_second is None else f", at second {receipt.video_second} of the video"
    test = " (of a rehearsal: nothing was sold)" if receipt.test else ""
    lines = [f"order {receipt.order_id}, number {receipt.number} of {receipt.show_id}: {total}{second}{test}"]
    for one in receipt.lines:
        seen = f"{decimal_of(one.price_seen.amount, one.price_seen.currency)} {one.price_seen.currency}"
        lines.append(f"  {one.quantity} x {one.title}, seen at {seen}; entry {one.ledger_seq} of {one.variant_id}")
    return [*lines, f"key  {receipt.key}"]


def _receipt_in(ledger: PublicLedger, receipt: Receipt) -> list[str]:
    """What of the receipt the public ledger does not have."""
    if ledger.show_id != receipt.show_id:
        return [f"the receipt is of {receipt.show_id}, the ledger of {ledger.show_id}"]
    if ledger.key != receipt.key:
        return ["the receipt and the ledger are signed with different keys"]
    name = order_name(receipt.salt, receipt.order_id)
    entries = {(item.variant_id, entry.seq): entry for item in ledger.items for entry in item.entries}
    missing = []
    for one in receipt.lines:
        entry = entries.get((one.variant_id, one.ledger_seq))
        proof = (name, "sold", one.quantity, one.total.amount, one.ledger_hash)
        if entry is None or (entry.order, entry.kind, entry.units, entry.amount, entry.entry) != proof:
            missing.append(f"the ledger does not have the sale of {one.variant_id} as the receipt says")
    return missing
