"""How long the page takes to be seen: `python -m bench.page` (needs Chromium).

First contentful paint (W3C Paint Timing) from the start of the navigation, and the end of loading, by the browser's own
clock, in a fresh profile each time and in one that has the files already; with the bytes that came.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.end_to_end.conftest import serving

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_TIMES = """() => new Promise(resolve => new PerformanceObserver((list, observer) => {
  const [paint] = list.getEntriesByName('first-contentful-paint');
  if (!paint) return;
  observer.disconnect();
  const loaded = performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd;
  const entries = performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'));
  const bytes = entries.reduce((sum, each) => sum + each.transferSize, 0);
  resolve({paint: paint.startTime, loaded, bytes, files: entries.length});
}).observe({type: 'paint', buffered: true}))"""


def main() -> None:
    """Print both rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=15)
    visits = parser.parse_args().visits
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        parser.exit(1, "no chromium on this machine\n")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder) / "log") as service,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        url = str(service.client.base_url)
        print(f"{browser.version}, {visits} visits; milliseconds, median and worst")
        print(f"{'visit':<10}{'first contentful paint':>24}{'loaded':>16}{'kB':>8}{'files':>7}")
        _row("first", [_fresh(browser, url) for _ in range(visits)])
        context = browser.new_context()
        _visit(context, url)
        _row("again", [_visit(context, url) for _ in range(visits)])
        browser.close()


def _fresh(browser: Browser, url: str) -> dict[str, float]:
    context = browser.new_context()
    try:
        return _visit(context, url)
    finally:
        context.close()


def _visit(context: BrowserContext, url: str) -> dict[str, float]:
    page = context.new_page()
    try:
        page.goto(url, wait_until="networkidle")
        found: dict[str, float] = page.evaluate(_TIMES)
        return found
    finally:
        page.close()


def _row(name: str, found: list[dict[str, float]]) -> None:
    def told(key: str) -> str:
        values = [each[key] for each in found]
        return f"{statistics.median(values):.0f}, {max(values):.0f}"

    last = found[-1]
    print(f"{name:<10}{told('paint'):>24}{told('loaded'):>16}{last['bytes'] / 1000:>8.0f}{last['files']:>7.0f}")


if __name__ == "__main__":
    main()
