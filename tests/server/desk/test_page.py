"""The review desk in a real browser: a round by keyboard, undo, a server that goes away, two tabs, mouse alone."""

import re
import threading
import time
from pathlib import Path

import pytest
from monailabel.interfaces.utils.app import app_instance

from recursive_expand.errors import Unreachable
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import Cluster


def standing(recursion):
    return {verdict.case_id: verdict for verdict in recursion.ledger.judgements.verdicts()}


def rows(recursion):
    """Every verdict on record, withdrawn ones too, by its client's id."""
    with recursion.ledger.judgements._store.read() as connection:
        return connection.exec_driver_sql(
            "SELECT client_verdict_id, case_id, withdrawn FROM verdicts JOIN reading_facts USING (verdict_id)"
        ).all()


@pytest.fixture
def recursion(sixty):
    return sixty


def test_a_verdict_is_one_key(reader, recursion):
    ann = reader()
    accepted = ann.press("a")
    rejected = ann.press("r")
    reasoned = ann.press("3")
    ann.ready()
    ann.sent()
    found = standing(recursion)
    assert {case_id: (v.verdict, v.reason, v.reviewer, v.client) for case_id, v in found.items()} == {
        accepted: ("accept", None, "ann", "desk"),
        rejected: ("reject", None, "ann", "desk"),
        reasoned: ("reject", "wrong_class", "ann", "desk"),
    }
    facts = [recursion.ledger.readings.facts(found[case_id].verdict_id) for case_id in (accepted, rejected, reasoned)]
    assert [one.position for one in facts] == [0, 1, 2]
    assert {one.session for one in facts} == {facts[0].session}
    assert {(one.view, one.input_device, one.overlay) for one in facts} == {("sheet", "keyboard", True)}
    assert all(one.decided >= one.first_paint and one.slices_seen for one in facts)
    # Nothing that would lead the eye.
    assert "confidence" not in ann.page.content().lower()
    assert recursion.ledger.audit.verify() is None


def test_holding_a_key_judges_once(reader, recursion):
    ann = reader()
    first = ann.ready()
    ann.page.keyboard.down("a")
    for _ in range(40):
        ann.page.keyboard.down("a")  # a second `down` is an auto-repeat
        time.sleep(0.05)
    ann.page.keyboard.up("a")
    ann.sent()
    assert list(standing(recursion)) == [first]


def test_fifty_verdicts_are_taken_back_and_given_again(reader, recursion):
    ann = reader()
    given = [ann.press("a") for _ in range(50)]
    ann.ready()
    ann.sent()
    assert set(standing(recursion)) == set(given)
    for case_id in reversed(given):
        ann.press("u")
        ann.until("id => document.body.dataset.painted === id", case_id)
    ann.sent()
    assert standing(recursion) == {}
    assert ann.press("r") == given[0]
    ann.sent()
    assert [(v.case_id, v.verdict) for v in standing(recursion).values()] == [(given[0], "reject")]
    assert len(rows(recursion)) == 51


def test_a_whole_round_by_keyboard(reader, recursion):
    ann = reader()
    given = [ann.press("a" if number % 3 else "2") for number in range(60)]
    ann.page.wait_for_selector("#message:not([hidden])")
    ann.sent()
    assert len(set(given)) == 60 and set(standing(recursion)) == set(given)
    assert "Nothing waits for a verdict" in ann.page.inner_text("#message") or "appear here" in ann.page.inner_text(
        "#message"
    )


def test_a_server_that_is_gone_loses_nothing_and_doubles_nothing(reader, recursion, desk):
    ann = reader()
    given = [ann.press("a") for _ in range(2)]
    ann.ready()
    ann.sent()
    desk.stop()
    given += [ann.press("r") for _ in range(4)]
    ann.page.wait_for_selector("#unsent:not([hidden])")
    ann.press("u")
    # The page is closed and opened again while the server is back: what it kept is sent.
    time.sleep(3)
    desk.start()
    ann.sent()
    assert set(standing(recursion)) == set(given[:-1])
    assert sorted(case_id for _, case_id, withdrawn in rows(recursion) if withdrawn is None) == sorted(given[:-1])
    assert len(rows(recursion)) == len({row[0] for row in rows(recursion)}) == len(given)


def test_a_second_tab_is_live(reader, recursion):
    ann = reader()
    other = reader(context=ann.context)
    first = ann.press("a")
    other.until(
        "id => [...document.querySelectorAll('.tile[data-state=accept]')].some(t => t.textContent.startsWith(id))",
        first,
    )
    assert other.ready() != first
    second = other.press("r")
    other.sent()
    ann.sent()
    assert {case_id: v.verdict for case_id, v in standing(recursion).items()} == {first: "accept", second: "reject"}


