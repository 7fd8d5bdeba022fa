"""Who really pays: an e-mail address reduced to the mailbox behind it.

Owns: the rules of that reduction. With the card's fingerprint it tells one person in many guest sessions apart from
many persons; the sums are claim_payer()'s, in 0006_payments.sql.
Invariant: two spellings that reach one mailbox by the rules below are one text; reducing twice is reducing once.
"""

import contextlib
import unicodedata

_WITHOUT_DOTS = {"gmail.com"}
"""Here a dot in the name changes nothing (support.google.com/mail, "Dots don't matter")."""
_SAME_AS = {"googlemail.com": "gmail.com"}


def mailbox(email: str) -> str:
    """The mailbox of an address: letters small, without a `+tag` (RFC 5233), the domain as DNS has it.

    The name before the @ is formally case-sensitive (RFC 5321, 2.4); no provider of note makes a difference.
    Empty for what is no address.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email).casefold())
    name, _, domain = folded.strip().rpartition("@")
    domain = _domain(domain)
    name = name.partition("+")[0] or name
    if domain in _WITHOUT_DOTS:
        name = name.replace(".", "")
    return f"{name}@{domain}" if name and domain else ""


def _domain(domain: str) -> str:
    domain = domain.rstrip(".")
    with contextlib.suppress(UnicodeError):  # no such domain can exist; it stands for itself
        domain = domain.encode("idna").decode("ascii")
    return _SAME_AS.get(domain, domain)
