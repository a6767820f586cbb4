#!/bin/sh
# sh src/artifact_flow/core/stage.sh NAME [FLOW]: runs a stage by the first python in PATH, which says itself when it is not fit for that.
command -v python > /dev/null || {
  # shellcheck disable=SC2016 # the backquotes are the sentence's
  echo 'error: there is no python in PATH: run `make setup`, then `source .venv/bin/activate`.' >&2
  exit 1
}
PYTHONPATH=$(dirname "$0")/../..
export PYTHONPATH
exec python -m artifact_flow.core.stage "$@"
