"""Everything of one seed: stores, payment network, service, a show with stock; and what they are asked at the end.

Owns: the processes. Invariant: when it closes, none of them runs.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import httpx2
from faults import processes
from faults.judge import Found
from faults.plan import Plan
from faults.removed import REMOVED
from faults.stores import Stores, may_mount

from live.auth import Tokens
from live.providers import webhook_secret
from schema.ids import AccountId, ShowId
from schema.people import Principal, Role

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a secret of this campaign, long enough for the service"
SHOW = ShowId("gala")
OPENING = {"pot": 40, "pan": 25}
LIMIT = 4
READY_S = 60.0
RESTART_S = 0.2


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A process of ours that is started again when it ends, as a service manager does it."""

    def __init__(self, log: Path, command: list[str], env: dict[str, str]) -> None:
        self._log, self._command, self._env = log, command, env
        self._process: subprocess.Popen | None = None
        self._keeper: asyncio.Task | None = None
        self.starts = 0

    def start(self) -> None:
        self._launch()
        self._keeper = asyncio.create_task(self._keep())

    def _launch(self) -> None:
        self.starts += 1
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._env, cwd=ROOT)

    async def _keep(self) -> None:
        while True:
            if self._process.poll() is not None:
                await asyncio.sleep(RESTART_S)
                self._launch()
            await asyncio.sleep(0.02)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def stop(self) -> None:
        if self._keeper:
            self._keeper.cancel()
        if self._process:
            pids = processes.family(self.pid)
            processes.send(signal.SIGCONT, *pids)
            await processes.kill(*pids)
            self._process.wait(timeout=5)


class World:
    def __init__(self, folder: Path, plan: Plan, *, template: Path | None = None, removed: str = "") -> None:
        self.folder, self.plan, self.removed = folder, plan, removed
        self.port, self.network_port = free_port(), free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.clock_file, self.step_file = folder / "clock", folder / "step"
        self.record, self.data = folder / "network.sqlite", folder / "d"
        self.stores = Stores(folder / "s", small_disk=plan.small_disk and may_mount(), template=template)
        self.clock_jumped = False
        self._stack = AsyncExitStack()
        tokens = Tokens(SECRET)

        def token(who: str, role: Role) -> str:
            show = SHOW if role is Role.VIEWER else None
            return tokens.issue(Principal(account_id=AccountId(who), role=role, name=who, show_id=show), 86_400)

        self.operator = token("op", Role.OPERATOR)
        self.viewers = {f"b{number}": token(f"b{number}", Role.VIEWER) for number in range(200)}

    async def __aenter__(self) -> "World":
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            await self._stack.enter_async_context(self.stores)
            if self.removed:
                await self._remove_from_postgres()
            secret, hook = webhook_secret(SECRET), f"{self.base_url}/api/v1/payments/webhooks/fake"
            words = [str(self.record), str(self.network_port), hook, secret, str(self.plan.seed)]
            self.network = self._program("network", ["faults.network", *words])
            options = ["--port", str(self.port), "--load", "--data-dir", str(self.data)]
            self.service = self._program("service", ["live", "serve", *options, "--workers", str(self.plan.workers)])
            for program in (self.network, self.service):
                self._stack.push_async_callback(program.stop)
                program.start()
            await self.ready()
            await self._open_show()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _program(self, name: str, words: list[str]) -> Program:
        inside = Path(__file__).parent / "inside"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SHOWFLOOR_", "PG"))}
        env = kept | {
            "PYTHONPATH": os.pathsep.join(
                [*([str(inside)] if name == "service" else []), str(ROOT), str(ROOT / "tests")]
            ),
            "REDIS_URL": self.stores.redis_url,
            "DATABASE_URL": self.stores.database_url,
            "SHOWFLOOR_TOKEN_SECRET": SECRET,
            "SHOWFLOOR_HOLD_SECONDS": str(self.plan.hold_seconds),
            "SHOWFLOOR_LOG_LEVEL": "warning",
            "FAULTS_NETWORK": f"http://127.0.0.1:{self.network_port}",
            "FAULTS_CLOCK": str(self.clock_file),
            "FAULTS_STEP": str(self.step_file),
            "FAULTS_REMOVED": self.removed,
        }
        return Program(self.folder / f"{name}.log", [sys.executable, "-m", *words], env)

    async def _remove_from_postgres(self) -> None:
        connection = await asyncpg.connect(self.stores.database_url, timeout=10)
        for statement in REMOVED[self.removed].sql:
            await connection.execute(statement)
        await connection.close()

    def client(self, token: str = "") -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(base_url=self.base_url, headers=headers, timeout=8)

    async def ready(self) -> None:
        """The service answers that it is, within a minute."""
        end = time.monotonic() + READY_S
        async with self.client() as http:
            while True:
                with contextlib.suppress(httpx2.HTTPError):
                    if (await http.get("/readyz")).status_code == 200:
                        return
                assert time.monotonic() < end, (self.folder / "service.log").read_text()[-3000:]
                await asyncio.sleep(0.05)

    async def _open_show(self) -> None:
        async with self.client(self.operator) as http:

            async def put(method: str, path: str, body: dict) -> None:
                answer = await http.request(method, path, json=body)
                assert answer.status_code < 300, answer.text

            await put("POST", "/api/v1/shows", {"show_id": SHOW, "title": "Gala", "starts_at_ms": 0})
            for variant, units in OPENING.items():
                priced = [{"variant_id": variant, "price_amount": 1900 + units}]
                product = {"title": variant, "product_id": f"p-{variant}", "variants": priced}
                await put("POST", "/api/v1/products", product)
                item = {"variant_id": variant, "opening_stock": units, "limit_per_buyer": LIMIT}
                await put("POST", f"/api/v1/shows/{SHOW}/items", item)
            await put("PUT", f"/api/v1/shows/{SHOW}/state", {"state": "live"})

    async def tell_network(self, **settings: float) -> dict:
        """Set what goes wrong there next; how often it has."""
        return await self._network("/faults", settings)

    async def forge(self) -> None:
        """Webhooks about real payments, signed by somebody else."""
        await self._network("/forge", {})

    async def _network(self, path: str, body: dict) -> dict:
        async with httpx2.AsyncClient(timeout=20) as http:
            answer = await http.put(f"http://127.0.0.1:{self.network_port}{path}", json=body)
        return answer.raise_for_status().json()

    # -- what is there ------------------------------------------------------------------------------------------

    async def found(self, *, gate_forgot: bool = False) -> Found:
        connection = await asyncpg.connect(self.stores.database_url, timeout=5)
        try:
            tables = {}
            for name in ("holds", "orders", "payments", "refunds", "restocks", "payment_lines"):
                tables[name] = [dict(row) for row in await connection.fetch(f"SELECT * FROM {name}")]
            now_ms = await connection.fetchval("SELECT clock_ms()")
        finally:
            await connection.close()
        return Found(
            now_ms=now_ms,
            lines=tables.pop("payment_lines"),
            **tables,
            charges=self.charges(),
            opening=OPENING,
            limit=LIMIT,
            clock_jumped=self.clock_jumped,
            gate_forgot=gate_forgot,
            one_line=self.plan.workers == 1 and not self.clock_jumped,
        )

    def charges(self) -> list[dict]:
        """The provider's own record."""
        database = sqlite3.connect(f"file:{self.record}?mode=ro", uri=True, timeout=5)
        database.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in database.execute("SELECT * FROM payments")]
        finally:
            database.close()
