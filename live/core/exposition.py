"""Several processes' metrics as one text: every sample says whose it is.

Reads nothing. Invariant: the samples of one family stand together, as Prometheus's text format demands, behind one
HELP and one TYPE.
"""

from collections.abc import Mapping


def merged(texts: Mapping[int, str]) -> str:
    """The texts of workers, by number, with the label `worker` on each sample.

    `up 1` of worker 2 becomes `up{worker="2"} 1`, and `up{a="b"} 1` becomes `up{worker="2",a="b"} 1`.
    """
    heads: dict[str, dict[str, str]] = {}
    samples: dict[str, list[str]] = {}
    for worker, text in texts.items():
        family = ""
        for line in text.splitlines():
            if line.startswith("#"):
                _, kind, family, *_ = line.split(" ", 3)
                heads.setdefault(family, {}).setdefault(kind, line)
            elif line:
                samples.setdefault(family, []).append(_labelled(line, worker))
    lines = [line for family, head in heads.items() for line in (*head.values(), *samples.get(family, []))]
    return "\n".join(lines) + "\n"


def _labelled(sample: str, worker: int) -> str:
    name, brace, rest = sample.partition("{")
    if brace and " " not in name:
        return f'{name}{{worker="{worker}"{"" if rest.startswith("}") else ","}{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{worker}"}} {value}'
