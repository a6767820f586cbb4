"""`python -m artifact_flow.cli`, where the program is not installed."""

from artifact_flow.cli import main

main()
