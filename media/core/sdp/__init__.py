"""SDP as WHIP and WHEP need it: an offer in (`offer`), what of it is served (`choose`), an answer out (`answer`)."""

from media.core.sdp.answer import Local, answer
from media.core.sdp.choose import (
    Chosen,
    Terms,
    choose_for_subscriber,
    choose_from_publisher,
    must_take,
    our_setup,
    profile_level_id,
)
from media.core.sdp.fragment import Fragment, parse_fragment
from media.core.sdp.lines import MAX_BYTES
from media.core.sdp.offer import Fingerprint, Format, Offer, Section, parse_offer

__all__ = [
    "MAX_BYTES",
    "Chosen",
    "Fingerprint",
    "Format",
    "Fragment",
    "Local",
    "Offer",
    "Section",
    "Terms",
    "answer",
    "choose_for_subscriber",
    "choose_from_publisher",
    "must_take",
    "our_setup",
    "parse_fragment",
    "parse_offer",
    "profile_level_id",
]
