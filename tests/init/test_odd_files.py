"""A file as people have it is read as it is meant, with a note, or refused in one sentence that names the cure."""

from pathlib import Path

from init.odd import adopt, check_score, refuse

ROWS = 60
SIZE = [round(30 + 7.3 * (i * 37 % 60), 1) for i in range(ROWS)]
KIND = ["flat", "house", "barn"] * (ROWS // 3)
PRICE = [1000 * i + 250 * (i * 31 % 7) for i in SIZE]


def lines(*columns: object, sep: str = ",") -> str:
    """Return rows of text."""
    return "".join(sep.join(map(str, row)) + "\n" for row in zip(*columns, strict=True))  # type: ignore[call-overload]


def test_a_plain_table_scores_as_scikit_learn_does(tmp_path: Path) -> None:
    """Nothing is odd."""
    adopted = adopt(tmp_path, "size,kind,price\n" + lines(SIZE, KIND, PRICE), "--target", "price")
    assert adopted.roles == {"size": "number", "kind": "category"}
    assert adopted.task == "regression"
    check_score(adopted, {"size": SIZE, "kind": KIND}, PRICE)


def test_an_unknown_target_is_one_sentence(tmp_path: Path) -> None:
    """The columns are named."""
    sentence = refuse(tmp_path, "size,kind,price\n" + lines(SIZE, KIND, PRICE), "--target", "cost")
    assert sentence == "t.csv has no column cost; it has: size, kind, price."
