"""One kernel, one thread, one dispatch, whatever the shell says; where bytes are not promised, it is said why."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from artifact_flow.core.base import determinism

HOSTILE = {
    "OPENBLAS_NUM_THREADS": "4",
    "OMP_NUM_THREADS": "4",
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_ENABLE_CPU_FEATURES": "AVX512F",
}
PROBE = """
import json, sys
import artifact_flow.core.base.determinism
assert "numpy" not in sys.modules, "numpy was imported before the pin"
from numpy._core._multiarray_umath import __cpu_features__ as features
import scipy.linalg, sklearn, threadpoolctl
pools = [(pool["num_threads"], pool.get("architecture")) for pool in threadpoolctl.threadpool_info()]
print(json.dumps({"pools": pools, "avx512": features["X86_V4"]}))
"""


def lock(**versions: str) -> str:
    """Return a requirements lock of the installed libraries, some with other versions."""
    return "".join(f"{n}=={v} \\\n    --hash=x\n" for n, v in (determinism.library_versions() | versions).items())


@pytest.mark.skipif(not determinism.is_reference_cpu(), reason="kernels are pinned on x86-64 Linux with AVX2 and FMA")
@pytest.mark.long
def test_the_pin_wins_over_the_shell() -> None:
    """A process whose shell exports other kernels and threads computes with ours."""
    environ = os.environ | HOSTILE | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", PROBE], env=environ, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {threads for threads, _ in found["pools"]} == {1}
    assert {kernel for _, kernel in found["pools"] if kernel} == {"Haswell"}
    assert not found["avx512"]


def test_no_kernel_is_forced_on_another_machine() -> None:
    """A Haswell kernel would crash a CPU that has no AVX2."""
    environ = {"OPENBLAS_CORETYPE": "Zen", "NPY_ENABLE_CPU_FEATURES": "AVX2"}
    determinism.pin(environ, reference_cpu=False)
    assert environ == dict.fromkeys(determinism.THREAD_VARIABLES, "1")


def test_threads_are_what_the_parameter_says() -> None:
    """`train.threads` sets the pools' size inside the block only."""
    from threadpoolctl import threadpool_info

    with determinism.reproducible(threads=2):
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {2}
    assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}


def test_flags_are_read_from_cpuinfo(tmp_path: Path) -> None:
    """The first CPU's flags, or none where the file or the line is missing."""
    cpuinfo = tmp_path / "cpuinfo"
    assert determinism.cpu_flags(cpuinfo) == frozenset()
    cpuinfo.write_text("processor : 0\nmodel name : x\n")
    assert determinism.cpu_flags(cpuinfo) == frozenset()
    cpuinfo.write_text("processor : 0\nflags\t\t: sse avx2 fma\nbugs : none\n")
    assert determinism.cpu_flags(cpuinfo) == {"sse", "avx2", "fma"}


def test_another_version_breaks_the_promise() -> None:
    """A library that is not the locked one is named with both versions."""
    broken = determinism.broken_promises(lock(numpy="0.1"), {})
    assert f"numpy is {metadata.version('numpy')}, not the locked 0.1" in broken


def test_a_library_that_is_not_locked_breaks_the_promise() -> None:
    """An empty lock promises nothing."""
    assert any("not the locked None" in reason for reason in determinism.broken_promises("", {}))


def test_glibc_tunables_break_the_promise() -> None:
    """The choice of functions in libm cannot be pinned from inside the process."""
    broken = determinism.broken_promises(lock(), {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2"})
    assert "GLIBC_TUNABLES selects other math functions" in broken


def test_another_machine_breaks_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ARM machine is told to be one."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    broken = determinism.broken_promises(lock(), {})
    assert any("on aarch64 is not x86-64 Linux with AVX2 and FMA" in reason for reason in broken)
    portable = determinism.broken_promises(lock(), {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2"}, portable=True)
    assert portable == determinism.broken_promises(lock(), {}, portable=True)
    assert not any("aarch64" in reason or "GLIBC" in reason for reason in portable)


def test_a_foreign_build_breaks_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The right version from another builder has another BLAS."""

    tag = "Tag: cp311-cp311-linux_x86_64"
    monkeypatch.setattr(type(metadata.distribution("numpy")), "read_text", lambda self, name: f"Version: 1.0\n{tag}\n")
    assert "numpy 1.0 is not the registry's wheel" in determinism.broken_promises(lock(), {})
