"""Diagnosis: why samples are bad, in words with numbers, and the command that mends each cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigmae.config import RunConfig
from sigmae.diagnosis.case import Case, Finding
from sigmae.diagnosis.checks import CHECKS
from sigmae.evaluation.stages import Stages, UNMEASURABLE

__all__ = ["CHECKS", "Case", "Diagnosis", "Finding", "diagnose"]


@dataclass(frozen=True)
class Diagnosis:
    """The findings, the largest gain first; what was looked at and is fine; what could not be looked at, and why."""

    density: str
    distances: dict[str, float]
    findings: list[Finding]
    fine: dict[str, str]
    left_out: dict[str, str]

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def diagnose(
    stages: Stages,
    config: RunConfig,
    history: Sequence[Mapping[str, Any]],
    *,
    run: str,
    density: str | None = None,
) -> Diagnosis:
    """Look for every illness of `CHECKS` in a trained model, whose samples come from `density`.

    `history` holds the records of metrics.jsonl; `run` is the folder that remedies name. Without features (data that
    are not images) there are no distances, and findings come without a gain.
    """
    case = Case(stages, config, history, run, density or stages.model.own_density)
    findings: list[Finding] = []
    fine: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name, check in CHECKS.items():
        try:
            found = check(case)
        except UNMEASURABLE as error:
            left_out[name] = str(error)
            continue
        if isinstance(found, str):
            fine[name] = found
        elif found.is_finite:
            findings.append(found)
        else:
            left_out[name] = "What this looks at holds NaN or infinity: the model has diverged."
    findings.sort(key=lambda finding: -1.0 if finding.gain is None else finding.gain, reverse=True)
    return Diagnosis(case.density, case.distances, findings, fine, left_out)
