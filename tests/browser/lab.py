"""A real JupyterLab in a real browser: opens a notebook, runs it, and moves its panel as a user would."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright; make install installs it")

# Seconds to wait for a start and for a redraw; generous, because the machine may be shared.
PATIENCE, REDRAW = 120.0, 30.0
HERE = "127.0.0.1"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync",
         f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HERE}"]  # fmt: skip
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # cells out of sight stay in the page, where a test can read them
    "notebook-extension/tracker": {"windowingMode": "none"},
}
PLACES = {
    "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython",
}  # fmt: skip
# What does not fit: texts that leave their chart or are shortened, what leaves its box, numbers on two lines.
CUT_OFF = """() => {
  const cut = [], box = node => node.getBoundingClientRect();
  for (const chart of document.querySelectorAll('svg')) {
    const outer = box(chart), texts = [...chart.querySelectorAll('text')].filter(text => box(text).width > 0);
    const holder = chart.closest('.jp-OutputArea-output, main');
    if (!texts.length || !holder) continue;
    if (outer.right > box(holder).right + 1) cut.push('chart: ' + texts[0].textContent);
    for (const text of texts) {
      const inner = box(text);
      if (inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1
          || inner.bottom > outer.bottom + 1 || text.textContent.endsWith('…')) cut.push('text: ' + text.textContent);
    }
  }
  for (const image of document.querySelectorAll('main img'))
    if (box(image).right > box(image.closest('main')).right) cut.push('image: ' + image.alt);
  for (const node of document.querySelectorAll('.dcb-headline .card, .widget-label, .widget-readout, main table'))
    if (node.scrollWidth > node.clientWidth + 1) cut.push('box: ' + node.textContent);
  for (const cell of document.querySelectorAll('td')) {
    const words = document.createRange();
    words.selectNodeContents(cell);
    const lines = new Set([...words.getClientRects()].map(line => Math.round(line.top)));
    if (lines.size > 1 && /^[-+\\d.,]+%?$/.test(cell.textContent)) cut.push('number: ' + cell.textContent);
  }
  return cut;
}"""
# What the kernel answered of an earlier value is drawn by then, and does not overwrite what is being typed.
KERNEL_IDLE = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
KERNEL_READY = """async () => {
  const { sessionContext } = window.jupyterapp.shell.currentWidget;
  await sessionContext.ready;
  await sessionContext.session.kernel.info;
}"""


class Server:
    """`jupyter lab` on a copy of the notebooks, on 127.0.0.1 only, deaf to the user's own settings.

    Attributes
    ----------
    url : where it listens.
    root : the copy of the notebooks.
    database : what the notebooks read.
    """

    def __init__(self, folder: Path, notebooks: Path, database: Path):
        self.root, self.database, self.log = folder / "notebooks", database, folder / "jupyter.log"
        self._folder = folder
        shutil.copytree(notebooks, self.root, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
        for name, values in SETTINGS.items():
            file = folder / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values), encoding="utf-8")

    def __enter__(self) -> "Server":
        env = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "DCBUDGET"))}
        env |= {name: str(self._folder / place) for name, place in PLACES.items()}
        with socket.socket() as free:
            free.bind((HERE, 0))
            port = free.getsockname()[1]
        self.url = f"http://{HERE}:{port}"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser",
                 f"--ServerApp.ip={HERE}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
                 "--ServerApp.token=", "--ServerApp.password=", f"--ServerApp.root_dir={self.root}",
                 "--LabApp.extension_manager=readonly"],
                env=env | {"DCBUDGET_DB": str(self.database)}, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/api/status", timeout=5).close()
                return
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"JupyterLab did not start:\n{self.log.read_text()[-2000:]}")

    def __exit__(self, *_) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Lab:
    """A notebook that is open in JupyterLab; leaving it fails where the browser asked anyone but the server.

    Parameters
    ----------
    name : the notebook's file.
    parameters : values of its parameters; none leaves it as it is.

    Attributes
    ----------
    database : what the notebook reads.
    page : playwright's page.
    panel : the first panel of widgets.
    requests : address of everything that the browser asked for.
    problems : errors of the page and of its scripts.
    """

    def __init__(self, server: Server, chromium: str, name: str, parameters: dict[str, object] | None = None):
        self._server, self._chromium, self._name, self._parameters = server, chromium, name, parameters
        self.database = server.database
        self.requests: list[str] = []
        self.problems: list[str] = []

    def __enter__(self) -> "Lab":
        name = self._with_parameters() if self._parameters else self._name
        self._playwright = sync_api.sync_playwright().start()
        try:
            self._browser = self._playwright.chromium.launch(executable_path=self._chromium, args=FLAGS)
            context = self._browser.new_context(viewport={"width": 1400, "height": 1000}, service_workers="block")
            context.set_default_timeout(PATIENCE * 1000)
            context.on("request", lambda request: self.requests.append(request.url))
            self.page = context.new_page()
            self.page.on("websocket", lambda socket: self.requests.append(socket.url))
            self.page.on("pageerror", lambda error: self.problems.append(str(error)))
            self.page.on("console", lambda line: line.type == "error" and self._noted(line.text))
            self.page.goto(f"{self._server.url}/lab/tree/{name}?reset")  # without what an earlier notebook left open
            self.page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext")
            self.page.evaluate(KERNEL_READY)
        except BaseException:
            self._playwright.stop()
            raise
        self.panel = self.page.locator(".jp-OutputArea-output .widget-vbox").first
        return self

    def __exit__(self, *_) -> None:
        try:
            self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
            self._browser.close()
        finally:
            self._playwright.stop()
        assert not self.strangers(), "the browser asked others than the server"

    def _with_parameters(self) -> str:
        from papermill.iorw import load_notebook_node, write_ipynb
        from papermill.parameterize import parameterize_notebook

        path = self._server.root / self._name
        changed = path.with_stem(f"{path.stem}-with-parameters")
        write_ipynb(parameterize_notebook(load_notebook_node(str(path)), self._parameters), str(changed))
        return changed.name

    def run_all(self) -> None:
        """Run every cell, wait for the charts, and fail where a cell did."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        errors = self.page.locator("[data-mime-type='application/vnd.jupyter.error']").all_text_contents()
        assert not errors, errors[0]
        self.panel.wait_for()
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.vega-embed')].every(chart => chart.querySelector('svg'))"
            " && document.querySelector('.widget-vbox .vega-embed svg')"
        )

    def strangers(self) -> list[str]:
        """Addresses that the browser asked for outside the server."""
        asked = (urlsplit(url) for url in self.requests)
        return [url.geturl() for url in asked if url.scheme not in ("data", "blob", "about") and url.hostname != HERE]

    def slider(self, label: str) -> sync_api.Locator:
        """A slider's handle, which takes keys."""
        return self._control(label).locator(".noUi-handle")

    def readout(self, label: str) -> str:
        return self._control(label).locator(".widget-readout").inner_text()

    def press(self, label: str, key: str, times: int = 1) -> None:
        """Press a key on a slider's handle, as fast as the browser takes it."""
        handle = self.slider(label)
        handle.focus()
        for _ in range(times):
            handle.press(key)

    def set_slider(self, label: str, text: str) -> None:
        """Type into a slider's readout, once the kernel is idle."""
        self.page.wait_for_function(KERNEL_IDLE)
        readout = self._control(label).locator(".widget-readout")
        readout.fill(text)
        readout.press("Enter")

    def choose(self, label: str, option: str) -> None:
        self._control(label).locator("select").select_option(option)

    def _control(self, label: str) -> sync_api.Locator:
        named = self.page.locator(".widget-label").filter(has_text=re.compile(rf"^{re.escape(label)}(, %)?$"))
        return self.panel.locator(".widget-inline-hbox").filter(has=named)

    def text(self) -> str:
        """All that the panel says."""
        return self.panel.inner_text()

    def cards(self) -> list[list[str]]:
        """The panel's headline: label, value and remark of every figure."""
        parts = [self.panel.locator(f".card .{part}").all_text_contents() for part in ("label", "value", "remark")]
        return [list(card) for card in zip(*parts, strict=False)]

    def table(self) -> list[list[str]]:
        """The panel's table, without its headings."""
        return self.panel.locator("tbody").evaluate_all(
            "all => all.flatMap(body => [...body.rows].map(row => [...row.cells].map(cell => cell.textContent)))"
        )

    def alert(self) -> list[str]:
        """The sentence that stands in place of results."""
        return self.panel.locator("[role='alert']").all_text_contents()

    def chart_title(self) -> list[str]:
        """Title and subtitle of the panel's chart, as drawn."""
        return self.panel.locator("svg .role-title text").all_text_contents()

    def bars(self) -> list[str]:
        """What every bar of the panel's chart tells a screen reader: its values."""
        return self.panel.locator("svg path[aria-roledescription='bar']").evaluate_all(
            "bars => bars.map(bar => bar.getAttribute('aria-label'))"
        )

    def widths(self) -> list[float]:
        """How long every bar of the panel's chart is drawn, in pixels."""
        return self.panel.locator("svg path[aria-roledescription='bar']").evaluate_all(
            "bars => bars.map(bar => bar.getBBox().width)"
        )

    def _noted(self, text: str) -> None:
        """Note an error, but that of anywidget, which warns after 2 s of a busy machine; a chart that is not drawn is
        found by what the tests read of it."""
        if text != "[anywidget] Failed to initialize model.":
            self.problems.append(text)

    def settles(self, read: Callable[[], object], expected: object) -> None:
        """Wait until `read()` is as expected; fail with the difference where it stays another."""
        end = time.monotonic() + REDRAW
        while (found := read()) != expected and time.monotonic() < end:
            self.page.wait_for_timeout(50)
        assert found == expected
