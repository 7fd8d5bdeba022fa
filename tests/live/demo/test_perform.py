import socket

from live.demo.perform import DEFAULT_PORT, with_free_port
from live.settings import Settings


def test_a_taken_usual_port_gives_way_to_any_free_one():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", DEFAULT_PORT))
            taken.listen()
        except OSError:
            pass  # somebody else has it: taken all the same
        found = with_free_port(Settings())
    assert (found.port, found.base_url) == (0, "http://127.0.0.1:0")


def test_a_port_that_was_chosen_is_kept_even_when_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert with_free_port(Settings(port=port)).port == port
