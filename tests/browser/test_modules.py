"""The shared modules, each run inside the browser: reducer, socket, HTTP, money, time."""

import pytest

SHOW, POT = "kitchen", "pot-blue"


@pytest.fixture
async def page(bare_pages, open_page):
    """A page whose modules can be imported; no service stands behind it."""
    return await open_page(bare_pages)


@pytest.fixture
async def live_page(site, open_page):
    """The same with the service behind it."""
    return await open_page(site.base_url)


STORE = """
    const stock = (available) => ({ on_hand: 8, held: 8 - available, sold: 0, available, returned: 0 });
    const euros = (amount) => ({ amount, currency: "EUR" });
    const item = (variant_id, position) => ({ variant_id, position, price: euros(4900), stock: stock(8) });
    const show = {
        show_id: "k", state: "live", sales_open: true, host_present: false, slow_mode_ms: 0,
        pins: ["a"], items: [item("b", 1), item("a", 0)],
    };
    const said = (id, o) => ({ t: "chat", id, o, name: "Ann", text: "hi" });
"""


async def test_a_snapshot_forgets_and_then_applies(page, module):
    state = await module(
        page,
        "store.js",
        STORE
        + """
        const first = [said("m1", 1), { t: "pin", variant_id: "b", o: 2 }];
        const state = it.reduce(it.EMPTY, { e: "1", o: 2, ev: first, st: { "stock.a": stock(2), viewers: 5 } });
        const now = { "stock.b": stock(1), viewers: 7 };
        return it.reduce(state, { e: "2", o: 9, snapshot: true, ev: [said("m9", 9)], st: now });
        """,
    )
    assert [message["id"] for message in state["chat"]] == ["m9"]
    assert state["pins"] == []
    assert (list(state["stock"]), state["stock"]["b"]["available"], state["viewers"]) == (["b"], 1, 7)


async def test_every_event_and_state_key_of_the_wire_has_its_effect(page, module):
    state = await module(
        page,
        "store.js",
        STORE
        + """
        const store = it.createStore();
        store.loaded(show);
        store.apply({ e: "1", o: 9, ev: [
            said("m1", 1), said("m2", 2), { t: "chat_deleted", id: "m1", o: 3 },
            { t: "pin", variant_id: "b", o: 4 }, { t: "unpin", variant_id: "a", o: 5 },
            { t: "price", variant_id: "b", price: euros(3900), o: 6 }, { t: "sold_out", variant_id: "a", o: 7 },
            { t: "show", state: "paused", o: 8 }, { t: "sales", open: false, o: 9 },
            { t: "of a newer server", o: 9 },
        ], st: { viewers: 3, host: true, slow: 5000, chat: false, run: ["b"], video: { open: false, reason: "r" }, "of a newer server": 1 } });
        const told = ["show", "pinned", "stock", "chat", "viewers"];
        return Object.fromEntries(told.map((name) => [name, store[name].value]));
        """,
    )
    assert [message["id"] for message in state["chat"]] == ["m2"]
    assert [(pin["variant_id"], pin["price"]["amount"]) for pin in state["pinned"]] == [("b", 3900)]
    assert state["stock"]["a"]["available"] == 0
    show = state["show"]
    assert (show["state"], show["sales_open"], show["host_present"], show["slow_mode_ms"]) == (
        "paused",
        False,
        True,
        5000,
    )
    assert show["run"] == ["b"]
    assert (show["chat_open"], show["video"]) == (False, {"open": False, "reason": "r"})
    assert state["viewers"] == 3


async def test_what_was_heard_while_the_show_was_asked_for_wins_over_the_answer(page, module):
    state = await module(
        page,
        "store.js",
        STORE
        + """
        const store = it.createStore();
        store.loaded(show);
        store.loading();
        store.apply({ e: "1", o: 3, ev: [
            { t: "price", variant_id: "a", price: euros(100), o: 1 },
            { t: "unpin", variant_id: "a", o: 2 }, { t: "pin", variant_id: "b", o: 3 },
        ], st: { "stock.a": stock(1) } });
        store.loaded(show);
        return { items: store.items.value, pins: store.pins.value, stock: store.stock.value };
        """,
    )
    assert [(item["variant_id"], item["price"]["amount"]) for item in state["items"]] == [("a", 100), ("b", 4900)]
    assert state["pins"] == ["b"]
    assert (state["stock"]["a"]["available"], state["stock"]["b"]["available"]) == (1, 8)


