"""Settings: defaults < a TOML file < the environment < the command line, into one frozen struct.

Owns: the names and limits of every setting, and the token secret's file in the data directory.
Invariant: a value that is not valid is refused before anything starts, and the refusal names the setting.
"""

import difflib
import ipaddress
import os
import re
import secrets
import socket
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from media.core.ice_servers import is_turn

PREFIX = "SHOWFLOOR_"
CONFIG_VARIABLE = "SHOWFLOOR_CONFIG"
DEFAULT_CONFIG = Path("showfloor.toml")
UNPREFIXED = {"REDIS_URL": "redis_url", "DATABASE_URL": "database_url"}
SECRET_FILE = "token_secret"  # noqa: S105
RECEIPT_FILE = "receipt_key"
SECRET_MIN_CHARS = 32
WILDCARDS = {"0.0.0.0", "::", ""}  # noqa: S104

IceUrl = Annotated[str, Meta(pattern=r"^(stuns?|turns?):[^\s<>\",;/?]+(\?transport=(udp|tcp))?$")]
PORT_MAX = 65535

Port = Annotated[int, Meta(ge=0, le=PORT_MAX)]


class SettingsError(ValueError):
    """A setting is not valid. The message names it."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an operator may decide. Each field is `SHOWFLOOR_<FIELD>` in the environment."""

    host: str = "127.0.0.1"
    """The address HTTP and the socket listen on."""
    port: Port = 8080
    """0: any free one."""
    base_url: Annotated[str, Meta(pattern=r"^(https?://[^/\s]+)?$")] = ""
    """How browsers reach us. Empty: derived from host and port."""
    data_dir: Path = Path("~/.local/share/showfloor")
    redis_url: str = ""
    """Also REDIS_URL. Empty: an embedded server."""
    database_url: str = ""
    """Also DATABASE_URL. Empty: an embedded server."""
    broker: Literal["redis", "memory"] = "redis"
    """What brings chat, pins and counts to the sockets. `memory`: this process alone, so there may be no other."""
    token_secret: str = ""
    """Signs the tokens; at least 32 characters. Empty: generated once, into the data directory."""
    receipt_key: str = ""
    """Signs receipts and public ledgers; at least 32 characters. Empty: generated once, into the data directory."""
    media_host: str = ""
    """The address the media port binds. Empty: `host`."""
    media_addresses: tuple[str, ...] = ()
    """The addresses that SDP answers advertise. Empty: derived from `media_host`."""
    media_udp_port: Port = 0
    """0: any free one."""
    media_tcp: bool = True
    """Media by TCP too, for viewers and hosts whose network lets no UDP through."""
    media_tcp_port: Port = 0
    """0: the number of the UDP port where it is free, else any."""
    ice_urls: tuple[IceUrl, ...] = ()
    """STUN and TURN servers for peers whose network blocks the direct ways."""
    turn_username: str = ""
    turn_credential: str = ""
    """With the username: one password for everybody."""
    turn_secret: str = ""
    """Instead of these two: shared with the TURN server, and each session gets a password of its own."""
    turn_ttl_seconds: Annotated[int, Meta(ge=60, le=86_400)] = 3600
    """How long such a password opens new relays."""
    media_native: Literal["auto", "on", "off"] = "auto"
    """The sending of media in C: where it is built; or no start without it; or never."""
    media_max_bitrate_bps: Annotated[int, Meta(ge=100_000, le=50_000_000)] = 3_000_000
    """What a host may send at most in its highest layer; the lower ones come on top, each a quarter of the next."""
    hold_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 300
    payment_provider: Literal["fake", "stripe"] = "fake"
    """`fake`: our own test network, in which no money moves."""
    stripe_secret_key: str = ""
    """`sk_test_...` or `sk_live_...`; better a restricted one, `rk_...`, that may write PaymentIntents and Refunds."""
    stripe_publishable_key: str = ""
    """`pk_test_...` or `pk_live_...`; stands in the watch page."""
    stripe_webhook_secret: str = ""
    """`whsec_...`, of the endpoint /api/v1/payments/webhooks/stripe. A live key demands one."""
    stripe_api_base: Annotated[str, Meta(pattern=r"^(https?://[^/\s]+)?$")] = ""
    """Instead of Stripe itself: a double of it, for tests. Never with a live key."""
    load: bool = False
    """True lifts the limits per address and that on WHEP, not those per account, for one-address load clients."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    allowed_origins: tuple[str, ...] = ()
    """Origins, besides our own, whose pages may open sockets and call the API."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of reverse proxies whose X-Forwarded-For and -Proto are believed. Empty: nobody's."""
    webhook_addresses: Literal["auto", "public", "loopback", "any"] = "auto"
    """Where webhooks may go: public addresses, those and loopback, or private networks too. auto: loopback, while
    `base_url` is a loopback address itself."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Processes that serve. More than one: worker n has the media port `media_udp_port` + n."""

    def __post_init__(self) -> None:
        force = msgspec.structs.force_setattr
        force(self, "data_dir", self.data_dir.expanduser().absolute())
        force(self, "media_host", self.media_host or self.host)
        force(self, "media_addresses", self.media_addresses or _addresses_of(self.media_host))
        force(self, "base_url", self.base_url or derive_base_url(self.host, self.port))
        for name in ("token_secret", "receipt_key"):
            if 0 < len(getattr(self, name)) < SECRET_MIN_CHARS:
                raise ValueError(f"at least {SECRET_MIN_CHARS} characters are needed - at `$.{name}`")
        for name in ("media_udp_port", "media_tcp_port"):
            if getattr(self, name) and getattr(self, name) + self.workers > PORT_MAX + 1:
                raise ValueError(f"each worker has a port of its own, and the last is {PORT_MAX} - at `$.{name}`")
        if self.broker == "memory" and self.workers > 1:
            raise ValueError("workers hear each other through Redis: `memory` is for one process - at `$.broker`")
        for proxy in self.trusted_proxies:
            _check_network(proxy)
        _check_turn(self)
        _check_stripe(self)

    @classmethod
    def read(
        cls,
        *,
        config: Path | None = None,
        environ: Mapping[str, str] | None = None,
        make_secret: bool = True,
        **overrides: Any,
    ) -> "Settings":
        """The settings of this run. `overrides` win; None among them means "not given".

        `make_secret` reads the token secret from the data directory, or makes it there, where none is set.
        Raises SettingsError.
        """
        variables = os.environ if environ is None else environ
        values, names = _from_file(config, variables)
        for name, value in _from_environment(variables).items():
            values[name], names[name] = value, _variable(name, variables)
        for name, value in overrides.items():
            if value is not None:
                values[name], names[name] = value, f"--{name.replace('_', '-')}"
        settings = _convert(values, names)
        if make_secret and not settings.token_secret:
            return msgspec.structs.replace(settings, token_secret=stored_secret(settings.data_dir))
        return settings

    @classmethod
    def handed_on(cls, text: bytes) -> "Settings":
        """What another process wrote with `hand_on`."""
        return msgspec.json.decode(text, type=cls, dec_hook=_decode)

    def hand_on(self) -> bytes:
        """For a process of our own: JSON, the token secret in it."""
        return msgspec.json.encode(self, enc_hook=str)

    def bound_to(self, port: int) -> "Settings":
        """The same after binding: a port of 0 becomes the real one, and so does a derived base address."""
        derived = self.base_url == derive_base_url(self.host, self.port)
        return msgspec.structs.replace(self, port=port, base_url="" if derived else self.base_url)


