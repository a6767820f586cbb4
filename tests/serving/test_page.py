"""The page: real Chromium in front of a real server, as a person with a mouse, a keyboard or a phone meets it."""

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect, sync_playwright
from project import is_finished
from serving.papers import write_papers
from serving.server import IRIS_ROW, Server

FLOWS = Path(__file__).resolve().parents[2] / "flows"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None and "CI" not in os.environ, reason="needs Chromium: apt-get install chromium"
)


def made(name: str, *values: object) -> Any:
    """Return a parameter set about a flow that the working tree has finished."""
    return pytest.param(name, *values, marks=pytest.mark.needs_flows(name))


MODELS = ["digits", "iris", "own", made("california_housing"), made("olivetti_faces")]
SEVEN = [(0.28, 0.22), (0.72, 0.22), (0.6, 0.5), (0.48, 0.82)]  # a stroke, as shares of the drawing field

TIMEOUT = 20_000  # milliseconds until a page that shares its processors with other tests has failed

REFUSED = re.compile(r"Failed to load resource: (the server responded with a status of 4(01|15|22)|net::ERR_INTERNET)")

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def server(models: dict[str, Path]) -> Iterator[Server]:
    """A server with digits, iris and a mixed table's classifier, and of the checkout a regressor and faces."""
    flows = filter(is_finished, (FLOWS / name for name in ("california_housing", "olivetti_faces")))
    shown = [*(models[name] for name in ("digits", "iris", "own")), *(flow / "model.onnx" for flow in flows)]
    with Server(*shown) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium; its crash reports and caches go into a folder of the tests."""
    assert BROWSER, "Chromium is missing: apt-get install chromium"
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        home: dict[str, str | float | bool] = {**os.environ, "HOME": str(tmp_path_factory.mktemp("home"))}
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"], env=home)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Open]:
    """Return a page at a model; whatever goes wrong in it that no test caused fails the test."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_at(model: str, at: Server = server, **options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("response", lambda answer: faults.append(answer.url) if answer.status == 404 else None)
        page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
        page.goto(f"http://127.0.0.1:{at.port}/#{model}")
        return page

    yield open_at
    for context in contexts:
        context.close()
    # a refusal is in the console too, by the browser's own hand
    assert [fault for fault in faults if not REFUSED.match(fault)] == []


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def field(page: Page, label: str) -> Locator:
    """Return the input with a label."""
    return page.get_by_label(label, exact=True)


def result(page: Page, number: int = 0) -> Locator:
    """Return where an answer stands."""
    return page.locator(".result").nth(number)