async def test_the_chat_is_bounded_and_says_nothing_twice(page, module):
    chat = await module(
        page,
        "store.js",
        STORE
        + """
        const events = Array.from({ length: it.CHAT_MAX + 10 }, (_, n) => said(`m${n}`, n));
        return it.reduce(it.EMPTY, { e: "1", o: 999, ev: [...events, events.at(-1)] }).chat.map(({ id }) => id);
        """,
    )
    assert (len(chat), chat[0], chat[-1]) == (200, "m10", "m209")


async def test_a_position_hands_each_event_on_once(page, module):
    seen = await module(
        page,
        "socket.js",
        """
        const position = new it.Position();
        const frames = [
            { e: "x", o: 5, snapshot: true, ev: [{ o: 3 }, { o: 5 }] },
            { e: "x", o: 7, ev: [{ o: 5 }, { o: 6 }, { o: 7 }] },
            { e: "x", o: 6, ev: [{ o: 6 }] },
            { e: "y", o: 2, snapshot: true, ev: [{ o: 1 }, { o: 2 }] },
        ];
        const before = position.query;
        const seen = frames.map((frame) => position.advance(frame).ev.map(({ o }) => o));
        return { before, seen, after: position.query };
        """,
    )
    assert seen == {"before": {}, "seen": [[3, 5], [6, 7], [], [1, 2]], "after": {"epoch": "y", "offset": "2"}}


async def test_the_pause_before_coming_back_grows_to_a_cap_and_is_jittered(page, module):
    pauses = await module(
        page, "socket.js", "return [0, 1, 5, 50].map((n) => [it.backoffMs(n, 0), it.backoffMs(n, 1)])"
    )
    assert pauses == [[50, 250], [100, 500], [1600, 8000], [3000, 15000]]


async def test_the_servers_direction_counts_for_the_first_attempt_alone(page, module):
    body = "return [[0, 640], [0, 0], [1, 640], [0, null], [0, 1e9]].map(([n, ms]) => it.pauseMs(n, ms, 0))"
    assert await module(page, "socket.js", body) == [640, 0, 100, 50, 60_000]


async def test_close_codes_from_4500_to_4999_mean_stay_away(page, module):
    answers = await module(
        page, "socket.js", "return [1000, 1006, 4000, 4499, 4500, 4999, 5000].map((code) => it.staysAway(code))"
    )
    assert answers == [False, False, False, False, True, True, False]


RESUMING = """
    const frames = [];
    const socket = new it.ShowSocket({
        show: argument.show,
        ticket: async () => {
            const headers = { authorization: `Bearer ${argument.token}` };
            const answer = await fetch(`/api/v1/shows/${argument.show}/tickets`, { method: "POST", headers });
            return (await answer.json()).ticket;
        },
        onFrame: (frame) => frames.push(frame),
    });
    window.__room = { socket, frames };
    socket.open();
"""


async def test_a_socket_that_was_cut_resumes_without_a_gap_or_a_repeat(site, live_page, module):
    token = await site.guest()
    await module(live_page, "socket.js", RESUMING, {"show": SHOW, "token": token})
    await live_page.wait_for_function("() => window.__room.frames.length > 0")
    await site.say("before", token)
    await live_page.wait_for_function("() => window.__room.frames.some((f) => f.ev.some((e) => e.text === 'before'))")
    await live_page.evaluate("() => { const { socket } = window.__room; socket.socket.close(); }")
    await site.say("meanwhile", token)
    await live_page.wait_for_function(
        "() => window.__room.frames.some((f) => f.ev.some((e) => e.text === 'meanwhile'))"
    )
    frames = await live_page.evaluate("() => window.__room.frames")
    texts = [event["text"] for frame in frames for event in frame["ev"] if event["t"] == "chat"]
    assert texts == ["before", "meanwhile"]
    assert [frame["recovered"] for frame in frames if "recovered" in frame][-1] is True


TRYING = """
    window.__said = [];
    const ticket = () => argument.ticket ?? Promise.reject(Object.assign(new Error(), { status: argument.status }));
    const onStatus = (status) => window.__said.push(status);
    new it.ShowSocket({ show: "kitchen", ticket: async () => ticket(), onFrame: () => {}, onStatus }).open();
"""


