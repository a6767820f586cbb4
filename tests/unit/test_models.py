"""params become a fitted estimator; what cannot be one is told in one sentence."""

from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC
from unit.tables import contract_of, matrix, train_model, train_rows

from artifact_flow.core.base.determinism import reproducible
from artifact_flow.core.base.errors import ParamsError
from artifact_flow.core.base.params import Params, SearchParams, TrainParams
from artifact_flow.core.model.estimators import build_estimator
from artifact_flow.core.model.fixed_fit import is_portable, predict_fixed
from artifact_flow.core.model.models import build_model, fit_model
from artifact_flow.core.model.predictions import predict_rows
from artifact_flow.core.table.tables import Table

LOGISTIC = "sklearn.linear_model.LogisticRegression"


def train_params(estimator: str = LOGISTIC, **keywords: Any) -> TrainParams:
    """Return a `train` block."""
    return TrainParams(estimator=estimator, threads=1, **keywords)


def test_train_model_returns_a_fitted_logistic_regression(params: Params, digits: Table) -> None:
    """The defaults give a LogisticRegression that has seen the ten digits and converged."""
    estimator = train_model(digits, params.train, train_rows(digits))
    assert isinstance(estimator, LogisticRegression)
    assert estimator.coef_.shape == (10, 64)
    assert estimator.n_iter_[0] < estimator.max_iter


def test_accuracy_of_the_defaults(fitted: Any, digits: Table) -> None:
    """The defaults reach 0.95 on the test split and 1.0 on the train split."""
    train, test = digits.part("train"), digits.part("test")
    assert fitted.score(matrix(digits, test), test.y) >= 0.95
    assert fitted.score(matrix(digits, train), train.y) == 1.0


def test_the_defaults_are_in_fixed_order(params: Params, fitted: Any, digits: Table) -> None:
    """They are fitted and predict by elementwise operations, and their bytes are promised on every machine."""
    assert params.train.arithmetic == "fixed"
    values, probabilities = predict_fixed(fitted, matrix(digits))
    found = predict_rows(fitted, matrix(digits), digits.roles.classes)
    assert np.array_equal(found.values, values)
    assert found.probabilities is not None
    assert found.probabilities.tobytes() == np.asarray(probabilities).tobytes()
    assert np.allclose(probabilities, fitted.predict_proba(matrix(digits)), atol=1e-12)
    assert is_portable(fitted, params.train)


@pytest.mark.parametrize(
    ("estimator", "keywords", "portable"),
    [
        (
            "sklearn.linear_model.LogisticRegression",
            {"max_iter": 1000},
            False,
        ),  # native by default
        ("sklearn.linear_model.LogisticRegression", {"max_iter": 50, "arithmetic": "fixed"}, True),
        ("sklearn.linear_model.LogisticRegression", {"arithmetic": "fixed", "threshold": 0.3}, True),
        ("sklearn.linear_model.LogisticRegression", {"arithmetic": "fixed", "threshold": {"maximize": "f1"}}, False),
        ("sklearn.linear_model.LogisticRegression", {"arithmetic": "fixed", "solver": "liblinear"}, False),
        ("sklearn.naive_bayes.GaussianNB", {"arithmetic": "fixed"}, False),
        ("sklearn.tree.DecisionTreeClassifier", {"random_state": 0}, True),
    ],
)
@pytest.mark.long
def test_the_estimator_decides_whether_bytes_are_promised_everywhere(
    digits: Table, estimator: str, keywords: dict[str, Any], portable: bool
) -> None:
    """One that has no fit in fixed order is fitted by scikit-learn, as are all with native arithmetic."""
    params = TrainParams.model_validate({"estimator": estimator, "threads": 1, **keywords})
    two = digits.y < 2
    fitted = fit_model(build_model(params, "classification"), matrix(digits)[two], digits.y[two], params)
    assert is_portable(fitted, params) is portable


