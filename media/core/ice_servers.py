"""STUN and TURN servers for those whose network blocks the direct ways, and their short-lived passwords.

Owns: nothing; reads no clock. A TURN server that shares a secret with us (coturn's `use-auth-secret`, in the manner of
draft-uberti-behave-turn-rest) takes for a user `expiry:name` the password base64(HMAC-SHA1(secret, user)).
Invariant: no `repr` shows a password or the secret.
"""

import base64
import hmac

from msgspec import Struct


class IceServers(Struct, frozen=True, kw_only=True):
    """Where peers may turn to: `stun:` and `turn:` addresses, and what opens the latter."""

    urls: tuple[str, ...] = ()
    username: str = ""
    credential: str = ""
    """With `username`: the same for everybody, for ever."""
    secret: str = ""
    """Instead of these two: a password for each session, good for `ttl_s`."""
    ttl_s: int = 3600

    def __repr__(self) -> str:
        return f"IceServers(urls={self.urls!r})"

    def links(self, name: str | None, now_ms: int) -> list[str]:
        """The values of the Link headers (RFC 9725 section 4.6) for the account `name`; None: what anybody may know."""
        turn = self._access(name, now_ms) if name is not None else None
        return [
            f'<{url}>; rel="ice-server"{turn if is_turn(url) else ""}'
            for url in self.urls
            if turn is not None or not is_turn(url)
        ]

    def _access(self, name: str, now_ms: int) -> str:
        user, password = self.username, self.credential
        if self.secret:
            user = f"{now_ms // 1000 + self.ttl_s}:{name}"
            password = rest_password(self.secret, user)
        return f'; username="{_quoted(user)}"; credential="{_quoted(password)}"; credential-type="password"'


def is_turn(url: str) -> bool:
    """True for an address that asks for a password."""
    return url.startswith(("turn:", "turns:"))


def rest_password(secret: str, user: str) -> str:
    """What opens the server to `user` until the second that its name begins with."""
    return base64.b64encode(hmac.digest(secret.encode(), user.encode(), "sha1")).decode()


def _quoted(text: str) -> str:
    """Inside a quoted string of a header (RFC 9110 section 5.6.4)."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
