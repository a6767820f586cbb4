"""`artifact-flow download`: fetch a data set."""

import argparse

from artifact_flow.cli.arguments import Commands


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    download = commands.add_parser(
        "download",
        help="fetch a data set into data/, track it with DVC, and log it to MLflow",
        description="Fetch a file with `dvc import-url`, hash it, and log it to MLflow as a data set. A table in a tar "
        "or zip archive is unpacked. If WANDB_API_KEY is set, the data set is also logged to W&B.",
    )
    download.add_argument("--url", required=True, help="the file's address: https, s3 and others, or a path")
    download.add_argument("--name", default="", help="the file's name in data/; default: its name in the address")
    download.add_argument("--type", default="dataset", help="one word for the kind of file; default: dataset")
    download.add_argument("--description", default="", help="one sentence about the data set")
    download.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    from artifact_flow.tracking.download import download

    done = download(arguments.url, arguments.name, arguments.type, arguments.description)
    state = "already contains it" if done.found else "logged"
    print(f"{done.path}: {done.size} bytes, md5 {done.md5}; run {done.run_id} {state}")
    print("next:", *(f"  {command}" for command in done.commands), f"({done.note})", sep="\n")
