"""The OpenAPI document, held against the service by schemathesis."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving.server import Server

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "valid_json_is_accepted"
)


@pytest.mark.slow
def test_the_service_does_what_its_document_says(models: dict[str, Path], tmp_path: Path) -> None:
    """Good and bad requests: no 5xx, no undocumented status, no other shape of an answer, nothing valid refused."""
    options = f"--max-examples 6 --seed 1 --no-color --generation-database none --checks {CHECKS}".split()
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    hooks = {"SCHEMATHESIS_HOOKS": "serving.valid_json", "PYTHONPATH": os.pathsep.join(sys.path)}
    few = json.dumps({"max_rows": 20})  # what it generates is as long as the document allows
    with Server(models["own"], models["iris"], ARTIFACT_FLOW_SERVE=few) as server:
        address = f"http://127.0.0.1:{server.port}/openapi.json"
        done = subprocess.run(
            [sys.executable, "-c", program, "run", address, *options],
            cwd=tmp_path,
            env=os.environ | hooks | {"PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        assert '"level":"ERROR"' not in Path(server.log_file.name).read_text()
