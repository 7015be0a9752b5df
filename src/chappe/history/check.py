"""The check: one pure function over the histories of all devices, with one generator for each promise.

Called by the system tests and the chaos scenarios. It knows nothing of clocks, sockets or faults. A message
that was acknowledged must be on every device of both people; one that was never answered may have arrived or
not, but then everywhere. All devices must have been linked before the first message; no text is sent twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from .records import Finish, History, Invoke, Page, Read, Row, Shown, Start, State, Tick
from .verdict import Rule, Step, Verdict, Violation


def check(histories: Sequence[History]) -> Verdict:
    """Judge a run by the histories of all its devices.

    Raises:
        ValueError: it cannot be judged: a history does not begin with Start, or a text is sent twice.
    """
    run = _Run(histories)
    violations = [violation for rule in _RULES for violation in rule(run)]
    return Verdict(
        tuple(_one_of_each_first(violations)),
        devices=len(histories),
        conversations=len(run.members),
        invoked=len(run.invoked),
        acknowledged=len(run.acknowledged),
        failed=len(run.failed.keys() - run.acknowledged.keys()),
        shown=sum(1 for history in histories for _ in history.each(Shown)),
        restarts=sum(1 for history in histories for _ in history.each(Start)) - len(histories),
    )


def _one_of_each_first(violations: list[Violation]) -> list[Violation]:
    """Order by witness, the shortest first, but so that each broken rule is heard before any comes again."""
    before: Counter[Rule] = Counter()
    turns: dict[Violation, int] = {}
    for violation in sorted(violations, key=lambda violation: len(violation.witness)):
        turns[violation] = before[violation.rule]
        before[violation.rule] += 1
    return sorted(turns, key=turns.__getitem__)


class _Sent(NamedTuple):
    device: str
    invoke: Invoke
    step: Step


class _Seen(NamedTuple):
    """A message as one device saw it, live or on a page."""

    step: Step
    conv: str
    text: str
    device: str
    answers: str | None
    id: str | None
    state: State | None


class _End(NamedTuple):
    """What one device ends with in one conversation."""

    history: History
    line: int
    page: Page


class _Run:
    """What several rules look up."""

    def __init__(self, histories: Sequence[History]) -> None:
        self.histories = histories
        self.owner: dict[str, Start] = {}
        self.invoked: dict[str, _Sent] = {}
        self.acknowledged: dict[str, Step] = {}
        self.failed: dict[str, Step] = {}
        self.members: defaultdict[str, set[str]] = defaultdict(set)
        self.names: dict[str, tuple[str, Step]] = {}
        for history in histories:
            match history.records:
                case (Start() as owner, *_):
                    self.owner[history.name] = owner
                case _:
                    raise ValueError(f"The history {history.name} does not begin with a start.")
            self._collect(history, owner)

    def _collect(self, history: History, owner: Start) -> None:
        for line, invoke in history.each(Invoke):
            if invoke.text in self.invoked:
                raise ValueError(f"{invoke.text!r} is sent twice: texts must be unique.")
            step = Step(history.name, line, f"sends {invoke.text!r}, answering {invoke.answers}")
            self.invoked[invoke.text] = _Sent(owner.device, invoke, step)
            self.members[invoke.conv] |= {owner.user, invoke.to}
        for line, tick in history.each(Tick):
            if tick.state != "queued":
                outcome = self.failed if tick.state == "failed" else self.acknowledged
                outcome.setdefault(tick.text, _told(history, line, tick))
        for text, name, step in _names(history):
            self.names.setdefault(text, (name, step))

    def ends(self, conv: str) -> Iterator[_End]:
        """Yield what each drained device of a conversation's people ends with; no page is an empty one."""
        for history in self.histories:
            last = history.records[-1]
            if isinstance(last, Finish) and self.owner[history.name].user in self.members[conv]:
                page = next((page for page in last.pages if page.conv == conv), Page(conv=conv, rows=()))
                yield _End(history, len(history.records), page)


def _told(history: History, line: int, tick: Tick) -> Step:
    return Step(history.name, line, f"told: {tick.state} {tick.text!r} as {tick.id}")


def _pages(history: History) -> Iterator[tuple[int, Page]]:
    for line, record in enumerate(history.records, 1):
        if isinstance(record, Start | Finish):
            for page in record.pages:
                yield line, page