@pytest.mark.long
def test_training_leaves_its_input_alone(params: Params, digits: Table) -> None:
    """Fitting changes neither X nor y."""
    X, y = matrix(digits), digits.y.copy()
    before = X.copy(), y.copy()
    fit_model(build_model(params.train, "classification"), X, y, params.train)
    assert np.array_equal(X, before[0])
    assert np.array_equal(y, before[1])


def test_any_estimator_of_the_task_is_built_with_its_keywords() -> None:
    """An import path and keywords are all it takes."""
    forest = build_estimator(train_params("sklearn.ensemble.RandomForestClassifier", n_estimators=7))
    assert isinstance(forest, RandomForestClassifier)
    assert forest.n_estimators == 7


@pytest.mark.long
def test_an_unseeded_estimator_repeats_itself(digits: Table) -> None:
    """`random_state` left out still gives one model, not another one a run."""
    X = matrix(digits)[:200]
    forest = train_params("sklearn.ensemble.RandomForestClassifier", n_estimators=3)

    def probabilities() -> np.ndarray:
        with reproducible(threads=1):
            return np.asarray(train_model(digits, forest, slice(200)).predict_proba(X))

    assert np.array_equal(probabilities(), probabilities())


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (
            "sklearn.linear_modle.LogisticRegression",
            "there is no module sklearn.linear_modle (did you mean sklearn.linear_model?); allowed",
        ),
        ("sklearn.linear_model.LogisticRegresion", "no LogisticRegresion (did you mean LogisticRegression?)"),
        ("LogisticRegression", "which is not a path in sklearn, xgboost, lightgbm or own; allowed: the import path"),
        ("sklearn.linear_model", "which is not a class of an estimator"),
        ("sklearn.preprocessing.StandardScaler", "which is not a classifier or regressor"),
        ("this.that", "which is not a path in sklearn"),
        ("sklearn", "which is not a path in sklearn"),
        ("sklearn..svm", "which is not a path in sklearn"),
        ("", "which is not a path in sklearn"),
        ("features.winsor.Winsor", "or of a class of your own, whose module must be in src/own."),
        ("own.winsor.Winsor", "but there is no module own"),
        ("xgboost.XGBClassifier", "but xgboost is not installed: install it with `pip install xgboost`"),
        ("lightgbm.LGBMClassifier", "but lightgbm is not installed: install it with `pip install lightgbm`"),
    ],
)
def test_a_path_that_is_no_estimator_is_one_sentence(path: str, sentence: str) -> None:
    """The sentence quotes the path and says what is wrong with it."""
    with pytest.raises(ParamsError) as error:
        build_estimator(train_params(path))
    assert str(error.value).startswith(f"params.yaml: train.estimator is {path!r}")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"Cc": 1.0}, "params.yaml: train.Cc is not an argument of sklearn.linear_model.LogisticRegression (did you"),
        ({"C": "one"}, "params.yaml: train.C is 'one'; allowed: a float in the range (0.0, inf]."),
        ({"C": 0}, "params.yaml: train.C is 0; allowed: a float in the range (0.0, inf]."),
        ({"max_iter": 1.5}, "params.yaml: train.max_iter is 1.5; allowed: an int in the range [0, inf)."),
        ({"random_state": -1}, "params.yaml: train.random_state is -1; allowed: an int in the range [0, 4294967295]"),
        ({"solver": "newton"}, "params.yaml: train.solver is 'newton'; allowed: a str among {"),
        (
            {"solver": "saga", "max_iter": 10**20},
            "params.yaml: train: sklearn.linear_model.LogisticRegression rejects these arguments or this data: ",
        ),
        (
            {"solver": "liblinear"},
            "params.yaml: train: sklearn.linear_model.LogisticRegression rejects these arguments or this data: ",
        ),
    ],
)
@pytest.mark.long
def test_a_refused_keyword_is_one_sentence(digits: Table, keywords: dict[str, Any], sentence: str) -> None:
    """The estimator's own check is passed on with file and key."""
    with pytest.raises(ParamsError) as error:
        train_model(digits, train_params(**keywords))
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_a_required_argument_that_is_missing_is_one_sentence() -> None:
    """A meta-estimator, which needs another one, cannot be built from params."""
    with pytest.raises(ParamsError, match=r"train: sklearn.ensemble.StackingClassifier rejects .* 'estimators'"):
        build_estimator(train_params("sklearn.ensemble.StackingClassifier"))


