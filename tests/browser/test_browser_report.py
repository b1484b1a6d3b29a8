"""The rendered report in a browser without a network."""

import re

import pytest
from lab import CUT_OFF, FLAGS, sync_api

from dcbudget.report import notebooks_folder, render
from dcbudget.stages.monthly import MonthlyReport

pytestmark = pytest.mark.browser

# What a title must name, so that no number stands without its basis.
BASIS = re.compile(
    r"effective cost, [A-Z]{3}|GPU-hours|billed or budgeted money|\d+ of \d+ checks passed|adjusted|adjustments|goodput"
    r"|(alerts?|ordinary) in .*\([A-Z]{3}\)"  # each with its own basis
)
# The source of every chart of a page, whether it stands in the page or in an image.
SOURCES = """() => [...document.querySelectorAll('main svg.marks, main img')].map(node => node.tagName === 'IMG'
  ? new TextDecoder().decode(Uint8Array.from(atob(node.src.split(',')[1]), letter => letter.charCodeAt(0)))
  : node.outerHTML)"""
TITLES = (
    """titles => titles.map(title => [...title.querySelectorAll('text')].map(text => text.textContent).join(' - '))"""
)


@pytest.fixture(scope="module")
def report(own_db, tmp_path_factory):
    return render(None, own_db, tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="module")
def made(own_db):
    """What the report is made of."""
    return MonthlyReport("", str(own_db))


@pytest.fixture(scope="module")
def visit(chromium, report):
    """The page, everything that it asked for, and its problems."""
    asked, problems = [], []

    def answer(route):
        asked.append(route.request.url)
        route.continue_() if route.request.url == report.html.as_uri() else route.abort()

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context(viewport={"width": 1200, "height": 900})
        context.set_offline(True)
        context.route("**/*", answer)
        page = context.new_page()
        page.on("console", lambda line: problems.append(line.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(report.html.as_uri(), wait_until="networkidle")
        yield page, asked, problems
        browser.close()


@pytest.fixture(scope="module")
def drawings(visit):
    """A page of the report's charts alone, with their texts within reach."""
    page, *_ = visit
    alone = page.context.new_page()
    alone.set_content(f"<main>{''.join(page.evaluate(SOURCES))}</main>")
    return alone


def test_asks_for_nothing_but_itself(report, visit):
    _, asked, problems = visit
    assert asked == [report.html.as_uri()]
    assert problems == []


def test_runs_no_script(report):
    html = report.html.read_text(encoding="utf-8").lower()
    assert "<script" not in html
    assert not re.search(r"<[^>]*\s(on\w+\s*=|(href|src)\s*=\s*[\"']?\s*javascript:)", html)


def test_every_chart_is_drawn(visit, drawings):
    page, *_ = visit
    source = (notebooks_folder() / "7_review.ipynb").read_text(encoding="utf-8")
    expected = len(re.findall(r"chart\(\)|bridge_charts\(\)", source)) + 1  # two bridges
    charts = page.locator("main svg.marks, main img")
    assert charts.count() == drawings.locator("svg.marks").count() == expected > 0
    for chart in charts.all():
        box = chart.bounding_box()
        assert box["width"] > 500
        assert box["height"] > 60
        assert chart.evaluate("node => node.tagName !== 'IMG' || node.naturalWidth > 0")
    for drawing in drawings.locator("svg.marks").all():
        assert drawing.locator("path").count() > 3
    assert page.evaluate(CUT_OFF) == []
    assert drawings.evaluate(CUT_OFF) == []


def test_headline_is_the_models(made, report, visit):
    page, *_ = visit
    headline, runs = made.headline(), made.monitor.headline()
    parts = [page.locator(f".card .{part}").all_text_contents() for part in ("label", "value", "remark")]
    assert list(zip(*parts, strict=True)) == [*headline.figures, *runs.figures]
    assert page.locator("h3.dcb").all_text_contents() == [headline.title, runs.title]
    assert all(card.is_visible() for card in page.locator(".card").all())
    assert report.headline == headline.lines()


def test_tables_are_the_models(made, visit):
    page, *_ = visit
    rows = page.locator("table.dcb").evaluate_all(
        "all => all.map(table => [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent)))"
    )
    shown = {"Forecast": made.year_end(), "Runs": made.runs(), "Alerts": made.alerts_table()}
    tables = made.tables() | shown
    for name in tables.keys() - {"Months to come", "Run rate", "Budget and actual"}:
        assert (tables[name].cells() or [["nothing to show"]]) in rows, name


def test_every_title_names_its_basis(visit, drawings):
    page, *_ = visit
    charts = drawings.locator("svg .role-title").evaluate_all(TITLES)
    tables = page.locator("table caption").all_text_contents()
    assert len(charts) == page.locator("main svg.marks, main img").count()
    assert len(tables) == page.locator("table").count() > 5
    assert [title for title in charts + tables if not BASIS.search(title)] == []


def test_shows_no_code(visit):
    page, *_ = visit
    text = page.locator("body").inner_text()
    assert page.locator(".jp-InputArea, .input_area, .highlight, .jp-InputPrompt").count() == 0
    assert not re.search(r"from dcbudget|review\.\w+\(|In \[|Out\[", text)


def test_fits_on_paper(visit):
    page, *_ = visit
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 less its margins
    try:
        assert page.evaluate(CUT_OFF) == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 718
    finally:
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": 1200, "height": 900})


def test_screenshot(visit, tmp_path):
    page, *_ = visit
    page.screenshot(path=tmp_path / "report.png", full_page=True)
    assert (tmp_path / "report.png").stat().st_size > 50_000
