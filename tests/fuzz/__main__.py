"""Fuzzing by hand: ``python -m tests.fuzz --packets 1000000 --seed 1``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pytest


def main() -> int:
    """Run the tests of this folder with as many packets as were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Send random and mutated packets.")
    parser.add_argument("--packets", type=int, default=1_000_000, help="how many (default: 1,000,000)")
    parser.add_argument("--seed", type=int, default=8906, help="which (default: 8906)")
    arguments = parser.parse_args()
    os.environ["FUZZ_PACKETS"], os.environ["FUZZ_SEED"] = str(arguments.packets), str(arguments.seed)
    return int(pytest.main([str(Path(__file__).parent), "-q"]))


if __name__ == "__main__":
    sys.exit(main())