def _check_network(text: str) -> None:
    """An address or a network. `*` is none: whoever may write their own address has no limit per address."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither an address nor a network - at `$.trusted_proxies`") from None


def _check_turn(settings: Settings) -> None:
    """TURN servers are opened by one of two ways, and there is none without a password."""
    has_turn = any(is_turn(url) for url in settings.ice_urls)
    pair = settings.turn_username, settings.turn_credential
    if not all(text.isascii() and text.isprintable() for text in pair):
        raise ValueError("only printable ASCII goes into a header - at `$.turn_credential`")
    if any(pair) and not all(pair):
        raise ValueError("the username and the credential go together - at `$.turn_username`")
    if settings.turn_secret and any(pair):
        raise ValueError("either a secret or a username with its credential, not both - at `$.turn_secret`")
    if has_turn and not settings.turn_secret and not any(pair):
        raise ValueError("a TURN server needs TURN_SECRET, or TURN_USERNAME and TURN_CREDENTIAL - at `$.ice_urls`")


def _check_stripe(settings: Settings) -> None:
    """Keys of one kind, and nothing live without a way to hear what became of a payment."""
    if settings.payment_provider != "stripe":
        return
    secret, publishable = settings.stripe_secret_key, settings.stripe_publishable_key
    if not re.fullmatch(r"[sr]k_(test|live)_\w+", secret, re.ASCII):
        raise ValueError("Stripe needs a secret key, sk_... or rk_... - at `$.stripe_secret_key`")
    if not re.fullmatch(r"pk_(test|live)_\w+", publishable, re.ASCII):
        raise ValueError("Stripe needs a publishable key, pk_... - at `$.stripe_publishable_key`")
    if is_live(secret) != is_live(publishable):
        raise ValueError("one key is live and the other is for tests - at `$.stripe_publishable_key`")
    if is_live(secret) and not settings.stripe_webhook_secret:
        raise ValueError("a live key needs the secret of your webhook endpoint - at `$.stripe_webhook_secret`")
    if is_live(secret) and settings.stripe_api_base:
        raise ValueError("a live key is said to Stripe alone - at `$.stripe_api_base`")


def is_live(key: str) -> bool:
    """True for a key that moves money."""
    return key[2:].startswith("_live_")


def derive_base_url(host: str, port: int) -> str:
    """Where a browser on this machine finds us."""
    name = "127.0.0.1" if host in WILDCARDS else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def stored_secret(data_dir: Path, name: str = SECRET_FILE) -> str:
    """A secret in the data directory, mode 0600; made there, whole or not at all, by whoever comes first."""
    path = data_dir / name
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write_once(path, secrets.token_urlsafe(48))
        return path.read_text().strip()
    except OSError as error:
        raise SettingsError(
            f"{PREFIX}DATA_DIR: {path} cannot be kept there: {error.strerror}. "
            f"Choose another directory, or set {PREFIX}{name.upper()}."
        ) from None


def _write_once(path: Path, text: str) -> None:
    """Write aside with mode 0600, then link: a rival's file stays, and nobody ever reads half of one."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        Path(aside).unlink()


