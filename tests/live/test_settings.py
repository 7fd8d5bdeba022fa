"""Settings from a file, the environment and the command line."""

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from live.settings import PREFIX, SECRET_MIN_CHARS, UNPREFIXED, Settings, SettingsError, stored_secret
from live.wiring import relay_config

SECRET = "s" * SECRET_MIN_CHARS
STRIPE = {
    "SHOWFLOOR_PAYMENT_PROVIDER": "stripe",
    "SHOWFLOOR_STRIPE_SECRET_KEY": "sk_test_1",
    "SHOWFLOOR_STRIPE_PUBLISHABLE_KEY": "pk_test_1",
}
LIVE = {
    "SHOWFLOOR_PAYMENT_PROVIDER": "stripe",
    "SHOWFLOOR_STRIPE_SECRET_KEY": "rk_live_1",
    "SHOWFLOOR_STRIPE_PUBLISHABLE_KEY": "pk_live_1",
    "SHOWFLOOR_STRIPE_WEBHOOK_SECRET": "whsec_1",
}
TURN = {"SHOWFLOOR_TURN_USERNAME": "show", "SHOWFLOOR_TURN_CREDENTIAL": "time"}


def load(environ: dict[str, str] | None = None, **given: object) -> Settings:
    return Settings.read(environ=environ or {}, make_secret=False, **given)


def test_the_defaults_are_a_loopback_server_with_embedded_stores():
    settings = load()
    assert settings.base_url == "http://127.0.0.1:8080"
    assert (settings.redis_url, settings.database_url) == ("", "")
    assert settings.media_addresses == ("127.0.0.1",)
    assert settings.hold_seconds == 300
    assert settings.data_dir.is_absolute()


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path):
    file = tmp_path / "show.toml"
    file.write_text('host = "127.0.0.2"\nport = 1\nhold_seconds = 10\n')
    settings = load({"SHOWFLOOR_PORT": "2", "SHOWFLOOR_HOLD_SECONDS": "20"}, config=file, hold_seconds=30)
    assert (settings.host, settings.port, settings.hold_seconds) == ("127.0.0.2", 2, 30)


def test_an_option_that_was_not_given_does_not_hide_the_environment():
    assert load({"SHOWFLOOR_PORT": "2"}, port=None).port == 2


def test_texts_of_the_environment_become_numbers_flags_and_lists():
    settings = load(
        {
            "SHOWFLOOR_LOAD": "true",
            "SHOWFLOOR_ALLOWED_ORIGINS": "https://a.example, https://b.example",
            "SHOWFLOOR_TRUSTED_PROXIES": "10.0.0.1, fd00::/8",
            "PATH": "/bin",
        }
    )
    assert settings.trusted_proxies == ("10.0.0.1", "fd00::/8")
    assert settings.load is True
    assert settings.allowed_origins == ("https://a.example", "https://b.example")


def test_the_stores_addresses_go_by_their_usual_names():
    settings = load({"REDIS_URL": "redis://r", "DATABASE_URL": "postgresql://p"})
    assert (settings.redis_url, settings.database_url) == ("redis://r", "postgresql://p")


def test_stripes_secrets_come_from_files_and_a_live_key_with_a_webhook_secret_may_start(tmp_path):
    for name, text in {"key": "sk_live_1\n", "hook": "whsec_1\n"}.items():
        (tmp_path / name).write_text(text)
    files = {
        "SHOWFLOOR_STRIPE_SECRET_KEY_FILE": str(tmp_path / "key"),
        "SHOWFLOOR_STRIPE_WEBHOOK_SECRET_FILE": str(tmp_path / "hook"),
    }
    public = {"SHOWFLOOR_PAYMENT_PROVIDER": "stripe", "SHOWFLOOR_STRIPE_PUBLISHABLE_KEY": "pk_live_1"}
    settings = load({**public, **files})
    assert (settings.stripe_secret_key, settings.stripe_webhook_secret) == ("sk_live_1", "whsec_1")
    assert load(STRIPE).stripe_webhook_secret == ""


