"""Surroundings: the conditions of a machine that must not change a result, and the sets of them that `verify` uses."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from artifact_flow.core.base.determinism import THREAD_VARIABLES


@dataclass(frozen=True)
class Surroundings:
    """The environment variables and the directory name of one reproduction."""

    name: str
    environ: Mapping[str, str] = field(default_factory=dict)
    directory: str = "clone"


CHANGES = (
    Surroundings("hash seed", {"PYTHONHASHSEED": "4242"}),
    Surroundings("threads", dict.fromkeys(THREAD_VARIABLES, "2")),
    Surroundings("BLAS kernel", {"OPENBLAS_CORETYPE": "Prescott"}),
    Surroundings("CPU dispatch", {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}),
    Surroundings("locale and time zone", {"LC_ALL": "C", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati"}),
    Surroundings("directory name", directory="another directory, näme"),
)
AS_IT_IS = Surroundings("as it is")
EVERYTHING = Surroundings(
    "everything changed",
    {name: value for change in CHANGES for name, value in change.environ.items()},
    CHANGES[-1].directory,
)
FULL, QUICK = (AS_IT_IS, *CHANGES), (AS_IT_IS, EVERYTHING)
