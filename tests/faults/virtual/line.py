"""The way to a port, and everything that can happen on it: it drops, delays and duplicates what is asked.

What was asked happens at one instant, whether its asker still waits or not: that is how a statement commits after its
connection was given up.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from faults.virtual.loop import outside


@dataclass
class Weather:
    """Probabilities for each call, and what is wrong altogether."""

    lost_before: float = 0.0
    lost_after: float = 0.0
    """It happened, and the answer was lost."""
    delayed: float = 0.0
    duplicated: float = 0.0
    """It happens twice; for ports whose wire may repeat itself."""
    down: bool = False
    frozen_until: float = 0.0


class Line:
    """One process's way to one server. `cut` is that process's kill -9: nothing of it gets through any more."""

    def __init__(self, dice: random.Random, weather: Weather, error: type[Exception], *, longest: float = 8.0) -> None:
        self.dice, self.weather, self._error, self._longest = dice, weather, error, longest
        self.is_cut = False
        self.times = 0

    def cut(self) -> None:
        self.is_cut = True

    async def ask(self, act: Callable[[], Any], ready: Callable[[], bool] | None = None) -> Any:
        """What `act` answers. It waits on the server's side until `ready`."""
        loop, weather = asyncio.get_running_loop(), self.weather
        if self.is_cut or weather.down:
            raise self._error("no connection")
        wait = 0.0005 + self.dice.random() * 0.003
        if self.dice.random() < weather.delayed:
            wait = self.dice.random() * self._longest
        wait = max(wait, weather.frozen_until - loop.time() + self.dice.random() * 0.01)
        if self.dice.random() < weather.lost_before:
            await asyncio.sleep(wait)
            raise self._error("the connection was lost")
        answer = loop.create_future()
        loop.call_later(wait, self._happen, act, answer, ready, context=outside())
        result = await answer
        if self.dice.random() < weather.lost_after or self.is_cut:
            raise self._error("the answer was lost")
        return result

    def _happen(self, act: Callable[[], Any], answer: asyncio.Future, ready: Callable[[], bool] | None) -> None:
        given_up = answer.done()
        if (given_up or self.is_cut) and self.dice.random() < 0.5:
            return  # it was cancelled in time
        if self.weather.down:
            _end(answer, error=self._error("the server has gone"))
            return
        if ready and not ready():
            asyncio.get_running_loop().call_later(0.002, self._happen, act, answer, ready)
            return
        self.times += 1
        try:
            result = act()
            if self.dice.random() < self.weather.duplicated:
                result = act()  # the wire said it twice, and the second answer is the one that arrived
        except Exception as error:
            _end(answer, error=error)
        else:
            _end(answer, result)


def _end(answer: asyncio.Future, result: Any = None, error: Exception | None = None) -> None:
    if answer.done():
        return
    if error:
        answer.set_exception(error)
    else:
        answer.set_result(result)
