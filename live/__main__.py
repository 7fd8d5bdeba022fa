"""The command line: `showfloor serve | doctor | token | verify | demo | bench`.

Owns: options and exit statuses. Each command imports what it runs when it runs.
Invariant: standard output carries a command's answer alone; the log goes to standard error. Exit status 0: fine;
1: the answer is no; 2: it could not be asked; 128 + n: ended by signal n.
"""

# ruff: noqa: PLC0415 - `showfloor token` must not wait for the media stack to be imported

import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import cyclopts
import msgspec
from cyclopts import Parameter

from live.process import configure_logging, run
from live.settings import Settings, SettingsError
from schema.people import Role

app = cyclopts.App(name="showfloor", help=__doc__.partition("\n")[0], version_flags=["--version"])

DataDir = Annotated[Path | None, Parameter(help="Where state lives.")]
ConfigFile = Annotated[Path | None, Parameter(help="A TOML file of settings; ./showfloor.toml if there is one.")]
Workers = Annotated[int | None, Parameter(help="Processes that serve, for as many cores.")]


def main() -> None:
    """The console script."""
    sys.exit(app())


@app.command
def serve(
    *,
    host: Annotated[str | None, Parameter(help="The address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="0: any free one.")] = None,
    data_dir: DataDir = None,
    load: Annotated[bool | None, Parameter(help="Lift the limits per address, for load clients.", negative="")] = None,
    workers: Workers = None,
    config: ConfigFile = None,
) -> int:
    """Run the service until SIGINT, SIGTERM or SIGHUP."""
    given: dict[str, Any] = {"host": host, "port": port, "data_dir": data_dir, "load": load, "workers": workers}
    return _with_settings(_serve, until_signal=True, config=config, **given)


async def _serve(settings: Settings) -> int:
    from live.server import serve as serve_until_cancelled

    await serve_until_cancelled(settings)
    return 0


@app.command
def doctor(*, data_dir: DataDir = None, config: ConfigFile = None) -> int:
    """Say what was found, what is missing, and what mends it."""

    async def look(settings: Settings) -> int:
        from live.doctor import examine, report

        text, status = report(await examine(settings))
        print(text)
        return status

    return _with_settings(look, config=config, data_dir=data_dir, make_secret=False)


@app.command
def token(
    *,
    role: Role,
    show: Annotated[str | None, Parameter(help="The one show it is for; without: every show.")] = None,
    name: str = "",
    hours: Annotated[
        float, Parameter(help="How long it is good for.", validator=cyclopts.validators.Number(gt=0))
    ] = 12,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> int:
    """Print a token for a host, an operator, an admin or any other role."""

    async def issue(settings: Settings) -> int:
        from live.auth import issue_token

        print(issue_token(settings, show, role, name or role.value, hours))
        return 0

    return _with_settings(issue, config=config, data_dir=data_dir)


@app.command
def verify(
    show: Annotated[str | None, Parameter(help="One show; without: all.")] = None,
    *,
    json: Annotated[bool, Parameter(help="Print the whole report as one JSON line.", negative="")] = False,
    file: Annotated[Path | None, Parameter(help="Check this public ledger instead, offline.")] = None,
    receipt: Annotated[Path | None, Parameter(help="Check this receipt instead, offline; with --file, in it.")] = None,
    key: Annotated[str | None, Parameter(help="The shop's public key that both must have.")] = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> int:
    """Reconcile the ledger with stock and orders; works beside a running service. Or check a file, offline."""
    if file or receipt:
        return _verify_offline(file, receipt, key)

    async def reconcile(settings: Settings) -> int:
        from checkout.verify import verify as verify_database
        from live.stores import StoreError, running_or_started
        from live.verdict import verdict

        if not settings.database_url and not settings.data_dir.exists():
            raise StoreError(f"Nothing to verify: there is no {settings.data_dir}.")
        async with running_or_started(settings) as stores:
            try:
                report = await verify_database(stores.database_url, show)
            except asyncpg.UndefinedTableError as error:
                raise StoreError(f"Nothing to verify: the database is not set up ({error}). Serve once.") from None
        print(msgspec.json.encode(report).decode() if json else verdict(report))
        return 0 if report.ok else 1

    return _with_settings(reconcile, config=config, data_dir=data_dir, make_secret=False)


def _verify_offline(file: Path | None, receipt: Path | None, key: str | None) -> int:
    from live.offline import Unreadable, check

    try:
        text, ok = check(file, receipt, key)
    except Unreadable as error:
        print(f"showfloor: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0 if ok else 1


@app.command
def demo(
    *,
    headless: Annotated[bool, Parameter(help="Open no browser.", negative="")] = False,
    seed: Annotated[int, Parameter(help="The same seed, the same crowd.")] = 7,
    json: Annotated[
        bool, Parameter(help="Print one JSON line when it is ready, and nothing else.", negative="")
    ] = False,
    viewers: Annotated[
        int, Parameter(help="Scripted viewers; 0: the show is yours.", validator=cyclopts.validators.Number(gte=0))
    ] = 150,
    duration: Annotated[float | None, Parameter(help="Seconds until it ends by itself.")] = None,
    port: Annotated[int | None, Parameter(help="0: any free one.")] = None,
    data_dir: DataDir = None,
    load: Annotated[bool | None, Parameter(help="Lift the limits per address, for load clients.", negative="")] = None,
    workers: Workers = None,
    config: ConfigFile = None,
) -> int:
    """Run a whole show on this machine: stores, host, viewers, pages."""

    async def perform(settings: Settings) -> int:
        from live.demo.perform import DemoOptions, run_demo

        options = DemoOptions(
            settings=settings,
            headless=headless,
            seed=seed,
            json=json,
            viewers=viewers,
            duration_s=duration,
            resume_ended=data_dir is not None,  # who names a directory wants what is in it
        )
        return await run_demo(options)

    given: dict[str, Any] = {"port": port, "data_dir": data_dir, "load": load, "workers": workers}
    return _with_settings(perform, until_signal=True, quiet=not json, config=config, **given)


@app.command
def bench(
    name: Annotated[str, Parameter(help="A program of benchmarks/; without: their names.")] = "", *arguments: str
) -> int:
    """Run a benchmark; needs the source tree."""
    folder = Path(__file__).resolve().parent.parent / "benchmarks"
    programs = _programs(folder)
    if name in programs:
        return subprocess.run([sys.executable, programs[name], *arguments], check=False).returncode  # noqa: S603
    print("\n".join(programs) if programs else f"There are no benchmarks in {folder}; run this from the source tree.")
    return 0 if programs and not name else 2


def _programs(folder: Path) -> dict[str, Path]:
    """Those that run by themselves: `fanout_client.py` beside `fanout.py` is a part of it."""
    files = [path for path in folder.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")]
    found = {path.stem: path for path in sorted([*files, *(path.parent for path in folder.glob("*/__main__.py"))])}
    parts = {name for name in found for other in found if name.startswith(f"{other}_")}
    return {name: path for name, path in found.items() if name not in parts}


def _with_settings(
    command: Callable[[Settings], Coroutine[Any, Any, int]],
    *,
    config: Path | None,
    make_secret: bool = True,
    until_signal: bool = False,
    quiet: bool = False,
    **overrides: Any,
) -> int:
    """Read the settings, run the command; a refusal becomes one line on standard error.

    `until_signal`: a signal is the way in which this command is meant to end, and its status is then 0.
    `quiet`: somebody reads along, who wants warnings and not the usual log.
    """
    from live.migrations import MigrationError
    from live.server import StartError
    from live.stores import StoreError

    try:
        settings = Settings.read(config=config, make_secret=make_secret, **overrides)
        if quiet and settings.log_level == "info":
            settings = msgspec.structs.replace(settings, log_level="warning")
        configure_logging(settings.log_level)
        return run(command(settings), until_signal=until_signal)
    except (SettingsError, StoreError, MigrationError, StartError) as error:
        print(f"showfloor: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    main()
