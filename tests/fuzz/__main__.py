"""Runs the areas in turn until the time is over; the exit code is 1 if a rule was broken."""

import argparse
import faulthandler
import importlib
import logging
import pkgutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests import fuzz
from tests.fuzz.limits import within

SECONDS = 30  # for one input
EXAMPLES = 50  # between two looks at the clock


def main() -> int:
    """Runs the command and returns its exit code."""
    areas = {one.name: f"tests.fuzz.{one.name}" for one in pkgutil.iter_modules(fuzz.__path__)}
    areas = {name: module for name, module in areas.items() if hasattr(importlib.import_module(module), "INPUTS")}
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=fuzz.__doc__)
    parser.add_argument("--minutes", type=float, default=1, help="for all areas together (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the first round (default: 0)")
    parser.add_argument("--only", choices=areas, action="append", help="an area (default: all)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    faulthandler.enable()
    end, number = time.monotonic() + 60 * options.minutes, options.seed
    tried = {name: 0 for name in options.only or areas}
    while time.monotonic() < end:
        for name in tried:
            made = _round(name, areas[name], number)
            if made is None:
                return 1
            tried[name] += made
        number += 1
    sys.stdout.write(f"seeds {options.seed} to {number - 1}: " + ", ".join(f"{n} {a}" for a, n in tried.items()) + "\n")
    return 0


def _round(name: str, module: str, number: int) -> int | None:
    """Tries some inputs and returns how many, or None after a failure, which is printed."""
    area = importlib.import_module(module)
    count = 0

    def tried(one: object) -> None:
        nonlocal count
        count += 1
        faulthandler.dump_traceback_later(2 * SECONDS, exit=True)  # where even a signal is not answered
        try:
            with within(SECONDS), redirect_stderr(StringIO()):
                area.check(one)
        finally:
            faulthandler.cancel_dump_traceback_later()

    check: Callable[[], None] = seed(number)(
        settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )(given(area.INPUTS)(tried))
    )
    try:
        check()
    except Exception:
        traceback.print_exc()
        sys.stdout.write(f"{name}: broken with --seed {number}\n")
        return None
    return count


if __name__ == "__main__":
    sys.exit(main())
