import asyncio
import os
import signal
import sys
from pathlib import Path

WORKER = """
import asyncio, os, sys
from msgspec import Struct
from live.demo import child

class Orders(Struct):
    path: str

async def work(orders):
    with open(orders.path, "w") as file:
        file.write(str(os.getpid()))
    await asyncio.Event().wait()

sys.exit(child.main(Orders, work))
"""
PARENT = """
import asyncio, sys
from live.demo import child
from msgspec import Struct

class Orders(Struct):
    path: str

async def main():
    async with child.running("worker", Orders(sys.argv[1])):
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_child_ends_with_its_parent_even_after_kill_9(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "parent.py").write_text(PARENT)
    said = tmp_path / "pid"
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, str(tmp_path / "parent.py"), str(said)),
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
    )
    await until(lambda: said.exists() and said.read_text())
    pid = int(said.read_text())
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    await until(lambda: not runs(pid))


async def until(true):
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.02)


def runs(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
