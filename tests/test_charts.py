"""Charts as specifications: what they encode, what their titles say, and that they fetch nothing."""

import importlib
import json
import pkgutil
import re

import altair as alt
import pandas as pd
import pytest
from altair.utils import schemapi

from dcbudget import charts, offline
from drawn import EVIL, MONTHS, SUBTITLE, TITLE, empty


def made():
    """Every drawing function over a small frame, with the fields that it must encode."""
    actual = pd.DataFrame({"month": MONTHS, "category": ["Power", EVIL], "actual": [1.0, 2.0]})
    budget = pd.DataFrame({"month": MONTHS, "budget": [1.5, 1.5]})
    variances = pd.DataFrame(
        {"project": ["a", EVIL], "budget": [1.0, 2.0], "actual": [2.0, 1.0], "variance": [1.0, -1.0]}
    )
    movers = pd.DataFrame({"label": ["a", EVIL], "before": [1.0, 2.0], "now": [2.0, 1.0], "change": [1.0, -1.0]})
    hours = pd.DataFrame({"pool": ["p", "p", EVIL], "part": ["busy", "idle", "busy"], "gpu_hours": [1.0, 2.0, 3.0]})
    daily = pd.DataFrame({"day": MONTHS, "pool": ["p", EVIL], "allocation_rate": [0.5, 1.2]})
    waits = pd.DataFrame({"partition": ["p", EVIL], "quantile": ["median", "95 %"], "hours": [1.0, 2.0]})
    needs = pd.DataFrame({"pool": ["p", EVIL], "what": ["now", "needed"], "gpus": [1.0, 2.0]})
    lines = pd.DataFrame({"month": MONTHS, "pool": ["p", EVIL], "idle": [1.0, 2.0]})
    return {
        "trend": (charts.trend(actual, budget, TITLE, SUBTITLE), {"month", "actual", "category", "budget"}),
        "variance_bars": (charts.variance_bars(variances, "project", TITLE, SUBTITLE), {"project", "variance"}),
        "movers_bars": (charts.movers_bars(movers, TITLE, SUBTITLE), {"label", "change"}),
        "stacked_hours": (charts.stacked_hours(hours, TITLE, SUBTITLE), {"pool", "part", "gpu_hours", "order"}),
        "occupancy": (charts.occupancy(daily, TITLE, SUBTITLE), {"day", "pool", "allocation_rate"}),
        "waits": (charts.waits(waits, TITLE, SUBTITLE), {"partition", "quantile", "hours"}),
        "needs": (charts.needs(needs, TITLE, SUBTITLE), {"pool", "what", "gpus"}),
        "monthly_lines": (charts.monthly_lines(lines, "idle", "pool", TITLE, SUBTITLE), {"month", "pool", "idle"}),
    }


MADE = made()
EMPTY = {
    "trend": lambda: charts.trend(empty("month", "category", "actual"), empty("month", "budget"), TITLE, SUBTITLE),
    "variance_bars": lambda: charts.variance_bars(empty("project", "variance"), "project", TITLE, SUBTITLE),
    "movers_bars": lambda: charts.movers_bars(empty("label", "change"), TITLE, SUBTITLE),
    "stacked_hours": lambda: charts.stacked_hours(empty("pool", "part", "gpu_hours"), TITLE, SUBTITLE),
    "occupancy": lambda: charts.occupancy(empty("day", "pool", "allocation_rate"), TITLE, SUBTITLE),
    "waits": lambda: charts.waits(empty("partition", "quantile", "hours"), TITLE, SUBTITLE),
    "needs": lambda: charts.needs(empty("pool", "what", "gpus"), TITLE, SUBTITLE),
    "monthly_lines": lambda: charts.monthly_lines(empty("month", "pool", "x"), "x", "pool", TITLE, SUBTITLE),
}
# Charts of one stage are in a module of their own, with what they draw in `drawn_<module>`.
PARTS = [part.name for part in pkgutil.iter_modules(charts.__path__)]
for part in PARTS:
    drawn = importlib.import_module(f"drawn_{part}")
    MADE |= drawn.MADE
    EMPTY |= drawn.EMPTY