async def test_a_socket_whose_ticket_is_refused_stays_away(page, module):
    await module(page, "socket.js", TRYING, {"status": 404})
    await page.wait_for_function("() => window.__said.length === 2")
    assert await page.evaluate("() => window.__said") == ["connecting", "refused"]


@pytest.mark.parametrize("trouble", [{"status": 503}, {"status": 429}, {"status": 0}, {"ticket": "of long ago"}])
async def test_a_socket_that_finds_the_door_shut_for_now_comes_back(page, module, trouble):
    await module(page, "socket.js", TRYING, trouble)
    await page.wait_for_function("() => window.__said.length >= 4")
    assert (await page.evaluate("() => window.__said"))[:4] == ["connecting", "waiting", "connecting", "waiting"]


async def test_a_command_is_answered_to_its_sender(site, live_page, module):
    token = await site.guest()
    await module(live_page, "socket.js", RESUMING, {"show": SHOW, "token": token})
    await live_page.wait_for_function("() => window.__room.socket.status === 'open'")
    answer = await live_page.evaluate("() => window.__room.socket.send({ t: 'chat', text: 'hello' })")
    assert answer["id"].startswith("msg")
    refused = await live_page.evaluate("() => window.__room.socket.send({ t: 'chat', text: '' }).catch((e) => e.code)")
    assert refused == "invalid"


async def test_a_lost_answer_is_asked_for_again_under_the_same_key(site, live_page, module):
    token, keys = await site.guest(), []

    async def lose_the_first_answer(route):
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 1:
            return await route.continue_()
        await route.fetch()  # the server has done it; the buyer does not hear of it
        return await route.abort()

    await live_page.route("**/holds", lose_the_first_answer)
    hold = await module(
        live_page,
        "api.js",
        "return it.api.hold(argument.show, argument.token, it.intent(), argument.variant)",
        {"show": SHOW, "token": token, "variant": POT},
    )
    assert hold["state"] == "held"
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert (await site.stock(POT))["held"] == 1


async def test_a_refusal_is_a_problem_with_its_code_and_is_not_repeated(site, live_page, module):
    asked = []
    live_page.on("request", lambda request: asked.append(request) if "no-such" in request.url else None)
    problem = await module(
        live_page,
        "api.js",
        "return it.api.show('no-such').catch(({ status, code, detail }) => ({ status, code, words: detail !== '' }))",
    )
    assert problem == {"status": 404, "code": "not_found", "words": True}
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "text"),
    [
        (1800, "EUR", "en-GB", "€18.00"),
        (1805, "EUR", "de-DE", "18,05\u00a0€"),
        (1800, "JPY", "en-GB", "JP¥1,800"),
        (1234567, "KWD", "en-GB", "KWD\u00a01,234.567"),
        (5, "USD", "en-US", "$0.05"),
        (999999999999, "EUR", "en-GB", "€9,999,999,999.99"),
    ],
)
async def test_money_has_its_currencys_digits(page, module, amount, currency, locale, text):
    got = await module(
        page,
        "money.js",
        "return it.money(argument[0], argument[1])",
        [{"amount": amount, "currency": currency}, locale],
    )
    assert got == text


@pytest.mark.parametrize(
    ("typed", "currency", "amount"),
    [
        ("18", "EUR", 1800),
        ("18.5", "EUR", 1850),
        (" 18,05 ", "EUR", 1805),
        ("18.005", "EUR", None),
        ("1800", "JPY", 1800),
        ("18.5", "JPY", None),
        ("", "EUR", None),
        ("-1", "EUR", None),
        ("1e3", "EUR", None),
        ("0.29", "EUR", 29),
    ],
)
async def test_a_typed_amount_becomes_minor_units_or_nothing(page, module, typed, currency, amount):
    got = await module(page, "money.js", "return it.minorUnits(argument[0], argument[1])", [typed, currency])
    assert got == amount


async def test_a_countdown_rounds_up_and_never_goes_below_zero(page, module):
    got = await module(page, "time.js", "return [299_001, 60_000, 1, 0, -5, 3_600_000].map(it.countdown)")
    assert got == ["5:00", "1:00", "0:01", "0:00", "0:00", "1:00:00"]


async def test_the_clock_is_the_servers(page, module):
    offset = await module(
        page,
        "clock.js",
        """
        const local = Date.now();
        it.learn(local + 60_000, local - 10, local + 10);
        const better = it.now() - Date.now();
        it.learn(local - 99_000, local - 5000, local + 5000); // worse known: it does not count
        return [better, it.now() - Date.now()];
        """,
    )
    assert all(abs(each - 60_000) < 1000 for each in offset)


