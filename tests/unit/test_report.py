"""The report: one page that needs nothing else, shows what was measured, and survives odd names."""

import functools
import html.parser
import re
import shutil
import subprocess

import numpy as np
import pytest

from hdl import report
from hdl.spec import Spec

pytest.importorskip("matplotlib", reason="hdl-hadoop[plot] is not installed")

EVIL = "<script>alert('x')</script> & \"ü\""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def make(**changes):
    rng = np.random.default_rng(0)
    confusion = np.array([[50, 2, 0], [1, 47, 0], [0, 3, 40]])
    rows = [
        {
            "round": number,
            "cost": 2.0 / number,
            "accuracy": 1 - 0.5 / number,
            "val_cost": 2.1 / number,
            "val_accuracy": 0.97 - 0.5 / number,
            "seconds": 0.2,
            "samples": 600,
            "workers": [{"worker": worker, "seconds": 0.1, "shards": [worker]} for worker in (0, 1)],
        }
        for number in range(1, 9)
    ]
    facts = report.Facts(
        table=f"/models/{EVIL}",
        version=8,
        sha256="0123456789abcdef" * 4,
        spec=Spec(net="64-20-3").model_dump(mode="json"),
        classes=["cat", EVIL, "dog"],
        data=[("path", f"/data/{EVIL}"), ("samples", "600")],
        rows=rows,
        measured=[report.Measured("digits:test", "Test", 143, 0.1234, 137 / 143, confusion)],
        first_layer=rng.standard_normal((64, 20)).astype(np.float32),
        image=(8, 8, 1),
        seconds=1.6,
    )
    for name, value in changes.items():
        setattr(facts, name, value)
    return report.render(facts)


@functools.cache
def plain():
    """The page of the facts as they are."""
    return make()


class Page(html.parser.HTMLParser):
    """What a browser would see of a page: tags, attributes, text."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.attributes, self.words, self._skip = [], [], [], False
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self._skip = tag == "style"

    def handle_endtag(self, tag):
        self._skip = False

    def handle_data(self, data):
        if not self._skip:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_headline_and_sections():
    text = Page(plain()).text
    assert "Test accuracy 95.80 %" in text
    assert "143 samples of digits:test" in text
    assert "Test cost 0.1234" in text
    assert "Time 1.6 s 8 rounds" in text
    assert "0123456789abcdef" * 4 in text
    for title in ("Learning curves", "Confusion matrix: test data", "First layer", "Time", "Data", "Spec"):
        assert title in text
    assert "6 of 143 samples are mistaken" in text
    assert '"net": [' in text


def test_nothing_comes_from_outside():
    page = Page(plain())
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(page.tags)
    for name, value in page.attributes:
        if name in ("src", "href", "action", "srcset", "data"):
            assert value.startswith(("data:image/png;base64,", "#")), (name, value[:80])
    assert "http:" not in plain().replace("http-equiv", "")
    assert "https:" not in plain()
    assert not re.search(r"url\((?!#|data:)", plain())


def test_names_are_text_and_never_markup():
    source = plain()
    assert "<script" not in source
    assert "alert(&#x27;x&#x27;)" in source
    assert EVIL in Page(source).text
    assert source.count("<h1>") == source.count("</h1>") == 1


def test_confusion_numbers_are_where_they_belong():
    table = re.search(r'<table class="confusion">.*?</table>', plain(), re.S)[0]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", table)
    assert cells == ["50", "2", "·", "96.2", "1", "47", "·", "97.9", "·", "3", "40", "93.0",
                     "98.0", "90.4", "100.0", "95.8"]  # fmt: skip
    assert f"dog taken for {EVIL} (3×)" in Page(plain()).text


def test_first_layer_pictures_only_of_images():
    assert Page(plain()).tags.count("img") == 20
    assert "img" not in Page(make(image=None)).tags
    assert "img" not in Page(make(image=(7, 8, 1))).tags  # not what the net was trained on
    rng = np.random.default_rng(0)
    assert Page(make(first_layer=rng.standard_normal((12, 4)), image=(2, 2, 3))).tags.count("img") == 4


def test_curves_have_both_lines_and_text_stays_text():
    source = plain()
    assert source.count('aria-label="Loss over rounds"') == 1
    assert source.count('aria-label="Accuracy over rounds"') == 1
    svg = re.search(r'<svg role="img" aria-label="Loss.*?</svg>', source, re.S)[0]
    assert "var(--s0)" in svg
    assert "var(--s1)" in svg
    assert "<text" in svg
    assert "#0" not in svg.replace('href="#', "")  # no colour of matplotlib's is left


def test_regression_without_test_data():
    rows = [{"round": 1, "cost": 3.0, "seconds": 0.1}]
    text = Page(make(measured=[], classes=None, rows=rows, first_layer=None, image=None, data=[])).text
    assert "Confusion" not in text
    assert "Accuracy" not in text
    assert "1 round" in text


def test_costs_that_are_not_numbers_do_not_break_the_page():
    rows = [{"round": 1, "cost": float("nan"), "accuracy": None}, {"round": 2, "cost": 1.0, "val_cost": None}]
    assert "Learning curves" in Page(make(rows=rows)).text
    assert "Learning curves" not in Page(make(rows=[])).text


def test_many_classes_become_a_picture():
    matrix = np.diag(np.arange(1, 101))
    matrix[3, 4] = 2
    seen = report.Measured("d", "Test", int(matrix.sum()), 0.1, 0.9, matrix)
    source = make(measured=[seen], classes=range(100), first_layer=None)
    assert '<table class="confusion"' not in source
    assert 'class="heat" src="data:image/png' in source
    assert "3 taken for 4 (2×)" in Page(source).text


def test_equal_facts_give_equal_pages():
    assert make() == plain()


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """The page in headless Chromium: its DOM, and pictures at two widths."""
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    folder = tmp_path_factory.mktemp("look")
    (folder / "report.html").write_text(plain(), encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               "--virtual-time-budget=2000", f"--user-data-dir={folder}/profile"]  # fmt: skip
    address = (folder / "report.html").as_uri()

    def run(*args):
        done = subprocess.run([*command, *args, address], capture_output=True, timeout=250, check=True)
        return done.stdout.decode()

    pictures = {}
    for width in (1200, 500):
        run(f"--screenshot={folder}/{width}.png", f"--window-size={width},1400")
        pictures[width] = folder / f"{width}.png"
    return run("--dump-dom"), pictures


def test_a_browser_lays_the_page_out(seen):
    dom, _ = seen
    assert "95.80" in dom
    assert dom.count("<svg") == 3
    assert dom.count("<script") == 0


@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_shows_more_than_a_blank_page(seen, width):
    from matplotlib.image import imread

    pixels = imread(seen[1][width])[..., :3]
    assert pixels.shape[:2] == (1400, width)
    background = pixels[2, 2]
    drawn = np.abs(pixels - background).max(axis=2) > 0.02
    assert drawn.mean() > 0.2
    for band in np.array_split(drawn, 4):  # text and figures all the way down
        assert band.mean() > 0.1
    blue = (pixels[..., 2] > 0.8) & (pixels[..., 0] < 0.35)  # accuracy, curve, diagonal
    assert blue.sum() > 500
    assert not drawn[:, -8:].any()  # nothing runs out of the page
