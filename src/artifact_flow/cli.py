"""The command line: `artifact-flow <command>`. Thin: each command imports what it runs when it runs."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from artifact_flow.errors import told_in_one_sentence
from artifact_flow.lean import leave_out_pandas

if TYPE_CHECKING:
    from artifact_flow.predict import Report

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
FLOW = "the folder of a flow, such as flows/iris; default: the main flow"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that `argv` names and exit with its code."""
    parser = argparse.ArgumentParser(
        prog="artifact-flow",
        description="Reproducible scikit-learn models: your table in, predictions out, and the proof.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    verify = commands.add_parser(
        "verify",
        help="reproduce HEAD in clean clones under changed surroundings and compare with each dvc.lock, file by file",
        description="Clone HEAD, run `dvc repro --force` under changed surroundings (hash seed, threads, BLAS kernel, "
        "CPU dispatch, locale and time zone, directory) and compare each file with its dvc.lock. "
        "Exit code 0: as locked; 1: something differs; 3: as locked, but without stages whose data cannot be had.",
    )
    verify.add_argument("--quick", action="store_true", help="two surroundings: as it is, and everything changed")
    verify.add_argument("pipelines", nargs="*", metavar="PIPELINE", help="a dvc.yaml; default: each that has a lock")
    verify.set_defaults(run=_verify)
    for add in (_add_init, _add_predict, _add_serve, _add_drift, _add_track, _add_register, _add_promote):
        add(commands)
    _add_experiment(commands)
    _add_sweep(commands)
    _add_download(commands)
    _add_merge_lock(commands)
    _add_hand_over(commands)
    _add_receive(commands)
    arguments = parser.parse_args(argv)
    if argv is None and "lean" in arguments:  # as a process of its own, and not when a test calls it
        leave_out_pandas()
    with told_in_one_sentence():
        arguments.run(arguments)


def _verify(arguments: argparse.Namespace) -> None:
    from artifact_flow.verify import FULL, QUICK, verify_head  # noqa: PLC0415 - `--help` stays light

    proof = verify_head(QUICK if arguments.quick else FULL, arguments.pipelines)
    if proof.left_out:
        print(f"{len(proof.left_out)} stages were left out for want of their data, as told above", file=sys.stderr)
    sys.exit((3 if proof.left_out else 0) if proof.holds else 1)


def _add_init(commands: Commands) -> None:
    init = commands.add_parser(
        "init",
        help="make the main flow that of your own table",
        description="Understand a CSV (comma, semicolon or tab; gzip too) or Parquet file, say what was understood, "
        "and write it into params.yaml and dvc.yaml.",
    )
    init.add_argument("--data", required=True, type=Path, metavar="FILE", help="the table, inside the repository")
    init.add_argument("--target", required=True, metavar="COLUMN", help="what is to be predicted")
    init.add_argument("--task", choices=["classification", "regression"], help="instead of what the target suggests")
    init.add_argument("--estimator", metavar="PATH", help="import path, as train.estimator takes it")
    init.add_argument("--separator", metavar="MARK", help="of a CSV, instead of the one its first rows suggest")
    init.add_argument("--no-header", action="store_true", help="the columns are column_1, column_2 and so on")
    init.add_argument(
        "--missing", nargs="+", default=[], metavar="TEXT", help="what stands for a missing value, as '' and NA do"
    )
    init.add_argument("--drop-missing-target", action="store_true", help="leave rows without a target out")
    init.add_argument("--category", nargs="+", default=[], metavar="COLUMN", help="columns to take as text")
    init.add_argument("--leave-out", nargs="+", default=[], metavar="COLUMN", help="columns not to use")
    init.add_argument("--id", metavar="COLUMN", help="the column that names a row")
    init.add_argument("--force", action="store_true", help="overwrite your own params.yaml and dvc.yaml")
    init.set_defaults(run=_init, lean=True)


def _init(arguments: argparse.Namespace) -> None:
    from artifact_flow import determinism  # noqa: F401, PLC0415 - first: it must pin before numpy is imported
    from artifact_flow.init import Request, adopt_table, sniff_form  # noqa: PLC0415
    from artifact_flow.schema import Overrides  # noqa: PLC0415

    separator = {"\\t": "\t", "tab": "\t"}.get(arguments.separator, arguments.separator)
    adopt_table(
        Request(
            data=arguments.data,
            target=arguments.target,
            form=sniff_form(arguments.data, separator, not arguments.no_header, arguments.missing),
            overrides=Overrides(
                categories=arguments.category, left_out=arguments.leave_out, id=arguments.id, task=arguments.task
            ),
            estimator=arguments.estimator,
            drop_missing_target=arguments.drop_missing_target,
            force=arguments.force,
        )
    )


