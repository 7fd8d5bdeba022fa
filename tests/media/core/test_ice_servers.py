import base64
import hashlib
import hmac

from media.core.ice_servers import IceServers, rest_password

URLS = ("stun:stun.example.net", "turn:turn.example.net:3478?transport=udp")
NOW = 1_700_000_000_999


def test_a_shared_secret_gives_each_account_a_password_that_ends():
    servers = IceServers(urls=URLS, secret="north", ttl_s=600)
    user = "1700000600:acc_bob"
    password = base64.b64encode(hmac.new(b"north", user.encode(), hashlib.sha1).digest()).decode()
    assert servers.links("acc_bob", NOW) == [
        '<stun:stun.example.net>; rel="ice-server"',
        (
            f'<turn:turn.example.net:3478?transport=udp>; rel="ice-server"; username="{user}"; '
            f'credential="{password}"; credential-type="password"'
        ),
    ]


def test_the_password_is_the_one_that_openssl_computes():
    # echo -n 1433895918506:username | openssl dgst -binary -sha1 -hmac 'logen' | openssl base64
    assert rest_password("logen", "1433895918506:username") == "VkNmsSggw7RyRfJazYsHPq+eLpQ="


def test_one_password_for_everybody_goes_out_as_it_is_and_quoted():
    servers = IceServers(urls=URLS[1:], username="show", credential='a"b\\c')
    assert servers.links("acc_bob", NOW) == [
        (
            '<turn:turn.example.net:3478?transport=udp>; rel="ice-server"; username="show"; credential="a\\"b\\\\c"; '
            'credential-type="password"'
        )
    ]


def test_who_has_not_said_who_they_are_learns_no_password():
    assert IceServers(urls=URLS, secret="north").links(None, NOW) == ['<stun:stun.example.net>; rel="ice-server"']


def test_without_servers_there_is_nothing_to_say():
    assert IceServers().links("acc_bob", NOW) == []


def test_no_secret_is_shown_by_accident():
    shown = repr(IceServers(urls=URLS, username="show", credential="tell-nobody", secret="nor-this"))
    assert "tell-nobody" not in shown
    assert "nor-this" not in shown
