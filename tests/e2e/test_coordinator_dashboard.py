"""The dashboard in a real browser: login, workers, a live run, a test; on a phone, in the dark, by keyboard."""

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

HOSTILE = (
    "import pytest\n@pytest.mark.parametrize('n', ['<script>window.hacked=1</script>'])\n"
    "def test_hostile(n):\n    assert 0, n\n"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A coordinator with a worker, a finished run and one that is under way."""
    home = tmp_path_factory.mktemp("dashboard")
    project = home / "project"
    (project / "tests").mkdir(parents=True)
    (project / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    slow = "import time, pytest\n@pytest.mark.parametrize('n', range(40))\ndef test_slow(n):\n    time.sleep(0.25)\n"
    (project / "tests" / "test_slow.py").write_text(slow)
    (project / "tests" / "test_hostile.py").write_text(HOSTILE)
    coordinator = Coordinator(home / "c").start()
    worker = Worker(home / "w", coordinator.url, coordinator.token(), ("--slots", "2", "--name", "bench-1")).start()
    key = coordinator.key("--scopes", "submit,read,admin")
    with closing_all(worker, coordinator):
        first = start_run(project, coordinator.url, key, "--test-files", "tests/test_hostile.py")
        assert first.finish().code == 1
        run = start_run(project, coordinator.url, key)
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
    page.goto(coordinator.url + "/")
    assert page.url.endswith("/login")
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_url(coordinator.url + "/")
    return page


def _no_sideways_scrolling(page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def _tab_to(page, button: str) -> bool:
    """Press Tab until a button has the focus; False where 20 times do not lead there."""
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == button:
            return True
    return False


def test_a_run_is_followed_live_and_hostile_names_stay_text(browser, served):
    run = served[2]
    page = _open(browser, served, viewport={"width": 1280, "height": 900})
    page.wait_for_selector(".worker h2:has-text('bench-1')")
    _shoot(page, "overview")
    wait_until(lambda: page.reload() and page.locator("table tbody tr").count() == 2, what="the second run in the list")
    page.click("table tbody tr:first-child a")
    page.wait_for_selector("#live")
    before = page.locator("#results tbody tr").count()
    wait_until(lambda: page.locator("#results tbody tr").count() > before, what="a result in the table")
    assert "cases done" in page.inner_text("#counts")
    told = run.finish()
    assert told.code == 1
    wait_until(lambda: page.inner_text("#status") == "completed", what="the end in the page")
    page.reload()
    page.wait_for_selector("svg.timeline rect")
    assert page.locator("#results tbody tr").count() == 41
    page.fill("#filter", "hostile")
    assert page.locator("#results tbody tr:visible").count() == 1
    page.fill("#filter", "")
    page.select_option("#outcome", "passed")
    assert page.locator("#results tbody tr:visible").count() == 40
    page.select_option("#outcome", "failed")
    _shoot(page, "run")
    page.click("#results tbody tr:visible a")
    page.wait_for_selector("svg.durations rect")
    assert "<script>" in page.inner_text("h1")
    _shoot(page, "test")
    assert page.evaluate("window.hacked") is None
    assert page.errors == []


def test_on_a_phone_in_the_dark(browser, served):
    page = _open(browser, served, viewport={"width": 390, "height": 844}, color_scheme="dark", is_mobile=True)
    _no_sideways_scrolling(page)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(19, 21, 23)"
    _shoot(page, "overview-phone-dark")
    page.click("table tbody tr:last-child a")
    page.wait_for_selector("#results")
    _no_sideways_scrolling(page)
    _shoot(page, "run-phone-dark")


def test_a_worker_is_drained_and_resumed_by_keyboard(browser, served):
    page = _open(browser, served)
    for button, state in (("Drain", "draining"), ("Resume", "active")):
        assert _tab_to(page, button)
        page.keyboard.press("Enter")
        playwright.expect(page.locator(f".dot.{state}")).to_be_visible()


def test_a_form_of_another_site_does_nothing(browser, served):
    import requests

    coordinator, key, _ = served
    session = requests.Session()
    assert session.post(f"{coordinator.url}/login", data={"key": key}).status_code == 403, "the login has a token, too"
    token = session.get(f"{coordinator.url}/login").text.partition('name="form_token" value="')[2].partition('"')[0]
    session.post(f"{coordinator.url}/login", data={"key": key, "form_token": token})
    assert session.get(f"{coordinator.url}/").status_code == 200
    worker = session.get(f"{coordinator.url}/").text.partition('action="/workers/')[2].partition("/")[0]
    for form in ({}, {"form_token": ""}, {"form_token": "0" * 64}):
        assert session.post(f"{coordinator.url}/workers/{worker}/drain", data=form).status_code == 403
    cookie = session.cookies.get("dt_session")
    for forged in ("", "x", cookie[:-1] + ("0" if cookie[-1] != "0" else "1"), "a.99999999999." + "0" * 64):
        answer = requests.get(f"{coordinator.url}/", cookies={"dt_session": forged}, allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    answer = requests.get(f"{coordinator.url}/login")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