def _add_predict(commands: Commands) -> None:
    predict = commands.add_parser(
        "predict",
        help="predict the rows of CSV, Parquet or JSON lines files",
        description="Check rows against the contract beside the model, predict them in constant memory, and say on "
        "stderr what was unusual. Order and ids are kept. Folders, patterns and URLs go part by part into a folder, "
        "where the same command goes on after an interruption.",
    )
    predict.add_argument("inputs", nargs="+", metavar="IN", help="a file, a folder, a pattern or a URL; - is stdin")
    predict.add_argument(
        "--model", default="model.onnx", metavar="MODEL", help="a file, or models:/iris@champion; default: model.onnx"
    )
    predict.add_argument(
        "--out",
        default="-",
        help="CSV, or Parquet or JSON lines by its name (.parquet, .jsonl); a folder (scored/) or URL takes a file for "
        "each part; default: standard output, as CSV",
    )
    predict.add_argument("--format", choices=["parquet", "csv", "jsonl"], help="of parts; default: parquet")
    cluster = predict.add_mutually_exclusive_group()
    cluster.add_argument("--workers", type=int, metavar="N", help="predict parts by N processes of this machine")
    cluster.add_argument("--scheduler", metavar="ADDRESS", help="by a Dask cluster, such as tcp://10.0.0.5:8786")
    predict.set_defaults(run=_predict, lean=True)


def _predict(arguments: argparse.Namespace) -> None:
    from artifact_flow import determinism  # noqa: F401, PLC0415 - first: it must pin before numpy is imported
    from artifact_flow.errors import FileError  # noqa: PLC0415
    from artifact_flow.predict import predict_files  # noqa: PLC0415

    model, allowed = _find_model(arguments.model)
    if _goes_by_parts(arguments):
        return _predict_parts(arguments, model, allowed)
    if arguments.format:
        raise FileError(f"--format is for parts in a folder: the name of --out {arguments.out} says what it is.")
    try:
        report = predict_files([Path(name) for name in arguments.inputs], model, Path(arguments.out), allowed)
    except BrokenPipeError:  # whoever reads our output has seen enough, as `| head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    for name, sha256 in report.sha256.items():
        print(f"{name}: sha256 {sha256}", file=sys.stderr)
    _tell_unusual(report)
    print(f"{report.rows} rows predicted by {arguments.model}", file=sys.stderr)
    return None


def _goes_by_parts(arguments: argparse.Namespace) -> bool:
    """Tell whether parts are asked for: several files by one name, a folder to write to, several processes."""
    out = arguments.out
    several = any("://" in name or (set("*?[") & set(name) and not Path(name).exists()) for name in arguments.inputs)
    folders = any(Path(name).is_dir() for name in (*arguments.inputs, out))
    cluster = arguments.scheduler or arguments.workers is not None
    return bool(several or folders or cluster or "://" in out or out.endswith("/"))


