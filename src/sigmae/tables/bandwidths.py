"""Tables of bandwidths: they are computed, and nothing is trained."""

from collections.abc import Callable

from sigmae.bandwidth import corrected_bandwidth, optimal_bandwidth
from sigmae.conversion import structure
from sigmae.errors import SigmaeError, unknown
from sigmae.tables.definition import BANDWIDTH_OPTIONS
from sigmae.tables.plan import Entry, merged, Plan
from sigmae.tables.published import Place

BANDWIDTHS: dict[str, Callable[[float], float]] = {"optimal": lambda h: h, "corrected": corrected_bandwidth}


def bandwidths(plan: Plan, tell: Callable[[Entry], None]) -> dict[Place, list[float]]:
    """The bandwidth of every entry, for the latent size and the number of draws that its data name."""
    found = {}
    for entry in plan.entries:
        if entry.measure not in BANDWIDTHS:
            raise unknown("bandwidth", entry.measure, BANDWIDTHS)
        options = merged([plan.definition.options, plan.definition.data[entry.place.data]])
        if missing := [name for name in BANDWIDTH_OPTIONS if name not in options]:
            raise SigmaeError(f"{entry.place.data} has no {missing[0]}: a bandwidth is of a latent_dim and a count.")
        latent_dim, count = (structure(options[name], int, entry.place.data) for name in BANDWIDTH_OPTIONS)
        found[entry.place] = [BANDWIDTHS[entry.measure](optimal_bandwidth(latent_dim, count))]
        tell(entry)
    return found
