"""A rolling restart: both processes are replaced, one after the other, under a room that goes on talking."""

import asyncio
import contextlib
import os
import signal
import time

import msgspec
import pytest

from live.rolling import placeholder
