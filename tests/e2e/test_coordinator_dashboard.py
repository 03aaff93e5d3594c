"""The dashboard in a real browser: why a run failed, live pages, steering; on a phone, in the dark, by keyboard."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from coordinator_rig import Coordinator, Worker, closing_all, start_run, wait_until

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here")

FAILING = """
import pathlib
import sys

import pytest


def price(items):
    return sum(item["price"] for item in items)


def test_a_basket_without_prices():
    print("the basket is", {"milk": 1})
    print("a warning of the till", file=sys.stderr)
    assert price([{"price": 2}, {"name": "milk"}]) == 2


@pytest.mark.parametrize("n", ["<script>window.hacked=1</script>", "\\u202egnp.exe\\u202c", "\\u05d0\\u05d1 (1)"])
def test_hostile(n):
    assert 0, n


def test_flaky():
    seen = pathlib.Path(sys.argv[0]).parent / f"seen-{pathlib.Path.cwd().name}"
    mark = pathlib.Path("seen-before")
    if not mark.exists():
        mark.touch()
        raise RuntimeError("the first time it fails")
"""
BUSY_MS = 120_000
"""No page takes so long; a busy machine may take more than the 5 s that are usual."""
SLOW = "import time, pytest\n@pytest.mark.parametrize('n', range(60))\ndef test_slow(n):\n    time.sleep(0.25)\n"
CI = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "shop/web",
    "GITHUB_SHA": "5f3a9c0d1e2b4a6978c0ffee5f3a9c0d1e2b4a69",
    "GITHUB_REF_NAME": "feature/basket",
    "GITHUB_REF": "refs/heads/feature/basket",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_RUN_ID": "42",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A coordinator with a worker, a failed run, a passed one, and one that is under way."""
    home = tmp_path_factory.mktemp("dashboard")
    project = home / "project"
    (project / "tests").mkdir(parents=True)
    (project / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    (project / "tests" / "test_slow.py").write_text(SLOW)
    (project / "tests" / "test_basket.py").write_text(FAILING)
    (project / "tests" / "test_fine.py").write_text("def test_fine():\n    pass\n")
    coordinator = Coordinator(home / "c").start()
    token = coordinator.token("--pool")
    worker = Worker(
        home / "w", coordinator.url, token, ("--slots", "2", "--name", "bench-1", "--device", "npu")
    ).start()
    key = coordinator.key("--scopes", "submit,read,admin")
    common = ("--comment", "off")
    with closing_all(worker, coordinator):
        passed = start_run(project, coordinator.url, key, *common, "--test-files", "tests/test_fine.py", **CI)
        assert passed.finish().code == 0
        failed = start_run(
            project, coordinator.url, key, *common, "--retries", "1", "--test-files", "tests/test_basket.py", **CI
        )
        assert failed.finish().code == 1
        run = start_run(project, coordinator.url, key, *common, "--test-files", "tests/test_slow.py", **CI)
        yield coordinator, key, run
        run.process.kill()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as engine:
        made = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


def _shoot(page, name: str) -> None:
    folder = os.environ.get("DT_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def _open(browser, served, **options):
    coordinator, key, _ = served
    context = browser.new_context(**options)
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda said: page.errors.append(said.text) if said.type == "error" else None)
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(coordinator.url + "/")
    assert page.url.endswith("/login")
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_url(coordinator.url + "/")
    return page


def _no_sideways_scrolling(page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def _tab_to(page, words: str) -> bool:
    """Press Tab until a link or button with these words has the focus; False where 60 times do not lead there."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if words in page.evaluate("document.activeElement.textContent.trim()"):
            return True
    return False


def test_a_run_is_followed_live_without_a_reload(browser, served):
    page = _open(browser, served, viewport={"width": 1280, "height": 900})
    page.evaluate("window.sameDocument = true")
    wait_until(lambda: page.locator("#runs .row").count() == 3, what="the third run in the list, without a reload")
    _shoot(page, "runs")
    page.click("#runs .row:first-child a.cover")
    page.wait_for_selector("#head[data-run]")
    page.evaluate("window.sameDocument = true")
    before = page.inner_text("#counts")
    wait_until(lambda: page.inner_text("#counts") != before, what="progress in the page")
    wait_until(lambda: page.locator("#results .row").count() > 2, what="results in the page")
    _shoot(page, "run-live")
    assert served[2].finish().code == 0
    playwright.expect(page.locator("h1 .word")).to_have_text("passed", timeout=BUSY_MS)
    assert page.evaluate("window.sameDocument"), "the page was loaded again"
    page.fill("input[name=words]", "[17]")
    wait_until(lambda: page.locator("#results .row").count() == 1, what="the search, as it is typed")
    assert page.errors == []


def test_why_a_run_failed_takes_one_click_and_everything_about_it_two(browser, served):
    page = _open(browser, served, viewport={"width": 1280, "height": 900})
    red = page.locator("#runs .row.failed a.cover")
    assert red.locator(".word").inner_text() == "failed"
    assert red.locator(".word").evaluate("e => getComputedStyle(e).color") == "rgb(198, 40, 40)"
    assert "feature/basket" in page.inner_text("#runs .row.failed")
    red.click()
    first = page.locator("#failures details").filter(has_text="test_a_basket_without_prices")
    assert "KeyError: 'price'" in first.inner_text(), "the reason stands there after one click"
    if first.get_attribute("open") is None:
        first.locator("summary").click()
    assert 'sum(item["price"] for item in items)' in first.locator("pre").inner_text()
    assert page.locator("a[href^='https://github.com/shop/web/actions/runs/42']").count() == 1
    _shoot(page, "run-failed")
    first.locator("a").click()
    page.wait_for_selector("h1.case")
    text = page.inner_text("main")
    for words in ("the basket is {'milk': 1}", "a warning of the till", "attempt 2 of 2", "KeyError", "bench-1"):
        assert words in text
    _shoot(page, "result")
    page.click("text=This test in other runs")
    page.wait_for_selector("svg.durations rect")
    _shoot(page, "test")
    page.go_back()
    page.go_back()
    page.wait_for_selector("#failures")
    assert page.evaluate("window.hacked") is None
    hostile = page.locator("#failures summary").filter(has_text="gnp")
    assert "\\u202e" in hostile.inner_text(), "what would turn the name around is shown"
    assert hostile.locator("bdi").count() >= 1
    assert page.errors == []


def test_flaky_tests_are_listed(browser, served):
    page = _open(browser, served)
    page.click("nav >> text=Flaky tests")
    assert "test_flaky" in page.inner_text("#flaky")
    _shoot(page, "flaky")


def test_a_worker_tells_how_it_fares(browser, served):
    page = _open(browser, served)
    page.click("nav >> text=Workers")
    page.click("text=bench-1")
    page.wait_for_selector("#worker")
    wait_until(lambda: "enrolled as" in page.inner_text("#worker"), what="the worker's log in the page")
    text = page.inner_text("#worker")
    for words in ("Load", "free of", "npu", "test_a_basket_without_prices", "processors"):
        assert words in text, words
    _shoot(page, "worker")
    page.click("nav >> text=Hardware")
    assert "npu" in page.inner_text("#hardware table")
    _shoot(page, "hardware")
    assert page.errors == []


def test_cancel_and_run_again(browser, served):
    page = _open(browser, served)
    page.click("#runs .row.passed a.cover")
    page.click("button:text('Run again')")
    page.wait_for_selector("h1 .word")
    playwright.expect(page.locator("h1 .word")).to_have_text("passed", timeout=BUSY_MS)
    page.goto(served[0].url + "/")
    slow = page.locator("#runs .row", has_text="60 passed").first
    slow.locator("a.cover").click()
    page.click("button:text('Run again')")
    page.click("button:text('Cancel')")
    playwright.expect(page.locator("h1 .word")).to_have_text("cancelled", timeout=BUSY_MS)
    assert page.errors == []


def test_keys_tokens_and_audit(browser, served):
    import requests

    page = _open(browser, served)
    page.click("nav >> text=Keys")
    page.fill("form[action='/keys'] input[name=name]", "<b>new</b>")
    page.click("text=Make a key")
    made = page.inner_text("#made")
    assert requests.get(served[0].url + "/api/v1/runs", headers={"Authorization": f"Bearer {made}"}).status_code == 200
    _shoot(page, "keys")
    page.locator(".row", has_text="<b>new</b>").locator("button").click()
    assert requests.get(served[0].url + "/api/v1/runs", headers={"Authorization": f"Bearer {made}"}).status_code == 401
    page.click("text=Make a token")
    assert page.inner_text("#made").startswith("dte_")
    page.click("nav >> text=Audit")
    page.fill("input[name=words]", "<b>new")
    wait_until(lambda: page.locator("#entries .row").count() == 2, what="the search, as it is typed")
    assert "key revoked" in page.inner_text("#entries")
    _shoot(page, "audit")
    with page.expect_download() as download:
        page.click("text=CSV")
    assert "key revoked" in Path(download.value.path()).read_text()
    assert page.errors == []


PAGES = ("/", "/workers", "/hardware", "/flaky", "/keys", "/audit")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desk", "phone"])
def test_every_page_fits_and_can_be_read(browser, served, device, scheme):
    """Nothing scrolls sideways, texts have a contrast of at least 4.5, every field has a label."""
    size = {"width": 390, "height": 844} if device == "phone" else {"width": 1280, "height": 900}
    page = _open(browser, served, viewport=size, color_scheme=scheme, is_mobile=device == "phone")
    paths = [*PAGES]
    failed = page.locator("#runs .row.failed a.cover").get_attribute("href")
    page.goto(served[0].url + failed)
    paths += [failed, page.locator("#failures a").first.get_attribute("href")]
    page.goto(served[0].url + "/workers")
    paths.append(page.locator(".worker h2 a").first.get_attribute("href"))
    for path in paths:
        page.goto(served[0].url + path)
        _no_sideways_scrolling(page)
        assert page.evaluate(UNLABELLED) == [], path
        assert page.evaluate(TOO_FAINT) == [], path
        kind = "-result" if "/tests/" in path else "-one" if path.count("/") > 1 else ""
        _shoot(page, f"{device}-{scheme}-{path.strip('/').split('/')[0] or 'overview'}{kind}")
    assert page.errors == []


UNLABELLED = """() => [...document.querySelectorAll("input:not([type=hidden]), select")]
  .filter((field) => !field.labels.length).map((field) => field.outerHTML)"""

TOO_FAINT = """() => {
  const part = (value) => { value /= 255; return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!color.includes(", 0)")) return color;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("main *, header *")]
    .filter((e) => e.offsetParent && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .filter((e) => {
      const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05) < 4.5;
    }).map((e) => `${e.className}: ${e.textContent.slice(0, 40)}`);
}"""


def test_by_keyboard_from_the_login_to_a_drained_worker_and_back(browser, served):
    page = _open(browser, served)
    assert _tab_to(page, "Workers")
    page.keyboard.press("Enter")
    page.wait_for_selector(".worker")
    for button, state in (("Drain", "draining"), ("Resume", "active")):
        assert _tab_to(page, button)
        page.keyboard.press("Enter")
        playwright.expect(page.locator(f".worker .dot.{state}")).to_be_visible()


def test_what_has_the_focus_keeps_it_while_the_page_changes(browser, served):
    page = _open(browser, served)
    link = page.locator("#runs .row a.cover").first
    link.focus()
    page.evaluate("document.querySelector('#runs .row .quiet').textContent = 'to be replaced'")
    wait_until(lambda: "to be replaced" not in page.inner_text("#runs"), what="a refresh")
    assert page.evaluate("document.activeElement.className") == "cover"


def test_a_coordinator_that_is_gone_is_told_of(browser, served):
    page = _open(browser, served)
    page.route("**/*", lambda route: route.abort())
    playwright.expect(page.locator("#stale")).to_be_visible(timeout=BUSY_MS)
    page.unroute("**/*")
    playwright.expect(page.locator("#stale")).to_be_hidden(timeout=BUSY_MS)


def test_a_form_of_another_site_does_nothing(served):
    import requests
    from coordinator_server import form_token

    coordinator, key, _ = served
    session = requests.Session()
    assert session.post(f"{coordinator.url}/login", data={"key": key}).status_code == 403, "the login has a token, too"
    token = form_token(session.get(f"{coordinator.url}/login").text)
    session.post(f"{coordinator.url}/login", data={"key": key, "form_token": token})
    page = session.get(f"{coordinator.url}/workers").text
    worker = page.partition('action="/workers/')[2].partition("/")[0]
    for form in ({}, {"form_token": ""}, {"form_token": "0" * 64}):
        for path in (f"/workers/{worker}/drain", "/keys", "/tokens", "/maintenance", "/keys/00000000/revoke"):
            assert session.post(coordinator.url + path, data=form).status_code == 403, path
    cookie = session.cookies.get("dt_session")
    for forged in ("", "x", cookie[:-1] + ("0" if cookie[-1] != "0" else "1")):
        answer = requests.get(f"{coordinator.url}/", cookies={"dt_session": forged}, allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    answer = requests.get(f"{coordinator.url}/login")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
