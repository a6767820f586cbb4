"""`python -m artifact_flow.cli`: the command line without its installed script."""

from artifact_flow.cli import main

main()