def stroke(page: Page, points: list[tuple[float, float]]) -> None:
    """Draw a line with the mouse."""
    box = field(page, "Drawing field").bounding_box()
    assert box
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def picture(size: int = 120) -> bytes:
    """Return a PNG of a black 1 on white."""
    image = Image.new("L", (size, size), 255)
    ImageDraw.Draw(image).line([(size * 0.5, size * 0.15), (size * 0.5, size * 0.85)], 0, size // 8)
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.slow
def test_a_model_is_shown_with_its_card_and_its_drift(open_page: Open, model: str) -> None:
    """The URL names the model; neither the console nor the content security policy reports anything."""
    page = open_page(model)

    expect(page.get_by_role("heading", level=1)).to_have_text(model)
    expect(page.locator("#card dt", has_text=re.compile("^model.onnx$"))).to_be_visible()
    expect(page.locator("#drift figure").first).to_be_visible()
    expect(field(page, "Model")).to_have_value(model)


def test_a_model_can_be_chosen_and_back_returns_to_the_previous_one(open_page: Open) -> None:
    """The choice is part of the URL, so that it can be linked."""
    page = open_page("iris")

    field(page, "Model").select_option("own")
    expect(page.get_by_role("heading", level=1)).to_have_text("own")
    assert page.url.endswith("#own")
    page.go_back()

    expect(page.get_by_role("heading", level=1)).to_have_text("iris")


@pytest.mark.parametrize(("model", "bars"), [("iris", 3), ("own", 3), made("california_housing", 0)])
def test_an_example_is_predicted(open_page: Open, model: str, bars: int) -> None:
    """A drawn row lies in the training's ranges, and its answer is text, bars where there are classes, and a time."""
    page = open_page(model)
    for _ in range(5):
        press(page, "Example")
        expect(page.locator(".odd")).to_have_count(0)

    press(page, "Predict")

    expect(result(page)).to_have_text(re.compile(r"\w"))
    expect(page.locator(".bars li")).to_have_count(bars)
    expect(page.locator(".latency")).to_have_text(re.compile(r"^[\d.]+ ms, measured"))


def test_the_page_shows_the_response_of_the_service(open_page: Open, server: Server) -> None:
    """The request has the typed values; a screen reader announces the answer once."""
    said = server.post("/models/iris/predict", IRIS_ROW).document
    page = open_page("iris")
    for name, value in IRIS_ROW.items():
        field(page, name).fill(str(value))

    press(page, "Predict")

    expect(page.locator("#said")).to_have_text(f"{said['class_name']}, {100 * said['confidence']:.1f} %")


def test_float_and_8_bit_stand_side_by_side(open_page: Open) -> None:
    """Both answers and whether they agree."""
    page = open_page("iris")
    press(page, "Example")
    field(page, "both").check()

    press(page, "Predict")

    expect(page.locator(".one h3")).to_have_text(["float", "8-bit"])
    expect(page.locator(".agreement")).to_have_text(re.compile("^They (dis)?agree"))


def test_an_error_is_shown_at_its_field(open_page: Open) -> None:
    """The page shows the service's sentence and focuses the field that it names."""
    page = open_page("iris")
    press(page, "Example")
    field(page, "petal_width").fill("1e39")

    press(page, "Predict")

    expect(page.locator("#refusal")).to_have_text("petal_width is 1e+39: send a number.")
    expect(field(page, "petal_width")).to_be_focused()
    field(page, "petal_width").fill("0.2")
    press(page, "Predict")
    expect(page.locator("#refusal")).to_be_hidden()
    expect(result(page)).to_be_visible()


def test_a_value_outside_training_is_marked_and_predicted(open_page: Open) -> None:
    """It is a warning, not an error."""
    page = open_page("iris")
    press(page, "Example")
    field(page, "sepal_length").fill("99")

    expect(page.locator(".odd")).to_have_text(re.compile("^outside training: 4.3 to"))
    press(page, "Predict")

    expect(result(page)).to_be_visible()


def test_a_digit_is_drawn_with_the_mouse(open_page: Open) -> None:
    """The service receives the strokes, and Clear removes them."""
    page = open_page("digits")
    stroke(page, SEVEN)
    press(page, "Predict")
    expect(result(page)).to_contain_text("7")

    press(page, "Clear")
    press(page, "Predict")

    expect(page.locator("#refusal")).to_have_text(re.compile("^the image is empty"))


def test_a_digit_is_drawn_by_keyboard(open_page: Open) -> None:
    """Arrow keys move, space inks, enter predicts."""
    page = open_page("digits")
    field(page, "Drawing field").focus()
    for key in ["ArrowRight"] * 3 + ["Space", "ArrowDown"] * 7 + ["Space", "Enter"]:
        page.keyboard.press(key)

    expect(result(page)).to_contain_text("1")


@pytest.mark.parametrize("model", ["digits", made("olivetti_faces")])
def test_an_image_is_predicted_when_it_is_chosen(open_page: Open, model: str) -> None:
    """The file is shown and predicted; a file that is not an image gets the service's sentence."""
    page = open_page(model)
    chooser = page.get_by_label("hoose an image")
    chooser.set_input_files({"name": "one.png", "mimeType": "image/png", "buffer": picture()})
    expect(result(page)).to_be_visible()
    expect(page.locator(".preview")).to_be_visible()

    chooser.set_input_files({"name": "one.txt", "mimeType": "text/plain", "buffer": b"one"})

    expect(page.locator("#refusal")).to_have_text("the body is not an image: send PNG, JPEG or WebP.")


def test_iris_can_be_used_with_the_keyboard_only(open_page: Open) -> None:
    """From the URL to the prediction with Tab, the arrow keys and Enter; the focus is always visible."""
    page = open_page("digits")
    expect(page.get_by_role("heading", level=1)).to_have_text("digits")

    def tab_to(place: Locator) -> None:
        for _ in range(20):
            page.keyboard.press("Tab")
            if place.evaluate("element => element === document.activeElement"):
                outline = place.evaluate("element => getComputedStyle(element).outlineStyle")
                assert outline == "solid"
                return
        raise AssertionError(f"Tab does not lead to {place}")

    tab_to(field(page, "Model"))
    page.keyboard.type("iris")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("iris")
    for name, value in IRIS_ROW.items():
        tab_to(field(page, name))
        page.keyboard.type(str(value))
    tab_to(field(page, "float"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")

    expect(result(page)).to_contain_text("setosa")
    expect(page.locator(".one")).to_have_attribute("data-weights", "8bit")


@pytest.mark.parametrize("model", ["digits", "iris", made("olivetti_faces")])
def test_a_phone_scrolls_only_vertically(open_page: Open, model: str) -> None:
    """Nothing is wider than 320 pixels, not even two predictions side by side."""
    page = open_page(model, viewport={"width": 320, "height": 640})
    expect(page.locator("#drift figure").first).to_be_visible()
    if model == "iris":
        press(page, "Example")
        field(page, "both").check()
        press(page, "Predict")
        expect(result(page, 1)).to_be_visible()

    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_dark_and_light_schemes_have_enough_contrast(open_page: Open) -> None:
    """The schemes differ, and the contrast of text is at least 7 to 1 in each."""
    grounds = set()
    for scheme in ("light", "dark"):
        page = open_page("iris", color_scheme=scheme)
        colors = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        text, ground = (_luminance(color) for color in colors)
        assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) > 7  # WCAG 2.2, 1.4.6
        grounds.add(ground)

    assert len(grounds) == 2


def _luminance(color: str) -> float:
    """Return the relative luminance of rgb(…), as WCAG defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.slow
def test_the_page_asks_for_the_key_and_keeps_it_for_the_tab(open_page: Open, models: dict[str, Path]) -> None:
    """Without the key the page shows nothing; it reports a wrong key and keeps the right one for the tab's lifetime."""
    with Server(models["iris"], ARTIFACT_FLOW_API_KEY="sesame") as locked:
        page = open_page("", at=locked)
        for key in ("mellon", "sesame"):
            expect(page.locator("#key-reason")).to_have_text(re.compile("^the API key is missing or wrong"))
            expect(page.locator("#model")).to_be_hidden()
            field(page, "API key").fill(key)
            page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("iris")

        page.reload()

        expect(page.get_by_role("heading", level=1)).to_have_text("iris")
        expect(page.locator("#key")).to_be_hidden()


def test_an_unreachable_service_is_reported(open_page: Open) -> None:
    """The page shows a sentence instead of waiting forever."""
    page = open_page("iris")
    press(page, "Example")
    page.context.set_offline(True)

    press(page, "Predict")

    expect(page.locator("#refusal")).to_have_text("the service cannot be reached: is it running?")


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("5,1", 'sepal_length is "5,1": type a point before the decimals, 5.1.'),
        ("abc", 'sepal_length is "abc": type a number in digits, such as 5.1.'),
        ("0x10", 'sepal_length is "0x10": type a number in digits, such as 5.1.'),
        ("1e999", 'sepal_length is "1e999", which is too large: type a smaller number.'),
    ],
)
@pytest.mark.slow
def test_what_is_no_number_is_refused_with_the_reason(open_page: Open, typed: str, reason: str) -> None:
    """It is never predicted as another number; what was typed stays in the field."""
    page = open_page("iris")
    press(page, "Example")
    field(page, "sepal_length").fill(typed)

    press(page, "Predict")

    expect(page.locator("#refusal")).to_have_text(reason)
    expect(field(page, "sepal_length")).to_have_value(typed)
    expect(result(page)).to_have_count(0)


