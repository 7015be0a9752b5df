"""The story: Ann and Ben meet, talk, lose each other, and nothing is lost. Scene by scene, with the promises checked.

`play` is the whole of it. The server is `server`'s, the people are `person`'s, what the disk holds is `evidence`'s.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from ..client import DeliveryState
from ..ids import Cid
from .evidence import files_with, stored
from .narrator import Narrator
from .person import Person
from .server import Server, running_server

TALK: Final = (
    ("ann", "Ben? The hill station at Montmartre is up."),
    ("ben", "I see your arms moving. Loud and clear."),
    ("ann", "Can the people in between read us?"),
    ("ben", "They pass the signs on. Only you and I have the code book. 🔐"),
)
WHILE_AWAY: Final = (
    "Fog on your side. I keep sending.",
    "Landrecies is taken, the message says.",
    "Tell Paris when you can see again.",
)
ON_RETURN: Final = "The fog is gone, and all three signs were waiting here. Told Paris."
BURST: Final = 40  # each way; under the server's default of 60 messages at once
TYPING_S: Final = 0.4
READING_S: Final = 0.3


@dataclass(slots=True)
class Said:
    """What was said by whom; the source of every count at the end."""

    by_ann: dict[Cid, str] = field(default_factory=dict)
    by_ben: dict[Cid, str] = field(default_factory=dict)

    def texts(self) -> list[str]:
        """Return every text."""
        return [*self.by_ann.values(), *self.by_ben.values()]


async def play(folder: Path, narrator: Narrator, server_log: deque[str]) -> None:
    """Play the story; the server's output goes to `server_log`.

    Raises:
        StoryBroken: something that was promised did not happen in time.
    """
    narrator.scene("A server starts, on embedded stores, in a folder of its own")
    ann = Person("ann", "+33142685300", folder)
    ben = Person("ben", "+33320123456", folder)
    said = Said()
    async with running_server(folder / "server", server_log) as server:
        narrator.fact(
            f"chappe serve, process {server.process.pid}: {server.url}, operators at {server.http_url}"
        )
        with narrator.busy("It opens its stores"):
            await server.until_ready()
        await _meet(server, ann, ben, narrator)
        async with ann.at_the_phone(ben.user):
            async with ben.at_the_phone(ann.user):
                await _compare(ann, ben, narrator)
                await _talk(ann, ben, said, narrator)
                await _burst(ann, ben, said, narrator)
            waiting = await _alone(ann, ben, said, narrator)
            async with ben.at_the_phone(ann.user):
                await _return(ann, ben, waiting, said, narrator)
                await _look_inside(server, ann, said, narrator)
        restarts = await server.metric("chappe_child_restarts_total")
        count = await server.metric("chappe_messages_stored_total")
        narrator.scene("The server is asked to stop (SIGTERM)")
        with narrator.busy("Clients are told to go, what is on its way is written"):
            code = await server.stop()
        narrator.promise("It drained and stopped cleanly.", code == 0)
        searched, hits = files_with(server.data, said.texts())
    _sum_up(ann, ben, said, set(waiting), narrator)
    narrator.promise(f"None of the texts is in the {searched:,} bytes that the server kept.", not hits)
    narrator.promise(
        f"The server stored {count:.0f} messages, as many as were written.", count == len(said.texts())
    )
    narrator.promise(f"Nothing under supervision had to be restarted ({restarts:.0f}).", restarts == 0)
    narrator.fact(f"Over after {narrator.elapsed_s:.1f} s. The folder is deleted.")


async def _meet(server: Server, ann: Person, ben: Person, narrator: Narrator) -> None:
    narrator.scene("Two people register")
    for person in (ann, ben):
        with narrator.busy(f"{person.name.capitalize()} makes keys and waits for the code"):
            await person.register(server.url, server.code)
        narrator.aside(
            person.name, f"{person.phone} verified; keys made here, the server has only public ones"
        )


async def _compare(ann: Person, ben: Person, narrator: Narrator) -> None:
    await ann.client.add_contact("ben")
    await ben.client.add_contact(ann.phone, "Ann (Paris)")
    narrator.fact(
        "Ann finds Ben by user name, Ben finds Ann by phone number. Both compute the safety number:"
    )
    one, other = await ann.client.safety_number(ben.user), await ben.client.safety_number(ann.user)
    narrator.quoted(one)
    narrator.promise(
        "Both see the same number: nobody sits between them.", one == other and len(set(one)) > 1
    )


async def _talk(ann: Person, ben: Person, said: Said, narrator: Narrator) -> None:
    narrator.scene("They talk: ✓ stored by the server, ✓✓ on the other device, ✔✔ read")
    await ann.until("Ben is online", lambda: ann.friend_is_online is True)
    narrator.aside("ann", "sees that Ben is online")
    for name, text in TALK:
        writer, reader, texts = (ann, ben, said.by_ann) if name == "ann" else (ben, ann, said.by_ben)
        if reader.received or writer.received:  # a stranger cannot show that he types: nobody has written yet
            await _type(writer, reader, narrator)
        cid = await writer.say(reader, text)
        texts[cid] = text
        narrator.message(writer.name, text)
        await _ticks(writer, reader, cid, narrator)


async def _type(writer: Person, reader: Person, narrator: Narrator) -> None:
    conv = writer.client.conversation(reader.user)
    await writer.client.set_typing(conv, active=True)
    await reader.until(f"{writer.name} types", lambda: reader.friend_types)
    narrator.aside(reader.name, f"sees that {writer.name.capitalize()} is typing…")
    await trio.sleep(TYPING_S)
    await writer.client.set_typing(conv, active=False)


async def _ticks(writer: Person, reader: Person, cid: Cid, narrator: Narrator) -> None:
    for state, mark, style in (
        (DeliveryState.SENT, "✓ stored", "dim"),
        (DeliveryState.DELIVERED, "✓✓ delivered", "dim"),
        (DeliveryState.READ, "✔✔ read", "cyan"),
    ):
        if state is DeliveryState.READ:
            await trio.sleep(READING_S)
            await reader.read()
        narrator.tick(f"{mark} {await writer.until_tick(cid, state) * 1000:.0f} ms", style=style)


async def _burst(ann: Person, ben: Person, said: Said, narrator: Narrator) -> None:
    narrator.scene(
        f"Both write {BURST} messages as fast as the server takes them, each under a key of its own"
    )

    async def write(writer: Person, reader: Person, texts: dict[Cid, str]) -> None:
        for number in range(1, BURST + 1):
            text = f"sign {number} of {BURST} from {writer.name}"
            cid = await writer.say(reader, text)
            texts[cid] = text
            await writer.until_tick(cid, DeliveryState.SENT)

    ann.reads_at_once = ben.reads_at_once = True
    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, ann, ben, said.by_ann)
        nursery.start_soon(write, ben, ann, said.by_ben)
    for writer, texts in ((ann, said.by_ann), (ben, said.by_ben)):
        for cid in texts:
            await writer.until_tick(cid, DeliveryState.READ)
    took = trio.current_time() - before
    ann.reads_at_once = ben.reads_at_once = False
    narrator.fact(
        f"All {2 * BURST} were written, encrypted, stored, delivered, decrypted and read in {took:.2f} s."
    )


async def _alone(ann: Person, ben: Person, said: Said, narrator: Narrator) -> list[Cid]:
    narrator.scene("Ben drops off; Ann goes on writing")
    await ann.until("Ben is offline", lambda: ann.friend_is_online is False)
    narrator.aside("ann", "sees that Ben is offline")
    waiting = []
    for text in WHILE_AWAY:
        cid = await ann.say(ben, text)
        said.by_ann[cid] = text
        waiting.append(cid)
        narrator.message("ann", text)
        narrator.tick(f"✓ stored {await ann.until_tick(cid, DeliveryState.SENT) * 1000:.0f} ms")
    is_waiting = all(DeliveryState.DELIVERED not in ann.ticks[cid] for cid in waiting)
    narrator.promise("One tick each: the server keeps them, sealed, for Ben's device.", is_waiting)
    return waiting


async def _return(ann: Person, ben: Person, waiting: list[Cid], said: Said, narrator: Narrator) -> None:
    narrator.scene("Ben returns")
    await ann.until("Ben is back", lambda: ann.friend_is_online is True)
    narrator.aside("ann", "sees that Ben is online again")
    await ben.until("the messages that waited", lambda: len(ben.received) == len(said.by_ann))
    arrived = [message.text or "" for message, _ in ben.received[-len(waiting) :]]
    for text in arrived:
        narrator.aside("ben", f"receives: {text}")
    narrator.promise("What waited arrived in the order it was written.", arrived == list(WHILE_AWAY))
    for cid in waiting:
        await ann.until_tick(cid, DeliveryState.DELIVERED)
    narrator.aside("ann", "sees ✓✓ on all of them")
    await ben.read()
    for cid in waiting:
        await ann.until_tick(cid, DeliveryState.READ)
    narrator.aside("ann", "sees ✔✔ on all of them")
    cid = await ben.say(ann, ON_RETURN)
    said.by_ben[cid] = ON_RETURN
    narrator.message("ben", ON_RETURN)
    await _ticks(ben, ann, cid, narrator)


async def _look_inside(server: Server, ann: Person, said: Said, narrator: Narrator) -> None:
    cid, text = next(iter(said.by_ann.items()))
    message = await ann.client.message(cid)
    assert message.id is not None
    narrator.scene(f"What the server has of {text!r}")
    row = stored(server.data, message.id)
    for column, value in row.items():
        narrator.quoted(f"{column:9} {value}")
    narrator.promise("It has who, when and how much, and not what.", bool(row) and text not in str(row))
    narrator.scene("The server's supervision tree, now")
    narrator.quoted(await server.get("/tree"))


def _sum_up(ann: Person, ben: Person, said: Said, waited: set[Cid], narrator: Narrator) -> None:
    narrator.scene("Summary")
    arrived = {message.cid: at for person in (ann, ben) for message, at in person.received}
    stored_ms, arrived_ms = [], []
    for person in (ann, ben):
        for cid, at in person.sent_at.items():
            stored_ms.append((person.ticks[cid][DeliveryState.SENT] - at) * 1000)
            if cid in arrived and cid not in waited:
                arrived_ms.append((arrived[cid] - at) * 1000)
    narrator.fact(f"{f'{len(said.texts())} messages':28}{'p50':>10}{'p99':>10}")
    for name, values in (("written to durable", stored_ms), ("written to decrypted", arrived_ms)):
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        narrator.fact(f"{name:28}{cuts[49]:7.1f} ms{cuts[98]:7.1f} ms")
    for reader, texts in ((ben, said.by_ann), (ann, said.by_ben)):
        got = [(message.cid, message.text) for message, _ in reader.received]
        narrator.promise(
            f"{reader.name.capitalize()} got {len(texts)} messages of {len(texts)}: each once, word for word.",
            len(got) == len(texts) and dict(got) == texts,
        )
    narrator.promise("Nothing was undecryptable.", not ann.undecryptable and not ben.undecryptable)
