"""A show as an event for calendars (iCalendar, RFC 5545).

Owns: nothing; a document is a function of its show. Reads no clock: `now_ms` comes in.
Invariant: no line is longer than 75 octets, none is cut inside a character, and nothing a title says ends its line.
"""

from datetime import UTC, datetime, timedelta

LINE_MAX_BYTES = 75
LASTS = timedelta(hours=1)
"""How long a show will be nobody knows; calendars need something."""


def calendar(*, uid: str, title: str, description: str, url: str, starts_at_ms: int, now_ms: int) -> str:
    """The file, with a reminder ten minutes before."""
    starts = datetime.fromtimestamp(starts_at_ms / 1000, UTC)
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Showfloor//Showfloor//EN",
        "BEGIN:VEVENT",
        f"UID:{_text(uid)}",
        f"DTSTAMP:{_stamp(datetime.fromtimestamp(now_ms / 1000, UTC))}",
        f"DTSTART:{_stamp(starts)}",
        f"DTEND:{_stamp(starts + LASTS)}",
        f"SUMMARY:{_text(title)}",
        *([f"DESCRIPTION:{_text(description)}"] if description else []),
        f"URL:{url}",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        "TRIGGER:-PT10M",
        f"DESCRIPTION:{_text(title)}",
        "END:VALARM",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


def _text(value: str) -> str:
    """Section 3.3.11."""
    for mark in ("\\", ";", ","):
        value = value.replace(mark, f"\\{mark}")
    return "\\n".join(value.splitlines())


def _folded(line: str) -> str:
    """Section 3.1: the rest goes to a next line that begins with a blank."""
    folded, size = "", 0
    for mark in line:
        size += len(mark.encode())
        if size > LINE_MAX_BYTES:
            folded, size = f"{folded}\r\n ", 1 + len(mark.encode())
        folded += mark
    return folded
