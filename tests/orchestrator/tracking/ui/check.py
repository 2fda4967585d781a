"""Opens MLflow's own pages over a sweep in headless Chromium, and compares what they show with the database.

python -m tests.orchestrator.tracking.ui.check --tracking-uri sqlite:///mlflow.db --sweep msr --out shots

Needs Chromium (Debian: `apt install chromium`); `--chromium` says where it is. Exit code 1 where a page and the
database differ, each difference on a line of its own.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from orchestrator.tracking.mlflow.client import MlflowClient, Run, connect

SERVER_SECONDS = 60
WIDTH, HEIGHT = 2000, 1000  # of the window: a table keeps only visible columns in its page
READ_CELLS = """rows => rows.flatMap(row => [...row.querySelectorAll("[role=gridcell]")].map(
    cell => [row.getAttribute("row-id"), cell.getAttribute("col-id"), cell.innerText]))"""
READ_CURVES = "plots => plots.flatMap(plot => plot.data.map(line => [line.metricKey, line.x, line.y]))"


def check(uri: str, sweep: str, out: Path, *, chromium: str) -> list[str]:
    """The differences between MLflow's pages on a sweep's newest parent run and the store at `uri`; none is good."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(sweep)
    if experiment is None:
        return [f"{uri} has no experiment {sweep}"]
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    parent = next(run for run in runs if run.data.tags["trial"] == "parent")
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    if not children:
        return [f"sweep {sweep} has no trial in {uri}"]
    best = next((run for run in children if run.info.run_id == parent.data.tags.get("best_run")), children[0])
    out.mkdir(parents=True, exist_ok=True)
    with serving(uri) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        strangers: list[str] = []
        page.on("request", lambda request: strangers.append(request.url) if _leaves(request.url, address) else None)
        home = f"{address}/#/experiments/{experiment.experiment_id}/runs"
        differences = check_table(page, home, parent, children, out)
        differences += check_run(page, f"{home}/{best.info.run_id}", best, out)
        differences += check_curves(page, f"{home}/{best.info.run_id}/model-metrics", best, client, out)
        differences += check_picture(page, f"{home}/{best.info.run_id}/artifacts/views.png", best, client, out)
        browser.close()
    return differences + [f"a page asked {url}, which is not this machine" for url in strangers]


def check_table(page: Page, address: str, parent: Run, children: Sequence[Run], out: Path) -> list[str]:
    """The experiment's table: a row per trial below its parent, with a column per searched setting and per metric."""
    searched = [name.removeprefix("search.") for name in parent.data.params if name.startswith("search.")]
    metrics = ["epoch", *(name.removeprefix("best/") for name in parent.data.metrics if name.startswith("best/"))]
    page.goto(address)
    page.locator(".ag-row").first.wait_for()
    page.get_by_label("Close").click()  # the assistant's panel
    page.locator(f".ag-row[row-id='{parent.info.run_id}'] button.du-bois-light-btn-link").first.click()
    page.get_by_role("button", name="Columns", exact=True).click()
    tree = page.get_by_test_id("column-selector-tree")
    for column in ("Dataset", "Models", "Source", *metrics, *searched, "state"):
        tree.locator(f"[title='{column}']").first.click()
    page.keyboard.press("Escape")
    page.locator(".ag-row [col-id='tags.`state`']").first.wait_for()
    page.wait_for_timeout(500)  # the grid moves its columns
    page.mouse.move(WIDTH - 200, HEIGHT - 200)
    page.screenshot(path=out / "experiment.png")
    shown = {(run, column): text for run, column, text in page.locator(".ag-row").evaluate_all(READ_CELLS)}
    differences = []
    for run in children:
        wanted = {f"metrics.`{name}`": run.data.metrics.get(name) for name in metrics}
        wanted |= {f"params.`{name}`": run.data.params.get(name) for name in searched}
        wanted |= {"tags.`state`": run.data.tags["state"]}
        for column, value in wanted.items():
            text = shown.get((run.info.run_id, column), "no such cell")
            if not _same(text, value):
                differences.append(f"table, {run.info.run_name}, {column}: the page has {text}, the database {value}")
    return differences


