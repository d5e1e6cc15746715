# SPDX-License-Identifier: Apache-2.0
"""The SVG flame graph does what it promises, in Chromium, from file://, without network."""

import re
import xml.etree.ElementTree as ET

import pytest

SVG = "{http://www.w3.org/2000/svg}"
# What make_flame_profile.c records: shares of all samples, in percent.
TRUTH = {"web": 60, "main": 60, "Server.serve": 60, "Template.render": 35, "escape_unicode": 5, "query": 25,
         "do_syscall_64": 5, "sys_read": 5, "postgres": 38, "PostgresMain": 38, "ExecHashJoin": 38, "kworker/1:2": 2}


@pytest.fixture
def page(browser, export):
    p = browser.open(export("small").as_uri())
    yield p
    assert p.errors() == []
    p.close()


def frames(page):
    """{full name: (x, y, width, classes)} of what is drawn."""
    return page.run("""(() => { const data = JSON.parse(document.getElementById("data").textContent), out = {};
        for (const g of document.querySelectorAll("#frames .frame")) {
            const r = g.querySelector("rect").getBoundingClientRect();
            out[data.items[data.nodes[g.dataset.i * 5]][0]] = [r.x + r.width / 2, r.y + r.height / 2, r.width, g.getAttribute("class")];
        } return out; })()""")


def hint(page):
    return page.run("""(() => { const h = document.getElementById("hint");
        return h.getAttribute("visibility") === "visible" ? [...h.querySelectorAll("text")].map(t => t.textContent).join("\\n") : ""; })()""")


def click(page, name):
    x, y, _, _ = frames(page)[name]
    page.click(x, y)


def test_widths_are_the_shares(page):
    drawn = frames(page)
    whole = drawn["all"][2]
    for name, percent in TRUTH.items():
        assert abs(drawn[name][2] - whole * percent / 100) < 1.5, name


def test_hover_tells_name_weight_and_percent(page):
    x, y, _, _ = frames(page)["Template.render"]
    page.hover(x, y)
    text = hint(page)
    assert "Template.render" in text
    assert "environment.py:1277" in text
    assert "3.5 s" in text and "35.00 % of all" in text
    assert "itself 3 s, 30.00 %" in text
    assert "350 samples" in text
    page.hover(5, 5)
    assert hint(page) == ""


def test_click_zooms_and_reset_comes_back(page):
    before = frames(page)
    click(page, "query")
    zoomed = frames(page)
    assert abs(zoomed["query"][2] - before["all"][2]) < 1
    assert abs(zoomed["sys_read"][2] - before["all"][2] * 5 / 25) < 1.5
    assert "postgres" not in zoomed and "Template.render" not in zoomed
    assert "above" in zoomed["main"][3] and abs(zoomed["main"][2] - before["all"][2]) < 1
    assert page.run('document.getElementById("reset").getAttribute("visibility")') == "visible"
    box = page.run('(() => { const r = document.getElementById("reset").getBoundingClientRect(); return [r.x + 9, r.y + 9]; })()')
    page.click(*box)
    assert frames(page) == before


def test_escape_leaves_the_zoom(page):
    before = frames(page)
    click(page, "Server.serve")
    assert frames(page) != before
    page.key("Escape", 27)
    assert frames(page) == before


def test_click_on_an_ancestor_widens_the_view(page):
    click(page, "query")
    click(page, "web")
    drawn = frames(page)
    assert abs(drawn["query"][2] - drawn["web"][2] * 25 / 60) < 1.5


def search(page, text):
    page.key("/", 191)
    page.type(text)


def matched(page):
    return page.run('document.getElementById("matched").textContent')


@pytest.mark.parametrize("text, percent, count", [
    ("query", 25, 1),
    ("QUERY", 25, 1),
    ("sys_", 5, 1),
    ("postgres", 38, 3),           # the process and below it two frames of its binary: counted once
    ("environment.py", 35, 1),     # places, too
    ("^(render|escape)", 5, 1),
    ("Template.render|escape", 35, 2),
    ("no such thing", 0, 0),
    ("((", 0, 0),                  # no regular expression: taken as it is
])
def test_search_counts_each_sample_once(page, text, percent, count):
    search(page, text)
    assert matched(page) == f"matched {percent:.2f} %, {count} frame{'' if count == 1 else 's'}"
    hits = [name for name, f in frames(page).items() if "hit" in f[3]]
    assert len(hits) == count


