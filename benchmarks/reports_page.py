"""
The HTML report of 100,000 tests in a real Chromium: seconds to open, milliseconds to filter, sort and group.

    pip install playwright; python benchmarks/reports_page.py --browser /usr/bin/chromium [--shots docs/images]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from reports_scale import large_run

from dt_action.reports.renderers.html import Html

WATCH = """new MutationObserver(() => {
  if (!window.firstRow && document.querySelector('.row')) {
    window.firstRow = 1;
    requestAnimationFrame(() => setTimeout(() => { window.shownAt = performance.now(); }));
  }
}).observe(document, { childList: true, subtree: true })"""
ACTS = {
    "filter by a word": "search.value = 'behaviour_7'; search.dispatchEvent(new Event('input'))",
    "filter by two words": "search.value = 'behaviour_7 package_3'; search.dispatchEvent(new Event('input'))",
    "clear the filter": "search.value = ''; search.dispatchEvent(new Event('input'))",
    "sort by time": "document.querySelector('[data-column=duration]').click()",
    "sort by name": "document.querySelector('[data-column=name]').click()",
    "sort by worker": "document.querySelector('[data-column=worker]').click()",
    "group by module": "group.value = 'file'; group.dispatchEvent(new Event('change'))",
    "group by hardware": "group.value = 'needs'; group.dispatchEvent(new Event('change'))",
    "no groups": "group.value = ''; group.dispatchEvent(new Event('change'))",
    "hide passing": "document.querySelector('#outcomes [data-outcome=passed]').click()",
}


def main() -> None:
    """Print medians over `--rounds` fresh pages."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--tests", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shots", type=Path)
    arguments = parser.parse_args()
    page_file = Path(tempfile.mkdtemp()) / "report.html"
    page_file.write_bytes(Html().render(large_run(arguments.tests, 0.002)))
    print(f"{page_file.stat().st_size:,} bytes")
    opened: list[float] = []
    acts: dict[str, list[float]] = {name: [] for name in ACTS}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.browser, args=["--no-sandbox"])
        for _ in range(arguments.rounds):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.add_init_script(WATCH)
            page.goto(page_file.as_uri())
            page.wait_for_timeout(3_000)
            opened.append(page.evaluate("shownAt"))
            for name, act in ACTS.items():
                acts[name].append(_timed(page, act))
            if arguments.shots:
                _shoot(page, arguments.shots)
                arguments.shots = None
            page.close()
        browser.close()
    print(f"{'open, to rows painted':24} {statistics.median(opened):7.0f} ms (worst {max(opened):.0f})")
    for name, times in acts.items():
        print(f"{name:24} {statistics.median(times):7.0f} ms (worst {max(times):.0f})")


def _timed(page: Any, act: str) -> float:
    """Milliseconds from the act to the frame after it."""
    elements = "const search = document.getElementById('search'), group = document.getElementById('group');"
    frame = "await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));"
    timed = f"const began = performance.now(); {act}; {frame} return performance.now() - began"
    taken: float = page.evaluate(f"(async () => {{ {elements} {timed} }})()")
    return taken


def _shoot(page: Any, folder: Path) -> None:
    page.evaluate("Object.assign(state, { sort: 'outcome', down: false, hidden: new Set() }); changed()")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.wait_for_timeout(500)
    page.screenshot(path=folder / "report-top.png")
    page.evaluate("activate(0); document.getElementById('explorer').scrollIntoView()")
    page.wait_for_timeout(500)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=folder / "report-list.png")


if __name__ == "__main__":
    main()
