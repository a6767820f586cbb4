"""Fit: a script that times one fit of the train split and prints the result as JSON, in a reproduced clone.

With the argument `pinned`, it pins BLAS as the stages do. With `default`, BLAS chooses its own threads and kernel.
Everything else is the same code.
"""

import json
import sys
import time

if sys.argv[1:] == ["pinned"]:
    import artifact_flow.core.base.determinism  # noqa: F401 - pins BLAS, before numpy is imported

from threadpoolctl import threadpool_info

from artifact_flow.core.base.contract import describe_features
from artifact_flow.core.base.encoding import encode_rows
from artifact_flow.core.base.params import load_params
from artifact_flow.core.model.estimators import build_estimator
from artifact_flow.core.table.tables import read_table


def main() -> None:
    """Print the wall time of `fit` alone, in seconds, and the BLAS that was used."""
    train = read_table().part("train")
    X, _ = encode_rows(describe_features(train.roles.features, train.raw), train.raw)
    y, estimator = train.y, build_estimator(load_params().train)
    start = time.perf_counter()
    estimator.fit(X, y)
    seconds = time.perf_counter() - start
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    blas = {f"{pool['num_threads']} BLAS threads, {pool.get('architecture', 'unknown')}" for pool in pools}
    print(json.dumps({"seconds": seconds, "blas": "; ".join(sorted(blas))}))


if __name__ == "__main__":
    if sys.argv[1:] == ["default"] and "artifact_flow.core.base.determinism" in sys.modules:
        sys.exit(
            "error: benchmarks/fit.py: a core module pins BLAS when it is imported, so the default is not measured"
        )
    main()
