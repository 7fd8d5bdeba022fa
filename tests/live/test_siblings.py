"""Two workers in one process, each with a port of its own, so that a test says who gets a request."""

import asyncio
import contextlib
import importlib.util
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import httpx2
import msgspec
import pytest

from live.app import create_app
from live.auth import issue_token
from live.place import Place
from live.server import bind, serve_app
from live.siblings import BODY_MAX_BYTES, Others
from live.worker import side_door
from media.shares import Share
from media.thumbnails import Thumbnails
from realtime.gateway import gateway_class
from schema.people import Role

DEADLINE_S = 30
NUMBERS = "/api/v1/shows/demo/media"
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
NOTHING = b"a=end-of-candidates\r\n"


def _light():
    path = Path(__file__).parents[2] / "benchmarks" / "light_peer.py"
    spec = importlib.util.spec_from_file_location("light_peer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


light = _light()


async def until(condition, what):
    async with asyncio.timeout(DEADLINE_S):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
    assert found, what
    return found


class Worker:
    """One of two."""

    def __init__(self, settings, stores, place, tokens):
        self.settings, self.stores, self.place, self.tokens = settings, stores, place, tokens

    async def start(self):
        app = create_app(self.settings, self.stores, self.place)
        self.door, self.side = bind(self.settings, shared=True), side_door(self.place)
        up = asyncio.Event()

        async def ready(_bound):
            up.set()

        gateway = gateway_class(self.settings.allowed_origins)
        self.task = asyncio.create_task(serve_app(app, gateway, [self.door, self.side], self.settings, ready))
        waiting = asyncio.create_task(up.wait())
        await asyncio.wait({self.task, waiting}, timeout=DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            self.task.result()
        self.relay = app.state.relay
        port = self.door.getsockname()[1]
        self.http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S)
        return self

    async def stop(self):
        await self.http.aclose()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.door.close()
        self.side.close()

    async def ask(self, method, path, role=None, *, headers=None, **given):
        token = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        return await self.http.request(method, path, headers=token | (headers or {}), **given)


class Crew:
    """Both, and their peers."""

    def __init__(self, workers):
        self.workers = workers
        self.certificate = light.Certificate.generateCertificate()
        self.peers = []

    async def join(self, worker, kind="whep", *, connect=True):
        """A session at that worker; its path, and the peer."""
        peer = (light.LightHost if kind == "whip" else light.LightPeer)(self.certificate)
        self.peers.append(peer)
        offer = peer.offer("opus", "VP8", direction="sendonly") if kind == "whip" else peer.offer("opus", "VP8")
        role = Role.HOST if kind == "whip" else Role.VIEWER
        sdp = {"Content-Type": "application/sdp"}
        answer = await self.workers[worker].ask("POST", f"/{kind}/demo", role, content=offer, headers=sdp)
        assert answer.status_code == 201, answer.text
        path = answer.headers["location"]
        assert path.endswith(f".w{worker}")
        if connect:
            await asyncio.wait_for(peer.connect(answer.text), DEADLINE_S)
        return path, peer

    async def on_air(self, worker):
        """A host there, whose picture arrives, and whom both know."""
        _, host = await self.join(worker, "whip")
        host.show([1000, 900], keyframe=True)

        async def is_known():
            links = [(await one.ask("GET", "/api/v1/shows/demo")).json()["host_present"] for one in self.workers]
            return all(links)

        await until(is_known, "both know of the host")
        return host


@pytest.fixture
async def crew(settings, redis_url, database_url):
    folder = Path(tempfile.mkdtemp(prefix="crew-"))
    stores = SimpleNamespace(redis_url=redis_url, database_url=database_url)
    settings = msgspec.structs.replace(settings, host="127.0.0.1", port=0)
    tokens = {role: issue_token(settings, None, role, role.value.title(), 1) for role in Role}
    places = [Place(worker=number, workers=2, folder=folder) for number in range(2)]
    async with contextlib.AsyncExitStack() as stack:
        workers = await asyncio.gather(*(Worker(settings, stores, place, tokens).start() for place in places))
        for worker in workers:
            stack.push_async_callback(worker.stop)
        made = Crew(workers)
        await open_show(workers[0])
        yield made
        for peer in made.peers:
            await peer.close(farewell=False)
    shutil.rmtree(folder)


async def open_show(worker):
    """A live show "demo" that sells one pot."""
    product = {
        "title": "Pot",
        "product_id": "p-pot",
        "variants": [{"option": "", "price_amount": 4900, "variant_id": "pot"}],
    }
    for method, path, body in (
        ("POST", "/api/v1/shows", {"title": "Kitchen", "starts_at_ms": 1000, "show_id": "demo"}),
        ("POST", "/api/v1/products", product),
        (
            "POST",
            "/api/v1/shows/demo/items",
            {"variant_id": "pot", "opening_stock": 5, "limit_per_buyer": 3},
        ),
        ("PUT", "/api/v1/shows/demo/state", {"state": "live"}),
    ):
        answer = await worker.ask(method, path, Role.OPERATOR, json=body)
        assert answer.status_code < 300, answer.text


async def test_a_sessions_patch_and_delete_find_their_worker(crew):
    here, there = crew.workers
    path, _ = await crew.join(1, connect=False)
    answer = await here.ask("PATCH", path, Role.VIEWER, content=NOTHING, headers=FRAGMENT)
    assert answer.status_code == 204, answer.text
    stale = await here.ask("PATCH", path, Role.VIEWER, content=NOTHING, headers=FRAGMENT | {"If-Match": '"other"'})
    assert stale.status_code == 412  # what the other worker says, header and all
    other = {"Authorization": f"Bearer {issue_token(here.settings, 'demo', Role.VIEWER, 'Eve', 1)}"}
    assert (await here.ask("DELETE", path, headers=other)).status_code == 403  # it asks whose it is
    assert (await here.ask("DELETE", path)).status_code == 401
    assert len(there.relay.sessions()) == 1
    assert (await here.ask("DELETE", path, Role.VIEWER)).status_code == 200
    assert there.relay.sessions() == []
    assert (await here.ask("DELETE", path, Role.VIEWER)).status_code == 404


@pytest.mark.parametrize("forged", ["sub_1.w9", "sub_1.w999", "sub_1.w0", "sub_1.w1"])
async def test_a_session_of_nobody_is_not_found(crew, forged):
    for worker in crew.workers:
        answer = await worker.ask("PATCH", f"/whep/demo/{forged}", Role.VIEWER, content=NOTHING, headers=FRAGMENT)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_body_beyond_its_bound_goes_to_nobody(crew):
    path, _ = await crew.join(1, connect=False)
    answer = await crew.workers[0].ask(
        "PATCH", path, Role.VIEWER, content=b"a" * (BODY_MAX_BYTES + 1), headers=FRAGMENT
    )
    assert answer.status_code == 413
    assert len(crew.workers[1].relay.sessions()) == 1


async def test_a_dead_workers_sessions_have_ended_and_its_hosts_pins_wait(crew):
    here, there = crew.workers
    path, _ = await crew.join(1, connect=False)
    await crew.on_air(1)
    there.place.http(1).unlink()  # it is dead, and the link has not told yet
    answer = await here.ask("PATCH", path, Role.VIEWER, content=NOTHING, headers=FRAGMENT)
    assert answer.status_code == 404
    pin = await here.ask("POST", "/api/v1/shows/demo/pins", Role.HOST, json={"variant_id": "pot"})
    assert (pin.status_code, pin.json()["code"]) == (503, "unavailable")
    assert pin.headers["retry-after"] == "1"
    assert (await here.ask("GET", "/api/v1/shows/demo")).json()["pins"] == []


async def test_a_pin_is_made_where_the_host_is(crew, monkeypatch):
    here, there = crew.workers
    await crew.on_air(1)
    heard = []
    captured = there.relay.capture_ms
    monkeypatch.setattr(there.relay, "capture_ms", lambda *given: heard.append(given) or captured(*given))
    assert here.relay.capture_ms("demo") is None  # nobody watches here: no picture, no time
    pin = await here.ask("POST", "/api/v1/shows/demo/pins", Role.HOST, json={"variant_id": "pot"})
    assert pin.status_code == 201, pin.text
    assert heard == [("demo", None)]


async def test_a_thumbnail_is_the_one_of_the_worker_with_the_host(crew, monkeypatch):
    await crew.on_air(1)
    here, there = crew.workers
    path, asked = "/api/v1/shows/demo/thumbnail", []
    get = Thumbnails.get
    monkeypatch.setattr(Thumbnails, "get", lambda mine, show: asked.append(mine) or get(mine, show))
    for worker in (there, here):
        assert (await worker.ask("GET", path)).status_code == 200
    assert asked[0] is asked[1]


async def test_a_thumbnail_of_a_worker_that_has_just_died_is_asked_for_again(crew):
    await crew.on_air(1)
    here, there = crew.workers
    there.place.http(1).unlink()
    answer = await here.ask("GET", "/api/v1/shows/demo/thumbnail")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_the_numbers_of_a_show_are_those_of_all_workers(crew):
    await crew.on_air(1)
    for worker in (0, 0, 1):
        await crew.join(worker)

    async def numbers(worker):
        answer = await worker.ask("GET", NUMBERS, Role.HOST)
        assert answer.status_code == 200, answer.text
        return answer.json()

    for worker in crew.workers:

        async def are_all(worker=worker):
            shown = await numbers(worker)
            layers = [layer["viewers"] for layer in shown["host"]["layers"]]
            return shown["host"]["present"] and shown["viewers"]["sessions"] == 3 and layers == [3]

        await until(are_all, "all three are counted, and the host is there")
        assert [share.sessions for share in await shares_of(crew)] == [2, 1]  # alone each knows its own


async def shares_of(crew):
    """What each worker tells the other."""
    found = {}
    for worker in (0, 1):
        async with Others(crew.workers[worker].place) as others:
            found |= await others.shares("/siblings/shows/demo/media", Share)
    return [found[worker] for worker in sorted(found)]


async def test_the_sessions_of_a_show_are_those_of_all_workers_in_one_order(crew):
    paths = [(await crew.join(worker, connect=False))[0] for worker in (0, 1, 1, 0, 1)]
    ids = sorted(path.rpartition("/")[2] for path in paths)
    for worker in crew.workers:
        seen, cursor = [], None
        while True:
            query = "?limit=2" + (f"&cursor={cursor}" if cursor else "")
            page = (await worker.ask("GET", f"{NUMBERS}/sessions{query}", Role.OPERATOR)).json()
            seen += [one["session_id"] for one in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == ids
        worst = (await worker.ask("GET", f"{NUMBERS}/sessions?order=worst&limit=4", Role.OPERATOR)).json()
        assert len(worst["items"]) == 4


async def test_what_workers_tell_each_other_is_told_to_nobody_else(crew):
    for path in ("/siblings/shows/demo/media", "/siblings/shows/demo/media/sessions"):
        assert (await crew.workers[0].ask("GET", path, Role.OPERATOR)).status_code == 404
        async with Others(crew.workers[1].place) as others:
            assert (await others.ask(0, "GET", path)).status_code == 200


@contextlib.asynccontextmanager
async def in_place_of(worker, says):
    """Somebody at the socket of a worker, who says `says`, and then nothing."""
    path = worker.place.http(worker.place.worker)
    path.unlink()

    async def heard(_reader, writer):
        writer.write(says)

    server = await asyncio.start_unix_server(heard, str(path))
    yield
    server.close()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: "


@pytest.mark.parametrize(
    "says", [b"", HEAD, HEAD + b"1\r\n\r\n\xc1", HEAD + b"2\r\n\r\n{}"], ids=["silent", "half", "nonsense", "other"]
)
async def test_a_worker_that_does_not_answer_is_left_out_of_the_numbers(crew, says):
    here, there = crew.workers
    for worker in (0, 1):
        await crew.join(worker)
    async with in_place_of(there, says):
        answer = await here.ask("GET", NUMBERS, Role.HOST)
        page = await here.ask("GET", f"{NUMBERS}/sessions", Role.OPERATOR)
    assert answer.status_code == 200
    assert answer.json()["viewers"]["sessions"] == 1
    assert [one["session_id"][-3:] for one in page.json()["items"]] == [".w0"]


async def test_a_worker_that_goes_on_and_on_is_not_waited_for(crew):
    """Each piece comes soon; the whole never."""
    place = crew.workers[0].place
    path = place.http(1)
    path.unlink()

    async def heard(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"1\r\nx\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

    server = await asyncio.start_unix_server(heard, str(path))
    async with Others(place) as others, asyncio.timeout(DEADLINE_S):
        assert await others.ask(1, "GET", "/healthz", within_s=0.2) is None
    server.close()