def test_the_answer_says_that_a_value_is_outside_training_and_why(open_page: Open) -> None:
    """The answer itself names the value and the range, and the bars name the column that decided."""
    page = open_page("iris")
    press(page, "Example")
    field(page, "sepal_length").fill("99")

    press(page, "Predict")

    expect(page.locator("#caution")).to_have_text(re.compile("^Outside the training range: sepal_length 99 "))
    expect(page.locator(".effects .name").first).to_have_text("sepal_length")


def test_a_drawing_is_predicted_when_the_pen_stays_up(open_page: Open) -> None:
    """Without a button; beside it stands what the model saw, and Undo takes the stroke back."""
    page = open_page("digits")
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()

    stroke(page, SEVEN)

    expect(result(page)).to_contain_text("7")
    expect(page.locator(".seen canvas")).to_have_attribute("width", "8")
    expect(page.locator("#caution")).to_be_hidden()
    press(page, "Undo")
    press(page, "Predict")
    expect(page.locator("#refusal")).to_have_text(re.compile("^the image is empty"))


def test_a_picture_unlike_the_training_data_is_predicted_with_a_warning(open_page: Open) -> None:
    """A dash is no digit."""
    page = open_page("digits")

    stroke(page, [(0.1, 0.5), (0.9, 0.5)])

    expect(page.locator("#caution")).to_have_text(re.compile("^This picture is unlike the training pictures"))


