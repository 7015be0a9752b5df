"""The check on forged histories: a good run passes, and each kind of broken promise is found and proved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chappe.history import (
    Finish,
    History,
    Invoke,
    Page,
    Read,
    Record,
    Row,
    Rule,
    Shown,
    Start,
    Tick,
    Verdict,
    check,
)

Run = dict[str, list[Record]]


def good() -> Run:
    """Return what happens when Alice (two devices) says hi to Bob, he answers, and all is well."""
    hi, yes = "01", "02"
    seen_by_bob = (
        Row(text="hi", device="a1", id=hi),
        Row(text="yes", device="b1", id=yes, answers=hi, state="delivered"),
    )
    seen_by_alice = (
        Row(text="hi", device="a1", id=hi, state="read"),
        Row(text="yes", device="b1", id=yes, answers=hi),
    )
    return {
        "alice-1": [
            Start(user="a", device="a1"),
            Invoke(conv="c", to="b", text="hi"),
            Tick(conv="c", text="hi", state="sent", id=hi),
            Tick(conv="c", text="hi", state="delivered", id=hi),
            Tick(conv="c", text="hi", state="read", id=hi),
            Shown(conv="c", id=yes, device="b1", text="yes", answers=hi),
            Finish(pages=(Page(conv="c", rows=seen_by_alice),)),
        ],
        "alice-2": [
            Start(user="a", device="a2"),
            Shown(conv="c", id=hi, device="a1", text="hi"),
            Shown(conv="c", id=yes, device="b1", text="yes", answers=hi),
            Finish(pages=(Page(conv="c", rows=seen_by_alice),)),
        ],
        "bob": [
            Start(user="b", device="b1"),
            Shown(conv="c", id=hi, device="a1", text="hi"),
            Read(conv="c", id=hi),
            Invoke(conv="c", to="a", text="yes", answers=hi),
            Tick(conv="c", text="yes", state="sent", id=yes),
            Tick(conv="c", text="yes", state="delivered", id=yes),
            Finish(pages=(Page(conv="c", rows=seen_by_bob),)),
        ],
    }


def judge(run: Run) -> Verdict:
    return check([History(name, tuple(records)) for name, records in run.items()])


def end(run: Run, name: str, change: Callable[[list[Row]], object]) -> None:
    """Change the rows that a device ends with."""
    finish = run[name][-1]
    assert isinstance(finish, Finish)
    (page,) = finish.pages
    rows = list(page.rows)
    change(rows)
    run[name][-1] = Finish(pages=(Page(conv="c", rows=tuple(rows)),))


def never_finished(run: Run) -> None:
    run["bob"].pop()


def lost_on_the_linked_device(run: Run) -> None:
    del run["alice-2"][1]
    end(run, "alice-2", lambda rows: rows.pop(0))
    run["alice-2"] = [record for record in run["alice-2"] if not isinstance(record, Shown)]


def split_while_unknown(run: Run) -> None:
    run["bob"] = [record for record in run["bob"] if not isinstance(record, Tick)]
    run["alice-2"].pop(2)
    end(run, "alice-2", lambda rows: rows.pop())


def vanished(run: Run) -> None:
    run["bob"] = [record for record in run["bob"] if not isinstance(record, Tick)]
    for name in ("alice-1", "alice-2", "bob"):
        end(run, name, lambda rows: rows.pop())
    run["alice-1"].pop(5)


def hidden(run: Run) -> None:
    run["alice-1"].pop(5)


def shown_again_after_a_restart(run: Run) -> None:
    run["bob"][2:2] = [Start(user="b", device="b1"), run["bob"][1]]


def twice_on_the_page(run: Run) -> None:
    end(run, "bob", lambda rows: rows.insert(1, replace(rows[0], id="011")))


def invented(run: Run) -> None:
    run["bob"].insert(2, Shown(conv="c", id="011", device="a1", text="pay up"))


def from_the_wrong_device(run: Run) -> None:
    run["bob"][1] = Shown(conv="c", id="01", device="a2", text="hi")


def renamed(run: Run) -> None:
    run["alice-1"][5] = Shown(conv="c", id="03", device="b1", text="yes", answers="01")


def disorder(run: Run) -> None:
    for name in ("alice-1", "alice-2", "bob"):
        end(run, name, lambda rows: rows.reverse())


def reply_shown_first(run: Run) -> None:
    run["alice-2"][1:3] = reversed(run["alice-2"][1:3])


def reply_with_the_smaller_id(run: Run) -> None:
    run["bob"].append(Shown(conv="c", id="005", device="a1", text="early", answers="01"))


def backwards(run: Run) -> None:
    end(run, "alice-1", lambda rows: rows.insert(0, replace(rows.pop(0), state="delivered")))


def sent_then_failed(run: Run) -> None:
    run["alice-1"].insert(3, Tick(conv="c", text="hi", state="failed", reason="forbidden"))


def read_by_nobody(run: Run) -> None:
    run["bob"].pop(2)


def failed_but_arrived(run: Run) -> None:
    run["bob"][4:6] = [Tick(conv="c", text="yes", state="failed", reason="forbidden")]


def undecided(run: Run) -> None:
    run["bob"].insert(3, Invoke(conv="c", to="a", text="wait"))
    end(run, "bob", lambda rows: rows.append(Row(text="wait", device="b1", state="queued")))


PLANTED: list[tuple[Callable[[Run], None], Rule, list[str]]] = [
    (never_finished, Rule.UNFINISHED, ["bob:6 is the last record, a Tick"]),
    (
        lost_on_the_linked_device,
        Rule.LOST,
        ["alice-1:3 told: sent 'hi' as 01", "alice-2:2 ends with 1 messages in c, not 'hi'"],
    ),
    (
        split_while_unknown,
        Rule.SPLIT,
        ["alice-1:7 ends with 'yes'", "alice-2:3 ends with 1 messages in c, not 'yes'"],
    ),
    (vanished, Rule.VANISHED, ["alice-2:3 shows 'yes' as 02", "alice-2:4 ends without 'yes'"]),
    (hidden, Rule.HIDDEN, ["alice-1:6 holds 'yes'"]),
    (shown_again_after_a_restart, Rule.TWICE, ["bob:2 shows 'hi' as 01", "bob:4 shows 'hi' as 01"]),
    (twice_on_the_page, Rule.TWICE, ["bob:7 holds 'hi' 2 times"]),
    (invented, Rule.INVENTED, ["bob:3 shows 'pay up' as 011"]),
    (
        from_the_wrong_device,
        Rule.INVENTED,
        [
            "alice-1:2 sends 'hi', answering None",
            "bob:2 shows 'hi' as 01, in c, from a2, answering None",
        ],
    ),
    (renamed, Rule.RENAMED, ["alice-1:6 shows 'yes' as 03", "alice-1:7 holds 'yes' as 02"]),
    (disorder, Rule.DISORDER, ["alice-1:7 holds 'yes' (02) before 'hi' (01)"]),
    (reply_shown_first, Rule.EARLY_REPLY, ["alice-2:2 shows 'yes' as 02, which answers 01"]),
    (reply_with_the_smaller_id, Rule.EARLY_REPLY, ["bob:8 shows 'early' as 005, which answers 01"]),
    (backwards, Rule.BACKWARDS, ["alice-1:5 told: read 'hi' as 01", "alice-1:7 holds 'hi', delivered"]),
    (
        sent_then_failed,
        Rule.BACKWARDS,
        ["alice-1:3 told: sent 'hi' as 01", "alice-1:4 told: failed 'hi' as None"],
    ),
    (read_by_nobody, Rule.FALSE_READ, ["alice-1:5 told: read 'hi' as 01"]),
    (
        failed_but_arrived,
        Rule.FALSE_FAILURE,
        ["bob:5 told: failed 'yes' as None", "alice-1:7 holds 'yes' as 02"],
    ),
    (undecided, Rule.UNDECIDED, ["bob:8 holds 'wait', queued"]),
]


def test_a_good_run_is_kept() -> None:
    verdict = judge(good())
    assert verdict.is_kept
    assert verdict.to_text() == (
        "KEPT: 3 devices, 1 conversations, 2 messages (2 acknowledged, 0 failed, 0 unknown), "
        "4 shown, 0 restarts"
    )


@pytest.mark.parametrize(
    ("plant", "rule", "witness"), PLANTED, ids=[plant.__name__ for plant, _, _ in PLANTED]
)
def test_a_broken_promise_is_found(plant: Callable[[Run], None], rule: Rule, witness: list[str]) -> None:
    run = good()
    plant(run)
    verdict = judge(run)
    assert not verdict.is_kept
    found = [list(map(str, violation.witness)) for violation in verdict.violations if violation.rule is rule]
    assert witness in found
    assert verdict.to_text().startswith("NOT KEPT")


def test_every_rule_has_a_planted_case() -> None:
    assert {rule for _, rule, _ in PLANTED} == set(Rule)


def test_the_page_explains_every_rule() -> None:
    page = (Path(__file__).parents[3] / "docs" / "history-check.md").read_text()
    assert [rule for rule in Rule if f"| {rule} |" not in page] == []


def test_each_broken_rule_is_heard_first_by_its_shortest_witness_and_the_rest_is_counted() -> None:
    run = good()
    lost_on_the_linked_device(run)
    undecided(run)
    run["bob"].insert(2, Shown(conv="c", id="011", device="a1", text="pay up"))
    run["bob"].insert(2, Shown(conv="c", id="012", device="a1", text="pay more"))
    verdict = judge(run)
    rules = [violation.rule for violation in verdict.violations]
    once = len(set(rules))
    assert once == len(set(rules[:once])) < len(rules)
    lengths = [len(violation.witness) for violation in verdict.violations[:once]]
    assert lengths == sorted(lengths)
    assert verdict.to_text(most=once).splitlines()[-1] == "and 1 more invented, 1 more vanished"


def test_a_message_that_the_dead_client_had_stored_is_on_the_screen_after_its_restart() -> None:
    run = good()
    rows = (Row(text="hi", device="a1", id="01"),)
    run["bob"][1] = Start(user="b", device="b1", pages=(Page(conv="c", rows=rows),))
    verdict = judge(run)
    assert verdict.is_kept
    assert verdict.restarts == 1


def test_the_answer_may_come_before_the_sender_is_told_that_its_message_was_taken() -> None:
    run = good()
    run["alice-1"][2:6] = [run["alice-1"][5], *run["alice-1"][2:5]]
    assert judge(run).is_kept


def test_an_unknown_outcome_may_be_either() -> None:
    arrived = good()
    arrived["bob"] = [record for record in arrived["bob"] if not isinstance(record, Tick)]
    assert judge(arrived).is_kept

    never = good()
    never["alice-1"].insert(1, Invoke(conv="c", to="b", text="killed before it was stored"))
    verdict = judge(never)
    assert verdict.is_kept
    assert verdict.invoked - verdict.acknowledged - verdict.failed == 1


def test_a_failed_message_stays_on_its_own_device() -> None:
    run = good()
    run["bob"][3:3] = [
        Invoke(conv="c", to="a", text="no"),
        Tick(conv="c", text="no", state="failed", reason="forbidden"),
    ]
    end(run, "bob", lambda rows: rows.append(Row(text="no", device="b1", state="failed")))
    verdict = judge(run)
    assert verdict.is_kept
    assert verdict.failed == 1


def test_a_conversation_is_its_two_peoples_business() -> None:
    run = good()
    run["carol"] = [Start(user="c", device="c1"), Finish(pages=())]
    assert judge(run).is_kept


def test_histories_that_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="does not begin with a start"):
        check([History("empty", ())])
    run = good()
    run["bob"].insert(3, Invoke(conv="c", to="a", text="hi"))
    with pytest.raises(ValueError, match="'hi' is sent twice"):
        judge(run)


@given(
    lines=st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12),
    data=st.data(),
)
def test_any_faultless_run_is_kept_and_any_single_fault_is_found(
    lines: list[tuple[bool, bool, int]], data: st.DataObject
) -> None:
    run = _simulate(lines)
    assert judge(run).is_kept
    name = data.draw(st.sampled_from(sorted(run)))
    fault = data.draw(st.sampled_from(FAULTS))
    place = data.draw(st.integers(0, len(lines) - 1))
    if fault(run[name], place):
        assert not judge(run).is_kept


def _drop_sighting(records: list[Record], place: int) -> bool:
    sightings = [record for record in records if isinstance(record, Shown)]
    if sightings:
        records.remove(sightings[place % len(sightings)])
    return bool(sightings)


def _show_again(records: list[Record], place: int) -> bool:
    sightings = [record for record in records if isinstance(record, Shown)]
    if sightings:
        records.insert(-1, sightings[place % len(sightings)])
    return bool(sightings)


def _drop_row(records: list[Record], place: int) -> bool:
    return _change_rows(records, lambda rows: rows.pop(place))


def _repeat_row(records: list[Record], place: int) -> bool:
    return _change_rows(records, lambda rows: rows.insert(place, rows[place]))


def _rename_row(records: list[Record], place: int) -> bool:
    return _change_rows(records, lambda rows: rows.insert(place, replace(rows.pop(place), id="ff")))


def _swap_rows(records: list[Record], place: int) -> bool:
    return place > 0 and _change_rows(records, lambda rows: rows.insert(place - 1, rows.pop(place)))


def _forget_to_finish(records: list[Record], place: int) -> bool:
    records.pop()
    return True


def _change_rows(records: list[Record], change: Callable[[list[Row]], object]) -> bool:
    run = {"one": records}
    end(run, "one", change)
    return True


FAULTS = [
    _drop_sighting,
    _show_again,
    _drop_row,
    _repeat_row,
    _rename_row,
    _swap_rows,
    _forget_to_finish,
]


def _simulate(lines: list[tuple[bool, bool, int]]) -> Run:
    """Play (by Alice, answers the last, crash of device n) on four devices that see everything at once."""
    devices = [("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")]
    run: Run = {name: [Start(user=user, device=name)] for name, user in devices}
    rows: list[Row] = []
    for number, (by_alice, answers, crash) in enumerate(lines):
        sender, to = ("a1", "b") if by_alice else ("b1", "a")
        text, name = f"text {number}", f"{number:02}"
        answered = rows[-1].id if answers and rows else None
        run[sender].append(Invoke(conv="c", to=to, text=text, answers=answered))
        run[sender].append(Tick(conv="c", text=text, state="sent", id=name))
        for device, _ in devices:
            if device != sender:
                run[device].append(Shown(conv="c", id=name, device=sender, text=text, answers=answered))
        rows.append(Row(text=text, device=sender, id=name, answers=answered))
        run[devices[crash][0]].append(Start(user=devices[crash][1], device=devices[crash][0]))
    for records in run.values():
        records.append(Finish(pages=(Page(conv="c", rows=tuple(rows)),)))
    return run