def test_turn_servers_and_their_secret_reach_the_relay_and_no_repr(tmp_path):
    (tmp_path / "turn").write_text("north-by-northwest\n")
    settings = load(
        {
            "SHOWFLOOR_ICE_URLS": "stun:stun.example.net, turns:turn.example.net:443?transport=tcp",
            "SHOWFLOOR_TURN_SECRET_FILE": str(tmp_path / "turn"),
        }
    )
    servers = relay_config(settings).ice_servers
    assert servers.urls == ("stun:stun.example.net", "turns:turn.example.net:443?transport=tcp")
    assert (servers.secret, servers.ttl_s) == ("north-by-northwest", 3600)
    assert "north-by" not in repr(relay_config(settings))


def test_tcp_is_on_by_the_number_of_udp_and_can_be_turned_off():
    assert relay_config(load({})).tcp_port == 0
    assert relay_config(load({"SHOWFLOOR_MEDIA_TCP_PORT": "443"})).tcp_port == 443
    assert relay_config(load({"SHOWFLOOR_MEDIA_TCP": "false"})).tcp_port is None


def test_a_secret_may_come_from_a_file(tmp_path):
    (tmp_path / "db").write_text("postgresql://p\n")
    (tmp_path / "secret").write_text(SECRET)
    settings = load(
        {"DATABASE_URL_FILE": str(tmp_path / "db"), "SHOWFLOOR_TOKEN_SECRET_FILE": str(tmp_path / "secret")}
    )
    assert (settings.database_url, settings.token_secret) == ("postgresql://p", SECRET)


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"SHOWFLOOR_PORT": "many"}, "SHOWFLOOR_PORT: Expected `int`"),
        ({"SHOWFLOOR_PORT": "70000"}, "SHOWFLOOR_PORT: Expected `int` <= 65535"),
        ({"SHOWFLOOR_BASE_URL": "example.org"}, "SHOWFLOOR_BASE_URL: "),
        ({"SHOWFLOOR_LOG_LEVEL": "loud"}, "SHOWFLOOR_LOG_LEVEL: Invalid enum value 'loud'"),
        ({"SHOWFLOOR_TOKEN_SECRET": "short"}, "SHOWFLOOR_TOKEN_SECRET: at least 32 characters"),
        ({"SHOWFLOOR_ICE_URLS": "turn:turn.example.net"}, "SHOWFLOOR_ICE_URLS: a TURN server needs TURN_SECRET"),
        ({"SHOWFLOOR_ICE_URLS": "https://turn.example.net"}, "SHOWFLOOR_ICE_URLS: "),
        ({"SHOWFLOOR_ICE_URLS": "stun:a>; rel=evil"}, "SHOWFLOOR_ICE_URLS: "),
        ({"SHOWFLOOR_TURN_USERNAME": "show"}, "SHOWFLOOR_TURN_USERNAME: the username and the credential go together"),
        ({**TURN, "SHOWFLOOR_TURN_SECRET": "north"}, "SHOWFLOOR_TURN_SECRET: either a secret or"),
        ({**TURN, "SHOWFLOOR_TURN_CREDENTIAL": "a\nb"}, "SHOWFLOOR_TURN_CREDENTIAL: only printable ASCII"),
        ({"SHOWFLOOR_PAYMENT_PROVIDER": "stripe"}, "SHOWFLOOR_STRIPE_SECRET_KEY: Stripe needs a secret key"),
        ({**STRIPE, "SHOWFLOOR_STRIPE_PUBLISHABLE_KEY": ""}, "SHOWFLOOR_STRIPE_PUBLISHABLE_KEY: Stripe needs"),
        ({**STRIPE, "SHOWFLOOR_STRIPE_SECRET_KEY": "pk_test_1"}, "SHOWFLOOR_STRIPE_SECRET_KEY: Stripe needs a secret"),
        (
            {**STRIPE, "SHOWFLOOR_STRIPE_PUBLISHABLE_KEY": "pk_live_1"},
            "_PUBLISHABLE_KEY: one key is live",
        ),
        ({**LIVE, "SHOWFLOOR_STRIPE_WEBHOOK_SECRET": ""}, "SHOWFLOOR_STRIPE_WEBHOOK_SECRET: a live key needs"),
        (
            {**LIVE, "SHOWFLOOR_STRIPE_API_BASE": "http://127.0.0.1:1"},
            "SHOWFLOOR_STRIPE_API_BASE: a live key",
        ),
        ({"SHOWFLOOR_WORKERS": "65"}, "SHOWFLOOR_WORKERS: Expected `int` <= 64"),
        (
            {"SHOWFLOOR_WORKERS": "2", "SHOWFLOOR_MEDIA_UDP_PORT": "65535"},
            "SHOWFLOOR_MEDIA_UDP_PORT: each worker has a port of its own",
        ),
        ({"SHOWFLOOR_BROKER": "memory", "SHOWFLOOR_WORKERS": "2"}, "SHOWFLOOR_BROKER: workers hear each other through"),
        ({"SHOWFLOOR_TRUSTED_PROXIES": "10.0.0.1,*"}, "SHOWFLOOR_TRUSTED_PROXIES: '*' is neither an address"),
        ({"SHOWFLOOR_TRUSTED_PROXIES": "10.0.0.1/8"}, "SHOWFLOOR_TRUSTED_PROXIES: '10.0.0.1/8' is neither"),
        ({"SHOWFLOOR_PROT": "1"}, "SHOWFLOOR_PROT is not a setting; did you mean SHOWFLOOR_PORT?"),
        ({"DATABASE_URL_FILE": "/nowhere"}, "DATABASE_URL_FILE: /nowhere cannot be read: No such file"),
        ({"SHOWFLOOR_CONFIG": "/nowhere"}, "SHOWFLOOR_CONFIG: /nowhere cannot be read: No such file"),
    ],
)
def test_a_refusal_names_the_setting_that_mends_it(environ, complaint):
    with pytest.raises(SettingsError) as refused:
        load(environ)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prot = 1", "prot is not a setting; did you mean port?"),
        ("port = 'x'", "port in "),
        ("port =", "is not TOML"),
    ],
)
def test_a_refusal_of_the_file_names_the_file_and_the_key(tmp_path, text, complaint):
    file = tmp_path / "show.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load(config=file)
    assert complaint in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_wildcard_host_still_gives_an_address_to_open_and_one_for_media():
    settings = load({"SHOWFLOOR_HOST": "0.0.0.0"})
    assert settings.base_url == "http://127.0.0.1:8080"
    assert "0.0.0.0" not in settings.media_addresses
    assert "127.0.0.1" in settings.media_addresses