def test_two_readers_are_shown_different_cases(reader, recursion):
    ann = reader("ann")
    ann.until("() => document.body.dataset.unsent === '0'")
    held = wait_for_leases(recursion, "ann")
    bob = reader("bob")
    assert bob.ready() not in held
    ann.page.close()
    ends = time.monotonic() + 20
    while any(reader_ == "ann" for _, reader_ in recursion.ledger.queue.page(now=time.time(), limit=60)):
        assert time.monotonic() < ends, "what a reader who left had held is not free"
        time.sleep(0.1)


def wait_for_leases(recursion, name):
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        page = recursion.ledger.queue.page(now=time.time(), limit=60)
        held = {proposal.case_id for proposal, reader_ in page if reader_ == name}
        if held:
            return held
        time.sleep(0.1)
    raise AssertionError(f"{name} holds nothing")


def test_the_mouse_alone_will_do(reader, recursion):
    ann = reader()
    page = ann.page
    first = ann.ready()
    page.click("#accept")
    second = ann.ready()
    page.click("#reasons button:first-child")
    ann.ready()
    page.click("#undo")
    ann.until("id => document.body.dataset.painted === id", second)
    page.dblclick(".tile.chosen")
    page.wait_for_selector("#case:not([hidden])")
    ann.ready()
    page.click("#slice-wrong")
    page.click("#accept")
    ann.ready()
    page.click("#close")
    ann.sent()
    found = standing(recursion)
    assert (found[first].verdict, found[first].rejected_slices) == ("accept", ())
    assert len(found[second].rejected_slices) == 1
    assert recursion.ledger.readings.facts(found[second].verdict_id).input_device == "mouse"
    assert recursion.ledger.readings.facts(found[second].verdict_id).view == "case"


def test_windows_need_no_request(reader):
    ann = reader()
    ann.page.wait_for_load_state("networkidle")
    asked = []
    ann.page.on("request", lambda request: asked.append(request.url))
    before = ann.page.inner_text("#window-value")
    ann.page.mouse.move(400, 300)
    ann.page.mouse.down()
    for step in range(20):
        ann.page.mouse.move(400 + 8 * step, 300 + 4 * step)
    ann.page.mouse.up()
    assert ann.page.inner_text("#window-value") != before
    ann.page.keyboard.press("w")
    ann.until("() => document.querySelector('#window').value !== 'own'")
    assert [url for url in asked if "desk/state" not in url and "leases" not in url] == []


def test_keys_can_be_changed_and_switched_off(reader, recursion):
    ann = reader()
    page = ann.page
    first = ann.ready()
    page.keyboard.press("?")
    page.click("#keys tr:nth-child(1) button")
    page.keyboard.press("k")
    page.click("#keys tr:nth-child(2) button")
    page.keyboard.press("k")
    assert "is taken" in page.inner_text("#keys-note")
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    assert ann.ready() == first
    assert ann.press("k") == first
    second = ann.ready()
    page.keyboard.press("?")
    page.uncheck("#keys-on")
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    page.keyboard.press("r")
    assert ann.ready() == second
    ann.sent()
    assert list(standing(recursion)) == [first]


AXE = Path(__file__).parents[2] / "data" / "axe" / "axe.min.js"
"""axe-core 4.14.1 (MPL-2.0), unchanged."""


def violations(page):
    """What axe-core finds wrong; it runs beside the page's scripts, whose policy lets no other script in."""
    page.evaluate(AXE.read_text(encoding="utf-8") + "\n;0")
    found = page.evaluate("async () => (await axe.run()).violations")
    return [(each["id"], [node["html"][:120] for node in each["nodes"]][:3]) for each in found]


def test_the_views_are_accessible(reader):
    ann = reader()
    ann.press("a")
    ann.press("r")
    ann.ready()
    found = {"sheet": violations(ann.page)}
    ann.press("Enter")
    ann.page.wait_for_selector("#case:not([hidden])")
    found["case"] = violations(ann.page)
    ann.page.keyboard.press("Escape")
    ann.page.keyboard.press("?")
    found["keys"] = violations(ann.page)
    ann.page.keyboard.press("Escape")
    ann.page.click("#reader")
    found["name"] = violations(ann.page)
    ann.page.goto(ann.page.url + "progress")
    ann.page.wait_for_selector("#rounds tbody tr")
    found["progress"] = violations(ann.page)
    assert {view: wrong for view, wrong in found.items() if wrong} == {}