def _from_file(config: Path | None, variables: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and where each comes from. A file that was asked for must exist; the default one may be missing."""
    asked = config or (Path(variables[CONFIG_VARIABLE]) if variables.get(CONFIG_VARIABLE) else None)
    path = asked or DEFAULT_CONFIG
    if asked is None and not path.exists():
        return {}, {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{CONFIG_VARIABLE}: {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{CONFIG_VARIABLE}: {path} is not TOML: {error}") from None
    for name in values:
        if name not in Settings.__struct_fields__:
            raise SettingsError(f"{path}: {name} is not a setting{_closest(name)}")
    return values, {name: f"{name} in {path}" for name in values}


def _from_environment(variables: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable in sorted(variables):
        name = _field_of(variable)
        if name is None:
            continue
        text = variables[variable]
        if variable.endswith("_FILE"):
            text = _read_secret(variable, text)
        values[name] = [part.strip() for part in text.split(",") if part.strip()] if name in _LISTS else text
    return values


def _field_of(variable: str) -> str | None:
    """The setting a variable is for; None for a variable that is not ours. SettingsError for a misspelled one."""
    base = variable.removesuffix("_FILE")
    if base in UNPREFIXED:
        return UNPREFIXED[base]
    if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
        return None
    name = base.removeprefix(PREFIX).lower()
    if name not in Settings.__struct_fields__:
        raise SettingsError(f"{variable} is not a setting{_closest(name, PREFIX)}")
    return name


def _read_secret(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{variable}: {path} cannot be read: {error.strerror}") from None


def _convert(values: dict[str, Any], names: Mapping[str, str]) -> Settings:
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        name = path.split("`")[0].split("[")[0]
        raise SettingsError(f"{names.get(name, PREFIX + name.upper())}: {what}") from None


def _decode(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)


def _closest(name: str, prefix: str = "") -> str:
    near = difflib.get_close_matches(name, Settings.__struct_fields__, n=1)
    return f"; did you mean {prefix}{near[0].upper() if prefix else near[0]}?" if near else ""


def _variable(name: str, variables: Mapping[str, str]) -> str:
    """How the operator spelled it."""
    return next((variable for variable in sorted(variables, reverse=True) if _field_of(variable) == name), name)


def _addresses_of(media_host: str) -> tuple[str, ...]:
    """The bound address, or for a wildcard this machine's own towards the network, and loopback."""
    if media_host not in WILDCARDS:
        return (media_host,)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1; a UDP connect sends nothing, it asks the routing table
            return (probe.getsockname()[0], "127.0.0.1")
        except OSError:
            return ("127.0.0.1",)


_LISTS = {"media_addresses", "ice_urls", "allowed_origins", "trusted_proxies"}
