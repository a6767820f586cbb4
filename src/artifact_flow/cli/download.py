"""`artifact-flow download`: fetch a data set."""

import argparse

from artifact_flow.cli.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    download = commands.add_parser(
        "download",
        help="fetch a data set into data/, keep it by DVC, and register it with MLflow",
        description="Fetch a file by `dvc import-url`, hash it, and log it as a data set. The table in a tar or zip "
        "archive is unpacked. With WANDB_API_KEY it goes to W&B too.",
    )
    download.add_argument("--url", required=True, help="of the file: https, s3 and others, or a path")
    download.add_argument("--name", default="", help="of the file in data/; default: as in the address")
    download.add_argument("--type", default="dataset", help="a word for what it is; default: dataset")
    download.add_argument("--description", default="", help="a sentence about it")
    download.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command as the command line says."""
    from artifact_flow.tracking.project import download

    done = download(arguments.url, arguments.name, arguments.type, arguments.description)
    what = "holds it already" if done.found else "logged"
    print(f"{done.path}: {done.size} bytes, md5 {done.md5}; run {done.run_id} {what}")
    print("next:", *(f"  {command}" for command in done.commands), f"({done.note})", sep="\n")