def test_a_csv_file_is_predicted_and_can_be_downloaded(open_page: Open) -> None:
    """Each row with its prediction, also where a quoted value has a line break; a refusal names the row."""
    page = open_page("iris")
    rows = b'sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,"0.2\n"\n6,3,5,2\n'
    chooser = page.get_by_label("Or many rows, as a CSV file")
    chooser.set_input_files({"name": "flowers.csv", "mimeType": "text/csv", "buffer": rows})

    with page.expect_download() as download:
        page.get_by_role("link", name="Download flowers_predictions.csv").click()

    lines = Path(download.value.path()).read_text()
    assert re.search(r'5\.1,3\.5,1\.4,"0\.2\n",setosa,0\.\d+\n6,3,5,2,virginica,0\.\d+\n$', lines)
    chooser.set_input_files({"name": "flowers.csv", "mimeType": "text/csv", "buffer": rows + b"x,3,5,2\n"})
    expect(page.locator("#refusal")).to_have_text(re.compile('^row 3: sepal_length is "x"'))


@pytest.mark.slow
def test_units_and_descriptions_stand_beside_the_names(open_page: Open, models: dict[str, Path]) -> None:
    """At the fields, as text that no markup changes, and at the answer."""
    with Server(models["price"]) as server:
        page = open_page("", at=server, viewport={"width": 320, "height": 640})
        size = field(page, "size 100 m² optional")
        expect(size).to_have_accessible_description(re.compile("^Floor space, <b>measured</b> inside. in training: "))
        expect(size).to_have_attribute("title", "Floor space, <b>measured</b> inside.")
        expect(page.locator("#card")).to_contain_text("price, a number in 1000 €; What was paid, without taxes")
        press(page, "Example")
        press(page, "Predict")
        expect(result(page)).to_have_text(re.compile(r"^-?[\d.]+1000 €$"))
        expect(page.locator(".one")).to_contain_text("predicted priceWhat was paid, without taxes")
        expect(page.locator("#why")).to_contain_text("Added to the price in 1000 €, compared")
        assert page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.slow
