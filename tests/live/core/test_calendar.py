from hypothesis import given
from hypothesis import strategies as st

from live.core.calendar import LINE_MAX_BYTES, calendar

EVENT = {"uid": "demo@shop", "description": "", "url": "https://shop.example/watch/demo"}


def unfolded(text):
    """The lines, as a reader of RFC 5545 section 3.1 sees them."""
    return text.replace("\r\n ", "").split("\r\n")


def test_a_show_is_an_event_at_its_time_in_utc():
    lines = unfolded(calendar(**EVENT, title="Pots", starts_at_ms=1_780_000_000_000, now_ms=0))
    assert lines[0] == "BEGIN:VCALENDAR"
    assert {"DTSTART:20260528T202640Z", "DTEND:20260528T212640Z", "DTSTAMP:19700101T000000Z"} < set(lines)
    assert {"SUMMARY:Pots", "UID:demo@shop", "URL:https://shop.example/watch/demo", "TRIGGER:-PT10M"} < set(lines)
    assert lines[-2:] == ["END:VCALENDAR", ""]


def test_marks_with_a_meaning_and_line_breaks_are_escaped():
    lines = unfolded(calendar(**EVENT, title="A;B, C\\\r\nEND:VEVENT", starts_at_ms=0, now_ms=0))
    assert "SUMMARY:A\\;B\\, C\\\\\\nEND:VEVENT" in lines
    assert lines.count("END:VEVENT") == 1


@given(st.text(max_size=300))
def test_no_line_is_too_long_and_none_is_cut_inside_a_character(title):
    whole = calendar(**EVENT, title=title.replace("\r\n ", ""), starts_at_ms=0, now_ms=0)
    assert all(len(line) <= LINE_MAX_BYTES for line in whole.encode(errors="surrogatepass").split(b"\r\n"))
    assert len([line for line in unfolded(whole) if line.startswith("SUMMARY:")]) == 1