async def test_an_answer_that_breaks_off_in_its_body_is_no_answer(live_page, module):
    code = await module(
        live_page,
        "api.js",
        """
        const broken = () => new ReadableStream({ start: (body) => body.error(new TypeError("cut")) });
        window.fetch = async () => new Response(broken(), { status: 201 });
        return it.api.hold("kitchen", "token", "key", "pot-blue").catch((problem) => problem.code);
        """,
    )
    assert code == "network"  # else the purchase would forget a tap that the server may have taken


WAITING = """
    window.__offers = [];
    const onOffer = async (hold) => { window.__offers.push(hold); return window.__offers.length > 1; };
    window.__waiting = new it.Waiting({ show: "kitchen", token: async () => "token", onOffer });
    await window.__waiting.join("knife");
"""


async def test_an_offer_whose_word_was_lost_is_found_by_asking_after_the_gap_and_taken_until_it_is(page, module):
    place = {"entry_id": "wait_1", "variant_id": "knife", "ahead": 0, "hold_id": None, "state": "waiting"}
    offered = place | {"state": "offered", "hold_id": "hold_1"}
    await page.route("**/waitlist", lambda route: route.fulfill(json=place))
    await page.route("**/waitlist/wait_1", lambda route: route.fulfill(json=offered))
    await module(page, "waiting.js", WAITING)
    kept = await page.evaluate("() => JSON.parse(localStorage.getItem('showfloor.waiting.kitchen'))")
    assert kept == {"knife": place}  # for every tab
    await page.evaluate("() => window.__waiting.soon()")
    await page.wait_for_function("() => window.__offers.length === 2")  # the first time it was not taken
    await page.wait_for_function("() => Object.keys(window.__waiting.places.value).length === 0")
    assert set(await page.evaluate("() => window.__offers")) == {"hold_1"}


async def test_an_offer_that_is_told_is_taken_at_once_and_one_for_another_tabs_place_is_not(page, module):
    await page.route("**/waitlist", lambda route: route.fulfill(json={"entry_id": "wait_1", "state": "waiting"}))
    body = """
        const taken = [];
        const waiting = new it.Waiting({ show: "hall", token: async () => "token", onOffer: async (hold) => taken.push(hold) });
        await waiting.join("knife");
        waiting.hear({ variant_id: "pot", hold_id: "hold_2" });
        waiting.hear({ variant_id: "knife", hold_id: "hold_1" });
        waiting.hear({ variant_id: "knife", hold_id: "hold_1" });
        await new Promise((resolve) => setTimeout(resolve));
        return [taken, Object.keys(waiting.places.value), localStorage.getItem("showfloor.waiting.hall")];
    """
    assert await module(page, "waiting.js", body) == [["hold_1"], [], None]


async def test_all_items_are_searched_by_words_options_and_numbers_however_they_are_spelled(page, module):
    sought = ["", "POT", "pot bl", "cr\u00e8me", "creme", "2", "pot apron", "  ", "xyz"]
    found = await module(
        page,
        "items.js",
        """
        const items = [["Pot", "blue"], ["Pot", "red"], ["Cr\u00e8me br\u00fbl\u00e9e", ""], ["Apron", ""]]
            .map(([title, option], position) => ({ title, option, position }));
        return argument.map((typed) => it.found(items, typed).map(({ position }) => position));
        """,
        sought,
    )
    assert found == [[0, 1, 2, 3], [0, 1], [0], [2], [2], [1], [], [0, 1, 2, 3], []]


async def test_the_run_orders_what_it_names_and_next_follows_the_newest_pin(page, module):
    answer = await module(
        page,
        "run.js",
        """
        const items = ["a", "b", "c"].map((variant_id) => ({ variant_id }));
        const ordered = it.inOrder(items, ["c", "gone", "a"]);
        const next = (...pins) => it.nextOf(ordered, pins)?.variant_id ?? null;
        return [ordered.map((item) => item.variant_id), next(), next("c"), next("a", "c"), next("b"), next("x"),
            it.moved(["a", "b", "c"], "c", 0), it.moved(["a", "b", "c"], "a", 2)];
        """,
    )
    assert answer == [["c", "a", "b"], "c", "a", "a", None, "c", ["c", "a", "b"], ["b", "c", "a"]]
