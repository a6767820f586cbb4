"""Stages: each module is one stage of dvc.yaml: it reads files, computes, and writes files. core/stage.py runs it."""
