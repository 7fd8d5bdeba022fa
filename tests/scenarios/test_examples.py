import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOW, VARIANT, STOCK = "demo", "spice-set", 3


def command(name, *arguments):
    """As the example's docstring prints it, with this machine's addresses."""
    text = (ROOT / "examples" / f"{name}.py").read_text()
    assert re.search(rf"^ *python examples/{name}\.py ", text, re.MULTILINE)
    return [sys.executable, f"examples/{name}.py", *arguments]


def run(*line):
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_example_is_under_sixty_lines():
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "examples").glob("*.py")}
    assert lengths
    assert max(lengths.values()) < 60


@pytest.mark.timeout(180)
async def test_the_examples_publish_listen_receive_and_buy(service):
    await service.start()
    host, _ = await service.sell(SHOW, VARIANT, stock=STOCK)
    listening = await asyncio.create_subprocess_exec(
        *command("listen", service.base_url, SHOW, "60"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    publishing = await asyncio.create_subprocess_exec(
        *command("publish", f"{service.base_url}/whip/{SHOW}", host, "60"), cwd=ROOT
    )
    receiving = await asyncio.create_subprocess_exec(
        *command("receive", service.base_url, service.token_for_all(), "60"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        await heard(receiving, b" ping ")
        await heard(listening, b"state host True")
        bought = await asyncio.to_thread(run, *command("buy", service.base_url, SHOW, VARIANT))
        assert re.search(r"^held hold_\w+ .*\nbought ord_\w+ (paid|captured)\n$", bought)
        await heard(listening, b"'sold': 1, 'available': 2")
        await heard(receiving, b" order.paid ")
    finally:
        for process in (listening, publishing, receiving):
            process.terminate()
            await process.wait()
    assert (await service.stock(SHOW, VARIANT))["sold"] == 1


@pytest.mark.timeout(120)
async def test_the_client_of_the_socket_runs_as_its_document_prints_it(service):
    text = (ROOT / "docs" / "ws-protocol.md").read_text()
    (printed,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len([line for line in printed.splitlines() if line.strip()]) <= 15
    await service.start()
    host, _ = await service.sell(SHOW, VARIANT, stock=STOCK)
    listening = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", printed, service.base_url, SHOW), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        await heard(listening, b"viewers 1")
        async with service.client(host) as http:
            answer = await http.post(f"/api/v1/shows/{SHOW}/chat", json={"text": "hello"})
        await heard(listening, b"%d Chat(id='%b'" % (answer.json()["offset"], answer.json()["id"].encode()))
    finally:
        listening.terminate()
        await listening.wait()


async def heard(listening, what):
    async with asyncio.timeout(40):
        while what not in (line := await listening.stdout.readline()):
            assert line, "it ended before it was heard"