def _predict_parts(arguments: argparse.Namespace, model: Path, allowed: tuple[str, ...]) -> None:
    from artifact_flow.errors import ScaleError  # noqa: PLC0415

    try:
        from artifact_flow.scale.batch import Job, run_job  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ScaleError(f"{error.name} is not installed: `make scale` installs what parts need.") from error
    if arguments.workers is not None and not 1 <= arguments.workers <= 64:
        raise ScaleError(f"--workers is {arguments.workers}: give 1 to 64.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # which a container's first process would ignore
    job = Job(
        inputs=arguments.inputs,
        model=model,
        out=arguments.out,
        format=arguments.format or "parquet",
        allowed=allowed,
        scheduler=arguments.scheduler,
        workers=arguments.workers,
    )
    try:
        summary = run_job(job)
    except KeyboardInterrupt:
        print("stopped: finished parts stay, and the same command goes on from here", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    _tell_unusual(summary)
    if summary.rejected:
        print(f"{summary.rejected} rows do not fit the contract: rejected-*.jsonl names each", file=sys.stderr)
    if summary.kept:
        print(f"{summary.kept} parts of an earlier run were as they were written, and kept", file=sys.stderr)
    print(
        f"{summary.rows} rows predicted by {arguments.model} into {summary.parts} parts in {arguments.out}",
        file=sys.stderr,
    )


def _tell_unusual(report: "Report") -> None:
    for name, columns in report.ignored.items():
        print(f"{name}: ignored, because the model does not know them: {', '.join(columns)}", file=sys.stderr)
    for column, rows in report.findings.out_of_range.items():
        print(f"{column}: {rows} rows out of the training range", file=sys.stderr)
    for column, values in report.findings.unseen.items():
        seen = f"{sum(values.values())} rows with a value that was not seen in training"
        print(f"{column}: {seen}: {', '.join(values)}", file=sys.stderr)


def _add_serve(commands: Commands) -> None:
    serve = commands.add_parser(
        "serve",
        help="answer predictions over HTTP: a REST API and a page",
        description="Serve model.onnx files, each with the contract.json beside it, after their hashes are checked. "
        "The environment gives what is secret or of the build: ARTIFACT_FLOW_API_KEY, MODEL_SHA256, "
        "ARTIFACT_FLOW_COMMIT.",
    )
    serve.add_argument(
        "models",
        nargs="*",
        default=["model.onnx"],
        metavar="MODEL",
        help="a file, or models:/iris@champion of the registry; default: model.onnx; the first is at /",
    )
    serve.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    serve.add_argument("--port", type=int, default=8000, help="default: 8000; 0 takes a free one")
    serve.add_argument("--workers", type=int, default=1, help="processes; default: 1")
    serve.add_argument("--log-file", metavar="FILE", help="write the log there too; it rotates at 100 MB")
    serve.add_argument("--no-log-inputs", action="store_true", help="leave what was asked out of the log")
    serve.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> None:
    from artifact_flow.errors import ServeError  # noqa: PLC0415
    from artifact_flow.files import repository_root  # noqa: PLC0415

    try:
        from artifact_flow.serving.server import serve  # noqa: PLC0415
        from artifact_flow.serving.settings import build_commit, load_settings  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ServeError(f"{error.name} is not installed: `make serve` installs what the service needs.") from error
    if not 1 <= arguments.workers <= 64:
        raise ServeError(f"--workers is {arguments.workers}: give 1 to 64.")
    found = [_find_model(model) for model in arguments.models]
    told = replace(
        load_settings(),
        models=tuple(str(path) for path, _ in found),
        vouched=tuple(sha256 for _, hashes in found for sha256 in hashes),
        host=arguments.host,
        port=arguments.port,
        workers=arguments.workers,
        log_file=arguments.log_file,
        log_inputs=not arguments.no_log_inputs,
        commit=build_commit(os.environ, repository_root()),
    )
    serve(told)


def _add_drift(commands: Commands) -> None:
    drift = commands.add_parser(
        "drift",
        help="compare the rows in a service's logs with those of the training",
        description="Read the JSON lines that `artifact-flow serve` wrote, and say column by column how far the rows "
        "lie from the contract's reference.",
    )
    drift.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="a log file")
    drift.add_argument(
        "--model", type=Path, default=Path("model.onnx"), metavar="FILE", help="whose rows; default: model.onnx"
    )
    drift.add_argument("--out", type=Path, metavar="FILE", help="write an HTML page with a chart a column")
    drift.add_argument("--fail-on", choices=["alert", "warn"], help="exit 1 from this status on")
    drift.add_argument("--min-rows", type=int, default=100, help="fewer say nothing; default: 100")
    drift.set_defaults(run=_drift)


def _drift(arguments: argparse.Namespace) -> None:
    from artifact_flow.contract import CONTRACT, read_contract  # noqa: PLC0415
    from artifact_flow.files import hash_file, replace_files  # noqa: PLC0415
    from artifact_flow.lock import nearest_lock  # noqa: PLC0415
    from artifact_flow.serving.report import read_logs, render_page, report_drift  # noqa: PLC0415

    folder = arguments.model.parent
    contract = read_contract(folder / CONTRACT, nearest_lock(folder))
    sha256 = hash_file(arguments.model) if arguments.model.is_file() else None
    logged = read_logs(arguments.logs, contract, sha256)
    drift = report_drift(contract, logged, arguments.min_rows)
    width = max(len(column.name) for column in drift.columns)
    print(f"{'column':{width}}  status      PSI       p  missing  unseen")
    for column in drift.columns:
        print(
            f"{column.name:{width}}  {column.status:8}  {column.psi:5.3f}  {column.p_value:6.2g}  {column.missing:6.1%}"
            f"  {column.unseen:6.1%}"
        )
    print(f"{drift.status}: {drift.rows} rows against {contract.rows['train']} of the training")
    for count, words in (
        (logged.others, "lines about other models"),
        (logged.without, "predictions without their input"),
        (logged.damaged, "damaged lines"),
    ):
        if count:
            print(f"left aside: {count} {words}", file=sys.stderr)
    if arguments.out:
        with replace_files(arguments.out) as (part,):
            part.write_text(render_page(drift, str(arguments.model)), encoding="utf-8")
    worst = ("alert",) if arguments.fail_on == "alert" else ("alert", "warn")
    if arguments.fail_on and drift.status in worst:
        sys.exit(1)


def _find_model(name: str) -> tuple[Path, tuple[str, ...]]:
    """Return a model's file, and the sha256 sums that a registry vouches for, where the name is that of a version."""
    if not name.startswith("models:/"):
        return Path(name), ()
    import multiprocessing  # noqa: PLC0415
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415

    from artifact_flow.tracking.registry import fetch  # noqa: PLC0415

    # in a process of its own: MLflow's 200 MB are not for a service to carry
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        fetched = process.submit(fetch, name).result()
    print(f"{name}: version {fetched.version}, each file as it was registered", file=sys.stderr)
    return fetched.model, tuple(fetched.sha256.values())


def _add_track(commands: Commands) -> None:
    track = commands.add_parser(
        "track",
        help="log what the pipeline produced to MLflow",
        description="Log parameters, metrics, artifacts, plots, the data set and the model of finished flows, each "
        "file as dvc.lock names it. The same result is logged once. MLFLOW_TRACKING_URI names a server; without it, "
        "runs go into a database under .artifact-flow, which `make mlflow` shows.",
    )
    track.add_argument("flows", nargs="*", type=Path, default=[Path()], metavar="FLOW", help=FLOW)
    track.add_argument(
        "--sink", action="append", choices=["mlflow", "wandb"], help="where to, several times for both; default: mlflow"
    )
    track.set_defaults(run=_track)


def _track(arguments: argparse.Namespace) -> None:
    from artifact_flow.files import repository_root  # noqa: PLC0415
    from artifact_flow.tracking.pictures import start_drawing  # noqa: PLC0415
    from artifact_flow.tracking.result import read_result  # noqa: PLC0415
    from artifact_flow.tracking.sink import open_sink  # noqa: PLC0415

    results = [read_result(folder) for folder in arguments.flows]
    drawings = [start_drawing(repository_root(), result.plots) for result in results]  # while MLflow is imported
    for name in arguments.sink or ["mlflow"]:
        sink = open_sink(name)
        for result, drawing in zip(results, drawings, strict=True):
            logged = sink.log(result, drawing)
            what = "holds this result already" if logged.found else "logged"
            print(f"{result.name}: run {logged.run_id} {what}; {logged.place}")
    if results[0].git.dirty:
        print(
            f"not in commit {results[0].git.commit[:7]}: {', '.join(results[0].git.changed[:5])}; the run says so. "
            "Commit and track again, and it names the commit.",
            file=sys.stderr,
        )


def _add_register(commands: Commands) -> None:
    register = commands.add_parser(
        "register",
        help="make a tracked result a version of a registered model, the challenger",
        description="Register the model that `track` logged, with its signature and the hash of each file. The same "
        "result is registered once.",
    )
    register.add_argument("flows", nargs="*", type=Path, default=[Path()], metavar="FLOW", help=FLOW)
    register.add_argument("--name", help="of the registered model; default: the flow's")
    register.set_defaults(run=_register)


def _register(arguments: argparse.Namespace) -> None:
    from artifact_flow.tracking.client import Server  # noqa: PLC0415
    from artifact_flow.tracking.registry import Registry  # noqa: PLC0415
    from artifact_flow.tracking.result import read_result  # noqa: PLC0415

    _refuse_shared(arguments.flows, "--name", arguments.name)
    results = [read_result(folder) for folder in arguments.flows]
    registry = Registry(Server())
    for result in results:
        version = registry.register(result, arguments.name)
        what = "is this result, and" if version.found else "registered, and"
        print(f"{version.name}: version {version.version} {what} the challenger")


def _refuse_shared(flows: Sequence[Path], option: str, value: str | None) -> None:
    from artifact_flow.errors import TrackError  # noqa: PLC0415

    if value is not None and len(flows) > 1:
        raise TrackError(
            f"{option} {value} cannot be that of {len(flows)} flows: name one flow, or leave {option} out."
        )


def _add_promote(commands: Commands) -> None:
    promote = commands.add_parser(
        "promote",
        help="make the challenger the champion, where it is no worse",
        description="Compare the challenger with the champion, and make it the champion where the test split's "
        "accuracy or R² is at most promote.max_loss (params.yaml) lower on the same test rows, and a commit gives it. "
        "Exit code 1: not so.",
    )
    promote.add_argument("flows", nargs="*", type=Path, default=[Path()], metavar="FLOW", help=FLOW)
    promote.add_argument("--name", help="of the registered model; default: the flow's")
    promote.add_argument("--version", help="this one instead of the challenger, as to roll back")
    promote.add_argument("--force", action="store_true", help="whatever the comparison says; a tag keeps the reason")
    promote.set_defaults(run=_promote)


def _promote(arguments: argparse.Namespace) -> None:
    from artifact_flow.tracking.client import Server  # noqa: PLC0415
    from artifact_flow.tracking.registry import Registry  # noqa: PLC0415
    from artifact_flow.tracking.result import find_flow  # noqa: PLC0415

    _refuse_shared(arguments.flows, "--name", arguments.name)
    _refuse_shared(arguments.flows, "--version", arguments.version)
    gates = {flow: flow.load_params() for flow in map(find_flow, arguments.flows)}
    registry = Registry(Server())
    promoted = True
    for flow, params in gates.items():
        name = flow.name if arguments.name is None else arguments.name
        compared = registry.promote(name, params.promote.max_loss, arguments.version, arguments.force)
        print(compared.table())
        print(compared.verdict())
        promoted = promoted and compared.promoted
    sys.exit(0 if promoted else 1)


def _add_experiment(commands: Commands) -> None:
    experiment = commands.add_parser(
        "experiment",
        help="try other parameters as a DVC experiment, and track what comes of it",
        description="Run `dvc exp run` on the main flow with these parameters, then log the result. What is not given, "
        "or empty, stays as params.yaml has it.",
    )
    for name, word in (("--test-size", "S"), ("--random-seed", "N"), ("--max-iter", "N"), ("--C", "C")):
        experiment.add_argument(name, metavar=word)
    experiment.set_defaults(run=_experiment)


def _experiment(arguments: argparse.Namespace) -> None:
    from artifact_flow.tracking.project import run_experiment  # noqa: PLC0415

    run_experiment(
        {
            "test_size": arguments.test_size,
            "random_seed": arguments.random_seed,
            "max_iter": arguments.max_iter,
            "C": arguments.C,
        }
    )
    _track(argparse.Namespace(flows=[Path()], sink=None))


def _add_sweep(commands: Commands) -> None:
    sweep = commands.add_parser(
        "sweep",
        help="try values of parameters as DVC experiments, and compare them",
        description="Queue a DVC experiment for each combination of values, run the queue, and print a table. "
        "Exit code 1: an experiment failed.",
    )
    sweep.add_argument("settings", nargs="+", metavar="KEY=V,V", help="such as train.C=0.01,0.1,1")
    sweep.add_argument("--jobs", type=int, default=1, metavar="N", help="experiments at a time; default: 1")
    sweep.set_defaults(run=_sweep)


def _sweep(arguments: argparse.Namespace) -> None:
    from artifact_flow.errors import TrackError  # noqa: PLC0415
    from artifact_flow.tracking.sweep import list_experiments, run_sweep, tabulate  # noqa: PLC0415

    if not 1 <= arguments.jobs <= 64:
        raise TrackError(f"--jobs is {arguments.jobs}: give 1 to 64.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    before = {row.name for row in list_experiments() if row.state == "failed"}
    try:
        run_sweep(arguments.settings, arguments.jobs)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    rows = list_experiments()
    print(tabulate(rows))
    lost = [row.name for row in rows if not row.finished and row.name not in before]
    if lost:
        raise TrackError(f"no result of {', '.join(lost)}: `dvc queue logs {lost[0]}` says why.")


def _add_download(commands: Commands) -> None:
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
    download.set_defaults(run=_download)


def _download(arguments: argparse.Namespace) -> None:
    from artifact_flow.tracking.project import download  # noqa: PLC0415

    done = download(arguments.url, arguments.name, arguments.type, arguments.description)
    what = "holds it already" if done.found else "logged"
    print(f"{done.path}: {done.size} bytes, md5 {done.md5}; run {done.run_id} {what}")
    print("next:", *(f"  {command}" for command in done.commands), f"({done.note})", sep="\n")


def _add_merge_lock(commands: Commands) -> None:
    merge = commands.add_parser(
        "merge-lock",
        help="merge a dvc.lock stage by stage, as git's merge driver, which `make setup` installs",
        description="Merge three versions of a dvc.lock into the second. Exit code 0: merged; 1: both sides changed a "
        "stage, which stays as it was here, so `dvc repro` comes before the commit.",
    )
    sides = ("base", "the common ancestor's, git's %%O"), ("ours", "this branch's, %%A"), ("theirs", "the other's, %%B")
    for name, what in sides:
        merge.add_argument(name, type=Path, metavar=name.upper(), help=what)
    merge.add_argument("path", nargs="?", type=Path, default=Path("dvc.lock"), metavar="PATH", help="the lock's, %%P")
    merge.set_defaults(run=_merge_lock)


def _merge_lock(arguments: argparse.Namespace) -> None:
    from artifact_flow.merge import merge_files  # noqa: PLC0415

    path = arguments.path
    if open_ := merge_files(arguments.base, arguments.ours, arguments.theirs, path):
        pipeline = "" if path.parent == Path() else f" {path.with_name('dvc.yaml')}"
        sys.exit(
            f"{path}: no side has reproduced {', '.join(open_)} as merged: run `dvc repro{pipeline}`, then `git add` "
            "what it wrote, and commit."
        )


PARCELS = "what `hand-over` printed in the job before; default: none"


def _add_hand_over(commands: Commands) -> None:
    hand_over = commands.add_parser(
        "hand-over",
        help="put what stages left into a folder, for the next CI job",
        description="Write into a folder what these stages and those before them left, but for what was received, and "
        "print the parcels that the next job receives, each with the sha256 of its manifest.",
    )
    hand_over.add_argument("stages", nargs="+", metavar="STAGE", help="as `dvc stage list` names it")
    hand_over.add_argument("--name", required=True, help="of the artifact that the folder will be uploaded as")
    hand_over.add_argument("--into", required=True, type=Path, metavar="FOLDER", help="empty, or not there yet")
    hand_over.add_argument("--received", default="", metavar="JSON", help=PARCELS)
    hand_over.set_defaults(run=_hand_over)


def _hand_over(arguments: argparse.Namespace) -> None:
    from artifact_flow.files import repository_root  # noqa: PLC0415
    from artifact_flow.parcel import pack, read_parcels, write_parcels  # noqa: PLC0415

    earlier = read_parcels(arguments.received)
    parcel = pack(repository_root(), arguments.stages, arguments.name, arguments.into, earlier)
    print(write_parcels([*earlier, parcel]))


def _add_receive(commands: Commands) -> None:
    receive = commands.add_parser(
        "receive",
        help="take what earlier CI jobs handed over, once it is proven to be that",
        description="Compare parcels with the sha256 that their jobs told apart from them, copy what dvc.yaml declares "
        "and check it out; nothing is copied or opened before. Print the stages that need not run again.",
    )
    receive.add_argument("stages", nargs="+", metavar="STAGE", help="that the earlier jobs reproduced")
    receive.add_argument("--from", required=True, type=Path, dest="folder", metavar="FOLDER", help="a folder a parcel")
    receive.add_argument("--parcels", required=True, metavar="JSON", help=PARCELS)
    receive.set_defaults(run=_receive)


def _receive(arguments: argparse.Namespace) -> None:
    from artifact_flow.files import repository_root  # noqa: PLC0415
    from artifact_flow.parcel import read_parcels, receive  # noqa: PLC0415

    kept = receive(repository_root(), arguments.folder, read_parcels(arguments.parcels), arguments.stages)
    print(" ".join(kept))


if __name__ == "__main__":
    main()
