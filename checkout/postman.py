"""Posts to addresses that somebody else chose, without becoming their arm into our network.

Owns: one HTTP client without proxies, redirects, cookies or kept connections.
Invariant: what is connected to is the very address that was checked, so a name that resolves to another one the second
time gains nothing; a try ends within TIMEOUT_S, and at most ANSWER_MAX_BYTES of the answer are read.
"""

import asyncio
import ipaddress
import socket
from types import TracebackType
from typing import Literal, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit, urlunsplit

import httpx2
from msgspec import Struct

TIMEOUT_S = 10.0
RESOLVE_S = 3.0
ANSWER_MAX_BYTES = 2_000

Reach: TypeAlias = Literal["public", "loopback", "any"]
"""Public addresses only; those and loopback; or whatever there is."""
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRANSLATED = tuple(ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
"""IPv6 addresses that lead to an IPv4 one inside them (NAT64, 6to4, Teredo): perhaps a private one."""


class Unreachable(Exception):  # noqa: N818 - what the address is
    """The address is not one to post to, or cannot be found. The message says why, for whoever entered it."""


class Posted(Struct, frozen=True, kw_only=True):
    """How a try ended."""

    status: int | None
    """None: there was no answer."""
    error: str | None
    """Why it was not taken."""

    @property
    def taken(self) -> bool:
        """True if the receiver said so."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """True if the receiver wants nothing more (410, as Standard Webhooks has it)."""
        return self.status == 410


class Target(Struct, frozen=True, kw_only=True):
    """An address, checked."""

    url: str
    """With the IP address in place of the name."""
    host: str
    """For the Host header: the name, with the port if it is unusual."""
    name: str
    """For the certificate."""


def is_allowed(address: Address, reach: Reach) -> bool:
    """True if `address` may be posted to."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if reach == "any" or (address.is_loopback and reach == "loopback"):
        return not (address.is_multicast or address.is_unspecified)
    translated = any(address in net for net in _TRANSLATED if net.version == address.version)
    return address.is_global and not address.is_multicast and not translated


class Postman:
    """Use as `async with`."""

    def __init__(self, reach: Reach = "public", *, timeout_s: float = TIMEOUT_S) -> None:
        self._reach, self._timeout_s = reach, timeout_s
        self._client = httpx2.AsyncClient(
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
            # A kept connection is found again by its IP address, and may have been made for another name.
            limits=httpx2.Limits(max_connections=200, max_keepalive_connections=0),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def find(self, url: str) -> Target:
        """Where `url` leads, checked. Raises Unreachable."""
        parts = _parts(url)
        name = parts.hostname or ""
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        address = await self._resolve(name, port)
        netloc = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
        literal = f"[{name}]" if ":" in name else name
        return Target(
            url=urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, "")),
            host=f"{literal}:{parts.port}" if parts.port else literal,
            name=name,
        )

    async def _resolve(self, name: str, port: int) -> Address:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_S):
                found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # TimeoutError is an OSError
            raise Unreachable(f"{name} cannot be resolved") from None
        for *_, where in found:
            address = ipaddress.ip_address(str(where[0]).partition("%")[0])
            if is_allowed(address, self._reach):
                return address
        raise Unreachable(
            f"{name} is not on the public internet; SHOWFLOOR_WEBHOOK_ADDRESSES decides what else may be told"
        )

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Posted:
        """One try. Never raises but for being cancelled."""
        try:
            async with asyncio.timeout(self._timeout_s):
                target = await self.find(url)
                return await self._post(target, body, headers)
        except Unreachable as error:
            return Posted(status=None, error=str(error))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:  # TimeoutError is an OSError
            return Posted(status=None, error=(type(error).__name__ + (f": {error}" if str(error) else ""))[:300])

    async def _post(self, target: Target, body: bytes, headers: dict[str, str]) -> Posted:
        asked = self._client.build_request(
            "POST",
            target.url,
            content=body,
            headers={**headers, "Host": target.host},
            extensions={"sni_hostname": target.name, "timeout": httpx2.Timeout(self._timeout_s).as_dict()},
        )
        answer = await self._client.send(asked, stream=True)
        try:
            text = b""
            if not 200 <= answer.status_code < 300:
                async for chunk in answer.aiter_raw(ANSWER_MAX_BYTES):
                    text = chunk[:ANSWER_MAX_BYTES]
                    break
            said = text.decode(errors="replace").replace("\0", "")[:300]
            ok = 200 <= answer.status_code < 300
            return Posted(status=answer.status_code, error=None if ok else said or f"status {answer.status_code}")
        finally:
            await answer.aclose()


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise Unreachable("This is not an address") from None
    if parts.scheme not in {"http", "https"}:
        raise Unreachable("Only http and https addresses can be told")
    if not parts.hostname or not port_is_fine or any(one <= " " or one == "\x7f" for one in url):
        raise Unreachable("This is not an address")
    if parts.username is not None or parts.password is not None:
        raise Unreachable("An address without a user name: it would stand in every log")
    return parts
