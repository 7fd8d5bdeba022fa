import pytest

from media.core.sdp.lines import Attributes, blocks, form, number, text
from schema.errors import BadRequest


def test_lines_belong_to_the_section_above_them():
    session, sections = blocks(text(b"v=0\r\na=ice-lite\r\nm=audio 9 X 0\r\na=mid:0\r\na=rid:a send\r\nb=AS:9\r\n"))
    assert "ice-lite" in Attributes(session.body)
    assert [block.head for block in sections] == ["audio 9 X 0"]
    found = Attributes(sections[0].body)
    assert found.first("mid") == "0"
    assert found.table("rid") == {"a": "send"}
    assert found.all("rid") == ["a send"]
    assert found.first("none") is None


def test_what_differs_in_each_offer_of_a_browser_is_set_apart():
    _, (audio, video) = blocks(
        "v=0\nm=audio 9 X 0\na=ice-ufrag:x\na=mid:0\na=ice-ufrag:y\na=candidate:1\nm=video 9 X 0\n"
    )
    assert audio.own == {"ice-ufrag": "x", "candidate": "1"}
    assert audio.body == "\na=mid:0"
    assert video.own == {}


def test_two_offers_of_one_browser_have_one_form():
    offer = "v=0\no=- {} 2 IN IP4 127.0.0.1\nm=audio 9 X 0\na=ice-ufrag:{}\na=mid:0\na=fingerprint:{}\na=ice-pwd:\n"
    form_of, own = form(offer.format(7, "x", "sha-256 AB"))
    assert own == ["- 7 2 IN IP4 127.0.0.1", "x", "sha-256 AB"]
    assert form(offer.format(8, "y", "sha-256 CD")) == (form_of, ["- 8 2 IN IP4 127.0.0.1", "y", "sha-256 CD"])
    assert form_of == "v=0\no=0\nm=audio 9 X 0\na=ice-ufrag:1\na=mid:0\na=fingerprint:2\na=ice-pwd:\n"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (b"", "first line"),
        (b"v=0\r\n", "media sections"),
        (b"\xff", "UTF-8"),
        (b"v=0\r\nnonsense\r\n", "line 2"),
        (b"v=0\r\n" + b"a=x\r\n" * 7000, "bytes"),
        (b"v=0\r\n" + b"a=\r\n" * 3000, "lines"),
        (b"v=0\r\n" + b"m=audio 9 X 0\r\n" * 20, "20 media sections"),
    ],
)
def test_what_is_no_sdp_says_why(broken, says):
    with pytest.raises(BadRequest, match=says) as raised:
        blocks(text(broken))
    assert raised.value.detail.startswith("SDP: ")


@pytest.mark.parametrize(
    ("digits", "value"),
    [("0", 0), ("255", 255), ("256", None), ("²", None), ("٣", None), ("", None), ("-1", None), ("9" * 5000, None)],
)
def test_a_number_is_ascii_digits_within_bounds(digits, value):
    assert number(digits, 255) == value