def test_a_regressor_for_classes_is_refused(digits: Table) -> None:
    """The task comes from the target; the estimator must fit it."""
    with pytest.raises(ParamsError, match=r"the target requires classification; allowed: a classifier\."):
        train_model(digits, train_params("sklearn.linear_model.LinearRegression"))


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"C": True}, "params.yaml: train.C is true; allowed: a float in the range (0.0, inf]."),
        ({"max_iter": False}, "params.yaml: train.max_iter is false; allowed: an int in the range [0, inf)."),
        ({"random_state": True}, "params.yaml: train.random_state is true; allowed: an int in the range [0, 42949"),
        ({"n_jobs": True}, "params.yaml: train.n_jobs is true; allowed: None or an instance of 'int'."),
        ({"search": {"C": [1.0, True]}}, "params.yaml: train.search.space.C is true; allowed: a float in the range"),
    ],
)
def test_true_is_no_number(keywords: dict[str, Any], sentence: str) -> None:
    """Python takes True for 1, and scikit-learn so for a C."""
    if "search" in keywords:
        keywords = {"search": SearchParams(strategy="grid", space=keywords["search"])}
    with pytest.raises(ParamsError) as raised:
        build_estimator(train_params(**keywords))
    assert str(raised.value).startswith(sentence)


def test_true_is_taken_where_it_is_meant() -> None:
    """An argument that is documented as a boolean takes one, and one for `verbose`."""
    estimator = build_estimator(train_params(fit_intercept=False, warm_start=True, verbose=True))
    assert (estimator.fit_intercept, estimator.warm_start, estimator.verbose) == (False, True, True)


PCA = {"estimator": "sklearn.decomposition.PCA", "n_components": 10}
SVC = {"estimator": "sklearn.svm.LinearSVC", "C": 0.5}
PIPELINE = "sklearn.pipeline.Pipeline"


def test_objects_are_nested_as_in_the_parameters() -> None:
    """In lists of [name, object], under `keywords`, and as plain arguments; a list becomes a tuple where one is due."""
    steps = [
        ["scale", {"estimator": "sklearn.preprocessing.MinMaxScaler", "feature_range": [0, 2]}],
        ["pca", PCA],
        ["nothing", "passthrough"],
        ["fit", {"estimator": "sklearn.calibration.CalibratedClassifierCV", "keywords": {"estimator": SVC}, "cv": 3}],
    ]
    model = build_estimator(train_params(PIPELINE, steps=steps))
    assert isinstance(model, Pipeline)
    assert [name for name, _ in model.steps] == ["scale", "pca", "nothing", "fit"]
    assert (model[0].feature_range, model[1].n_components, model[2]) == ((0, 2), 10, "passthrough")
    assert isinstance(model[3].estimator, LinearSVC)
    assert (model[3].estimator.C, model[3].cv) == (0.5, 3)
    calibrated = train_params("sklearn.calibration.CalibratedClassifierCV", keywords={"estimator": SVC}, ensemble=False)
    assert build_estimator(calibrated).estimator.C == 0.5


@pytest.mark.long
def test_an_argument_inside_is_set_by_its_double_name(digits: Table) -> None:
    """`pca__n_components` of a search is an argument too, and gives the bytes of the nested spelling."""
    space = {"pca__n_components": [5, 6], "fit__C": [1.0]}
    steps = [["pca", PCA], ["fit", {"estimator": LOGISTIC, "max_iter": 5000}]]
    build_estimator(train_params(PIPELINE, steps=steps, search=SearchParams(strategy="grid", space=space)))
    one = train_params(PIPELINE, steps=steps, pca__n_components=5)
    other = train_params(PIPELINE, steps=[["pca", PCA | {"n_components": 5}], steps[1]])
    models = [train_model(digits, params, slice(200)) for params in (one, other)]
    assert len({joblib.hash(model) for model in models}) == 1


