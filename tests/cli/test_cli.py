"""The command line is light to start and speaks in sentences."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from artifact_flow.cli import COMMANDS, main


def test_help_imports_neither_scikit_learn_nor_dvc() -> None:
    """`artifact-flow --help` answers at once."""
    probe = (
        "import sys\n"
        "from artifact_flow.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'sklearn', 'dvc', 'numpy', 'pyarrow', 'pydantic'} & set(sys.modules)))"
    )
    environ = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", probe], env=environ, capture_output=True, text=True, check=True)
    assert "verify" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    """No command is a usage error, not a silent success."""
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "the following arguments are required: COMMAND" in capsys.readouterr().err


def test_every_command_has_a_help_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Each module adds one command, and its `--help` describes it."""
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2].replace("_", "-")
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: artifact-flow {name} ")


@pytest.mark.parametrize("arguments", [("serve", "--workers"), ("sweep", "train.C=1", "--jobs")])
def test_a_number_of_processes_is_checked(arguments: tuple[str, ...]) -> None:
    """Zero and 65 processes are refused by the same sentence."""
    for number in ("0", "65"):
        with pytest.raises(SystemExit, match=rf"^error: {arguments[-1]} is {number}: give 1 to 64\.$"):
            main([*arguments, number])


def test_outside_a_repository_verify_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no git repository there is nothing to verify, and that is said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(SystemExit) as ended:
        main(["verify"])
    assert str(ended.value.code).startswith("error: `git rev-parse --show-toplevel` failed in ")
    assert "not a git repository" in str(ended.value.code)


def complete(script: str, *words: str) -> set[str]:
    """Return what bash offers for the last of the words."""
    typed = " ".join(f"'{word}'" for word in ("artifact-flow", *words))
    ask = f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}; $(complete -p artifact-flow | sed 's/.*-F //; s/ .*//')"
    probe = f'{script}\n{ask} artifact-flow "{words[-1]}"\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_bash_completes_commands_options_and_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed script offers commands, a command's options, an option's values, and paths where a path belongs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "bash"])
    assert ended.value.code == 0
    script = capsys.readouterr().out
    assert complete(script, "re") == {"receive", "register", "reproduce"}
    assert complete(script, "doctor", "--") == {"--help", "--json", "--service"}
    assert complete(script, "drift", "--fail-on", "") == {"alert", "warn"}
    assert complete(script, "attest", "mo") == {"model.onnx"}


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_have_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It names every command, and zsh, if it is installed, can read it."""
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", shell])
    assert ended.value.code == 0
    script = capsys.readouterr().out
    assert all(command.__name__.rpartition(".")[2].replace("_", "-") in script for command in COMMANDS)
    if shutil.which("zsh") and shell == "zsh":
        subprocess.run(["zsh", "-n"], input=script, text=True, check=True)


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The three shells are named."""
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "fish"])
    assert ended.value.code == 2
    assert "invalid choice: 'fish'" in capsys.readouterr().err