def fields(spec):
    """The names of the columns that the encodings of all layers draw, tooltips apart."""
    found = set()
    for layer in spec.get("layer", [spec]):
        for channel, encoding in layer.get("encoding", {}).items():
            if channel != "tooltip" and "field" in encoding:
                found.add(encoding["field"])
    return found


def columns(spec):
    return {name for rows in spec["datasets"].values() for row in rows for name in row}


def test_every_drawing_function_is_tested():
    functions = {
        name
        for module in (charts, *(importlib.import_module(f"dcbudget.charts.{part}") for part in PARTS))
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__ and name[0].islower()
    }
    assert (
        MADE.keys() == EMPTY.keys() == functions - {"show", "live", "unchecked", "title_of", "tips", "titled", "labels"}
    )


@pytest.mark.parametrize("name", MADE)
def test_chart_encodes_its_columns(name):
    chart, wanted = MADE[name]
    spec = chart.to_dict()
    assert fields(spec) == wanted
    tooltips = {tip["field"] for layer in spec.get("layer", [spec]) for tip in layer["encoding"].get("tooltip", [])}
    assert fields(spec) | tooltips <= columns(spec)


@pytest.mark.parametrize("name", MADE)
def test_title_states_the_finding_and_the_subtitle_the_basis(name):
    chart = MADE[name][0]
    title = chart.to_dict()["title"]
    assert title["text"] == TITLE
    assert title["subtitle"].startswith(SUBTITLE)
    assert charts.title_of(chart).startswith(f"{TITLE} - {SUBTITLE}")


@pytest.mark.parametrize("name", MADE)
def test_chart_holds_its_data_and_no_address(name):
    spec = MADE[name][0].to_dict()
    schema = spec.pop("$schema")
    assert schema.startswith("https://vega.github.io/schema/vega-lite/")
    text = json.dumps(spec)
    assert '"url"' not in text and "http" not in text and "href" not in text
    assert spec["datasets"]