@pytest.mark.parametrize(
    ("estimator", "keywords", "sentence"),
    [
        (
            "sklearn.calibration.CalibratedClassifierCV",
            {"keywords": {"estimator": SVC | {"C": -1}}},
            "train.keywords.estimator.C is -1; allowed: a float in the range (0.0, inf).",
        ),
        (
            PIPELINE,
            {"steps": [["pca", PCA | {"n_components": "all"}], ["fit", SVC]]},
            "train.steps[0].n_components is 'all'; allowed: an int in the range",
        ),
        (
            PIPELINE,
            {"steps": [["pca", PCA], ["fit", SVC | {"Cc": 1}]]},
            "train.steps[1].Cc is not an argument of sklearn.svm.LinearSVC (did you mean C?); allowed: C, ",
        ),
        (
            PIPELINE,
            {"steps": [["pca", PCA], ["fit", {"estimator": "sklearn.svm.LinearSCV"}]]},
            "train.steps[1].estimator is 'sklearn.svm.LinearSCV', but sklearn.svm has no LinearSCV (did you mean",
        ),
        (
            PIPELINE,
            {"steps": [["pca", PCA], ["fit", SVC | {"C": True}]]},
            "train.steps[1].C is true; allowed: a float in the range (0.0, inf).",
        ),
        (PIPELINE, {"steps": [["pca", 3]]}, "train.steps[0] is ['pca', 3]; allowed: [name, {estimator: import path"),
        (
            PIPELINE,
            {"steps": [["f", SVC]], "f__D": 1},
            "train.f__D is not an argument of sklearn.pipeline.Pipeline (did",
        ),
        (
            PIPELINE,
            {"keywords": {"steps": 1}, "steps": 2},
            "train.steps and train.keywords.steps are one argument: remo",
        ),
        (
            PIPELINE,
            {"steps": [["f", SVC]], "search": SearchParams(strategy="grid", space={"g__C": [1]})},
            "train.search.space.g__C is not an argument of sklearn.pipeline.Pipeline (did you mean f__C?)",
        ),
        (
            "sklearn.ensemble.VotingClassifier",
            {"estimators": [["a", {"estimator": LOGISTIC, "keywords": 1}]]},
            "train.estimators[0].keywords is 1 (a number); allowed: a mapping of arguments",
        ),
        (
            "sklearn.semi_supervised.SelfTrainingClassifier",
            {},
            "train: sklearn.semi_supervised.SelfTrainingClassifier is incomplete: give the estimators that it needs",
        ),
    ],
)
@pytest.mark.long
def test_what_is_wrong_inside_is_named_by_its_full_key(
    digits: Table, estimator: str, keywords: dict[str, Any], sentence: str
) -> None:
    """A wrong path, a wrong name, a wrong value, at any depth."""
    with pytest.raises(ParamsError) as raised:
        train_model(digits, train_params(estimator, **keywords), slice(200))
    assert str(raised.value).startswith(f"params.yaml: {sentence}")
    assert "\n" not in str(raised.value)


def test_unset_keywords_are_in_no_contract(digits: Table) -> None:
    """The contract of a block without `keywords` does not name them; with them it does."""
    plain, nested = train_params(), train_params(keywords={"C": 0.5})
    assert "keywords" not in contract_of(digits, plain, {}).params["train"]
    assert contract_of(digits, nested, {}).params["train"]["keywords"] == {"C": 0.5}


def test_only_trees_go_unscaled(digits: Table) -> None:
    """A forest needs no scaled features; a vote of a forest and a linear model does."""
    forest = "sklearn.ensemble.RandomForestClassifier"
    vote = {"estimators": [["forest", {"estimator": forest}], ["linear", {"estimator": LOGISTIC}]]}
    for path, keywords, scaled in ((forest, {}, False), ("sklearn.ensemble.VotingClassifier", vote, True)):
        model = build_model(train_params(path, **keywords), "classification", digits.describe(), "auto")
        assert isinstance(model[0].transformers[0][1], Pipeline) is scaled
