"""The program with short limits, for tests of silence: the arguments of `headlessdns` follow three numbers of seconds.

The numbers are after what silence answers count as stale, after what silence a watch is taken for dead, and how long
the longest pause between two requests is. Nobody but a test has a reason to change them, so there is no setting.
"""

from __future__ import annotations

import functools
import sys

from headlessdns import app
from headlessdns.cli.main import main
from headlessdns.cluster import reflector, watch

if __name__ == "__main__":
    stale_s, read_timeout_s, longest_pause_s = map(float, sys.argv[1:4])
    del sys.argv[1:4]
    app.STALE_S = stale_s  # type: ignore[misc]  # the number in the log line
    app.is_stale = functools.partial(watch.is_stale, limit_s=stale_s)
    reflector.Reflector = functools.partial(  # type: ignore[misc,assignment]  # the application imports it late
        reflector.Reflector, read_timeout_s=read_timeout_s, backoff=watch.Backoff(0.05, longest_pause_s)
    )
    main()
