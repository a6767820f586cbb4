#!/bin/sh
# Builds the wheel, installs it into a new environment on top of this one's packages, and runs the unit tests against it
# in a folder that holds the tests and the files they read, but not src/.
set -eu
cd "$(dirname "$0")/.."

work=$PWD/.artifact-flow/wheel
rm -rf "$work"
mkdir -p "$work/project"
python -m hatchling build --target wheel --directory "$work/dist"

python -m venv --without-pip "$work/venv"
uv pip install --quiet --offline --no-deps --python "$work/venv/bin/python" "$work"/dist/*.whl
site=$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# Adds the packages of this environment after the wheel. Python does not read the .pth files in a folder that is added
# this way, so this project's editable installation stays off the path.
python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$site/packages.pth"

git ls-files -z tests pyproject.toml params.yaml dvc.yaml docs/houses.csv README.md |
  xargs -0 cp --parents -t "$work/project"
cd "$work/project"
unset PYTHONPATH
"$work/venv/bin/python" -c '
import artifact_flow, sys
found = artifact_flow.__file__
sys.exit(None if found.startswith(sys.argv[1]) else f"error: artifact_flow is imported from {found}")
' "$site"
# The deselected test reads the lock that lies next to src/ in a clone; a wheel has none.
PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 "$work/venv/bin/python" -m pytest --override-ini pythonpath=tests \
  --basetemp="$work/pytest" --deselect tests/unit/test_interpreter.py::test_what_decides_bytes_is_checked tests/unit
rm -rf "$work"
