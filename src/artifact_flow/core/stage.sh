#!/bin/sh
# sh src/artifact_flow/core/stage.sh NAME [FLOW]: runs a stage with the first python in PATH, which checks itself whether it is suitable.
command -v python > /dev/null || {
  # shellcheck disable=SC2016 # the backquotes are part of the message
  echo 'error: there is no python in PATH: run `make setup`, then `source .venv/bin/activate`.' >&2
  exit 1
}
PYTHONPATH=$(dirname "$0")/../..
export PYTHONPATH
exec python -m artifact_flow.core.stage "$@"
