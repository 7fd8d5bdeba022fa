"""The synthetic host's sound: one soft note a second, with the second in its pitch.

Owns: the samples, made once. 48 kHz stereo, 16 bits, in frames of 20 ms, as Opus wants them.
"""

from array import array
from math import exp, pi, sin

import av

RATE = 48_000
SAMPLES = RATE // 50
NOTES_HZ = (262, 294, 330, 392, 440, 392, 330, 294)
PEAK = 5_000
"""About -16 dBFS: heard, not minded."""


class Sound:
    """Frame after frame of a loop of eight seconds."""

    def __init__(self) -> None:
        mono = [sample for note in NOTES_HZ for sample in _note(note)]
        stereo = array("h", (sample for pair in zip(mono, mono, strict=True) for sample in pair)).tobytes()
        size = SAMPLES * 4
        self._frames = [stereo[start : start + size] for start in range(0, len(stereo), size)]

    def frame(self, index: int) -> av.AudioFrame:
        """The 20 ms number `index`; a new note starts wherever `index` is a multiple of 50."""
        made = av.AudioFrame(format="s16", layout="stereo", samples=SAMPLES)
        made.planes[0].update(self._frames[index % len(self._frames)])
        made.sample_rate = RATE
        return made


def _note(hertz: int) -> list[int]:
    """One second: 10 ms of rise, then a decay, so that it neither clicks nor drones."""
    return [round(PEAK * min(at / 480, 1) * exp(-at / 9_000) * sin(2 * pi * hertz * at / RATE)) for at in range(RATE)]
