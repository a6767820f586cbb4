"""Examination: the checks of a project in their order, and the report on what they find."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from artifact_flow.core.base.errors import ArtifactFlowError
from artifact_flow.doctor.environment import (
    check_disk,
    check_libraries,
    check_machine,
    check_path,
    check_python,
    check_variables,
)
from artifact_flow.doctor.findings import SEVERITIES, Finding
from artifact_flow.doctor.outputs import check_cache, check_outputs
from artifact_flow.doctor.project import Project
from artifact_flow.doctor.repository import (
    check_git,
    check_history,
    check_hooks,
    check_line_ends,
    check_merge_drivers,
    check_remote,
)
from artifact_flow.doctor.results import (
    check_contracts,
    check_data,
    check_dvc,
    check_lock,
    check_parameters,
    check_pipeline,
    check_stages,
)
from artifact_flow.doctor.service import check_service


@dataclass(frozen=True)
class Check:
    """A question to a project, which yields a finding for each fault; without an error in the checks it `needs`."""

    name: str
    find: Callable[[Project], Iterable[Finding]]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """The findings, each with the name of its check; the names of the checks made, and why others were not."""

    findings: Sequence[tuple[str, Finding]]
    made: Sequence[str]
    left_out: Mapping[str, str]

    @property
    def failed(self) -> bool:
        """Whether a finding is an error."""
        return any(finding.severity == "error" for _, finding in self.findings)

    def as_text(self) -> str:
        """Return one line for each finding, errors first, and one that counts the checks."""
        found = sorted(
            (finding for _, finding in self.findings), key=lambda finding: SEVERITIES.index(finding.severity)
        )
        lines = [f"{finding.severity}: {finding.what}. Cure: {finding.cure}" for finding in found]
        lines += [f"not checked because of the errors: {', '.join(self.left_out)}"] if self.left_out else []
        counts = {severity: sum(finding.severity == severity for finding in found) for severity in SEVERITIES}
        faults = counts["error"] + counts["warning"]
        named = [f"{number} {severity}{'s' * (number > 1)}" for severity, number in counts.items() if number]
        return "\n".join(
            [*lines, f"{', '.join([*([] if faults else ['no fault found']), *named])}: {len(self.made)} checks"]
        )

    def as_json(self) -> str:
        """Return the report as a JSON document."""
        findings = [{"check": name, **asdict(finding)} for name, finding in self.findings]
        document = {
            "failed": self.failed,
            "findings": findings,
            "checks": list(self.made),
            "not_checked": self.left_out,
        }
        return json.dumps(document, indent=2, ensure_ascii=False)


def examine(project: Project, checks: Sequence[Check]) -> Report:
    """Make every check whose needs are met and return what they find; no check can end the examination."""
    findings: list[tuple[str, Finding]] = []
    made: list[str] = []
    left_out: dict[str, str] = {}
    broken: set[str] = set()
    for check in checks:
        unmet = [name for name in check.needs if name in broken]
        if unmet:
            left_out[check.name] = f"first mend: {', '.join(unmet)}"
            broken.add(check.name)
            continue
        try:
            found = list(check.find(project))
        except ImportError as error:  # the check `libraries` names what is missing
            left_out[check.name] = f"{error.name or 'a library'} cannot be imported"
            broken.add(check.name)
            continue
        except ArtifactFlowError as error:
            what, _, cure = str(error).rstrip(".").rpartition(": ")  # every message ends in its remedy
            found = [Finding(check.name, what, cure)]
        except Exception as error:  # a sick environment may raise anything, and the other checks must still be made
            what = f"the check {check.name} ended with {type(error).__name__}: {' '.join(str(error).split())}"
            found = [Finding(check.name, what, "report this as a bug of artifact-flow, if nothing above explains it")]
        made.append(check.name)
        findings += [(check.name, finding) for finding in found]
        if any(finding.severity == "error" for finding in found):
            broken.add(check.name)
    return Report(findings, made, left_out)


READABLE = ("git", "disk", "parameters", "pipeline", "lock")  # what DVC needs to say anything
COMPARABLE = (*READABLE, "DVC")
CHECKS = (
    Check("Python", check_python),
    Check("libraries", check_libraries),
    Check("PATH", check_path),
    Check("variables", check_variables),
    Check("machine", check_machine, ("libraries",)),
    Check("disk", check_disk),
    Check("git", check_git),
    Check("history", check_history, ("git",)),
    Check("merge drivers", check_merge_drivers, ("git",)),
    Check("line ends", check_line_ends, ("git",)),
    Check("hooks", check_hooks, ("git",)),
    Check("parameters", check_parameters),
    Check("pipeline", check_pipeline),
    Check("lock", check_lock, ("pipeline",)),
    Check("remote", check_remote, READABLE),
    Check("cache", check_cache, READABLE),  # before DVC, which removes a damaged object without a word
    Check("outputs", check_outputs, READABLE),
    Check("DVC", check_dvc, READABLE),
    Check("stages", check_stages, COMPARABLE),
    Check("contracts", check_contracts, COMPARABLE),
    Check("data sets", check_data, ("parameters", "pipeline")),
    Check("service", check_service, ("lock",)),
)
