"""Stages: each module is one stage of dvc.yaml and reads like its sentence: read, compute, write.

Run as `python -m artifact_flow.stages.<name>` in the directory of its dvc.yaml.
"""

from artifact_flow import determinism  # noqa: F401 - first: it must pin the process before numpy is imported
