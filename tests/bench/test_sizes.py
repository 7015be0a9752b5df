"""The load generator's random bytes are as long as real ciphertext."""

from __future__ import annotations

import os

from bench.traffic import BODY_BYTES, WRAP_BYTES
from chappe.crypto import envelope, keys, sessions
from chappe.ids import Cid, UserId, device_id, direct_conversation
from chappe.protocol.calls import Bundle

NOW_MS = 1_700_000_000_000


def test_body_is_as_long_as_a_short_text() -> None:
    users = UserId(os.urandom(16)), UserId(os.urandom(16))
    context = envelope.Context(
        direct_conversation(*users), users[0], device_id(b"key"), Cid(os.urandom(16)), 1
    )
    _key, body = envelope.seal(b"On my way, ten minutes.", context, os.urandom)
    assert len(body) == BODY_BYTES


def test_wrap_is_as_long_as_one_of_an_answered_session() -> None:
    ana, ben = UserId(b"a" * 16), UserId(b"b" * 16)
    ana_account, ben_account = keys.new_account_key(os.urandom), keys.new_account_key(os.urandom)
    ana_keys, ben_keys = keys.new_device(os.urandom, NOW_MS), keys.new_device(os.urandom, NOW_MS)
    published = keys.prekeys(ben_keys)
    bundle = Bundle(
        ben_keys.device_id,
        ben_keys.public,
        published.signed_id,
        published.signed_key,
        published.signed_signature,
        published.kem_id,
        published.kem_key,
        published.kem_signature,
    )
    from_ana = (ana_keys, ana, ana_account.public, ben, ben_account.public)
    from_ben = (ben_keys, ben, ben_account.public, ana, ana_account.public)
    pair = sessions.start(*from_ana, bundle, NOW_MS, os.urandom)
    pair, first = sessions.wrap(pair, os.urandom(32), b"", os.urandom)
    heard = sessions.unwrap(None, *from_ben, ana_keys.public, first, b"", NOW_MS, os.urandom)
    _, answer = sessions.wrap(heard.pair, os.urandom(32), b"", os.urandom)
    answered = sessions.unwrap(pair, *from_ana, ben_keys.public, answer, b"", NOW_MS, os.urandom)
    _, wrap = sessions.wrap(answered.pair, os.urandom(32), b"", os.urandom)
    assert len(wrap) == WRAP_BYTES