def check_run(page: Page, address: str, run: Run, out: Path) -> list[str]:
    """A run's own page: every metric's last value and every parameter."""
    page.goto(address)
    page.get_by_text(f"Parameters ({len(run.data.params)})").wait_for()
    page.screenshot(path=out / "run.png")
    rows = page.locator("[role=row]").evaluate_all("rows => rows.map(row => row.innerText.split(/[\\n\\t]+/))")
    shown = {row[0]: row[1] for row in rows if len(row) == 2}
    wanted = run.data.metrics | run.data.params
    return [
        f"run page, {name}: the page has {shown.get(name)}, the database {value}"
        for name, value in wanted.items()
        if not _same(shown.get(name, ""), value)
    ]


def check_curves(page: Page, address: str, run: Run, client: MlflowClient, out: Path) -> list[str]:
    """A run's curves: the points that are drawn are those of the database, step by step."""
    page.goto(address)
    page.locator(".js-plotly-plot").first.wait_for()
    drawn: dict[str, tuple[list[float], list[float]]] = {}
    curves = {}
    for name in run.data.metrics:
        history = sorted(client.get_metric_history(run.info.run_id, name), key=lambda point: point.step)
        if len(history) > 1:
            curves[name] = ([point.step for point in history], [point.value for point in history])
    page.get_by_placeholder("Search metric charts").fill(f"^({'|'.join(curves)})$")
    page.wait_for_timeout(1500)
    page.screenshot(path=out / "curves.png")
    for name in curves:  # charts are made when they come into view, so each is searched for
        page.get_by_placeholder("Search metric charts").fill(f"^{name}$")
        page.wait_for_timeout(1500)
        found = page.locator(".js-plotly-plot").evaluate_all(READ_CURVES)
        drawn |= {key: (steps, values) for key, steps, values in found}
    return [
        f"curve {name}: the page has {drawn.get(name)}, the database {points}"
        for name, points in curves.items()
        if drawn.get(name) is None or [list(axis) for axis in drawn[name]] != [list(axis) for axis in points]
    ]


def check_picture(page: Page, address: str, run: Run, client: MlflowClient, out: Path) -> list[str]:
    """A run's artifacts: its grid of views is a picture that the page can show."""
    if "views.png" not in {item.path for item in client.list_artifacts(run.info.run_id)}:
        return [f"{run.info.run_name} has no views.png"]
    page.goto(address)
    page.wait_for_function("() => [...document.images].some(image => image.naturalWidth > 0)")
    page.screenshot(path=out / "views.png")
    return []


@contextmanager
def serving(uri: str) -> Iterator[str]:
    """The address of MLflow's pages over a store: a server's own, or that of one started here on loopback."""
    if uri.startswith("http"):
        yield uri
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [*command, "--backend-store-uri", uri],
            stdout=log,
            stderr=log,
            env=os.environ | quiet,
            start_new_session=True,
        )
        try:
            _await_health(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)


def _await_health(address: str) -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _same(text: str, value: float | str | None) -> bool:
    if value is None:
        return text in ("-", "")
    return text == value if isinstance(value, str) else _number(text) == value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _leaves(url: str, address: str) -> bool:
    return not url.startswith((address, "data:", "blob:"))


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Compare MLflow's pages on a sweep with the database.")
    parser.add_argument("--tracking-uri", default="sqlite:///mlflow.db")
    parser.add_argument("--sweep", required=True)
    parser.add_argument("--out", type=Path, default=Path("shots"), help="folder for the screenshots")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    options = parser.parse_args()
    differences = check(options.tracking_uri, options.sweep, options.out, chromium=options.chromium)
    sys.stdout.write("".join(f"{line}\n" for line in differences) or "the pages equal the database\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