@pytest.mark.parametrize("name", MADE)
def test_drawing_is_svg_without_scripts_and_addresses(name):
    bundle = charts.Drawing(MADE[name][0])._repr_mimebundle_()
    svg = bundle["image/svg+xml"]
    assert svg.startswith("<svg") and "<script" not in svg
    assert TITLE in svg and "&lt;script&gt;" in svg
    assert set(re.findall(r"https?://[^\"' ]+", svg)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "href" not in svg
    assert bundle["text/plain"].startswith(TITLE)


@pytest.mark.parametrize("name", EMPTY)
def test_chart_of_nothing_is_a_chart(name):
    svg = charts.Drawing(EMPTY[name]())._repr_mimebundle_()["image/svg+xml"]
    assert TITLE in svg


def test_parts_are_stacked_in_the_order_of_the_frame():
    spec = MADE["stacked_hours"][0].to_dict()
    assert spec["encoding"]["color"]["scale"]["domain"] == ["busy", "idle"]
    assert [row["order"] for row in next(iter(spec["datasets"].values()))] == [0, 1, 0]


def test_over_budget_is_told_by_more_than_a_bars_side():
    colour = MADE["variance_bars"][0].to_dict()["layer"][0]["encoding"]["color"]
    assert (colour["condition"]["value"], colour["value"]) == (charts.ORANGE, charts.BLUE)
    assert "datum.variance > 0" in json.dumps(colour)


def test_month_labels_do_not_depend_on_the_readers_time_zone():
    """Times go to the browser as local ones without a zone: the first of May is in May everywhere."""
    rows = next(iter(MADE["monthly_lines"][0].to_dict()["datasets"].values()))
    assert [row["month"] for row in rows] == ["2026-04-01T00:00:00", "2026-05-01T00:00:00"]


def test_show_is_live_or_svg(monkeypatch):
    chart = MADE["needs"][0]
    monkeypatch.setenv("DCBUDGET_CHARTS", "svg")
    assert isinstance(charts.show(chart), charts.Drawing)
    monkeypatch.delenv("DCBUDGET_CHARTS")
    shown = charts.show(chart)
    assert isinstance(shown, alt.JupyterChart)
    assert shown.chart.to_dict() == chart.to_dict()


@pytest.mark.parametrize("name", MADE)
def test_live_chart_shows_what_the_schema_allows(name):
    """It is not held against the schema again where it is shown; a plain dictionary is."""
    chart = MADE[name][0]
    assert charts.live(chart).spec == chart.to_dict(validate=True)


@pytest.mark.parametrize("name", EMPTY)
def test_chart_is_made_of_channels_and_no_bare_texts(name, monkeypatch):
    """Each text that stands for a channel costs altair a search through all of its classes, at every redraw."""
    monkeypatch.setattr(schemapi.SchemaBase, "from_dict", lambda *_, **__: pytest.fail("a bare text is encoded"))
    EMPTY[name]()


def test_charts_are_checked_as_they_are_made_outside_of_panels():
    with pytest.raises(schemapi.SchemaValidationError):
        alt.Axis(format=1)
    with charts.unchecked():
        alt.Axis(format=1)
    with pytest.raises(schemapi.SchemaValidationError):
        alt.Axis(format=1)


@pytest.fixture
def no_bundle(tmp_path, monkeypatch):
    """A process that has no scripts yet, and an empty cache."""
    monkeypatch.setattr(offline, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(alt.JupyterChart, "_is_offline", False)
    monkeypatch.setattr(alt.JupyterChart, "_esm", alt.JupyterChart._esm)
    made = []

    def enable_offline(_):
        made.append("made")
        alt.JupyterChart._esm, alt.JupyterChart._is_offline = f"export default {{}} // é {len(made)}\r\n", True

    monkeypatch.setattr(alt.JupyterChart, "enable_offline", enable_offline)
    return made


def start_anew():
    """Charts as in a process that has just begun; the scripts that they get."""
    alt.JupyterChart._is_offline, alt.JupyterChart._esm = False, ""
    offline.enable()
    return alt.JupyterChart._esm


def test_scripts_are_bundled_once_for_all_processes(no_bundle):
    assert start_anew() == start_anew() == "export default {} // é 1\r\n"
    assert no_bundle == ["made"]
    assert [path.name for path in offline.bundle_file().parent.iterdir()] == [offline.bundle_file().name]


@pytest.mark.parametrize("spoilt", [b"", b"export default {}", b"\xff\xfe", None])
def test_bundle_that_is_not_whole_is_made_again(no_bundle, spoilt):
    start_anew()
    kept = offline.bundle_file().read_bytes()
    offline.bundle_file().write_bytes(kept[:-4] if spoilt is None else spoilt)
    assert start_anew().endswith("2\r\n") and len(no_bundle) == 2


def test_cache_that_cannot_be_written_costs_nothing_else(no_bundle):
    offline.bundle_file().parent.write_text("a file in the folder's place")
    assert start_anew().endswith("1\r\n") and start_anew().endswith("2\r\n")


def test_live_chart_is_offline():
    """Offline, anywidget's script is in the package; otherwise it would be fetched."""
    charts.live(MADE["needs"][0])
    assert "https://esm.sh" not in alt.JupyterChart._esm and len(alt.JupyterChart._esm) > 100_000


def test_title_of_a_plain_title():
    assert charts.title_of(alt.Chart(empty("a")).mark_bar().properties(title="plain")) == "plain"
    assert charts.title_of(alt.Chart(empty("a")).mark_bar()) == ""
