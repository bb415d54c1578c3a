"""Memory: what torch holds at most within a run, above what it held before."""

import os
from itertools import accumulate

os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # the profiler tells of its every start

from torch.profiler import profile, ProfilerActivity

from benchmarks.comparison import Run


def peak_memory(run: Run) -> float:
    """The peak in bytes, by the profiler's record of every allocation."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=False) as recorded:
        run()
    results = recorded.profiler.kineto_results if recorded.profiler else None
    events = [event for event in results.events() if event.name() == "[memory]"] if results else []
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return float(max(accumulate(changes, initial=0)))
