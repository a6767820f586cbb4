"""Determinism: one BLAS kernel, one thread and one numpy dispatch, set before numpy is imported.

Importing this module pins the process, overriding what the shell exports. This is the only side effect at import that
the project allows, because OpenBLAS and numpy read these variables once, when they load. Two OpenBLAS kernels (or
thread counts) give LogisticRegression different iterates, not only different last bits; numpy's AVX-512 `exp`, `log`
and `power` differ from its AVX2 versions in the last bit. `broken_promises` lists what the pin cannot control.
"""

import os
import platform
import random
import re
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from artifact_flow.core.base.interpreter import locked_versions

# Libraries whose version can change a byte of an output; the compiled ones must be the registry's wheels.
LIBRARIES = ("joblib", "numpy", "pyarrow", "scikit-learn", "scipy")
EXPORTERS = ("onnx", "skl2onnx")  # libraries whose version can change a byte of model.onnx
COMPILED = ("numpy", "pyarrow", "scikit-learn", "scipy")
CPU_FLAGS = ("avx2", "fma")

THREAD_VARIABLES = ("BLIS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
KERNEL_VARIABLES = ("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES", "OMP_THREAD_LIMIT", "OPENBLAS_CORETYPE")


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return the CPU's feature flags as Linux lists them; an empty set on other systems."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return frozenset()
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def is_reference_cpu() -> bool:
    """Return whether this is an x86-64 Linux machine with AVX2 and FMA, where the pinned kernels exist."""
    return platform.system() == "Linux" and platform.machine() == "x86_64" and cpu_flags().issuperset(CPU_FLAGS)


def pin(environ: MutableMapping[str, str], reference_cpu: bool) -> None:
    """Set one thread and, on the reference CPU, one kernel in `environ`, overriding existing values."""
    for name in KERNEL_VARIABLES:
        environ.pop(name, None)
    environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    if reference_cpu:  # the Haswell kernel would crash on any other CPU
        environ["OPENBLAS_CORETYPE"] = "Haswell"
        environ["NPY_DISABLE_CPU_FEATURES"] = "X86_V4 AVX512_ICL AVX512_SPR"


pin(os.environ, is_reference_cpu())


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Run a block with exactly `threads` BLAS and OpenMP threads and seeded global random generators.

    The seed makes an estimator without a `random_state` reproducible; a given `random_state` takes precedence.
    """
    import numpy as np  # noqa: PLC0415 - after the pin
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    random.seed(0)
    np.random.seed(0)  # scikit-learn's default is this legacy global generator
    with threadpool_limits(limits=threads):
        yield


def library_versions(names: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Return the installed version of each library in `names`."""
    return {name: metadata.version(name) for name in names}


def broken_promises(lock: str, environ: MutableMapping[str, str], portable: bool = False) -> list[str]:
    """Return one phrase per reason why this machine may give other bytes than the reference; empty if there is none.

    `lock` is the text of requirements/lean.txt. What is `portable` does not depend on the CPU or on libm.
    """
    reasons = []
    if not portable and not is_reference_cpu():
        reasons.append(f"{platform.system()} on {platform.machine()} is not x86-64 Linux with AVX2 and FMA")
    if not portable and "hwcaps" in environ.get("GLIBC_TUNABLES", ""):
        reasons.append("GLIBC_TUNABLES selects other math functions")
    locked = locked_versions(lock)
    for name, version in library_versions((*LIBRARIES, *EXPORTERS)).items():
        if version != locked.get(name):
            reasons.append(f"{name} is {version}, not the locked {locked.get(name)}")
        elif name in COMPILED and "manylinux" not in (metadata.distribution(name).read_text("WHEEL") or ""):
            reasons.append(f"{name} {version} is not the registry's wheel")
    return reasons