def test_escape_clears_the_search(page):
    before = frames(page)
    search(page, "query")
    assert frames(page) != before
    page.key("Escape", 27)
    assert matched(page) == "" and frames(page) == before
    assert page.run('document.getElementById("search").value') == ""


def test_search_survives_a_zoom(page):
    search(page, "sys_read")
    click(page, "query")
    assert "hit" in frames(page)["sys_read"][3]
    assert matched(page) == "matched 5.00 %, 1 frame"


def test_colours_tell_the_kinds(page):
    fills = page.run("""(() => { const out = {}; for (const g of document.querySelectorAll("#frames .frame")) {
        const r = g.querySelector("rect"); out[r.getAttribute("class").replace(/\\d$/, "")] = getComputedStyle(r).fill; }
        return out; })()""")
    assert set(fills) == {"all", "process", "python", "native", "kernel"}
    assert len(set(fills.values())) == 5
    legend = page.run('[...document.querySelectorAll(".legend text")].map(t => t.textContent)')
    assert {"process", "python", "native", "kernel", "synthetic"} <= set(legend)


def test_follows_the_window(browser, export):
    page = browser.open(export("small").as_uri(), size=(900, 600))
    assert abs(frames(page)["all"][2] - (900 - 32)) < 20
    assert page.run("document.documentElement.scrollWidth <= window.innerWidth")
    page.call("Emulation.setDeviceMetricsOverride", width=1600, height=600, deviceScaleFactor=1, mobile=False)
    page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert abs(frames(page)["all"][2] - (1600 - 32)) < 20
    page.close()


def test_title_tells_host_time_and_total(page):
    text = page.run('document.getElementById("title").textContent + "|" + document.getElementById("subtitle").textContent')
    assert re.search(r"testhost.*\|2025-11-2\d .*10\.0 s.*10\.0 s of CPU time in 1,?000 samples", text), text


def test_own_title(browser, export):
    page = browser.open(export("small", "--title", "Tuesday's <outage>").as_uri())
    assert page.run('document.getElementById("title").textContent') == "Tuesday's <outage>"
    page.close()


def test_asks_for_nothing_but_itself(browser, export):
    path = export("small")
    page = browser.open(path.as_uri())
    assert page.requests() == [path.as_uri()]
    page.close()
    assert not re.search(r"(href|src)\s*=|url\(|@import", path.read_text())


def test_readable_without_scripts(browser, export):
    """The frames stand in the file itself, each with its name and share."""
    root = ET.parse(export("small")).getroot()
    drawn = {g.find(f"{SVG}title").text: float(g.find(f"{SVG}rect").get("width")) for g in root.iter(f"{SVG}g") if g.get("class") == "frame"}
    for name, percent in TRUTH.items():
        assert abs(drawn[f"{name} ({percent:.2f} %)"] - 1168 * percent / 100) < 1.5, name
    page = browser.open(export("small").as_uri(), scripts=False)
    shot = page.screenshot()
    assert len(shot) > 10_000
    page.close()


# ---- hostile names ----

def test_hostile_names_stay_text(browser, export):
    path = export("hostile", "--title", "</title><script>document.title='owned'</script>")
    root = ET.parse(path).getroot()  # well-formed at all
    assert len(list(root.iter(f"{SVG}script"))) == 1
    assert not list(root.iter(f"{SVG}image"))
    page = browser.open(path.as_uri())
    assert page.errors() == []
    assert page.run("document.title") != "owned"
    assert page.run('document.querySelectorAll("script, image, iframe, b").length') == 1
    names = frames(page)
    assert any("<script>" in n for n in names)
    assert any("&amp;&lt;already&gt;" in n for n in names)
    assert not any(re.search(r"[\x00-\x1f\x7f\u202e]", n) for n in names), names
    for x, y, width, _ in list(names.values()):
        page.hover(x, y)
        if width > 2:
            assert hint(page)
    click(page, next(n for n in names if n.startswith("<script>")))
    search(page, "<script>")
    assert matched(page).startswith("matched ")
    assert page.run("document.title") != "owned"
    assert page.run('document.querySelectorAll("script, image, iframe, b").length') == 1
    assert page.errors() == []
    page.close()