def test_a_bound_port_moves_the_derived_address_and_leaves_a_given_one():
    assert load({"SHOWFLOOR_PORT": "0"}).bound_to(4000).base_url == "http://127.0.0.1:4000"
    assert load({"SHOWFLOOR_BASE_URL": "https://shop.example"}).bound_to(4000).base_url == "https://shop.example"


def test_the_token_secret_is_made_once_and_is_its_owners_alone(tmp_path):
    first = Settings.read(environ={}, data_dir=tmp_path / "new")
    again = Settings.read(environ={}, data_dir=tmp_path / "new")
    assert first.token_secret == again.token_secret
    assert len(first.token_secret) >= SECRET_MIN_CHARS
    files = list((tmp_path / "new").iterdir())
    assert [file.name for file in files] == ["token_secret"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_programs_that_start_together_agree_on_one_secret(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(stored_secret, [tmp_path] * 40))) == 1


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="SHOWFLOOR_DATA_DIR"):
        Settings.read(environ={}, data_dir=tmp_path / "file" / "below")


def test_the_documentation_names_every_setting_with_its_default_and_no_other():
    page = (Path(__file__).resolve().parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+?) \|", page, re.MULTILINE))
    unprefixed = {field: variable for variable, field in UNPREFIXED.items()}
    names = {unprefixed.get(field, PREFIX + field.upper()): field for field in Settings.__struct_fields__}
    assert rows.keys() == names.keys()
    defaults = Settings.__struct_defaults__
    for variable, default in zip(names, defaults, strict=True):
        said = rows[variable].strip("`")
        if default not in ("", ()):
            assert said == str(default).lower() or said == str(default), variable