def test_drift_is_drawn_over_time(open_page: Open, models: dict[str, Path]) -> None:
    """A line of the largest index and one of each drifting column, as soon as there are two points in the past."""
    past = [{"time": f"2026-01-0{day}T12:00:00+00:00", "rows": 200, "status": "ok", "psi": day / 50} for day in (1, 2)]

    def age(route: Route) -> None:
        """Let the service be older than the test can wait for."""
        report = route.fetch().json()
        for column in report["columns"]:
            column["history"] = [0.01, 0.02, *column["history"]]
        route.fulfill(json=report | {"history": [*past, *report["history"]]})

    with Server(models["iris"]) as server:
        row = IRIS_ROW | {"petal_width": 9.0}
        assert server.post("/predict/batch", [row] * 150).status == 200
        page = open_page("", at=server, viewport={"width": 320, "height": 640})
        expect(page.locator("#drift figure")).to_have_count(4)
        expect(page.locator("svg.over-time")).to_have_count(0)
        page.route("**/drift", age)
        press(page, "Refresh")
        expect(page.locator("svg.over-time")).to_have_count(5)
        largest = page.locator(".whole svg")
        expect(largest).to_have_attribute(
            "aria-label", re.compile(r"^All columns: population stability index from 1 Jan, ")
        )
        assert len((largest.locator("polyline").get_attribute("points") or "").split()) == 4
        expect(largest.locator("rect title").first).to_have_text(re.compile(r"^1 Jan, \d\d:\d\d: PSI 0.02$"))
        assert page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.slow
def test_documents_are_read_and_downloaded(open_page: Open, locked: Path) -> None:
    """Each is fetched when it is opened, with the key; a phone scrolls its long lines inside it."""
    written = write_papers(locked)
    with Server(locked / "model.onnx", ARTIFACT_FLOW_API_KEY="sesame") as server:
        page = open_page("", at=server, viewport={"width": 320, "height": 640})
        field(page, "API key").fill("sesame")
        page.keyboard.press("Enter")
        papers = page.locator(".papers details")
        expect(papers).to_have_count(3)
        assert papers.locator("pre").count() == 0

        for number, (name, content) in enumerate(written.items()):
            papers.nth(number).locator("summary").click()
            expect(papers.nth(number).locator("pre")).to_have_text(content.decode(), use_inner_text=False)
            with page.expect_download() as download:
                page.get_by_role("link", name=f"Download {name}").click()
            assert download.value.suggested_filename == name
            assert Path(download.value.path()).read_bytes() == content
        assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_a_document_that_cannot_be_fetched_is_a_sentence_until_it_can(open_page: Open, locked: Path) -> None:
    """Its place says why; opened again, it is fetched again."""
    write_papers(locked)
    with Server(locked / "model.onnx") as server:
        page = open_page("", at=server)
        paper = page.locator(".papers details").first
        expect(paper).to_be_visible()
        page.context.set_offline(True)
        paper.locator("summary").click()
        expect(paper.locator(".refusal")).to_have_text("the service cannot be reached: is it running?")

        page.context.set_offline(False)
        paper.locator("summary").click()
        paper.locator("summary").click()

        expect(paper.locator("pre")).to_have_text(re.compile("iris"))


def test_a_model_without_documents_shows_none(open_page: Open) -> None:
    """There is no empty part of that name."""
    page = open_page("iris")
    expect(page.locator("#drift figure").first).to_be_visible()

    expect(page.get_by_role("heading", name="Papers")).to_have_count(0)


def test_the_request_is_there_for_curl_and_python_and_the_answer_is_remembered(open_page: Open) -> None:
    """Both commands, run as they stand, give the answer of the page."""
    page = open_page("iris")
    for name, value in IRIS_ROW.items():
        field(page, name).fill(str(value))
    press(page, "Predict")
    expect(result(page)).to_contain_text("setosa")

    curl, python = page.locator("#commands pre").all_text_contents()

    for command in (["sh", "-c", curl], [sys.executable, "-c", python]):
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        assert "setosa" in said
    page.get_by_text("Last answers").click()
    expect(page.locator("#remembered li")).to_have_count(1)
    expect(page.locator("#remembered")).to_contain_text("5.1, 3.5, 1.4, 0.2")


def test_touch_needs_neither_keyboard_nor_drop_hints(open_page: Open) -> None:
    """A phone shows what can be done with a finger."""
    page = open_page("digits", viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)

    expect(page.get_by_text("Draw one character.")).to_be_visible()
    expect(page.locator(".for-mouse:visible")).to_have_count(0)