def _sightings(history: History) -> Iterator[_Seen]:
    for line, shown in history.each(Shown):
        step = Step(history.name, line, f"shows {shown.text!r} as {shown.id}")
        yield _Seen(step, shown.conv, shown.text, shown.device, shown.answers, shown.id, None)
    for line, page in _pages(history):
        for row in page.rows:
            step = Step(history.name, line, f"holds {row.text!r} as {row.id}")
            yield _Seen(step, page.conv, row.text, row.device, row.answers, row.id, row.state)


def _names(history: History) -> Iterator[tuple[str, str, Step]]:
    for line, tick in history.each(Tick):
        if tick.id is not None:
            yield tick.text, tick.id, _told(history, line, tick)
    for seen in _sightings(history):
        if seen.id is not None:
            yield seen.text, seen.id, seen.step


def _unfinished(run: _Run) -> Iterator[Violation]:
    for history in run.histories:
        last = history.records[-1]
        if not isinstance(last, Finish):
            step = Step(history.name, len(history.records), f"is the last record, a {type(last).__name__}")
            yield Violation(Rule.UNFINISHED, (step,))


def _lost_or_split(run: _Run) -> Iterator[Violation]:
    for conv in run.members:
        # What has no id is still queued, or failed: its own device's business.
        ends = [(end, {row.text for row in end.page.rows if row.id is not None}) for end in run.ends(conv)]
        wanted: dict[str, tuple[Rule, Step]] = {}
        for end, there in ends:
            for text in there - wanted.keys():
                wanted[text] = Rule.SPLIT, Step(end.history.name, end.line, f"ends with {text!r}")
        for text, told in run.acknowledged.items():
            if text in run.invoked and run.invoked[text].invoke.conv == conv:
                wanted[text] = Rule.LOST, told
        for end, there in ends:
            for text in sorted(wanted.keys() - there):
                rule, step = wanted[text]
                says = f"ends with {len(there)} messages in {conv}, not {text!r}"
                yield Violation(rule, (step, Step(end.history.name, end.line, says)))


def _vanished(run: _Run) -> Iterator[Violation]:
    for history in run.histories:
        last = history.records[-1]
        if isinstance(last, Finish):
            there = {row.text for page in last.pages for row in page.rows}
            gone = {seen.text: seen.step for seen in _sightings(history) if seen.text not in there}
            for text, step in gone.items():
                end = Step(history.name, len(history.records), f"ends without {text!r}")
                yield Violation(Rule.VANISHED, (step, end))


def _hidden(run: _Run) -> Iterator[Violation]:
    for history in run.histories:
        own = run.owner[history.name].device
        # What was stored but not yet shown when the client died is on the screen when it opens again.
        shown = {shown.text for _, shown in history.each(Shown)}
        shown |= {row.text for _, start in history.each(Start) for page in start.pages for row in page.rows}
        for line, finish in history.each(Finish):
            for row in (row for page in finish.pages for row in page.rows):
                if row.device != own and row.text not in shown:
                    yield Violation(Rule.HIDDEN, (Step(history.name, line, f"holds {row.text!r}"),))


def _twice(run: _Run) -> Iterator[Violation]:
    for history in run.histories:
        first: dict[str, Step] = {}
        for line, shown in history.each(Shown):
            step = Step(history.name, line, f"shows {shown.text!r} as {shown.id}")
            if first.setdefault(shown.text, step) is not step:
                yield Violation(Rule.TWICE, (first[shown.text], step))
        for line, page in _pages(history):
            for text, count in Counter(row.text for row in page.rows).items():
                if count > 1:
                    yield Violation(Rule.TWICE, (Step(history.name, line, f"holds {text!r} {count} times"),))


def _invented(run: _Run) -> Iterator[Violation]:
    for history in run.histories:
        judged: set[tuple[str, str, str, str | None]] = set()
        for seen in _sightings(history):
            claim = (seen.text, seen.conv, seen.device, seen.answers)
            if claim in judged:
                continue
            judged.add(claim)
            sent = run.invoked.get(seen.text)
            if sent is None:
                yield Violation(Rule.INVENTED, (seen.step,))
            elif claim[1:] != (sent.invoke.conv, sent.device, sent.invoke.answers):
                says = f"{seen.step.says}, in {seen.conv}, from {seen.device}, answering {seen.answers}"
                yield Violation(Rule.INVENTED, (sent.step, Step(history.name, seen.step.line, says)))


def _renamed(run: _Run) -> Iterator[Violation]:
    for history in run.histories:
        for text, name, step in _names(history):
            if run.names[text][0] != name:
                yield Violation(Rule.RENAMED, (run.names[text][1], step))


