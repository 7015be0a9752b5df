"""Who may see whether somebody is online, and when he was last seen. Pure rules; `workers/presence.py` applies them."""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.calls import Privacy, Settings


@dataclass(frozen=True, slots=True)
class Rights:
    """What one viewer may see of one person."""

    online: bool
    last_seen: bool


def may_see(privacy: Privacy, is_contact: bool) -> bool:
    """Whether a viewer passes a privacy setting; `is_contact`: the person has the viewer among his contacts."""
    return privacy is Privacy.EVERYONE or (privacy is Privacy.CONTACTS and is_contact)


def rights(person: Settings, viewer: Settings, is_contact: bool) -> Rights:
    """Return what a viewer may see of a person. Whoever hides something from everybody does not see it of others."""
    return Rights(
        online=may_see(person.online, is_contact) and viewer.online is not Privacy.NOBODY,
        last_seen=may_see(person.last_seen, is_contact) and viewer.last_seen is not Privacy.NOBODY,
    )
