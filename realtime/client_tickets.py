"""Tickets for a program that watches a show: as a guest, or with a token that it was given.

Owns: a guest's token between two tickets.
Invariant: every ticket is asked for when it is needed, because it opens one socket and lives for 30 s.
"""

import httpx2
import msgspec

DEADLINE_S = 10.0


class TicketRefused(Exception):  # noqa: N818 - an answer
    """No ticket. `status` is HTTP's, 0 if no answer came; `retry_after_ms` is the server's wish."""

    def __init__(self, status: int, detail: str, retry_after_ms: int = 0) -> None:
        super().__init__(detail)
        self.status = status
        self.retry_after_ms = retry_after_ms

    @property
    def final(self) -> bool:
        """True if asking again would be in vain."""
        return 400 <= self.status < 500 and self.status not in {408, 429}


class _Answer(msgspec.Struct):
    ticket: str
    viewer_token: str = ""


class TicketOffice:
    """`await office()` is a fresh ticket. Without a `token` a guest joins, and again when its token has run out."""

    def __init__(self, http: httpx2.AsyncClient, show: str, token: str = "") -> None:
        self._http = http
        self._show = show
        self._token = token
        self._guest = not token

    async def __call__(self) -> str:
        """Raises TicketRefused."""
        if self._token:
            try:
                return (await self._ask("tickets")).ticket
            except TicketRefused as refused:
                if not (self._guest and refused.status == 401):
                    raise
        joined = await self._ask("guests", known=False)
        self._token = joined.viewer_token
        return joined.ticket

    async def _ask(self, what: str, *, known: bool = True) -> _Answer:
        headers = {"Authorization": f"Bearer {self._token}"} if known else {}
        try:
            answer = await self._http.post(f"/api/v1/shows/{self._show}/{what}", headers=headers, timeout=DEADLINE_S)
        except httpx2.HTTPError as error:
            raise TicketRefused(0, f"No ticket: {error!r}") from None
        if answer.status_code != 201:
            raise TicketRefused(answer.status_code, f"No ticket: {answer.text[:200]}", _retry_after_ms(answer))
        return msgspec.json.decode(answer.content, type=_Answer)


def _retry_after_ms(answer: httpx2.Response) -> int:
    said = answer.headers.get("retry-after", "")
    return int(said) * 1000 if said.isascii() and said.isdigit() else 0