def _disorder(run: _Run) -> Iterator[Violation]:
    for history in run.histories:
        for line, page in _pages(history):
            for row, later in pairwise(page.rows):
                if _out_of_order(row, later):
                    says = f"holds {row.text!r} ({row.id}) before {later.text!r} ({later.id})"
                    yield Violation(Rule.DISORDER, (Step(history.name, line, says),))


def _out_of_order(row: Row, later: Row) -> bool:
    if row.id is None or later.id is None:
        return row.id is None and later.id is not None
    return row.id >= later.id


def _early_reply(run: _Run) -> Iterator[Violation]:
    for history in run.histories:
        known: set[str | None] = {None}
        for line, record in enumerate(history.records, 1):
            match record:
                case Start() | Finish():
                    rows = [row for page in record.pages for row in page.rows]
                    known |= {row.id for row in rows}
                    replies = [(row.text, row.id, row.answers) for row in rows]
                case Shown():
                    known.add(record.id)
                    replies = [(record.text, record.id, record.answers)]
                case Invoke() if record.text in run.names:
                    # On the sender's own screen from here on: an answer may come before its SENT does.
                    known.add(run.names[record.text][0])
                    continue
                case _:
                    continue
            for text, name, answered in replies:
                if answered not in known or (answered is not None and name is not None and name <= answered):
                    says = f"shows {text!r} as {name}, which answers {answered}"
                    yield Violation(Rule.EARLY_REPLY, (Step(history.name, line, says),))


_FOLLOWS: Final[dict[State, tuple[State, ...]]] = {
    "queued": ("queued", "failed", "sent", "delivered", "read"),
    "failed": ("failed",),
    "sent": ("sent", "delivered", "read"),
    "delivered": ("delivered", "read"),
    "read": ("read",),
}


def _backwards(run: _Run) -> Iterator[Violation]:
    for history in run.histories:
        latest: dict[str, tuple[State, Step]] = {}
        for text, state, step in _states(history):
            before, earlier = latest.get(text, ("queued", step))
            if state in _FOLLOWS[before]:
                latest[text] = state, step
            else:
                yield Violation(Rule.BACKWARDS, (earlier, step))


def _states(history: History) -> Iterator[tuple[str, State, Step]]:
    for line, record in enumerate(history.records, 1):
        if isinstance(record, Tick):
            yield record.text, record.state, _told(history, line, record)
        elif isinstance(record, Start | Finish):
            for row in (row for page in record.pages for row in page.rows):
                if row.state is not None:
                    yield row.text, row.state, Step(history.name, line, f"holds {row.text!r}, {row.state}")


def _false_read(run: _Run) -> Iterator[Violation]:
    reached: defaultdict[tuple[str, str], str] = defaultdict(str)
    for history in run.histories:
        for _, read in history.each(Read):
            reader = (read.conv, run.owner[history.name].user)
            reached[reader] = max(reached[reader], read.id)
    for history in run.histories:
        for line, tick in history.each(Tick):
            sent = run.invoked.get(tick.text)
            if sent and tick.state == "read" and (tick.id or "") > reached[tick.conv, sent.invoke.to]:
                yield Violation(Rule.FALSE_READ, (_told(history, line, tick),))


def _false_failure(run: _Run) -> Iterator[Violation]:
    for text, told in run.failed.items():
        if text in run.acknowledged:
            yield Violation(Rule.FALSE_FAILURE, (told, run.acknowledged[text]))
    for history in run.histories:
        arrived = {seen.text: seen.step for seen in _sightings(history) if seen.id is not None}
        for text in run.failed.keys() & arrived.keys():
            yield Violation(Rule.FALSE_FAILURE, (run.failed[text], arrived[text]))


def _undecided(run: _Run) -> Iterator[Violation]:
    for history in run.histories:
        for line, finish in history.each(Finish):
            for row in (row for page in finish.pages for row in page.rows):
                if row.id is None and row.state != "failed":
                    step = Step(history.name, line, f"holds {row.text!r}, {row.state}")
                    yield Violation(Rule.UNDECIDED, (step,))


_RULES: Final[tuple[Callable[[_Run], Iterator[Violation]], ...]] = (
    _unfinished,
    _lost_or_split,
    _vanished,
    _hidden,
    _twice,
    _invented,
    _renamed,
    _disorder,
    _early_reply,
    _backwards,
    _false_read,
    _false_failure,
    _undecided,
)