def test_at_200_percent_nothing_is_cut_off(reader):
    ann = reader()
    # A window of 1280 x 800 at 200 % has room for half as much.
    ann.page.set_viewport_size({"width": 640, "height": 400})
    ann.ready()
    assert ann.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    ann.page.locator("#accept").scroll_into_view_if_needed()
    assert ann.page.is_visible("#accept") and ann.page.is_visible("#undo")


def test_the_progress_page_is_live(reader, recursion):
    ann = reader()
    ann.page.goto(ann.page.url + "progress")
    ann.until("() => document.querySelector('#facts dd')?.textContent === '60'")
    ann.until("() => document.querySelectorAll('#plots canvas').length > 0")
    ann.until("() => document.querySelector('#rounds tbody td:nth-child(2)')?.textContent === 'reviewing'")
    other = reader("bob", context=ann.context)
    other.press("a")
    other.sent()
    ann.until("() => document.querySelector('#facts dd').textContent === '59'")
    ann.until("() => document.querySelectorAll('#classes tbody td').length > 1")


def test_what_is_accepted_by_propagation_is_not_shown_until_a_verdict_is_taken_back(reader, recursion):
    first = [proposal.proposal_id for proposal, _ in recursion.ledger.queue.page(now=0)]
    recursion.ledger.propagation.form(0, [Cluster(tuple(first[:3]), tuple(first[-5:]))])
    ann = reader()
    for _ in range(3):
        ann.press("a")
        ann.ready()
    ann.sent()
    assert recursion.ledger.queue.count() == 52
    ann.page.goto(ann.page.url + "progress")
    told = "() => [...document.querySelectorAll('#facts dt')].find(d => d.textContent === 'Accepted by propagation')"
    assert ann.until(f"{told}?.nextSibling.textContent").startswith("5 proposals")
    ann.page.go_back()
    ann.until("() => !document.querySelector('#undo').disabled")
    ann.press("u")
    ann.sent()
    assert recursion.ledger.queue.count() == 58


def test_a_page_opened_anew_can_undo_what_was_judged_before(reader, recursion):
    ann = reader()
    first = ann.press("a")
    second = ann.press("r")
    ann.ready()
    ann.sent()
    ann.page.reload()
    ann.ready()
    ann.until("() => !document.querySelector('#undo').disabled")
    for case_id in (second, first):
        ann.press("u")
        ann.until("id => document.body.dataset.painted === id", case_id)
    ann.sent()
    assert standing(recursion) == {}
    assert ann.press("a") == first
    ann.sent()
    assert list(standing(recursion)) == [first]


def test_all_that_is_shown_is_accepted_at_once_only_where_the_setting_says_so(reader, recursion, make_app):
    ann = reader()
    assert not ann.page.is_visible("#accept-all")
    make_app(recursion, bulk_accept="true")
    ann.page.reload()
    ann.ready()
    shown = ann.page.evaluate(
        "() => new Set([...document.querySelectorAll('.tile')].map(t => t.textContent.split(' ')[0])).size"
    )
    ann.page.click("#accept-all")
    ann.until("() => document.body.dataset.painted")
    ann.sent()
    found = standing(recursion)
    assert len(found) == shown > 1
    facts = [recursion.ledger.readings.facts(verdict.verdict_id) for verdict in found.values()]
    assert all(one.bulk and one.visible_seconds > 0 for one in facts)
    assert recursion.ledger.readings.flagged(0)["bulk"] == shown
    ann.press("u")
    ann.sent()
    assert len(standing(recursion)) == shown - 1


def test_while_a_series_comes_the_page_says_how_far_it_is(browser, desk, recursion, monkeypatch):
    archive, read, here = app_instance().recursion.archive, Recursion.volume, threading.Event()
    down = [True]

    def slowly(self, case_id):
        if down:
            raise Unreachable("pacs.example did not answer in time (a series)")
        here.wait(30)
        return read(self, case_id)

    monkeypatch.setattr(Recursion, "volume", slowly)
    cases = list(recursion.ledger.cases.ids())
    monkeypatch.setattr(type(archive), "fetching", lambda self: dict.fromkeys(cases, (2, 3)))
    page = browser.new_context().new_page()
    page.add_init_script("localStorage.setItem('recursive-desk-reader', 'ann')")
    page.goto(f"{desk.url}/review/")
    page.get_by_text("Not there yet, tried again: pacs.example did not answer in time (a series)").wait_for()
    down.clear()
    page.get_by_text(re.compile(r"Loading: \d+ of \d+ images are here from the PACS")).wait_for()
    here.set()
    page.locator("body[data-painted^=c]").wait_for()
    assert page.locator("#message").is_hidden()
    page.context.close()
